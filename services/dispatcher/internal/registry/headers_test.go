package registry_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/secret"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/dispatcher/internal/registry"
)

// withHeaders makes a webhook with headers, given as name and value in turn.
func withHeaders(t *testing.T, headers ...string) *registry.Webhook {
	t.Helper()
	box := newBox(t)
	r := registration("w1", 1)
	for i := 0; i < len(headers); i += 2 {
		sealed, err := box.Seal(secret.New(headers[i+1]), "p1", secret.ForHeader("w1", headers[i]))
		require.NoError(t, err)
		r.Headers = append(r.Headers, &webhooksv1.SealedHeader{Name: headers[i], Ciphertext: sealed})
	}
	w := registry.New(r, box)
	require.NoError(t, w.Fault)
	return w
}

func TestHeadersAreSet(t *testing.T) {
	w := withHeaders(t, "Authorization", "Bearer hunter2", "x-api-key", "hunter3")
	header := http.Header{"Content-Type": {"application/json"}}
	w.SetHeaders(header)
	assert.Equal(t, http.Header{
		"Content-Type": {"application/json"}, "Authorization": {"Bearer hunter2"}, "x-api-key": {"hunter3"},
	}, header)
	assert.Equal(t, []string{"Authorization", "x-api-key"}, w.HeaderNames())
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		_ = w.Hide("so that its forms were made")
		assert.NotContains(t, fmt.Sprintf(verb, w), "hunter", verb)
	}
	none := withHeaders(t)
	assert.False(t, none.HasHeaders())
	assert.Equal(t, "hunter2", none.HideInCut("hunter2"))
}

// A ciphertext opens as what it was sealed for only: whoever can write to a store
// cannot have a signing secret sent as a header, or one header as another.
func TestAHeaderThatWasSealedForSomethingElseIsAFault(t *testing.T) {
	box := newBox(t)
	for name, sealedFor := range map[string]string{
		"the signing secret": "w1", "another header": secret.ForHeader("w1", "X-Other"), "another webhook's": secret.ForHeader("w2", "X-Api-Key"),
	} {
		sealed, err := box.Seal(secret.New("hunter2"), "p1", sealedFor)
		require.NoError(t, err)
		r := registration("w1", 1)
		r.Headers = []*webhooksv1.SealedHeader{{Name: "X-Api-Key", Ciphertext: sealed}}
		w := registry.New(r, box)
		require.ErrorIs(t, w.Fault, secret.ErrUnreadable, name)
		assert.Empty(t, w.HeaderNames())
	}
	sealed, err := box.Seal(secret.New("hunter2"), "p1", secret.ForHeader("w1", "X-Api-Key"))
	require.NoError(t, err)
	r := registration("w1", 1)
	r.Secrets = []*webhooksv1.SealedSecret{{Ciphertext: sealed}}
	require.Error(t, registry.New(r, box).Fault, "nor is a header's value a signing secret")
}

func TestHide(t *testing.T) {
	w := withHeaders(t, "Authorization", `Bearer a/b+c="<q>" ключ`, "X-Api-Key", "hunter2", "X-Short", "abc", "X-Longer", "hunter2-and-more")
	for given, want := range map[string]string{
		"nothing of it":                                         "nothing of it",
		"key hunter2 and hunter2.":                              "key *** and ***.",
		"hunter2-and-more":                                      "***",
		"an abc of it":                                          "an abc of it",
		`Bearer a/b+c="<q>" ключ`:                               "***",
		`token a/b+c="<q>" ключ is invalid`:                     "token *** is invalid",
		`{"h":"Bearer a/b+c=\"<q>\" ключ"}`:                     `{"h":"***"}`,
		`{"h":"a/b+c=\"\u003cq\u003e\" ключ"}`:                  `{"h":"***"}`,
		"?t=a%2Fb%2Bc%3D%22%3Cq%3E%22+%D0%BA%D0%BB%D1%8E%D1%87": "?t=***",
		"<b>a/b+c=&#34;&lt;q&gt;&#34; ключ</b>":                 "<b>***</b>",
	} {
		assert.Equal(t, want, w.Hide(given), given)
	}
}

// What was cut off in the middle of a value shows nothing of it either.
func TestHideTheBeginningOfAValueAtTheEnd(t *testing.T) {
	w := withHeaders(t, "X-Api-Key", "0123456789")
	for n := range 10 {
		text := "echo " + "0123456789"[:n]
		want := text
		if n >= 4 {
			want = "echo ***"
		}
		assert.Equal(t, want, w.HideInCut(text))
		assert.Equal(t, text, w.Hide(text), "it was not cut")
	}
	assert.Equal(t, "***", w.HideInCut("0123456789"))
	assert.Equal(t, "***", w.HideInCut("01234"))
	assert.Empty(t, w.HideInCut(""))
}
