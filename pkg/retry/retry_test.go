package retry_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/retry"
)

var errBroken = errors.New("broken")

func pace() retry.Pace { return retry.Pace{First: 100 * time.Millisecond, Longest: 2 * time.Second} }

func TestUntilItWorks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var waits []time.Duration
		tries := 0
		err := retry.Until(t.Context(), pace(), func(err error, wait time.Duration) {
			require.ErrorIs(t, err, errBroken)
			waits = append(waits, wait)
		}, func(context.Context) error {
			if tries++; tries <= 20 {
				return errBroken
			}
			return nil
		})
		require.NoError(t, err)
		assert.Equal(t, 21, tries)
		require.Len(t, waits, 20)
		assert.LessOrEqual(t, waits[0], 150*time.Millisecond)
		for _, wait := range waits {
			assert.Positive(t, wait)
			assert.LessOrEqual(t, wait, 3*time.Second)
		}
		for _, wait := range waits[15:] {
			assert.GreaterOrEqual(t, wait, time.Second)
		}
	})
}

func TestUntilItIsPermanent(t *testing.T) {
	tries := 0
	err := retry.Until(t.Context(), pace(), nil, func(context.Context) error {
		tries++
		return fmt.Errorf("wrapped: %w", retry.Permanent(errBroken))
	})
	assert.Equal(t, errBroken, err)
	assert.Equal(t, 1, tries)
}

func TestUntilContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		errStop := errors.New("stop")
		ctx, stop := context.WithCancelCause(t.Context())
		began := time.Now()
		time.AfterFunc(time.Minute, func() { stop(errStop) })
		err := retry.Until(ctx, pace(), nil, func(context.Context) error { return errBroken })
		require.ErrorIs(t, err, errStop)
		require.ErrorIs(t, err, errBroken)
		assert.Equal(t, time.Minute, time.Since(began), "a wait ends with the context")

		err = retry.Until(ctx, pace(), nil, func(context.Context) error {
			assert.Fail(t, "tried though it was over")
			return nil
		})
		require.ErrorIs(t, err, errStop)
	})
}

func TestUntilCutOff(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	err := retry.Until(ctx, pace(), func(error, time.Duration) {
		assert.Fail(t, "nothing is tried again")
	}, func(ctx context.Context) error {
		stop()
		return ctx.Err()
	})
	require.ErrorIs(t, err, context.Canceled)
}

func TestUntilWhatRanForLongBeginsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var waits []time.Duration
		tries := 0
		err := retry.Until(t.Context(), pace(), func(_ error, wait time.Duration) {
			waits = append(waits, wait)
		}, func(ctx context.Context) error {
			switch tries++; tries {
			case 15: // it worked for a while
				retry.Pause(ctx, time.Minute)
			case 16:
				return nil
			}
			return errBroken
		})
		require.NoError(t, err)
		assert.GreaterOrEqual(t, waits[13], time.Second)
		assert.LessOrEqual(t, waits[14], 150*time.Millisecond)
	})
}
