package registration_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/signature"
	"github.com/dembrane/webhooks/pkg/webhook"
	"github.com/dembrane/webhooks/services/api/internal/registration"
)

func value(name, value string) map[string]*string { return map[string]*string{name: &value} }

func TestHeaders(t *testing.T) {
	for given, want := range map[string]string{
		"Bearer abc.def-ghi_jkl":  "Bearer abc.def-ghi_jkl",
		"  padded ":               "padded",
		"Ключ":                    "Ключ",
		"a\u00a0b":                "a\u00a0b",
		`"quoted" \ <&>`:          `"quoted" \ <&>`,
		strings.Repeat("x", 1024): strings.Repeat("x", 1024),
		strings.Repeat("é", 512):  strings.Repeat("é", 512),
	} {
		edits, err := registration.Headers(value("X-Api-Key", given))
		require.NoError(t, err, given)
		assert.Equal(t, []registration.HeaderEdit{{Name: "X-Api-Key", Value: want}}, edits)
	}
	for given, want := range map[string]string{
		"":                        "must have a value",
		"   ":                     "must have a value",
		strings.Repeat("x", 1025): "at most 1024 bytes",
		strings.Repeat("é", 513):  "at most 1024 bytes",
		"hunter2\n":               "printable characters",
		"hunter2\r\nX-Evil: 1":    "printable characters",
		"hunter2\x00":             "printable characters",
		"hunter2\tx":              "printable characters",
		"hunter2\x7f":             "printable characters",
		"hunter2\u0085":           "printable characters",
		"hunter2\u200b":           "printable characters",
		"\ufeffhunter2":           "printable characters",
		"hunter2\u202e":           "printable characters",
	} {
		edits, err := registration.Headers(value("X-Api-Key", given))
		assert.Empty(t, edits)
		require.ErrorContains(t, err, want, "%q", given)
		require.ErrorContains(t, err, "X-Api-Key", "it says which")
		assert.NotContains(t, err.Error(), "hunter2")
	}
}

func TestHeaderNames(t *testing.T) {
	for _, name := range []string{
		"Authorization", "X-Api-Key", "x-api-key", "X_Api_Key", "Cookie", "apikey", "X-Hub-Token", "Accept-Language", "Forwarded",
		"Ocp-Apim-Subscription-Key", "x", "!#$%&'*+-.^_`|~09", "X-Webhook", "Webhook", "X-Dembrane", "Content", "Connections",
		strings.Repeat("x", 256),
	} {
		edits, err := registration.Headers(value(name, "v"))
		require.NoError(t, err, name)
		assert.Equal(t, name, edits[0].Name, "as it was spelled")
	}
	for _, name := range []string{
		"Host", "HOST", "Content-Type", "content-length", "Content-Anything", "Transfer-Encoding", "Connection", "Keep-Alive",
		"Proxy-Authorization", "Proxy-Connection", "TE", "Trailer", "Upgrade", "HTTP2-Settings", "Expect", "Accept", "Accept-Encoding",
		"User-Agent", "X-Dembrane-Anything", "x-dembrane-signature", "X-Webhook-Signature", "webhook-id", "Webhook-Anything",
		"traceparent", "Tracestate",
	} {
		_, err := registration.Headers(value(name, "hunter2"))
		require.ErrorContains(t, err, "cannot be set", name)
		assert.Contains(t, err.Error(), name)
		_, err = registration.Headers(map[string]*string{name: nil})
		require.Error(t, err, "there is no such header to take away")
	}
	for _, name := range []string{
		"", "X Api", "Authorization:", "Authorization: Bearer hunter2", "Naïve", "X-Key\n", "\u200b", "(x)", "a@b", "a/b", `a"b`,
		strings.Repeat("x", 257),
	} {
		_, err := registration.Headers(value(name, "v"))
		require.ErrorContains(t, err, "The name of a header must", "%q", name)
		assert.NotContains(t, err.Error(), "hunter2")
	}
}

func TestHeaderNamesDifferInMoreThanCase(t *testing.T) {
	a, b := "one", "two"
	_, err := registration.Headers(map[string]*string{"X-Api-Key": &a, "x-api-KEY": &b})
	require.ErrorContains(t, err, "given twice")
	_, err = registration.Headers(map[string]*string{"X-Api-Key": &a, "x-api-KEY": nil})
	require.ErrorContains(t, err, "given twice", "which of the two is meant?")
	edits, err := registration.Headers(map[string]*string{"B": nil, "A": &a})
	require.NoError(t, err)
	assert.Equal(t, []registration.HeaderEdit{{Name: "A", Value: "one"}, {Name: "B"}}, edits)
}

// Every mistake is reported, not only the first.
func TestHeadersReportsEveryFault(t *testing.T) {
	long, good := strings.Repeat("x", 2000), "v"
	_, err := registration.Headers(map[string]*string{"Host": &good, "X-Api-Key": &long, "Good": &good})
	var faults registration.Faults
	require.ErrorAs(t, err, &faults)
	require.Len(t, faults, 2)
	for _, fault := range faults {
		_ = requireFault(t, fault, registration.KindBounds, "headers")
	}
}

func TestHeaderCount(t *testing.T) {
	require.NoError(t, registration.HeaderCount(8))
	require.ErrorContains(t, registration.HeaderCount(9), "at most 8 headers")
}

// What we send ourselves cannot be set, also when we come to send more.
func TestNoHeaderOfOursCanBeSet(t *testing.T) {
	ours := http.Header{}
	webhook.Attempt{EventType: "report.generated", DeliveryID: "dlv_1", Number: 1}.SetHeaders(ours)
	signature.Headers(ours, []signature.Key{signature.NewKey("a secret")}, "evt_1", time.Now(), []byte("{}"))
	assert.Len(t, ours, 12)
	for name := range ours {
		_, err := registration.Headers(value(name, "v"))
		require.ErrorContains(t, err, "cannot be set", name)
	}
}
