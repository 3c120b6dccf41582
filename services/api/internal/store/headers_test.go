package store_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/services/api/internal/store"
)

func TestSetHeader(t *testing.T) {
	var w store.Webhook
	assert.Equal(t, []string{}, w.HeaderNames())
	w.SetHeader("X-B", []byte("1"))
	w.SetHeader("a", []byte("2"))
	w.SetHeader("x-b", []byte("3"))
	assert.Equal(t, []store.Header{{Name: "a", Ciphertext: []byte("2")}, {Name: "x-b", Ciphertext: []byte("3")}}, w.Headers)
	assert.Equal(t, []string{"a", "x-b"}, w.HeaderNames())
	registered := w.Registration().GetHeaders()
	require.Len(t, registered, 2)
	assert.Equal(t, "x-b", registered[1].GetName())
	assert.Equal(t, []byte("3"), registered[1].GetCiphertext())
	w.SetHeader("X-B", nil)
	w.SetHeader("never was", nil)
	w.SetHeader("A", nil)
	assert.Nil(t, w.Headers)
	assert.Empty(t, w.Registration().GetHeaders())
}

// A change that is refused, or tried again, leaves nothing behind in what was read.
func TestAChangeOfHeadersIsStoredAsAWhole(t *testing.T) {
	s := open(t)
	w := create(t, s, "p1")
	changed, err := s.Change(t.Context(), "p1", w.ID, func(w *store.Webhook) error {
		w.SetHeader("x-api-key", []byte("other"))
		return nil
	})
	require.NoError(t, err)
	assert.Equal(t, "sealed, too", string(w.Headers[0].Ciphertext))
	got, err := s.Get(t.Context(), "p1", w.ID)
	require.NoError(t, err)
	assert.Equal(t, changed.Headers, got.Headers)
	changed, err = s.Change(t.Context(), "p1", w.ID, func(w *store.Webhook) error {
		w.SetHeader("X-Api-Key", nil)
		return nil
	})
	require.NoError(t, err)
	got, err = s.Get(t.Context(), "p1", w.ID)
	require.NoError(t, err)
	assert.Equal(t, changed, got)
	assert.Empty(t, got.Headers)
}
