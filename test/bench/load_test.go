package main

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/payload"
	"github.com/dembrane/webhooks/test/internal/ledger"
)

// What is posted raw has to be what the dispatcher makes of what is published.
func TestStencilsAgree(t *testing.T) {
	for _, contentType := range []string{event.JSON, event.Protobuf} {
		made, err := newTarget(specification{
			project: "bench-00001", url: "http://127.0.0.1:1/hook", event: eventType, contentType: contentType, bodyBytes: bodyBytes,
		})
		require.NoError(t, err)
		id := ledger.EventID(phaseName(3), 12345)

		e, err := event.Decode(contentType, made.stencil.message.fill(nil, id))
		require.NoError(t, err)
		require.NoError(t, event.Validate(e))
		assert.Equal(t, id, e.GetId())
		body := made.stencil.body.fill(nil, id)
		assert.Equal(t, string(payload.Renderer{AdminBaseURL: dashboard}.Append(nil, e)), string(body))
		assert.InDelta(t, bodyBytes, len(body), 12)
		assert.Equal(t, "dembrane.events.bench-00001.conversation.transcribed", made.stencil.subject)
	}
}

func TestPaceKeepsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var at []time.Duration
		require.NoError(t, pace(t.Context(), rhythm{count: 4, rate: 200}, func(int) error {
			at = append(at, time.Since(start))
			if len(at) == 1 {
				<-time.After(12 * time.Millisecond) // late once, but not for ever
			}
			return nil
		}))
		assert.Equal(t, []time.Duration{0, 12 * time.Millisecond, 12 * time.Millisecond, 15 * time.Millisecond}, at)
	})
}

func TestPaceEnds(t *testing.T) {
	enough := make(chan struct{})
	calls := 0
	require.NoError(t, pace(t.Context(), rhythm{count: 1000, rate: 1, enough: enough}, func(int) error {
		calls++
		close(enough)
		return nil
	}))
	assert.Equal(t, 1, calls)

	ctx, cancel := context.WithCancel(t.Context())
	err := pace(ctx, rhythm{count: 1000, rate: 1}, func(int) error {
		cancel()
		return nil
	})
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, pace(t.Context(), rhythm{count: 2, rate: 1}, func(int) error { return errLost }), errLost)
}
