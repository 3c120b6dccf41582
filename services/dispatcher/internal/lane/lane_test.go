package lane_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/services/dispatcher/internal/lane"
)

// production is what the settings come to by default.
func production() lane.Limits {
	return lane.Limits{Concurrency: 32, MaxWait: 2 * time.Second, MaxInFlight: 2048, MinInFlight: 256, MaxWaiting: 16384, MaxLine: 341, MaxBytes: 256 << 20}
}

func TestCase33AThousandHangingEndpointsLeaveRoomForOneMore(t *testing.T) {
	m := newModel(production())
	for range 100 {
		for hanging := range 1000 {
			m.offer(t, fmt.Sprint("hanging", hanging))
		}
	}
	m.check(t)

	for range 1000 { // one after the other, as a healthy endpoint answers
		require.Equal(t, lane.Send, m.offer(t, "healthy"))
		m.done(t, "healthy", lane.Result{Took: 5 * time.Millisecond})
	}
	assert.Equal(t, lane.Send, m.offer(t, "healthy"))
	assert.Equal(t, lane.Send, m.offer(t, "healthy"), "and a second one at the same time")
}

// What hangs for good ends up with one attempt now and then.
func TestAHangingEndpointCostsNextToNothing(t *testing.T) {
	m := newModel(production())
	busy, hours := time.Duration(0), 6
	for m.now.Before(noon.Add(time.Duration(hours) * time.Hour)) {
		m.offer(t, "hanging")
		if under := len(m.inFlight["hanging"]); under > 0 {
			busy += time.Duration(under) * 15 * time.Second
			m.now = m.now.Add(15 * time.Second)
			for range under {
				m.done(t, "hanging", lane.Result{Took: 15 * time.Second, Failed: true})
			}
		} else {
			m.now = m.now.Add(time.Second)
		}
	}
	assert.Less(t, busy, time.Duration(hours)*time.Hour/10)
	assert.NotZero(t, m.causes[lane.Broken])
}

// grow makes the endpoint a answer well for a while, with others waiting all the
// time.
func (m *model) grow(t *testing.T) {
	t.Helper()
	for range 10 {
		for len(m.waiting["a"]) < 50 {
			require.NotEqual(t, lane.Park, m.offer(t, "a"))
		}
		m.now = m.now.Add(time.Millisecond)
		for range len(m.inFlight["a"]) {
			m.done(t, "a", lane.Result{Took: time.Millisecond})
		}
	}
}

func TestAGoodEndpointGetsItsWholeLimit(t *testing.T) {
	for _, limits := range []lane.Limits{
		production(),
		{Concurrency: 1, MaxWait: time.Second, MaxInFlight: 1, MaxWaiting: 500, MaxBytes: 1 << 20},
		{Concurrency: 4, MaxWait: time.Second, MaxInFlight: 16, MaxWaiting: 500, MaxBytes: 1 << 20},
		{Concurrency: 32, MaxWait: time.Second, MaxInFlight: 64, MaxWaiting: 500, MaxBytes: 1 << 20},
	} {
		m := newModel(limits)
		m.grow(t)
		assert.Len(t, m.inFlight["a"], limits.Concurrency)
	}
}

func TestAnUnknownEndpointGetsFewAttemptsAtOnce(t *testing.T) {
	m := newModel(production())
	for range 100 {
		m.offer(t, "a")
	}
	assert.Len(t, m.inFlight["a"], 2)
}

func TestFailuresLowerTheLimitToOne(t *testing.T) {
	m := newModel(production())
	m.grow(t)
	failed := 0
	for len(m.inFlight["a"]) > 1 && failed < 200 {
		m.now = m.now.Add(time.Millisecond)
		// Good answers in between keep the breaker closed.
		m.done(t, "a", lane.Result{Took: time.Millisecond, Failed: failed%3 != 0})
		failed++
		m.offer(t, "a")
	}
	assert.LessOrEqual(t, len(m.inFlight["a"]), 2)
}

func TestASlowEndpointHoldsFewSlots(t *testing.T) {
	for took, most := range map[time.Duration]int{
		500 * time.Millisecond: 32, 2 * time.Second: 16, 4 * time.Second: 8, 15 * time.Second: 3,
	} {
		m := newModel(production())
		for range 100 {
			for range 40 {
				m.offer(t, "a")
			}
			m.now = m.now.Add(took)
			for range len(m.inFlight["a"]) {
				m.done(t, "a", lane.Result{Took: took})
			}
		}
		assert.LessOrEqual(t, len(m.inFlight["a"]), most, took)
		assert.NotEmpty(t, m.inFlight["a"], took)
	}
}

func TestTheBreakerOpensProbesAndCloses(t *testing.T) {
	m := newModel(production())
	fail := func() {
		require.Equal(t, lane.Send, m.offer(t, "a"))
		m.done(t, "a", lane.Result{Took: time.Millisecond, Failed: true})
	}
	for range 5 {
		fail()
	}
	for _, open := range []time.Duration{
		5 * time.Second, 10 * time.Second, 20 * time.Second, 40 * time.Second, 80 * time.Second,
		160 * time.Second, 300 * time.Second, 300 * time.Second,
	} {
		require.Equal(t, lane.Park, m.offer(t, "a"))
		require.Equal(t, 1, m.lanes.Load().Broken)
		m.now = m.now.Add(open - time.Nanosecond)
		m.tend(t)
		require.Equal(t, lane.Park, m.offer(t, "a"), "still open after nearly %s", open)
		m.now = m.now.Add(time.Nanosecond)
		require.Equal(t, lane.Send, m.offer(t, "a"), "a probe after %s", open)
		require.Equal(t, lane.Park, m.offer(t, "a"), "one probe at a time")
		m.done(t, "a", lane.Result{Took: time.Millisecond, Failed: true})
	}
	m.now = m.now.Add(300 * time.Second)
	require.Equal(t, lane.Send, m.offer(t, "a"))
	m.done(t, "a", lane.Result{Took: time.Millisecond})
	require.Zero(t, m.lanes.Load().Broken)
	fail() // one failure is not five
	require.Equal(t, lane.Send, m.offer(t, "a"))
}

// Attempts that were under way when the breaker opened say nothing about later.
func TestLateFailuresDoNotProlongTheBreak(t *testing.T) {
	m := newModel(production())
	m.grow(t)
	for len(m.inFlight["a"]) > 0 {
		m.done(t, "a", lane.Result{Took: time.Millisecond, Failed: true})
	}
	require.Empty(t, m.waiting["a"], "what waited is parked")
	m.now = m.now.Add(5 * time.Second)
	assert.Equal(t, lane.Send, m.offer(t, "a"))
}

func TestAReceiverThatIsMendedIsBelieved(t *testing.T) {
	m := newModel(production())
	for range 5 {
		m.offer(t, "a")
		m.done(t, "a", lane.Result{Took: time.Millisecond, Failed: true})
	}
	require.Equal(t, lane.Park, m.offer(t, "a"))
	m.lanes.Recovered("a")
	m.lanes.Recovered("never heard of")
	assert.Equal(t, lane.Send, m.offer(t, "a"))
}

func TestARateLimitIsKept(t *testing.T) {
	m := newModel(production())
	m.rates["a"] = 10
	for range 100 {
		m.offer(t, "a")
	}
	require.Len(t, m.waiting["a"], 20, "two seconds' worth, besides the one that is sent")
	require.Equal(t, 79, m.causes[lane.Limited])
	sent := 0
	for len(m.waiting["a"]) > 0 {
		again := m.tend(t)
		for range len(m.inFlight["a"]) {
			sent++
			m.done(t, "a", lane.Result{Took: time.Microsecond})
		}
		if !again.IsZero() {
			m.now = again
		}
	}
	assert.Equal(t, 21, sent+len(m.inFlight["a"]))
	assert.InDelta(t, 2, m.now.Sub(noon).Seconds(), 0.11)
	assert.InDelta(t, 10, m.lastSlot["a"].Sub(noon).Seconds(), 0.5, "a hundred take ten seconds")
}

// A line that was short at the pace of a healthy receiver is minutes long once the
// receiver hangs: longer than a message may stay unsettled.
func TestALineIsCutShortWhenItsReceiverBecomesSlow(t *testing.T) {
	m := newModel(production())
	for range 2000 {
		require.NotEqual(t, lane.Park, m.offer(t, "a"), "nothing is known against it yet")
	}

	m.now = m.now.Add(15 * time.Second)
	for range 2 {
		m.done(t, "a", lane.Result{Took: 15 * time.Second})
	}

	assert.LessOrEqual(t, len(m.waiting["a"]), 64, "a few seconds at the rate of now")
	m.endAll(t)
	assert.Len(t, m.settled, 2000)
}

// Nothing ends at an endpoint that hangs, so nothing but the tending can tell.
func TestALineIsCutShortWhenItsReceiverHangs(t *testing.T) {
	m := newModel(production())
	for range 2000 {
		m.offer(t, "a")
	}
	m.tend(t)
	require.Len(t, m.waiting["a"], 2000-2, "a moment says nothing")

	m.now = m.now.Add(1500 * time.Millisecond)
	m.tend(t)

	assert.LessOrEqual(t, len(m.waiting["a"]), 16)
	assert.Equal(t, lane.Park, m.offer(t, "a"))
	m.endAll(t)
}

func TestLargeBodiesOfOneEndpointLeaveMemoryToOthers(t *testing.T) {
	m := newModel(production())
	for range 100 {
		m.offerBytes(t, "large", 8<<20)
	}
	held := len(m.inFlight["large"]) + len(m.waiting["large"])
	assert.LessOrEqual(t, held, 8)
	assert.NotZero(t, held)
	for other := range 10 {
		assert.Equal(t, lane.Send, m.offerBytes(t, fmt.Sprint("other", other), 8<<20))
	}
	m.endAll(t)
	assert.Equal(t, lane.Send, m.offerBytes(t, "large", 200<<20), "a single one may be larger than a share")
}

func TestParkedDeliveriesAreSpread(t *testing.T) {
	m := newModel(production())
	m.offer(t, "a")
	m.done(t, "a", lane.Result{Took: time.Second, PauseUntil: m.now.Add(time.Minute)})
	var first, last time.Time
	for i := range 1000 {
		answer := m.lanes.Offer(lane.Ask{Endpoint: "a"}, i, m.now)
		require.Equal(t, lane.Park, answer.Verdict)
		require.Equal(t, lane.Paused, answer.Why)
		if i == 0 {
			first = answer.At
		}
		require.True(t, last.Before(answer.At), "each has a slot of its own")
		last = answer.At
	}
	assert.Equal(t, m.now.Add(time.Minute), first)
	assert.Greater(t, last.Sub(first), time.Second, "no herd")
}

func TestWhatWasLearnedIsKeptForAWhile(t *testing.T) {
	m := newModel(production())
	m.grow(t)
	m.endAll(t)
	m.now = m.now.Add(20 * time.Second)
	m.tend(t)
	require.Equal(t, 1, m.lanes.Load().Lanes)
	m.now = m.now.Add(20 * time.Second)
	m.tend(t)
	require.Zero(t, m.lanes.Load().Lanes)
}

// What is under way may be anywhere: the slot that comes free first is given to
// whoever has waited longest without any.
func TestAnEndpointWithoutASlotGetsTheNextOne(t *testing.T) {
	limits := production()
	limits.MaxInFlight = 4
	m := newModel(limits)
	for _, busy := range []string{"a", "b", "c", "d"} {
		require.Equal(t, lane.Send, m.offer(t, busy))
	}
	require.Equal(t, lane.Wait, m.offer(t, "e"))
	require.Equal(t, lane.Wait, m.offer(t, "f"))
	require.Equal(t, lane.Wait, m.offer(t, "a"))
	m.done(t, "a", lane.Result{Took: time.Millisecond})
	assert.Len(t, m.inFlight["e"], 1)
	m.done(t, "b", lane.Result{Took: time.Millisecond})
	assert.Len(t, m.inFlight["f"], 1)
	m.done(t, "c", lane.Result{Took: time.Millisecond})
	assert.Len(t, m.inFlight["a"], 1)
}

func TestAnEndpointThatGetsNoSlotIsParked(t *testing.T) {
	limits := production()
	limits.MaxInFlight = 1
	m := newModel(limits)
	m.offer(t, "hanging")
	require.Equal(t, lane.Wait, m.offer(t, "a"))
	m.now = m.now.Add(2 * time.Second)
	m.tend(t)
	require.Len(t, m.waiting["a"], 1)
	m.now = m.now.Add(time.Second)
	m.tend(t)
	assert.Empty(t, m.waiting["a"])
	m.done(t, "hanging", lane.Result{Took: 3 * time.Second})
	assert.Equal(t, lane.Send, m.offer(t, "a"))
	m.done(t, "a", lane.Result{Took: time.Millisecond})
	m.check(t)
}

// A process that was stopped finds that nothing has ended for long, and that what
// was under way took long or failed. None of it is the receivers' fault.
func TestAStandstillOfOurOwnIsNotHeldAgainstReceivers(t *testing.T) {
	m := newModel(production())
	m.grow(t)
	line := len(m.waiting["a"])
	require.NotZero(t, line)
	from := m.now
	m.now = m.now.Add(time.Minute)
	m.lanes.Stood(from, m.now)
	m.tend(t)
	require.Len(t, m.waiting["a"], line, "nothing is parked")
	for range len(m.inFlight["a"]) {
		m.done(t, "a", lane.Result{Took: time.Minute, Failed: true})
	}
	require.Zero(t, m.lanes.Load().Broken)
	for range 50 {
		m.offer(t, "a")
	}
	assert.Len(t, m.inFlight["a"], 32, "as many at once as before")
	assert.NotEqual(t, lane.Park, m.offer(t, "a"))
	m.endAll(t)
}

func TestAReceiverThatFailsNowAndThenIsNotBroken(t *testing.T) {
	m := newModel(production())
	for i := range 10_000 {
		for len(m.inFlight["a"]) == 0 {
			require.NotEqual(t, lane.Park, m.offer(t, "a"))
		}
		m.now = m.now.Add(time.Millisecond)
		m.done(t, "a", lane.Result{Took: time.Millisecond, Failed: i%20 >= 14}) // six in a row
		require.Zero(t, m.lanes.Load().Broken)
	}
}
