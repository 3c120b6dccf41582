package due

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// reader counts how often each event is read from the stream.
type reader struct {
	mu    sync.Mutex
	reads map[uint64]int
	size  int
	err   error
}

func (r *reader) read(_ context.Context, sequence uint64) (body, error) {
	<-time.After(time.Millisecond)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reads[sequence]++
	return body{eventID: "evt", bytes: make([]byte, r.size), read: time.Now()}, r.err
}

func newReader(t *testing.T, size int) (*reader, *bodies) {
	t.Helper()
	r := &reader{reads: map[uint64]int{}, size: size}
	b, err := newBodies(1000, r.read)
	require.NoError(t, err)
	return r, b
}

func TestDeliveriesOfOneEventReadItOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, b := newReader(t, 10)
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				got, err := b.get(t.Context(), 7)
				if assert.NoError(t, err) {
					assert.Len(t, got.bytes, 10)
				}
			})
		}
		all.Wait()
		_, err := b.get(t.Context(), 7)
		require.NoError(t, err)
		assert.Equal(t, map[uint64]int{7: 1}, r.reads)
	})
}

// Erasing an event is removing it from the stream: what is kept of it must not
// outlive that for long.
func TestABodyIsReadAgainAfterAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, b := newReader(t, 10)
		for range 3 {
			_, err := b.get(t.Context(), 7)
			require.NoError(t, err)
			<-time.After(keepFor)
		}
		assert.Equal(t, 3, r.reads[7])
		assert.EqualValues(t, 10, b.bytes)
	})
}

func TestBodiesAreBoundedInBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, b := newReader(t, 400)
		for _, sequence := range []uint64{1, 2, 3, 3, 1} {
			_, err := b.get(t.Context(), sequence)
			require.NoError(t, err)
			require.LessOrEqual(t, b.bytes, int64(1000))
		}
		assert.Equal(t, map[uint64]int{1: 2, 2: 1, 3: 1}, r.reads)
		r.size = 5000
		got, err := b.get(t.Context(), 9)
		require.NoError(t, err)
		assert.Len(t, got.bytes, 5000, "one larger than the cache is used and not kept")
		assert.Zero(t, b.bytes)
	})
}

func TestAFailureIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, b := newReader(t, 10)
		r.err = errors.New("away")
		_, err := b.get(t.Context(), 7)
		require.ErrorIs(t, err, r.err)
		r.err = nil
		_, err = b.get(t.Context(), 7)
		require.NoError(t, err)
	})
}
