package app_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/dembrane/webhooks/pkg/secret"
	"github.com/dembrane/webhooks/services/api/app"
	"github.com/dembrane/webhooks/services/api/internal/mongotest"
	"github.com/dembrane/webhooks/services/api/internal/registration"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

// safe is a database with the keyset that its secrets are encrypted with.
type safe struct {
	t      *testing.T
	config app.Config
	store  *store.Store
}

func newSafe(t *testing.T) *safe {
	t.Helper()
	w := &world{t: t, mongo: mongotest.StartEmbedded(t)}
	c := app.Config{MongoDBURI: w.mongo.URI(), MongoDBDatabase: w.mongo.Database(), SecretsKeysetFile: t.TempDir() + "/keyset.json"}
	keyset, err := secret.NewKeyset()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(c.SecretsKeysetFile, keyset, 0o600))
	s, err := store.Open(t.Context(), c.MongoDBURI, c.MongoDBDatabase, zap.NewNop())
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close(context.Background())) })
	require.NoError(t, s.Prepare(t.Context()))
	return &safe{t: t, config: c, store: s}
}

func (s *safe) box() *secret.Box {
	s.t.Helper()
	box, err := secret.OpenKeysetFile(s.config.SecretsKeysetFile)
	require.NoError(s.t, err)
	return box
}

// create makes a webhook with these secrets, all of them already in the bucket.
func (s *safe) create(box *secret.Box, secrets ...string) store.Webhook {
	s.t.Helper()
	w := store.Webhook{
		ID: registration.NewID(), ProjectID: "p1", URL: "https://example.org/", Status: registration.Published,
		CreatedAt: time.Now().UTC().Truncate(time.Millisecond),
	}
	for _, text := range secrets {
		sealed, err := box.Seal(secret.New(text), w.ProjectID, w.ID)
		require.NoError(s.t, err)
		w.RotateSecret(sealed, time.Now(), time.Hour)
	}
	made, err := s.store.Create(s.t.Context(), w, 50)
	require.NoError(s.t, err)
	require.NoError(s.t, s.store.Settle(s.t.Context(), made.ID, made.Revision))
	return made
}

func (s *safe) change(change func([]byte) ([]byte, int, error)) {
	s.t.Helper()
	old, err := os.ReadFile(s.config.SecretsKeysetFile)
	require.NoError(s.t, err)
	next, _, err := change(old)
	require.NoError(s.t, err)
	require.NoError(s.t, os.WriteFile(s.config.SecretsKeysetFile, next, 0o600))
}

func TestReencryptMovesEverySecretToTheNewKey(t *testing.T) {
	s := newSafe(t)
	old := s.box()
	both, unsigned := s.create(old, "the previous one", "the current one"), s.create(old)
	deleted := s.create(old, "gone with it")
	require.NoError(t, s.store.Delete(t.Context(), "p1", deleted.ID))
	keyed := s.create(old)
	sealed, err := old.Seal(secret.New("a key"), "p1", secret.ForHeader(keyed.ID, "X-Api-Key"))
	require.NoError(t, err)
	_, err = s.store.Change(t.Context(), "p1", keyed.ID, func(w *store.Webhook) error {
		w.SetHeader("X-Api-Key", sealed)
		return nil
	})
	require.NoError(t, err)
	s.change(secret.RotateKeyset)
	fresh := s.create(s.box(), "with the new key")

	done, err := app.Reencrypt(t.Context(), s.config, zap.NewNop())
	require.NoError(t, err)
	assert.Equal(t, app.Reencrypted{Changed: 2, Unchanged: 1}, done)
	s.change(secret.RetireKeys)
	w, err := s.store.Get(t.Context(), "p1", keyed.ID)
	require.NoError(t, err)
	require.Len(t, w.Headers, 1)
	value, err := s.box().Open(w.Headers[0].Ciphertext, "p1", secret.ForHeader(keyed.ID, "x-api-key"))
	require.NoError(t, err)
	assert.Equal(t, "a key", value.Reveal())
	for id, want := range map[string][]string{
		both.ID: {"the current one", "the previous one"}, fresh.ID: {"with the new key"}, unsigned.ID: nil,
	} {
		w, err := s.store.Get(t.Context(), "p1", id)
		require.NoError(t, err)
		var got []string
		for _, sealed := range w.Secrets {
			text, err := s.box().Open(sealed.Ciphertext, "p1", id)
			require.NoError(t, err)
			got = append(got, text.Reveal())
		}
		assert.Equal(t, want, got)
		assert.Equal(t, id == both.ID, w.Pending, "what changed must reach the bucket")
	}
	again, err := app.Reencrypt(t.Context(), s.config, zap.NewNop())
	require.NoError(t, err)
	assert.Equal(t, app.Reencrypted{Unchanged: 3}, again)
}

func TestReencryptLeavesWhatItCannotRead(t *testing.T) {
	s := newSafe(t)
	foreign := s.create(newSafe(t).box(), "of another keyset")
	s.create(s.box(), "readable")
	s.change(secret.RotateKeyset)
	core, logs := observer.New(zap.InfoLevel)
	done, err := app.Reencrypt(t.Context(), s.config, zap.New(core))
	require.NoError(t, err)
	assert.Equal(t, app.Reencrypted{Changed: 1, Unreadable: 1}, done)
	require.Len(t, logs.All(), 1)
	assert.Equal(t, map[string]any{"project_id": "p1", "webhook_id": foreign.ID}, logs.All()[0].ContextMap(), "and nothing of the secret")
	got, err := s.store.Get(t.Context(), "p1", foreign.ID)
	require.NoError(t, err)
	assert.Equal(t, foreign.Secrets[0].Ciphertext, got.Secrets[0].Ciphertext)
	assert.Equal(t, foreign.Revision, got.Revision)
}

// Interrupted half-way, it goes on where it was.
func TestReencryptCanBeInterrupted(t *testing.T) {
	s := newSafe(t)
	for range 5 {
		s.create(s.box(), "12345678")
	}
	s.change(secret.RotateKeyset)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	done, err := app.Reencrypt(ctx, s.config, zap.NewNop())
	require.Error(t, err)
	assert.Zero(t, done)

	one := s.box()
	list, err := s.store.List(t.Context(), "p1")
	require.NoError(t, err)
	for _, w := range list[:2] { // as far as somebody got
		_, err := s.store.Reseal(t.Context(), "p1", w.ID, func(ciphertext []byte, sealedFor string) ([]byte, error) {
			return one.Reseal(ciphertext, "p1", sealedFor)
		})
		require.NoError(t, err)
	}
	done, err = app.Reencrypt(t.Context(), s.config, zap.NewNop())
	require.NoError(t, err)
	assert.Equal(t, app.Reencrypted{Changed: 3, Unchanged: 2}, done)
}
