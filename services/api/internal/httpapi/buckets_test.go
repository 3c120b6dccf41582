package httpapi

import (
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func keyOf(i int) bucketKey { return sha256.Sum256(fmt.Append(nil, i)) }

func TestBucketsFillUpAgain(t *testing.T) {
	b := newBuckets(Rate{PerSecond: 2, Burst: 3})
	now := time.Now()
	for range 3 {
		assert.Zero(t, b.take(keyOf(1), now))
	}
	assert.Equal(t, 500*time.Millisecond, b.take(keyOf(1), now))
	assert.Equal(t, 500*time.Millisecond, b.take(keyOf(1), now), "what is refused does not count")
	assert.Zero(t, b.take(keyOf(2), now))
	now = now.Add(time.Second)
	assert.Zero(t, b.take(keyOf(1), now))
	assert.Zero(t, b.take(keyOf(1), now))
	assert.NotZero(t, b.take(keyOf(1), now))
}

func TestBucketsAreBoundedAndKeepWhoComesOften(t *testing.T) {
	b := newBuckets(Rate{PerSecond: 0.001, Burst: 1})
	now := time.Now()
	often := keyOf(-1)
	assert.Zero(t, b.take(often, now))
	for i := range 5 * maxBuckets {
		b.take(keyOf(i), now)
		if i%1000 == 0 {
			assert.NotZero(t, b.take(often, now), "it is not forgotten")
		}
		if len(b.young)+len(b.old) > 2*maxBuckets {
			t.Fatal("there are more buckets than two generations have")
		}
	}
	assert.True(t, b.knows(keyOf(5*maxBuckets-1)))
	assert.False(t, b.knows(keyOf(0)), "who came once, long ago, is forgotten")
}

func TestTooManySaysHowLong(t *testing.T) {
	for wait, want := range map[time.Duration]string{
		time.Nanosecond: "1 second.", time.Second: "1 second.", 1001 * time.Millisecond: "2 seconds.", time.Minute: "60 seconds.",
	} {
		assert.Equal(t, "Too many requests. Try again in "+want, tooMany(wait).Detail)
	}
}
