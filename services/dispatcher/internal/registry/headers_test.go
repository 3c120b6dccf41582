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
func withHeaders(tb testing.TB, headers ...string) *registry.Webhook {
	tb.Helper()
	box := newBox(tb)
	r := registration("w1", 1)
	for i := 0; i < len(headers); i += 2 {
		sealed, err := box.Seal(secret.New(headers[i+1]), "p1", secret.ForHeader("w1", headers[i]))
		require.NoError(tb, err)
		r.Headers = append(r.Headers, &webhooksv1.SealedHeader{Name: headers[i], Ciphertext: sealed})
	}
	w := registry.New(r, box)
	require.NoError(tb, w.Fault)
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
