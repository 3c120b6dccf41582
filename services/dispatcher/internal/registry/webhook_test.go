package registry_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dembrane/webhooks/pkg/payload/chat"
	"github.com/dembrane/webhooks/pkg/secret"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/dispatcher/internal/registry"
)

func TestAnUnusableRegistrationIsNeverSentToUnsigned(t *testing.T) {
	f := start(t)
	sealed, err := newBox(t).Seal(secret.New("someone else's key"), "p1", "w1")
	require.NoError(t, err)
	wrongKeyset := registration("w1", 1)
	wrongKeyset.Secrets = []*webhooksv1.SealedSecret{{Ciphertext: sealed}}
	f.put(wrongKeyset)
	elsewhere, err := f.box.Seal(secret.New("another webhook's"), "p1", "w1")
	require.NoError(t, err)
	stolen := registration("w2", 1)
	stolen.Secrets = []*webhooksv1.SealedSecret{{Ciphertext: elsewhere}}
	f.put(stolen)
	nowhere := registration("w3", 1)
	nowhere.Url = "://"
	f.put(nowhere)
	f.projected()

	for _, id := range []string{"w1", "w2", "w3"} {
		w := f.Get(id)
		require.Error(t, w.Fault, id)
		assert.NotContains(t, w.Fault.Error(), "key\"", id)
		assert.Empty(t, w.Keys(nil, time.Now()), id)
	}
	require.ErrorIs(t, f.Get("w1").Fault, secret.ErrUnreadable)
	assert.Equal(t, 3, f.logs.FilterMessage("registration unusable").Len())
	assert.Len(t, f.matches(), 3, "its deliveries are owed all the same")
}

func TestKeysExpire(t *testing.T) {
	box := newBox(t)
	seal := func(value string) []byte {
		sealed, err := box.Seal(secret.New(value), "p1", "w1")
		require.NoError(t, err)
		return sealed
	}
	until := time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)
	r := registration("w1", 1)
	r.Secrets = []*webhooksv1.SealedSecret{
		{Ciphertext: seal("the new secret")},
		{Ciphertext: seal("the old secret"), ValidUntil: timestamppb.New(until)},
	}

	w := registry.New(r, box)

	require.NoError(t, w.Fault)
	assert.Len(t, w.Keys(nil, until.Add(-time.Nanosecond)), 2)
	assert.Len(t, w.Keys(nil, until), 1)
}

func TestAFormatDecidesTheRateUnlessOneWasSet(t *testing.T) {
	r := registration("w1", 1)
	r.Format = "discord"
	w := registry.New(r, newBox(t))
	require.NoError(t, w.Fault)
	assert.Equal(t, chat.Discord, w.Format)
	assert.InDelta(t, 0.5, w.MaxPerSecond, 0)
	r.MaxPerSecond = 7
	assert.InDelta(t, 7, registry.New(r, newBox(t)).MaxPerSecond, 0)
	assert.Equal(t, chat.JSON, registry.New(registration("w1", 1), newBox(t)).Format)
}

// A dispatcher of an earlier release must not send JSON to a product that it does not
// know: its deliveries fail, and are repeated.
func TestAnUnknownFormatIsAFault(t *testing.T) {
	r := registration("w1", 1)
	r.Format = "carrier pigeon"
	require.Error(t, registry.New(r, newBox(t)).Fault)
}
