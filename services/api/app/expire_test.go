package app

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
)

// Each kind at its own pace: at once again where there is more, and whatever becomes of
// the others.
func TestExpiring(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		steps := map[string][]time.Duration{}
		began := time.Now()
		kind := func(what string, every time.Duration, first time.Duration, step func(n int) (bool, error)) expiring {
			return expiring{what: what, every: every, due: began.Add(first), step: func(context.Context) (bool, error) {
				steps[what] = append(steps[what], time.Since(began))
				return step(len(steps[what]))
			}}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 25*time.Minute)
		defer cancel()
		require.NoError(t, (&App{log: zap.NewNop()}).expire(ctx, []expiring{
			kind("fails", 10*time.Minute, 0, func(int) (bool, error) { return false, errors.New("away") }),
			kind("has much", 20*time.Minute, 0, func(n int) (bool, error) { return n < 3, nil }),
			kind("is rare", time.Hour, 15*time.Minute, func(int) (bool, error) { return false, nil }),
		}))
		assert.Equal(t, map[string][]time.Duration{
			"fails":    {0, 10 * time.Minute, 20 * time.Minute},
			"has much": {0, time.Second, 2 * time.Second, 20*time.Minute + 2*time.Second},
			"is rare":  {15 * time.Minute},
		}, steps)
	})
}
