package secret_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/dembrane/webhooks/pkg/secret"
)

func newBox(t require.TestingT) *secret.Box {
	keyset, err := secret.NewKeyset()
	require.NoError(t, err)
	box, err := secret.OpenKeyset(keyset)
	require.NoError(t, err)
	return box
}

func TestCase28WhatIsSealedOpensUnchanged(t *testing.T) {
	box := newBox(t)
	rapid.Check(t, func(t *rapid.T) {
		value := string(rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "secret"))
		sealed, err := box.Seal(secret.New(value), "p1", "w1")
		require.NoError(t, err)
		opened, err := box.Open(sealed, "p1", "w1")
		require.NoError(t, err)
		require.Equal(t, value, opened.Reveal())
	})
}

func TestSealingHidesAndNeverRepeats(t *testing.T) {
	box := newBox(t)
	one, err := box.Seal(secret.New(hidden), "p1", "w1")
	require.NoError(t, err)
	two, err := box.Seal(secret.New(hidden), "p1", "w1")
	require.NoError(t, err)

	assert.NotContains(t, string(one), hidden)
	assert.NotEqual(t, one, two)
}

func TestACiphertextOpensForItsOwnWebhookOnly(t *testing.T) {
	box := newBox(t)
	sealed, err := box.Seal(secret.New(hidden), "p1", "w1")
	require.NoError(t, err)

	for _, other := range [][2]string{{"p1", "w2"}, {"p2", "w1"}, {"", "p1/w1"}, {"p1/w1", ""}, {"p1/", "w1"}, {"", ""}} {
		text, err := box.Open(sealed, other[0], other[1])
		require.ErrorIs(t, err, secret.ErrUnreadable, other)
		require.True(t, text.IsEmpty())
	}
	_, err = newBox(t).Open(sealed, "p1", "w1")
	require.ErrorIs(t, err, secret.ErrUnreadable, "another keyset")
}

func TestATamperedCiphertextDoesNotOpen(t *testing.T) {
	box := newBox(t)
	sealed, err := box.Seal(secret.New(hidden), "p1", "w1")
	require.NoError(t, err)

	for i := range sealed {
		changed := append([]byte(nil), sealed...)
		changed[i] ^= 1
		_, err := box.Open(changed, "p1", "w1")
		require.ErrorIs(t, err, secret.ErrUnreadable, "byte %d", i)
		_, err = box.Open(sealed[:i], "p1", "w1")
		require.ErrorIs(t, err, secret.ErrUnreadable, "cut after %d", i)
	}
	_, err = box.Open(append(sealed, 0), "p1", "w1")
	require.ErrorIs(t, err, secret.ErrUnreadable)
}

func TestAKeysetFileIsReadAndNeverQuoted(t *testing.T) {
	keyset, err := secret.NewKeyset()
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "keyset.json")
	require.NoError(t, os.WriteFile(path, keyset, 0o600))
	_, err = secret.OpenKeysetFile(path)
	require.NoError(t, err)
	_, err = secret.OpenKeysetFile(path + ".missing")
	require.ErrorIs(t, err, os.ErrNotExist)

	material := string(keyset)
	spoilt := strings.Replace(material, "AesGcmKey", "HmacKey", 1)
	for _, content := range []string{"", "{}", "[]", "null", "key: value", hidden, material[:len(material)/2], spoilt} {
		_, err := secret.OpenKeyset([]byte(content))
		require.Error(t, err, content)
		assert.NotContains(t, err.Error(), hidden)
		assert.NotContains(t, err.Error(), "value")
		assert.Contains(t, err.Error(), "new-keyset", "it says what to do")
	}
}
