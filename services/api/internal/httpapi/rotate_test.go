package httpapi_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/services/api/internal/access"
)

const withSecret = `{"url":"https://example.org/","events":["report.generated"],"secret":"12345678"}`

// opened is what the webhook signs with, newest first, and until when.
func (a *api) opened(id string) (secrets []string, until []*time.Time) {
	a.t.Helper()
	stored, err := a.store.Get(a.t.Context(), "p1", id)
	require.NoError(a.t, err)
	for _, sealed := range stored.Secrets {
		text, err := a.box.Open(sealed.Ciphertext, "p1", id)
		require.NoError(a.t, err)
		secrets = append(secrets, text.Reveal())
		until = append(until, sealed.ValidUntil)
	}
	return secrets, until
}

func (a *api) rotate(id, body string) (secret string, until any) {
	a.t.Helper()
	r := a.send("POST", base+"/"+id+"/secret/rotate", body)
	require.Equal(a.t, http.StatusOK, r.status, r.raw)
	require.Len(a.t, r.body, 3)
	require.Contains(a.t, r.body, "previous_valid_until")
	secret, _ = r.body["secret"].(string)
	return secret, r.body["previous_valid_until"]
}

func wantTime(t *testing.T, want time.Time, shown any) {
	t.Helper()
	text, _ := shown.(string)
	assert.WithinDuration(t, want, wantTimeText(t, text), time.Minute)
}

// wantTimeText checks the one form that times have.
func wantTimeText(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse("2006-01-02T15:04:05.000Z", text)
	require.NoError(t, err, text)
	return at
}

func TestRotateSecret(t *testing.T) {
	a := newAPI(t)
	id := a.create("p1", withSecret).id()
	generated, shown := a.rotate(id, "")
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(generated, "whsec_"))
	require.NoError(t, err)
	assert.Len(t, key, 32)
	wantTime(t, time.Now().Add(24*time.Hour), shown)
	secrets, until := a.opened(id)
	assert.Equal(t, []string{generated, "12345678"}, secrets)
	assert.Nil(t, until[0])
	wantTime(t, *until[1], shown)
	assert.Equal(t, []string{"p1." + id, "p1." + id}, a.projected)
	assert.Equal(t, access.Change, a.actions[len(a.actions)-1])
	seen := a.send("GET", base+"/"+id, "")
	assert.NotContains(t, seen.raw, generated)
	assert.Equal(t, shown, seen.body["previous_secret_valid_until"], "whoever looks later sees until when both sign")

	again, shown := a.rotate(id, `{"secret":null,"overlap_seconds":604800,"later":true}`)
	wantTime(t, time.Now().Add(7*24*time.Hour), shown)
	secrets, _ = a.opened(id)
	assert.Equal(t, []string{again, generated}, secrets, "at most one previous secret")

	_, shown = a.rotate(id, "null")
	wantTime(t, time.Now().Add(24*time.Hour), shown)

	chosen, shown := a.rotate(id, `{"secret":"chosen by the host","overlap_seconds":0}`)
	assert.Equal(t, "chosen by the host", chosen)
	assert.Nil(t, shown)
	secrets, _ = a.opened(id)
	assert.Equal(t, []string{chosen}, secrets)
	assert.Nil(t, a.send("GET", base+"/"+id, "").body["previous_secret_valid_until"])

	// A change of the secret replaces at once, also during an overlap.
	a.rotate(id, `{}`)
	require.Equal(t, http.StatusOK, a.send("PATCH", base+"/"+id, `{"secret":"patched-secret"}`).status)
	secrets, _ = a.opened(id)
	assert.Equal(t, []string{"patched-secret"}, secrets)
	a.rotate(id, `{}`)
	require.Equal(t, http.StatusOK, a.send("PATCH", base+"/"+id, `{"secret":""}`).status)
	secrets, _ = a.opened(id)
	assert.Empty(t, secrets)
}

// A rotation that is sent twice, as by two clicks, keeps the secret before it.
func TestRotatingTwiceToTheSameDropsNothing(t *testing.T) {
	a := newAPI(t)
	id := a.create("p1", withSecret).id()
	a.rotate(id, `{"secret":"chosen by the host"}`)
	_, shown := a.rotate(id, `{"secret":"chosen by the host","overlap_seconds":3600}`)
	wantTime(t, time.Now().Add(time.Hour), shown)
	secrets, until := a.opened(id)
	assert.Equal(t, []string{"chosen by the host", "12345678"}, secrets)
	wantTime(t, *until[1], shown)
	_, shown = a.rotate(id, `{"secret":"chosen by the host","overlap_seconds":0}`)
	assert.Nil(t, shown)
	secrets, _ = a.opened(id)
	assert.Equal(t, []string{"chosen by the host"}, secrets)
}

func TestTheOverlapCanBeEnded(t *testing.T) {
	a := newAPI(t)
	id := a.create("p1", withSecret).id()
	path := base + "/" + id + "/secret/previous"
	a.rotate(id, `{"secret":"chosen by the host"}`)
	a.wantProblem(a.send("DELETE", "/api/projects/p2/webhooks/"+id+"/secret/previous", ""), 404, "Webhook not found")
	for range 2 {
		assert.Equal(t, http.StatusNoContent, a.send("DELETE", path, "").status)
		secrets, until := a.opened(id)
		assert.Equal(t, []string{"chosen by the host"}, secrets)
		assert.Nil(t, until[0])
	}
	assert.Equal(t, access.Withdraw, a.actions[len(a.actions)-1])
}

func TestRotateGivesAFirstSecret(t *testing.T) {
	a := newAPI(t)
	id := a.create("p1", minimal).id()
	secret, shown := a.rotate(id, `{"overlap_seconds":3.6e3}`)
	assert.Nil(t, shown)
	secrets, until := a.opened(id)
	assert.Equal(t, []string{secret}, secrets)
	assert.Nil(t, until[0])
	assert.Equal(t, true, a.send("GET", base+"/"+id, "").body["has_secret"])
}

func TestRotateRefuses(t *testing.T) {
	a := newAPI(t)
	id := a.create("p1", withSecret).id()
	path := base + "/" + id + "/secret/rotate"
	for given, detail := range map[string]string{
		`{`:                          "not valid JSON",
		`[]`:                         "must be a JSON object",
		`{"overlap_seconds":-1}`:     "0 to 604800 seconds, which is 7 days",
		`{"overlap_seconds":604801}`: "0 to 604800 seconds, which is 7 days",
		`{"overlap_seconds":1.5}`:    "overlap_seconds must be a whole number.",
		`{"overlap_seconds":"1"}`:    "overlap_seconds must be a whole number.",
		`{"secret":7}`:               "secret must be text.",
		`{"secret":""}`:              "8 to 255 bytes",
		`{"secret":"short"}`:         "8 to 255 bytes",
		`{"secret":"whsec_???"}`:     "base64",
	} {
		a.wantProblem(a.send("POST", path, given), 422, detail)
	}
	a.wantProblem(a.send("POST", path, "{}", "Content-Type", "text/plain"), 415, "must be JSON")
	a.wantProblem(a.send("POST", path, fmt.Sprintf(`{"x":%q}`, strings.Repeat("x", 64<<10))), 413, "64 KiB")
	a.wantProblem(a.send("POST", base+"/unknown/secret/rotate", ""), 404, "Webhook not found")
	a.wantProblem(a.send("POST", "/api/projects/p2/webhooks/"+id+"/secret/rotate", ""), 404, "Webhook not found")
	a.wantProblem(a.send("POST", path, "", "Authorization", "Bearer low-tier"), 403, "changemaker tier")
	a.wantProblem(a.send("GET", path, ""), 405, "not allowed")
	secrets, _ := a.opened(id)
	assert.Equal(t, []string{"12345678"}, secrets)
	assert.Len(t, a.projected, 1, "what is refused has no effect")
}
