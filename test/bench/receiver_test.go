package main

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/test/internal/ledger"
	"github.com/dembrane/webhooks/test/internal/run"
)

// The two ends of the raw loop, in two processes as they really are.
func TestRawLoopReachesTheReceiver(t *testing.T) {
	const hosts, events = 3, 90
	b := &bench{plan: plan{events: events, hosts: hosts, encoding: event.JSON, largeEvents: 4, program: "none"}}
	b.start(t)

	loads := []*load{b.one, b.many, b.large}
	b.calibrate(t, events, loads...)
	for _, each := range loads {
		assert.Contains(t, each.tried, each.concurrency)
		m := b.post(t, each, events)
		assert.Equal(t, events, m.Distinct)
		assert.Positive(t, m.rate)
		assert.GreaterOrEqual(t, m.rateOf(0.5), 0.0)
	}

	phase := b.receiver.begin(t, events)
	sent, err := b.raw.calm(t.Context(), rhythm{phase: phase, count: events, rate: 1000}, b.endpoints.one...)
	require.NoError(t, err)
	for i, at := range b.receiver.report(t, phase, events, 10*time.Second).Arrived {
		assert.Positive(t, at-sent[i])
	}
}

// refused runs a step that must fail, and returns what it said.
func refused(t *testing.T, step func(run.T)) string {
	t.Helper()
	err := run.Program(t.Context(), new(bytes.Buffer), step)
	require.Error(t, err)
	return err.Error()
}

func TestReceiverRefusesNonsense(t *testing.T) {
	r := startReceivers(t, 1, 0, t.TempDir())
	assert.Contains(t, refused(t, func(t run.T) { r.report(t, "p0001", 1, time.Second) }), "400")
	assert.Contains(t, refused(t, func(t run.T) { r.begin(t, 0) }), "400")
	require.NoError(t, r.Check())
}

func TestPhasesRunBesideEachOtherOrOneAfterTheOther(t *testing.T) {
	r := startReceivers(t, 1, 0, t.TempDir())
	first := r.begin(t, 1)
	beside := r.open(t, expectation{events: 1, webhooks: 1, beside: true})
	assert.Zero(t, r.report(t, first, 0, 0).Distinct)
	assert.Zero(t, r.report(t, beside, 0, 0).Distinct)

	r.begin(t, 1)
	assert.Contains(t, refused(t, func(t run.T) { r.report(t, first, 0, 0) }), "400")
}

// An endpoint that hangs takes a delivery and answers nothing, for as long as the
// sender waits.
func TestReceiverHangs(t *testing.T) {
	r := startReceivers(t, 1, 1, t.TempDir())
	raw := newRawLoop(1)
	defer raw.close()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, raw.post(ctx, r.Hosts[1]+hangPath, ledger.EventID("s0000", 0), []byte("{}")), context.DeadlineExceeded)

	phase := r.begin(t, 1)
	require.NoError(t, raw.post(t.Context(), r.Hosts[0]+hookPath, ledger.EventID(phase, 0), []byte("{}")))
	result := r.report(t, phase, 1, 10*time.Second)
	assert.Equal(t, 1, result.Hung)
	assert.Equal(t, 1, result.Distinct)
	assert.Zero(t, result.Strays)
}
