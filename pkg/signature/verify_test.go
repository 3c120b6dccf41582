package signature_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/signature"
)

func TestVerifyBodyIsTheDocumentedRule(t *testing.T) {
	const secret, body = "geheim-ünï-🔑-2026", `{"a":1}`
	good := sign([]string{secret}, "e", time.Unix(1, 0), body).Get("X-Dembrane-Signature")
	assert.True(t, signature.VerifyBody(secret, good, []byte(body)))
	assert.False(t, signature.VerifyBody("other", good, []byte(body)))
	assert.False(t, signature.VerifyBody(secret, good, []byte(body+"\n")))
	for _, header := range []string{"", good[:63], good + "0", strings.ToUpper(good), "sha256=" + good, " " + good, "é"} {
		assert.False(t, signature.VerifyBody(secret, header, []byte(body)), header)
	}
	// Anybody can sign with an empty secret.
	const hmacOfNothing = "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad"
	assert.False(t, signature.VerifyBody("", hmacOfNothing, nil))
	assert.False(t, signature.VerifyBody("", "", nil))
}

func TestVerify(t *testing.T) {
	const secret, body = "whsec_c2VjcmV0", `{"a":1}`
	at := time.Unix(1768910400, 0)
	set := func(name, value string) func(http.Header) {
		return func(h http.Header) { h.Set(name, value) }
	}
	good := sign([]string{secret}, "evt_1", at, body).Get("webhook-signature")
	tests := map[string]struct {
		change func(http.Header)
		now    time.Time
		want   error
	}{
		"at once":                    {nil, at, nil},
		"at the edge of the past":    {nil, at.Add(5 * time.Minute), nil},
		"at the edge of the future":  {nil, at.Add(-5 * time.Minute), nil},
		"replayed":                   {nil, at.Add(5*time.Minute + time.Nanosecond), signature.ErrTooOld},
		"long ago":                   {nil, at.AddDate(300, 0, 0), signature.ErrTooOld},
		"from the future":            {nil, at.Add(-5*time.Minute - time.Nanosecond), signature.ErrTooNew},
		"no clock":                   {nil, time.Time{}, signature.ErrTooNew},
		"no id":                      {set("webhook-id", ""), at, signature.ErrHeaders},
		"no timestamp":               {set("webhook-timestamp", ""), at, signature.ErrHeaders},
		"no signature":               {set("webhook-signature", ""), at, signature.ErrHeaders},
		"timestamp is a date":        {set("webhook-timestamp", "2026-01-20"), at, signature.ErrHeaders},
		"timestamp has a sign":       {set("webhook-timestamp", "+1768910400"), at, signature.ErrHeaders},
		"timestamp is negative":      {set("webhook-timestamp", "-1"), at, signature.ErrHeaders},
		"timestamp has a fraction":   {set("webhook-timestamp", "1768910400.0"), at, signature.ErrHeaders},
		"timestamp overflows":        {set("webhook-timestamp", "9223372036854775807"), at, signature.ErrHeaders},
		"other timestamp":            {set("webhook-timestamp", "1768910401"), at, signature.ErrMismatch},
		"same timestamp, other text": {set("webhook-timestamp", "01768910400"), at, signature.ErrMismatch},
		"other id":                   {set("webhook-id", "evt_2"), at, signature.ErrMismatch},
		"other version":              {set("webhook-signature", strings.Replace(good, "v1", "v2", 1)), at, signature.ErrMismatch},
		"no version":                 {set("webhook-signature", good[3:]), at, signature.ErrMismatch},
		"cut off":                    {set("webhook-signature", good[:len(good)-1]), at, signature.ErrMismatch},
		"garbage":                    {set("webhook-signature", ", v1, v1,é v1a,x"), at, signature.ErrMismatch},
		"among others":               {set("webhook-signature", "v1,AAAA v1a,BBBB "+good+" v2,x"), at, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			h := sign([]string{secret}, "evt_1", at, body)
			if test.change != nil {
				test.change(h)
			}
			err := signature.Verify(secret, h, []byte(body), test.now, signature.Tolerance)
			if test.want == nil {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, test.want)
		})
	}
	h := sign([]string{secret}, "evt_1", at, body)
	require.ErrorIs(t, signature.Verify("", h, []byte(body), at, signature.Tolerance), signature.ErrNoSecret)
	require.ErrorIs(t, signature.Verify("other", h, []byte(body), at, signature.Tolerance), signature.ErrMismatch)
	require.ErrorIs(t, signature.Verify(secret, h, []byte(`{"a":2}`), at, signature.Tolerance), signature.ErrMismatch)
	require.ErrorIs(t, signature.Verify(secret, nil, []byte(body), at, signature.Tolerance), signature.ErrHeaders)
}

func FuzzVerifyAcceptsOnlyWhatWasSigned(f *testing.F) {
	f.Add("whsec_c2VjcmV0", "evt_1", uint32(1768910400), "v1,AAAA", []byte(`{"a":1}`))
	f.Add("", "", uint32(0), "", []byte(nil))
	f.Fuzz(func(t *testing.T, secret, id string, seconds uint32, forged string, body []byte) {
		at := time.Unix(int64(seconds), 0)
		h := sign([]string{secret}, id, at, string(body))
		err := signature.Verify(secret, h, body, at, 0)
		switch {
		case secret == "":
			require.ErrorIs(t, err, signature.ErrNoSecret)
			return
		case id == "":
			require.ErrorIs(t, err, signature.ErrHeaders)
			return
		}
		require.NoError(t, err)
		if !strings.Contains(forged, h.Get("webhook-signature")) {
			h.Set("webhook-signature", forged)
			require.Error(t, signature.Verify(secret, h, body, at, 0))
		}
		if good := h.Get("X-Dembrane-Signature"); forged != good {
			assert.False(t, signature.VerifyBody(secret, forged, body))
		}
	})
}
