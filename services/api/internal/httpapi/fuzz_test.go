package httpapi

import (
	"encoding/json"
	"math"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/words"
	"github.com/dembrane/webhooks/services/api/internal/access"
	"github.com/dembrane/webhooks/services/api/internal/registration"
)

// wantRefusal checks that a body is refused in a way that has words for it.
func wantRefusal(t *testing.T, err error) {
	t.Helper()
	p := new(server).problemFrom(err)
	require.Contains(t, []int{400, 422}, p.Status, "%v", err)
	require.NotEmpty(t, p.Detail)
	require.True(t, strings.HasSuffix(p.Detail, "."), "%q is no sentence", p.Detail)
	for _, field := range p.Errors {
		require.NotEmpty(t, field.Field)
		require.NotEmpty(t, field.Message)
	}
}

func FuzzRegistrationBody(f *testing.F) {
	for _, seed := range []string{
		`{"url":"https://example.org/x","events":["report.generated"],"name":"CRM","secret":"12345678","enabled":true,"max_per_second":0.5}`,
		`{"headers":{"X-Api-Key":"a key","Authorization":null}}`, `{"headers":{"Host":"x","x y":"","A":"1","a":"2"}}`,
		`{"status":"draft"}`, `{"enabled":false,"status":"published"}`, `{"name":null,"events":[null]}`, `{"max_per_second":-0}`,
		`{"max_per_second":1e999}`, `{"secret":"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}`, `{"name":"\ud800"}`, `{"Name":1}`, `{"name":"a","name":2}`,
		`{"url":"https://[::1]/"}`, `[]`, `null`, `{"name":"\u0000"}`, `{"events":[{"a":[[[[]]]]}]}`, "{\"name\":\"\xff\"}",
	} {
		f.Add([]byte(seed))
	}
	s := &server{}
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := parseWebhook(raw)
		if err != nil {
			wantRefusal(t, err)
			return
		}
		require.True(t, json.Valid(raw), "what is read is JSON")
		var faults registration.Faults
		edit := s.edits("p1", "w1", webhookInput{
			Name: r.Name, Description: r.Description, URL: r.URL, Status: r.Status, Events: r.Events,
			Enabled: r.Enabled, MaxPerSecond: r.MaxPerSecond,
		}, &faults)
		if r.Secret != nil && *r.Secret != "" {
			faults.Add(registration.Secret(*r.Secret))
		}
		if err := faults.Err(); err != nil {
			wantRefusal(t, err)
			return
		}
		grant := access.Grant{Project: access.Project{ID: "p1"}}
		w, err := s.fresh(grant, registration.NewID(), webhookInput{URL: new("https://example.org"), Events: &[]string{"report.generated"}})
		require.NoError(t, err)
		require.NoError(t, edit(&w))
		require.NotEmpty(t, w.Name)
		require.NotEmpty(t, w.Events)
		require.True(t, w.MaxPerSecond == 0 || w.MaxPerSecond >= 0.1 && w.MaxPerSecond <= 1000)
		require.False(t, math.IsNaN(w.MaxPerSecond))
		once := show(w, words.English)
		require.Equal(t, once.Status == "published", once.Enabled)
		require.NoError(t, edit(&w), "it may be applied again")
		require.Equal(t, once, show(w, words.English), "with the same result")
		_, err = json.Marshal(once)
		require.NoError(t, err)
		// Who asks for less may do it; who asks for more must not seem to.
		if r.withdraws() {
			require.False(t, once.Enabled)
			require.Nil(t, r.Secret)
		}
	})
}

func FuzzRotationBody(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"overlap_seconds":0}`, `{"overlap_seconds":604800,"secret":"12345678"}`, `{"overlap_seconds":1e3}`, `{"overlap_seconds":9223372036854775808}`,
		`{"secret":""}`, `{"secret":null,"overlap_seconds":null}`, `{"secret":"whsec_aGk="}`, `{"overlap_seconds":-1}`, `[0]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := parseRotation(raw)
		if err != nil {
			wantRefusal(t, err)
			return
		}
		fresh, overlap, err := r.check()
		if err != nil {
			var faults registration.Faults
			require.ErrorAs(t, err, &faults)
			wantRefusal(t, err)
			return
		}
		require.NoError(t, registration.Secret(fresh.Reveal()))
		require.GreaterOrEqual(t, overlap, 0*registration.MaxOverlap)
		require.LessOrEqual(t, overlap, registration.MaxOverlap)
	})
}

func FuzzTokenOfARequest(f *testing.F) {
	for _, seed := range [][2]string{
		{"", "Bearer good"},
		{"session=good", "Bearer bad"},
		{"session=", "bearer  good "},
		{"session=  ", "Basic eDp5"},
		{`session="a b"`, "Bearer"},
		{"other=x; session=good; session=second", ""},
		{"session=good\n", "Bearer \t"},
		{"session==;", "Bearer\u00a0good"},
	} {
		f.Add(seed[0], seed[1])
	}
	s := &server{Deps: Deps{SessionCookie: "session"}, origins: http.NewCrossOriginProtection()}
	f.Fuzz(func(t *testing.T, cookie, authorization string) {
		r := &http.Request{Method: http.MethodGet, Header: http.Header{"Cookie": {cookie}, "Authorization": {authorization}}}
		tokens, err := s.tokens(r)
		if err != nil {
			require.ErrorIs(t, err, access.ErrSession)
			require.Empty(t, tokens)
			require.Equal(t, []string{""}, s.presented(r))
			return
		}
		require.Equal(t, tokens, s.presented(r), "what is counted is what is asked about")
		require.NotEmpty(t, tokens)
		require.LessOrEqual(t, len(tokens), maxSessions)
		var cookies []string
		for _, given := range r.CookiesNamed("session") {
			cookies = append(cookies, strings.TrimSpace(given.Value))
		}
		hasCookie := strings.Join(cookies, "") != ""
		for _, token := range tokens {
			require.NotEmpty(t, token)
			require.Equal(t, strings.TrimSpace(token), token)
			if hasCookie {
				require.Contains(t, cookies, token, "the cookie wins")
				continue
			}
			require.True(t, strings.HasSuffix(strings.TrimSpace(authorization), token))
		}
	})
}
