package main

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/event"
)

// The two ends of the raw loop, in two processes as they really are.
func TestRawLoopReachesTheReceiver(t *testing.T) {
	const hosts, events = 3, 90
	b, err := newBench(t.Context(), plan{events: events, hosts: hosts, encoding: event.JSON, largeEvents: 4}, t.TempDir(), io.Discard)
	require.NoError(t, err)
	defer b.close()

	loads := []*load{b.one, b.many, b.large}
	require.NoError(t, b.calibrate(t.Context(), events, loads...))
	for _, each := range loads {
		assert.Contains(t, each.tried, each.concurrency)
		m, err := b.post(t.Context(), each, events)
		require.NoError(t, err)
		assert.Equal(t, events, m.Distinct)
		assert.Positive(t, m.rate)
		assert.GreaterOrEqual(t, m.rateOf(0.5), 0.0)
	}

	phase, err := b.receiver.begin(t.Context(), events)
	require.NoError(t, err)
	sent, err := b.raw.calm(t.Context(), rhythm{phase: phase, count: events, rate: 1000}, b.endpoints.one...)
	require.NoError(t, err)
	r, err := b.receiver.report(t.Context(), phase, events, 10*time.Second)
	require.NoError(t, err)
	for i, at := range r.Arrived {
		assert.Positive(t, at-sent[i])
	}
}

func TestReceiverRefusesNonsense(t *testing.T) {
	r, err := startReceiver(t.Context(), 1, 0, t.TempDir())
	require.NoError(t, err)
	defer r.stop()
	_, err = r.report(t.Context(), "p0001", 1, time.Second)
	require.ErrorContains(t, err, "400")
	_, err = r.begin(t.Context(), 0)
	require.ErrorContains(t, err, "400")
	require.NoError(t, r.check())
}

// An endpoint that hangs takes a delivery and answers nothing, for as long as the
// sender waits.
func TestReceiverHangs(t *testing.T) {
	r, err := startReceiver(t.Context(), 1, 1, t.TempDir())
	require.NoError(t, err)
	defer r.stop()
	raw := newRawLoop(1)
	defer raw.close()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, raw.post(ctx, r.Hanging[0], eventID("s0000", 0), []byte("{}")), context.DeadlineExceeded)

	phase, err := r.begin(t.Context(), 1)
	require.NoError(t, err)
	require.NoError(t, raw.post(t.Context(), r.Targets[0], eventID(phase, 0), []byte("{}")))
	result, err := r.report(t.Context(), phase, 1, 10*time.Second)
	require.NoError(t, err)
	assert.Equal(t, 1, result.Hung)
	assert.Equal(t, 1, result.Distinct)
	assert.Zero(t, result.Strays)
}

func TestChildThatFails(t *testing.T) {
	var ready struct{}
	_, err := startChild(t.Context(), command{name: "nobody", program: "/nonexistent", folder: t.TempDir()}, &ready)
	require.ErrorContains(t, err, "start the nobody")
	_, err = startChild(t.Context(), command{
		name: "receiver", program: selfPath(t), folder: t.TempDir(), args: []string{"-role", roleReceiver, "-endpoints", "0"},
	}, &ready)
	require.ErrorContains(t, err, "ended before it was ready")
	require.ErrorContains(t, err, "endpoints must be", "what it wrote to its log is shown")
}
