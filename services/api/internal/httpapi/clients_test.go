package httpapi_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

// What public bug reports of other senders say clients do; the numbers are those
// of docs/cases.md.

// B10: a test that arrives says that nothing else will.
func TestATestOfAWebhookThatIsOffSaysSo(t *testing.T) {
	a := newAPI(t)
	id := a.create("p1", minimal).id()
	a.reply = &webhooksv1.Attempt{Outcome: webhooksv1.Outcome_OUTCOME_DELIVERED, StatusCode: 200, StartedAt: timestamppb.Now()}
	said := func(language string) string {
		r := a.send("POST", base+"/"+id+"/test", "", "Accept-Language", language)
		assert.Equal(t, language, r.header.Get("Content-Language"))
		return fmt.Sprint(r.body["message"], "|", r.body["advice"])
	}
	assert.Equal(t, "Delivered: the receiver answered 200 OK in less than 1 ms.|", said("en"))

	gone, err := a.store.Disable(t.Context(), "p1", id, 1, store.DisabledGone)
	require.NoError(t, err)
	require.True(t, gone)
	assert.Equal(t, "Delivered: the receiver answered 200 OK in less than 1 ms. The webhook is off: the receiver is gone: it answered 410, "+
		"which asks for no more deliveries.|Switch the webhook on to try again.", said("en"))
	assert.Equal(t, "Bezorgd: de ontvanger antwoordde 200 OK in minder dan 1 ms. De webhook staat uit: de ontvanger is er niet meer: "+
		"die antwoordde 410 en wil geen bezorgingen meer.|Zet de webhook aan om het opnieuw te proberen.", said("nl"))
	shown := a.send("GET", base+"/"+id, "", "Accept-Language", "nl")
	assert.Contains(t, shown.raw, "De ontvanger is er niet meer: die antwoordde 410")
	assert.Equal(t, "nl", shown.header.Get("Content-Language"))

	a.send("PATCH", base+"/"+id, `{"enabled":true}`)
	a.send("PATCH", base+"/"+id, `{"enabled":false}`)
	assert.Equal(t, "Delivered: the receiver answered 200 OK in less than 1 ms. The webhook is off: no events are sent to it.|"+
		"Switch the webhook on to have them sent.", said("en"))
	a.reply = failure(webhooksv1.Reason_REASON_STATUS, 500, webhooksv1.Outcome_OUTCOME_EXHAUSTED)
	a.reply.StartedAt = timestamppb.Now()
	assert.Equal(t, "The receiver answered 500 Internal Server Error: something went wrong there.|"+
		"Look at the receiver's own log at that time.", said("en"))
}

// B13 to B15: what is shown is what is called.
func TestURLsAsOtherProductsGiveThem(t *testing.T) {
	a := newAPI(t)
	id := a.create("p1", minimal).id()
	for given, want := range map[string]string{
		"https://qa--shop.netlify.app/":                "https://qa--shop.netlify.app/",
		"http://webhook_receiver:9000/":                "http://webhook_receiver:9000/",
		"https://example.org/größe%2Fapp/x":            "https://example.org/gr%C3%B6%C3%9Fe%2Fapp/x",
		"https://example.org/hook/{team}%2Fx":          "https://example.org/hook/%7Bteam%7D%2Fx",
		`https://example.org/hook \u200b\u00a0\r\n`:    "https://example.org/hook",
		"https://EXAMPLE.org/a%2fb?sig=%2B%2f&x={a}+b": "https://example.org/a%2fb?sig=%2B%2f&x=%7Ba%7D+b",
	} {
		r := a.send("PATCH", base+"/"+id, `{"url":"`+given+`"}`)
		require.Equal(t, 200, r.status, r.raw)
		assert.Equal(t, want, r.body["url"])
		stored, err := a.store.Get(t.Context(), "p1", id)
		require.NoError(t, err)
		assert.Equal(t, want, stored.Registration().GetUrl())
	}
}

// B19.
func TestHeadIsAnsweredAsGet(t *testing.T) {
	a := newAPI(t)
	id := a.create("p1", minimal).id()
	for _, path := range []string{base, base + "/" + id, base + "/" + id + "/copyable", base + "/copyable", "/api/health", "/api/docs", "/api/openapi.yaml"} {
		get, head := a.send("GET", path, ""), a.send("HEAD", path, "")
		assert.Equal(t, 200, head.status, path)
		assert.Empty(t, head.raw)
		assert.Equal(t, get.header.Get("Content-Type"), head.header.Get("Content-Type"))
	}
	assert.Equal(t, 404, a.send("HEAD", base+"/unknown", "").status)
	assert.Equal(t, 401, a.send("HEAD", base, "", "Authorization", "").status)
	r := a.send("HEAD", base+"/"+id+"/test", "")
	assert.Equal(t, 405, r.status)
	assert.NotContains(t, r.header.Get("Allow"), "HEAD")
	assert.Contains(t, a.send("PUT", base, "{}").header.Get("Allow"), "HEAD")
	a.logs.TakeAll()
	a.send("HEAD", base, "")
	assert.Equal(t, "HEAD", a.logs.FilterMessage("request").All()[0].ContextMap()["method"])
}

// B20: of several cookies, one that is good is enough.
func TestOneGoodCookieIsEnough(t *testing.T) {
	a := newAPI(t)
	for _, row := range []struct {
		cookies string
		status  int
	}{
		{"S=expired; S=good", 200},
		{"S=good; S=expired", 200},
		{"S=expired; other=x; S=good", 200},
		{"S=; S=expired; S=expired; S=good", 200},
		{"S=expired; S=old", 401},
		{"S=unknown-user; S=good", 403}, // a good session: its answer counts
		{"S=expired; S=away", 503},
		{"S=a; S=b; S=c; S=d; S=good", 401}, // guessing is bounded
		{"S=expired", 401},
	} {
		cookies := strings.ReplaceAll(row.cookies, "S=", cookieName+"=")
		r := a.send("GET", base, "", "Cookie", cookies)
		assert.Equal(t, row.status, r.status, row.cookies)
	}
	r := a.send("GET", base+"/copyable", "", "Cookie", cookieName+"=expired; "+cookieName+"=all")
	assert.Equal(t, 200, r.status)
	// What another page may not do it may not do with the second cookie either.
	r = a.send("POST", base, minimal, "Cookie", cookieName+"=expired; "+cookieName+"=good",
		"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example")
	a.wantProblem(r, 403, "not allowed to use your session")
}

// B21.
func TestPagesOfTheDashboardMaySendAnyHeader(t *testing.T) {
	a := newAPI(t)
	const wanted = "authorization,baggage,content-type,idempotency-key,sentry-trace,traceparent"
	preflight := func(from string) http.Header {
		r := a.send("OPTIONS", base, "", "Origin", from, "Authorization", "",
			"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", wanted)
		assert.Equal(t, 204, r.status)
		return r.header
	}
	assert.Equal(t, wanted, preflight(origin).Get("Access-Control-Allow-Headers"))
	evil := preflight("https://evil.example")
	assert.Empty(t, evil.Get("Access-Control-Allow-Origin"))
}

// B22.
func TestAByteOrderMarkIsSkipped(t *testing.T) {
	a := newAPI(t)
	id := a.create("p1", "\ufeff"+minimal).id()
	assert.Equal(t, 200, a.send("PATCH", base+"/"+id, "\ufeff"+`{"name":"x"}`).status)
	assert.Equal(t, 200, a.send("POST", base+"/"+id+"/secret/rotate", "\ufeff{}").status)
	assert.Equal(t, 200, a.send("POST", base+"/"+id+"/secret/rotate", "\ufeff").status)
	a.wantProblem(a.send("POST", base, "\ufeff\ufeff"+minimal), 422, "not valid JSON")
	a.wantProblem(a.send("POST", base, "\ufeff"), 422, "not valid JSON")
}

// B23.
func TestEverySpellingOfAPathIsTheSamePath(t *testing.T) {
	a := newAPI(t)
	id := a.create("p1", minimal).id()
	for _, path := range []string{
		base + "/", "/api/projects/p%31/webhooks", "/api/projects/p%31/webhooks/", "/api/%70rojects/p1/webhooks",
		base + "/" + id + "/", base + "/%" + hexOf(id[0]) + id[1:], base + "/copyable/", base + "/%63opyable/", "/api/health/", "/%61pi/health",
	} {
		assert.Equal(t, 200, a.send("GET", path, "").status, path)
	}
	assert.Equal(t, 201, a.send("POST", "/api/projects/%701/webhooks/", minimal).status)
	a.wantProblem(a.send("GET", "/api/projects/p1%2Fwebhooks", ""), 404, "nothing at this address")
	a.wantProblem(a.send("GET", base+"/a%2Fb", ""), 404, "Webhook not found")
	a.wantProblem(a.send("GET", base+"//", ""), 404, "")
	a.wantProblem(a.send("GET", base+"/%00", ""), 404, "Webhook not found")
	a.wantProblem(a.send("GET", base+"/%2e%2e", ""), 404, "Webhook not found")
}

func hexOf(c byte) string {
	const digits = "0123456789ABCDEF"
	return string([]byte{digits[c>>4], digits[c&15]})
}

// B16 and B17, at the door; the rules have tables of their own.
func TestWhatIsPastedByAccidentIsRefusedInWords(t *testing.T) {
	a := newAPI(t)
	for given, want := range map[string]string{
		`"secret":"correct horse "`:     "must not begin or end with a blank",
		`"secret":"        "`:           "must not begin or end with a blank",
		`"secret":"v1,whsec_MfKQ9r8GK"`: "must begin with whsec_",
		`"name":"\u200b\u3164"`:         "something that can be seen",
		`"name":"a\u202eb"`:             "direction",
		`"name":"a\u2028b"`:             "one line",
	} {
		body := strings.TrimSuffix(minimal, "}") + "," + given + "}"
		a.wantProblem(a.send("POST", base, body), 422, want)
	}
}
