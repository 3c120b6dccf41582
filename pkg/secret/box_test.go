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

// A rotation from end to end: every key so far opens, the new one seals, and
// once everything is sealed anew the others are not needed.
func TestARotatedKeysetOpensWhatWasSealedBefore(t *testing.T) {
	original, err := secret.NewKeyset()
	require.NoError(t, err)
	old, err := secret.OpenKeyset(original)
	require.NoError(t, err)
	sealed, err := old.Seal(secret.New(hidden), "p1", "w1")
	require.NoError(t, err)
	none, err := old.Reseal(sealed, "p1", "w1")
	require.NoError(t, err)
	assert.Nil(t, none, "there is one key only")

	once, keys, err := secret.RotateKeyset(original)
	require.NoError(t, err)
	assert.Equal(t, 2, keys)
	rotated, keys, err := secret.RotateKeyset(once)
	require.NoError(t, err)
	assert.Equal(t, 3, keys)
	box, err := secret.OpenKeyset(rotated)
	require.NoError(t, err)
	text, err := box.Open(sealed, "p1", "w1")
	require.NoError(t, err)
	assert.Equal(t, hidden, text.Reveal())

	anew, err := box.Reseal(sealed, "p1", "w1")
	require.NoError(t, err)
	require.NotNil(t, anew)
	_, err = old.Open(anew, "p1", "w1")
	require.ErrorIs(t, err, secret.ErrUnreadable, "the new key seals")
	none, err = box.Reseal(anew, "p1", "w1")
	require.NoError(t, err)
	assert.Nil(t, none)
	_, err = box.Reseal(sealed, "p1", "w2")
	require.ErrorIs(t, err, secret.ErrUnreadable, "still bound to its webhook")

	kept, retired, err := secret.RetireKeys(rotated)
	require.NoError(t, err)
	assert.Equal(t, 2, retired)
	alone, err := secret.OpenKeyset(kept)
	require.NoError(t, err)
	text, err = alone.Open(anew, "p1", "w1")
	require.NoError(t, err)
	assert.Equal(t, hidden, text.Reveal())
	_, err = alone.Open(sealed, "p1", "w1")
	require.ErrorIs(t, err, secret.ErrUnreadable)
	_, retired, err = secret.RetireKeys(kept)
	require.NoError(t, err)
	assert.Zero(t, retired)
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
		_, _, rotateErr := secret.RotateKeyset([]byte(content))
		require.EqualError(t, rotateErr, err.Error())
		_, _, retireErr := secret.RetireKeys([]byte(content))
		require.EqualError(t, retireErr, err.Error())
	}
}
