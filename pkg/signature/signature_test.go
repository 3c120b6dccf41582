package signature_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/signature"
)

type vector struct {
	Comment            string `json:"comment"`
	Secret             string `json:"secret"`
	Body               string `json:"body"`
	XDembraneSignature string `json:"x_dembrane_signature"`
	XWebhookSignature  string `json:"x_webhook_signature"`
	WebhookID          string `json:"webhook_id"`
	WebhookTimestamp   int64  `json:"webhook_timestamp"`
	WebhookSignature   string `json:"webhook_signature"`
}

func vectors(tb testing.TB) []vector {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "vectors.json"))
	require.NoError(tb, err)
	var list []vector
	require.NoError(tb, json.Unmarshal(data, &list))
	require.Len(tb, list, 13)
	return list
}

func sign(secrets []string, id string, at time.Time, body string) http.Header {
	keys := make([]signature.Key, len(secrets))
	for i, secret := range secrets {
		keys[i] = signature.NewKey(secret)
	}
	h := http.Header{}
	signature.Headers(h, keys, id, at, []byte(body))
	return h
}

// official is the verifier that the Standard Webhooks project publishes.
func official(tb testing.TB, secret string) *standardwebhooks.Webhook {
	tb.Helper()
	verifier, err := standardwebhooks.NewWebhookRaw([]byte(secret))
	if strings.HasPrefix(secret, "whsec_") {
		verifier, err = standardwebhooks.NewWebhook(secret)
	}
	require.NoError(tb, err)
	return verifier
}

func TestHeadersAreTheVectors(t *testing.T) {
	for _, v := range vectors(t) {
		h := sign([]string{v.Secret}, v.WebhookID, time.Unix(v.WebhookTimestamp, 999_999_999), v.Body)
		assert.Len(t, h, 5)
		if v.XDembraneSignature != "" {
			assert.Equal(t, v.XDembraneSignature, h.Get("X-Dembrane-Signature"))
			assert.Equal(t, v.XWebhookSignature, h.Get("X-Webhook-Signature"))
		}
		assert.Equal(t, v.WebhookID, h.Get("webhook-id"))
		assert.Equal(t, strconv.FormatInt(v.WebhookTimestamp, 10), h.Get("webhook-timestamp"))
		assert.Equal(t, v.WebhookSignature, h.Get("webhook-signature"), v.Comment)

		require.NoError(t, official(t, v.Secret).VerifyIgnoringTimestamp([]byte(v.Body), h))
		assert.True(t, signature.VerifyBody(v.Secret, h.Get("X-Dembrane-Signature"), []byte(v.Body)))
		require.NoError(t, signature.Verify(v.Secret, h, []byte(v.Body), time.Unix(v.WebhookTimestamp, 0), signature.Tolerance))
	}
}

func TestHeadersVerifyWithTheOfficialLibraryNow(t *testing.T) {
	for _, secret := range []string{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_" + base64.StdEncoding.EncodeToString([]byte("\xff\x00é")), "plain secret"} {
		h := sign([]string{secret}, "evt_1", time.Now(), `{"a":1}`)
		require.NoError(t, official(t, secret).Verify([]byte(`{"a":1}`), h))
		require.ErrorIs(t, official(t, secret).Verify([]byte(`{"a":2}`), h), standardwebhooks.ErrNoMatchingSignature)
	}
}

func TestRotationSignsWithEverySecretNewestFirst(t *testing.T) {
	secrets := []string{"whsec_bmV3", "whsec_b2xk", "oldest, not base64"}
	at := time.Unix(1768910400, 0)
	h := sign(secrets, "evt_1", at, "body")

	signatures := strings.Split(h.Get("webhook-signature"), " ")
	require.Len(t, signatures, len(secrets))
	for i, secret := range secrets {
		alone := sign([]string{secret}, "evt_1", at, "body")
		assert.Equal(t, alone.Get("webhook-signature"), signatures[i])
		require.NoError(t, official(t, secret).VerifyIgnoringTimestamp([]byte("body"), h))
		require.NoError(t, signature.Verify(secret, h, []byte("body"), at, 0))
	}
	newest := sign(secrets[:1], "evt_1", at, "body")
	assert.Equal(t, newest.Get("X-Dembrane-Signature"), h.Get("X-Dembrane-Signature"))
	assert.Equal(t, newest.Get("X-Webhook-Signature"), h.Get("X-Webhook-Signature"))
	assert.True(t, signature.VerifyBody(secrets[0], h.Get("X-Dembrane-Signature"), []byte("body")))
	assert.False(t, signature.VerifyBody(secrets[1], h.Get("X-Dembrane-Signature"), []byte("body")))
}

func TestWithoutASecretNothingIsSigned(t *testing.T) {
	for _, secrets := range [][]string{nil, {}, {""}, {"", ""}} {
		assert.Empty(t, sign(secrets, "evt_1", time.Unix(0, 0), "body"))
	}
	at := time.Unix(1768910400, 0)
	assert.Equal(t, sign([]string{"a", "b"}, "e", at, "x"), sign([]string{"", "a", "", "b"}, "e", at, "x"),
		"a key without a secret must not sign")
	assert.True(t, signature.Key{}.IsZero())
	assert.True(t, signature.NewKey("").IsZero())
	assert.False(t, signature.NewKey("x").IsZero())
}

func TestHeadersReplaceWhatIsThere(t *testing.T) {
	h := http.Header{}
	h.Set("webhook-id", "forged")
	h.Set("X-Webhook-Signature", "forged")
	signature.Headers(h, []signature.Key{signature.NewKey("s")}, "evt_1", time.Unix(1, 0), nil)
	assert.Equal(t, []string{"evt_1"}, h.Values("webhook-id"))
	assert.Len(t, h.Values("X-Webhook-Signature"), 1)
	h.Add("webhook-id", "second")
	assert.Equal(t, "1", h.Get("webhook-timestamp"), "headers must not share room")
}

// Nasty case 28: every secret signs with exactly the documented bytes.
func TestKeysAreTheDocumentedBytes(t *testing.T) {
	tests := map[string]struct{ secret, standard string }{
		"plain":                    {"geheim", "geheim"},
		"one byte":                 {"x", "x"},
		"256 bytes":                {strings.Repeat("s", 256), strings.Repeat("s", 256)},
		"not ASCII":                {"geheim-ünï-🔑", "geheim-ünï-🔑"},
		"with a line break":        {"a\nb", "a\nb"},
		"not UTF-8":                {"a\xff", "a\xff"},
		"base64 without prefix":    {"c2VjcmV0", "c2VjcmV0"},
		"whsec_":                   {"whsec_c2VjcmV0", "secret"},
		"whsec_ padded":            {"whsec_c2VjcmV0cw==", "secrets"},
		"whsec_ without padding":   {"whsec_c2VjcmV0cw", "secrets"},
		"whsec_ with + and /":      {"whsec_+/+/", "\xfb\xff\xbf"},
		"whsec_ not base64":        {"whsec_not base64!", "whsec_not base64!"},
		"whsec_ URL alphabet":      {"whsec_-_-_", "whsec_-_-_"},
		"whsec_ with 4n+1 letters": {"whsec_abcde", "whsec_abcde"},
		"whsec_ padded only":       {"whsec_====", "whsec_===="},
		"whsec_ alone":             {"whsec_", "whsec_"},
		"other case":               {"WHSEC_c2VjcmV0", "WHSEC_c2VjcmV0"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			h := sign([]string{test.secret}, "e", time.Unix(7, 0), "body")
			mac := hmac.New(sha256.New, []byte(test.secret))
			mac.Write([]byte("body"))
			assert.Equal(t, hex.EncodeToString(mac.Sum(nil)), h.Get("X-Dembrane-Signature"))
			mac = hmac.New(sha256.New, []byte(test.standard))
			mac.Write([]byte("e.7.body"))
			assert.Equal(t, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)), h.Get("webhook-signature"))
			require.NoError(t, signature.Verify(test.secret, h, []byte("body"), time.Unix(7, 0), 0))
		})
	}
}

func TestKeysDoNotPrintTheirBytes(t *testing.T) {
	key := signature.NewKey("whsec_c2VjcmV0")
	assert.Equal(t, "[redacted]", key.String())
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%b", "%c", "%U", "%t", "%p", "%e"} {
		for _, value := range []any{key, &key, []signature.Key{key}, struct{ K signature.Key }{key}, struct{ k signature.Key }{key}, &struct{ k []signature.Key }{[]signature.Key{key}}, map[string]signature.Key{"k": key}} {
			text := fmt.Sprintf(verb, value)
			for _, leak := range []string{"whsec", "c2Vj", "secret", "119 104", "115 101", hex.EncodeToString([]byte("secret")), "163 145", "U+0073"} {
				assert.NotContains(t, text, leak, verb)
			}
		}
	}
	data, err := json.Marshal(map[string]any{"key": key})
	require.NoError(t, err)
	assert.JSONEq(t, `{"key":{}}`, string(data))
}

func BenchmarkHeaders(b *testing.B) {
	one := []signature.Key{signature.NewKey("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")}
	two := append(one, signature.NewKey("whsec_b2xk"))
	for _, bench := range []struct {
		name  string
		keys  []signature.Key
		bytes int
	}{{"1KB", one, 1 << 10}, {"1KB/rotating", two, 1 << 10}, {"64KB", one, 64 << 10}} {
		b.Run(bench.name, func(b *testing.B) {
			body := make([]byte, bench.bytes)
			h := make(http.Header, 16)
			at := time.Unix(1768910400, 0)
			b.ReportAllocs()
			b.SetBytes(int64(bench.bytes))
			for b.Loop() {
				signature.Headers(h, bench.keys, "evt_01JHZ1QF3S0Q4Z7P7YB2M0T9XA", at, body)
			}
		})
	}
}
