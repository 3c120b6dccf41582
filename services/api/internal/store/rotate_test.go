package store_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/services/api/internal/store"
)

// ciphertexts lists what signs, newest first.
func ciphertexts(w store.Webhook) []string {
	var list []string
	for _, secret := range w.Secrets {
		list = append(list, string(secret.Ciphertext))
	}
	return list
}

func TestRotateSecretKeepsTheNewestPreviousOne(t *testing.T) {
	at := time.Date(2026, 1, 20, 12, 0, 0, 999, time.UTC)
	var w store.Webhook
	assert.Nil(t, w.RotateSecret([]byte("1"), at, time.Hour), "there was none")
	assert.Equal(t, []string{"1"}, ciphertexts(w))
	assert.Nil(t, w.Secrets[0].ValidUntil)

	until := w.RotateSecret([]byte("2"), at, time.Hour)
	require.NotNil(t, until)
	assert.Equal(t, at.Add(time.Hour).Truncate(time.Millisecond), *until, "as the database keeps it")
	assert.Equal(t, []string{"2", "1"}, ciphertexts(w))

	until = w.RotateSecret([]byte("3"), at, 2*time.Hour)
	require.NotNil(t, until)
	assert.Equal(t, []string{"3", "2"}, ciphertexts(w), "never more than one previous")
	assert.Nil(t, w.Secrets[0].ValidUntil)
	assert.Equal(t, until, w.Secrets[1].ValidUntil)
	registered := w.Registration().GetSecrets()
	require.Len(t, registered, 2)
	assert.Nil(t, registered[0].GetValidUntil())
	assert.Equal(t, *until, registered[1].GetValidUntil().AsTime())

	assert.Nil(t, w.RotateSecret([]byte("4"), at, 0), "without an overlap")
	assert.Equal(t, []string{"4"}, ciphertexts(w))
	w.RotateSecret([]byte("5"), at, time.Hour)
	w.SetSecret([]byte("6"))
	assert.Equal(t, []string{"6"}, ciphertexts(w))
	w.SetSecret(nil)
	assert.Empty(t, w.Secrets)
}

func TestExpiredSecretsAreDroppedAtTheNextWrite(t *testing.T) {
	s := open(t)
	w := create(t, s, "p1")
	rotate := func(sealed string, at time.Time) {
		t.Helper()
		_, err := s.Change(t.Context(), "p1", w.ID, func(w *store.Webhook) error {
			w.RotateSecret([]byte(sealed), at, time.Hour)
			return nil
		})
		require.NoError(t, err)
	}
	same := func(*store.Webhook) error { return nil }
	rotate("2", time.Now())
	changed, err := s.Change(t.Context(), "p1", w.ID, same)
	require.NoError(t, err)
	assert.Equal(t, []string{"2", "sealed"}, ciphertexts(changed))

	rotate("3", time.Now().Add(-time.Hour))
	changed, err = s.Change(t.Context(), "p1", w.ID, same)
	require.NoError(t, err)
	assert.Equal(t, []string{"3"}, ciphertexts(changed))
	got, err := s.Get(t.Context(), "p1", w.ID)
	require.NoError(t, err)
	assert.Equal(t, []string{"3"}, ciphertexts(got))
}

func TestResealIsNoChangeForTheHost(t *testing.T) {
	s := open(t)
	w := create(t, s, "p1")
	_, err := s.Change(t.Context(), "p1", w.ID, func(w *store.Webhook) error {
		w.RotateSecret([]byte("new"), time.Now(), time.Hour)
		w.SetHeader("x-api-key", []byte("key"))
		return nil
	})
	require.NoError(t, err)
	before, err := s.Get(t.Context(), "p1", w.ID)
	require.NoError(t, err)
	require.NoError(t, s.Settle(t.Context(), w.ID, before.Revision))
	anew := func(ciphertext []byte, sealedFor string) ([]byte, error) {
		return []byte("anew " + string(ciphertext) + strings.TrimPrefix(sealedFor, w.ID)), nil
	}

	stored, err := s.Reseal(t.Context(), "p1", w.ID, anew)
	require.NoError(t, err)
	assert.True(t, stored)
	got, err := s.Get(t.Context(), "p1", w.ID)
	require.NoError(t, err)
	assert.Equal(t, []string{"anew new", "anew sealed"}, ciphertexts(got))
	assert.Equal(t, []store.Header{{Name: "x-api-key", Ciphertext: []byte("anew key/header/x-api-key")}}, got.Headers)
	assert.Equal(t, before.Secrets[1].ValidUntil, got.Secrets[1].ValidUntil)
	assert.Equal(t, before.UpdatedAt, got.UpdatedAt)
	assert.Equal(t, before.Revision+1, got.Revision)
	assert.True(t, got.Pending, "the bucket must follow")
}

func TestResealStoresNothingWithoutNeed(t *testing.T) {
	s := open(t)
	w := create(t, s, "p1")
	for name, reseal := range map[string]store.Resealer{
		"it can stay": func([]byte, string) ([]byte, error) { return nil, nil },
		"it cannot be read": func([]byte, string) ([]byte, error) {
			return nil, errors.New("unreadable")
		},
	} {
		stored, err := s.Reseal(t.Context(), "p1", w.ID, reseal)
		assert.False(t, stored, name)
		assert.Equal(t, name == "it cannot be read", err != nil, name)
	}
	got, err := s.Get(t.Context(), "p1", w.ID)
	require.NoError(t, err)
	assert.EqualValues(t, 1, got.Revision)

	require.NoError(t, s.Delete(t.Context(), "p1", w.ID))
	stored, err := s.Reseal(t.Context(), "p1", w.ID, func([]byte, string) ([]byte, error) { return []byte("x"), nil })
	require.NoError(t, err, "a tombstone has no secret")
	assert.False(t, stored)
}
