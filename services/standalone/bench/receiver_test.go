package main

import (
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
	b, err := newBench(t.Context(), plan{events: events, hosts: hosts, encoding: event.JSON}, t.TempDir(), io.Discard)
	require.NoError(t, err)
	defer b.close()

	require.NoError(t, b.calibrate(t.Context()))
	for _, each := range b.scenarios {
		assert.Contains(t, []int{16, 32, 64, 128}, each.concurrency)
		m, err := b.post(t.Context(), each, events)
		require.NoError(t, err)
		assert.Equal(t, events, m.Distinct)
		assert.Positive(t, m.rate)
		assert.GreaterOrEqual(t, m.rateOf(0.5), 0.0)
	}

	phase, err := b.receiver.begin(t.Context(), events)
	require.NoError(t, err)
	sent, err := b.raw.calm(t.Context(), phase, events, 1000, b.scenarios[0].targets[0])
	require.NoError(t, err)
	r, err := b.receiver.report(t.Context(), 10*time.Second)
	require.NoError(t, err)
	for i, at := range r.Arrived {
		assert.Positive(t, at-sent[i])
	}
}

func TestReceiverRefusesNonsense(t *testing.T) {
	r, err := startReceiver(t.Context(), 1, t.TempDir())
	require.NoError(t, err)
	defer r.stop()
	_, err = r.report(t.Context(), time.Second)
	require.ErrorContains(t, err, "400")
	_, err = r.begin(t.Context(), 0)
	require.ErrorContains(t, err, "400")
	require.NoError(t, r.check())
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
