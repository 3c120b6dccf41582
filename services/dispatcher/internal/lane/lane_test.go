package lane_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/dembrane/webhooks/services/dispatcher/internal/lane"
)

var noon = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

// model is what the comments of the package promise, kept beside the real lanes.
type model struct {
	lanes  *lane.Lanes[int]
	limits lane.Limits
	now    time.Time
	next   int

	inFlight map[string][]int
	waiting  map[string]map[int]bool
	settled  map[int]bool // sent to the end, parked, or handed back
	paused   map[string]time.Time
	lastSlot map[string]time.Time
}

func newModel(limits lane.Limits) *model {
	return &model{
		lanes: lane.New[int](limits), limits: limits, now: noon,
		inFlight: map[string][]int{}, waiting: map[string]map[int]bool{}, settled: map[int]bool{},
		paused: map[string]time.Time{}, lastSlot: map[string]time.Time{},
	}
}

func (m *model) offer(t require.TestingT, endpoint string) lane.Verdict {
	m.next++
	delivery := m.next
	verdict, at := m.lanes.Offer(endpoint, delivery, m.now)
	switch verdict {
	case lane.Send:
		m.send(t, endpoint, delivery)
	case lane.Wait:
		require.False(t, m.now.Before(m.paused[endpoint]), "nothing waits in line during a pause")
		require.NotEmpty(t, m.inFlight[endpoint], "what waits is called by an attempt that ends")
		if m.waiting[endpoint] == nil {
			m.waiting[endpoint] = map[int]bool{}
		}
		m.waiting[endpoint][delivery] = true
	case lane.Park:
		m.park(t, endpoint, delivery, at)
	}
	return verdict
}

func (m *model) send(t require.TestingT, endpoint string, delivery int) {
	require.False(t, m.now.Before(m.paused[endpoint]), "sent before the receiver wants to be called again")
	m.inFlight[endpoint] = append(m.inFlight[endpoint], delivery)
}

func (m *model) park(t require.TestingT, endpoint string, delivery int, at time.Time) {
	require.False(t, m.settled[delivery], "came out twice")
	require.True(t, at.After(m.now) || m.limits.MaxWait == 0, "parked for the past")
	require.False(t, at.Before(m.paused[endpoint]), "parked for a time within the pause")
	require.False(t, at.Before(m.lastSlot[endpoint]), "slots go back")
	m.lastSlot[endpoint] = at
	m.settled[delivery] = true
}

func (m *model) done(t require.TestingT, endpoint string, result lane.Result) {
	ended := m.inFlight[endpoint][0]
	m.inFlight[endpoint] = m.inFlight[endpoint][1:]
	require.False(t, m.settled[ended], "came out twice")
	m.settled[ended] = true
	if result.PauseUntil.After(m.paused[endpoint]) {
		m.paused[endpoint] = result.PauseUntil
	}
	sent := 0
	for _, next := range m.lanes.Done(endpoint, result, m.now) {
		require.True(t, m.waiting[endpoint][next.Delivery], "it was not in line")
		delete(m.waiting[endpoint], next.Delivery)
		switch next.Verdict {
		case lane.Send:
			sent++
			m.send(t, endpoint, next.Delivery)
		case lane.Park:
			m.park(t, endpoint, next.Delivery, next.At)
		case lane.Wait:
			require.Fail(t, "what leaves the line does not wait")
		}
	}
	require.LessOrEqual(t, sent, 1)
}

func (m *model) tend(t require.TestingT) {
	for _, next := range m.lanes.Tend(m.now) {
		require.Equal(t, lane.Park, next.Verdict)
		for endpoint, line := range m.waiting {
			if line[next.Delivery] {
				delete(line, next.Delivery)
				m.park(t, endpoint, next.Delivery, next.At)
			}
		}
		require.True(t, m.settled[next.Delivery], "it was not in line")
	}
}

func (m *model) check(t require.TestingT) {
	total := 0
	for endpoint, attempts := range m.inFlight {
		require.LessOrEqual(t, len(attempts), m.limits.Concurrency, endpoint)
		total += len(attempts)
	}
	for endpoint, line := range m.waiting {
		if len(line) > 0 {
			require.NotEmpty(t, m.inFlight[endpoint], "nobody calls what waits at %s", endpoint)
		}
	}
	require.LessOrEqual(t, total, m.limits.MaxInFlight)
	require.Equal(t, total, m.lanes.InFlight())
}

func (m *model) endAll(t require.TestingT) {
	for again := true; again; {
		again = false
		for endpoint := range m.inFlight {
			for len(m.inFlight[endpoint]) > 0 {
				m.done(t, endpoint, lane.Result{Took: time.Millisecond})
				again = true
			}
		}
	}
}

func drawLimits(t *rapid.T) lane.Limits {
	return lane.Limits{
		Concurrency: rapid.IntRange(1, 8).Draw(t, "concurrency"),
		MaxWait:     time.Duration(rapid.IntRange(0, 2000).Draw(t, "max wait")) * time.Millisecond,
		MaxInFlight: rapid.IntRange(1, 40).Draw(t, "max in flight"),
	}
}

func drawResult(t *rapid.T, now time.Time) lane.Result {
	result := lane.Result{Took: time.Duration(rapid.IntRange(0, 15000).Draw(t, "took")) * time.Millisecond}
	if rapid.IntRange(0, 5).Draw(t, "asks for a pause") == 0 {
		result.PauseUntil = now.Add(time.Duration(rapid.IntRange(-5, 60).Draw(t, "pause")) * time.Second)
	}
	return result
}

func TestLanesKeepTheirPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(drawLimits(t))
		endpoint := rapid.SampledFrom([]string{"a", "a", "a", "b", "c", "d", "e"})
		handedBack := 0
		t.Repeat(map[string]func(*rapid.T){
			"offer": func(t *rapid.T) { m.offer(t, endpoint.Draw(t, "endpoint")) },
			"burst": func(t *rapid.T) {
				at := endpoint.Draw(t, "endpoint")
				for range rapid.IntRange(1, 50).Draw(t, "deliveries") {
					m.offer(t, at)
				}
			},
			"done": func(t *rapid.T) {
				at := endpoint.Draw(t, "endpoint")
				if len(m.inFlight[at]) == 0 {
					t.Skip("nothing under way")
				}
				m.done(t, at, drawResult(t, m.now))
			},
			"time passes": func(t *rapid.T) {
				m.now = m.now.Add(time.Duration(rapid.IntRange(1, 30000).Draw(t, "ms")) * time.Millisecond)
			},
			"tend": func(t *rapid.T) { m.tend(t) },
			"clear": func(t *rapid.T) {
				if rapid.IntRange(0, 9).Draw(t, "rarely") != 0 {
					t.Skip("a process stops once")
				}
				for _, delivery := range m.lanes.Clear() {
					require.False(t, m.settled[delivery], "came out twice")
					m.settled[delivery] = true
					handedBack++
				}
				m.waiting = map[string]map[int]bool{}
			},
			"": func(t *rapid.T) { m.check(t) },
		})

		m.endAll(t)
		require.Len(t, m.settled, m.next, "every delivery comes out, exactly once")
		require.Empty(t, m.lanes.Clear())
		require.Empty(t, m.lanes.Tend(m.now.Add(1000*time.Hour)))
		require.Zero(t, m.lanes.Len(), "idle lanes are forgotten")
	})
}

// As long as a quarter of all slots is free, what happens at other endpoints
// changes nothing for this one.
func TestLanesDoNotInfluenceEachOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limits := drawLimits(t)
		limits.MaxInFlight = 1000
		alone, crowded := lane.New[int](limits), lane.New[int](limits)
		now, inFlight := noon, 0
		others := map[string]int{}
		t.Repeat(map[string]func(*rapid.T){
			"offer": func(t *rapid.T) {
				v1, at1 := alone.Offer("mine", 1, now)
				v2, at2 := crowded.Offer("mine", 1, now)
				require.Equal(t, v1, v2)
				require.Equal(t, at1, at2)
				if v1 == lane.Send {
					inFlight++
				}
			},
			"done": func(t *rapid.T) {
				if inFlight == 0 {
					t.Skip("nothing under way")
				}
				result := drawResult(t, now)
				next := alone.Done("mine", result, now)
				require.Equal(t, next, crowded.Done("mine", result, now))
				inFlight--
				if len(next) > 0 && next[0].Verdict == lane.Send {
					inFlight++
				}
			},
			"load elsewhere": func(t *rapid.T) {
				other := fmt.Sprint("other", rapid.IntRange(0, 80).Draw(t, "other"))
				if verdict, _ := crowded.Offer(other, 1, now); verdict == lane.Send {
					others[other]++
				}
			},
			"trouble elsewhere": func(t *rapid.T) {
				other := fmt.Sprint("other", rapid.IntRange(0, 80).Draw(t, "other"))
				if others[other] == 0 {
					t.Skip("nothing under way")
				}
				others[other]--
				next := crowded.Done(other, drawResult(t, now), now)
				if len(next) > 0 && next[0].Verdict == lane.Send {
					others[other]++
				}
			},
			"time passes": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(1, 5000).Draw(t, "ms")) * time.Millisecond)
			},
		})
	})
}

// production is what the settings come to by default.
func production() lane.Limits {
	return lane.Limits{Concurrency: 32, MaxWait: 2 * time.Second, MaxInFlight: 4096}
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

func TestOneEndpointGetsItsWholeLimit(t *testing.T) {
	for _, limits := range []lane.Limits{
		production(),
		{Concurrency: 1, MaxWait: time.Second, MaxInFlight: 1},
		{Concurrency: 4, MaxWait: time.Second, MaxInFlight: 16},
		{Concurrency: 32, MaxWait: time.Second, MaxInFlight: 64},
	} {
		m := newModel(limits)
		for i := range limits.Concurrency {
			require.Equal(t, lane.Send, m.offer(t, "a"), "attempt %d of %v", i+1, limits)
		}
		require.NotEqual(t, lane.Send, m.offer(t, "a"), limits)
	}
}

// A line that was short at the pace of a healthy receiver is minutes long once the
// receiver hangs: longer than a message may stay unsettled.
func TestALineIsCutShortWhenItsReceiverBecomesSlow(t *testing.T) {
	m := newModel(production())
	for range 2000 {
		require.NotEqual(t, lane.Park, m.offer(t, "a"), "nothing is known against it yet")
	}

	m.now = m.now.Add(15 * time.Second)
	for range 32 {
		m.done(t, "a", lane.Result{Took: 15 * time.Second})
	}

	assert.LessOrEqual(t, len(m.waiting["a"]), 64, "about two seconds at the rate of now")
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
	require.Len(t, m.waiting["a"], 2000-32, "a moment says nothing")

	m.now = m.now.Add(4 * time.Second)
	m.tend(t)

	assert.LessOrEqual(t, len(m.waiting["a"]), 16)
	assert.Equal(t, lane.Park, m.offer(t, "a"))
	m.endAll(t)
}

// A burst for a quick endpoint stays in line, however our own first moments slow
// its first attempts down.
func TestABurstForAQuickEndpointWaits(t *testing.T) {
	m := newModel(production())
	for range 8192 {
		require.NotEqual(t, lane.Park, m.offer(t, "a"))
	}
	for step := range 8192 {
		took := 4 * time.Millisecond
		if step < 500 {
			took = 60 * time.Millisecond
		}
		m.now = m.now.Add(200 * time.Microsecond)
		m.done(t, "a", lane.Result{Took: took})
	}
	assert.Empty(t, m.waiting["a"])
	assert.Empty(t, m.lastSlot, "nothing was parked")
}

func TestParkedDeliveriesAreSpread(t *testing.T) {
	m := newModel(production())
	m.offer(t, "a")
	m.done(t, "a", lane.Result{Took: time.Second, PauseUntil: m.now.Add(time.Minute)})
	var first, last time.Time
	for i := range 1000 {
		verdict, at := m.lanes.Offer("a", i, m.now)
		require.Equal(t, lane.Park, verdict)
		if i == 0 {
			first = at
		}
		require.True(t, last.Before(at), "each has a slot of its own")
		last = at
	}
	assert.Equal(t, m.now.Add(time.Minute), first)
	assert.Greater(t, last.Sub(first), time.Second, "no herd")
}
