package lane_test

import (
	"fmt"
	"testing"
	"time"

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

	bytes    map[int]int64
	inFlight map[string][]int
	waiting  map[string]map[int]bool
	settled  map[int]bool // sent to the end, parked, or handed back
	paused   map[string]time.Time
	lastSlot map[string]time.Time
	causes   map[lane.Cause]int
	sentAt   map[string]time.Time
	rates    map[string]float64 // the rate limits of webhooks
}

func newModel(limits lane.Limits) *model {
	return &model{
		lanes: lane.New[int](limits), limits: limits, now: noon,
		bytes: map[int]int64{}, inFlight: map[string][]int{}, waiting: map[string]map[int]bool{}, settled: map[int]bool{},
		paused: map[string]time.Time{}, lastSlot: map[string]time.Time{}, causes: map[lane.Cause]int{},
		sentAt: map[string]time.Time{}, rates: map[string]float64{},
	}
}

func (m *model) offer(t require.TestingT, endpoint string) lane.Verdict {
	return m.offerBytes(t, endpoint, 1000)
}

func (m *model) offerBytes(t require.TestingT, endpoint string, bytes int64) lane.Verdict {
	m.next++
	delivery := m.next
	m.bytes[delivery] = bytes
	answer := m.lanes.Offer(lane.Ask{Endpoint: endpoint, Bytes: bytes, MaxPerSecond: m.rates[endpoint]}, delivery, m.now)
	switch answer.Verdict {
	case lane.Send:
		m.send(t, endpoint, delivery)
	case lane.Wait:
		require.False(t, m.now.Before(m.paused[endpoint]), "nothing waits in line during a pause")
		require.True(t, len(m.inFlight[endpoint]) > 0 || m.full() || !answer.At.IsZero(), "what waits is called by an attempt that ends, or by the tending")
		if m.waiting[endpoint] == nil {
			m.waiting[endpoint] = map[int]bool{}
		}
		m.waiting[endpoint][delivery] = true
	case lane.Park:
		m.park(t, endpoint, delivery, answer)
	}
	return answer.Verdict
}

func (m *model) send(t require.TestingT, endpoint string, delivery int) {
	require.False(t, m.now.Before(m.paused[endpoint]), "sent before the receiver wants to be called again")
	if rate := m.rates[endpoint]; rate > 0 {
		if last := m.sentAt[endpoint]; !last.IsZero() {
			require.GreaterOrEqual(t, m.now.Sub(last), time.Duration(float64(time.Second)/rate), "sent faster than the webhook allows")
		}
		m.sentAt[endpoint] = m.now
	}
	m.inFlight[endpoint] = append(m.inFlight[endpoint], delivery)
}

func (m *model) park(t require.TestingT, endpoint string, delivery int, answer lane.Answer) {
	require.False(t, m.settled[delivery], "came out twice")
	require.True(t, answer.At.After(m.now) || m.limits.MaxWait == 0, "parked for the past")
	require.False(t, answer.At.Before(m.paused[endpoint]), "parked for a time within the pause")
	require.False(t, answer.At.Before(m.lastSlot[endpoint]), "slots go back")
	require.NotZero(t, answer.Why, "parked for no reason")
	require.NotEmpty(t, answer.Why.String())
	m.lastSlot[endpoint] = answer.At
	m.causes[answer.Why]++
	m.settled[delivery] = true
}

func (m *model) done(t require.TestingT, endpoint string, result lane.Result) {
	ended := m.inFlight[endpoint][0]
	m.inFlight[endpoint] = m.inFlight[endpoint][1:]
	require.False(t, m.settled[ended], "came out twice")
	m.settled[ended] = true
	result.Bytes = m.bytes[ended]
	if result.PauseUntil.After(m.paused[endpoint]) {
		m.paused[endpoint] = result.PauseUntil
	}
	for _, next := range m.lanes.Done(endpoint, result, m.now) {
		m.leaveAny(t, next)
	}
}

// leaveAny is leave, wherever the delivery waited.
func (m *model) leaveAny(t require.TestingT, next lane.Next[int]) {
	for endpoint, line := range m.waiting {
		if line[next.Delivery] {
			m.leave(t, endpoint, next)
			return
		}
	}
	require.Fail(t, "it was not in line")
}

// full reports whether every slot is taken, so that any attempt that ends calls
// those that have none.
func (m *model) full() bool { return m.inFlightAll() >= m.lanes.Load().Allowed }

func (m *model) leave(t require.TestingT, endpoint string, next lane.Next[int]) {
	require.True(t, m.waiting[endpoint][next.Delivery], "it was not in line")
	delete(m.waiting[endpoint], next.Delivery)
	switch next.Verdict {
	case lane.Send:
		m.send(t, endpoint, next.Delivery)
	case lane.Park:
		m.park(t, endpoint, next.Delivery, next.Answer)
	case lane.Wait:
		require.Fail(t, "what leaves the line does not wait")
	}
}

func (m *model) tend(t require.TestingT) time.Time {
	leaving, again := m.lanes.Tend(m.now)
	for _, next := range leaving {
		m.leaveAny(t, next)
	}
	require.True(t, again.IsZero() || again.After(m.now), "tending again at once is no tending")
	return again
}

func (m *model) check(t require.TestingT) {
	inFlight, waiting := m.inFlightAll(), 0
	for endpoint, attempts := range m.inFlight {
		require.LessOrEqual(t, len(attempts), m.limits.Concurrency, endpoint)
	}
	for endpoint, line := range m.waiting {
		if len(line) > 0 && m.rates[endpoint] == 0 && !m.full() {
			require.NotEmpty(t, m.inFlight[endpoint], "nobody calls what waits at %s", endpoint)
		}
		waiting += len(line)
	}
	require.LessOrEqual(t, inFlight, m.limits.MaxInFlight)
	require.LessOrEqual(t, waiting, m.limits.MaxWaiting)
	load := m.lanes.Load()
	require.Equal(t, inFlight, load.InFlight)
	require.Equal(t, waiting, load.Waiting)
	require.GreaterOrEqual(t, load.Allowed, min(max(1, m.limits.MinInFlight), m.limits.MaxInFlight))
	require.LessOrEqual(t, load.Allowed, m.limits.MaxInFlight)
}

// endAll ends what is under way and what waits for it, well.
func (m *model) endAll(t require.TestingT) {
	for again := true; again; {
		again = false
		for endpoint := range m.inFlight {
			for len(m.inFlight[endpoint]) > 0 {
				m.done(t, endpoint, lane.Result{Took: time.Millisecond})
				again = true
			}
		}
		if m.lanes.Load().Waiting > 0 {
			m.now = m.now.Add(10 * time.Second)
			m.tend(t)
			again = true
		}
	}
}

func drawLimits(t *rapid.T) lane.Limits {
	inFlight := rapid.IntRange(1, 40).Draw(t, "max in flight")
	return lane.Limits{
		Concurrency: rapid.IntRange(1, 8).Draw(t, "concurrency"),
		MaxWait:     time.Duration(rapid.IntRange(0, 2000).Draw(t, "max wait")) * time.Millisecond,
		MaxInFlight: inFlight,
		MinInFlight: rapid.IntRange(0, inFlight).Draw(t, "min in flight"),
		MaxWaiting:  rapid.IntRange(1, 200).Draw(t, "max waiting"),
		MaxLine:     rapid.IntRange(0, 200).Draw(t, "max line"),
		MaxBytes:    rapid.Int64Range(1000, 100_000).Draw(t, "max bytes"),
	}
}

func drawResult(t *rapid.T, now time.Time) lane.Result {
	result := lane.Result{
		Took:   time.Duration(rapid.IntRange(0, 15000).Draw(t, "took")) * time.Millisecond,
		Failed: rapid.Bool().Draw(t, "failed"),
	}
	if rapid.IntRange(0, 5).Draw(t, "asks for a pause") == 0 {
		result.PauseUntil = now.Add(time.Duration(rapid.IntRange(-5, 60).Draw(t, "pause")) * time.Second)
	}
	return result
}

func TestLanesKeepTheirPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(drawLimits(t))
		m.rates["d"] = rapid.Float64Range(0.1, 100).Draw(t, "rate limit")
		endpoint := rapid.SampledFrom([]string{"a", "a", "a", "b", "c", "d", "d", "e"})
		t.Repeat(map[string]func(*rapid.T){
			"offer": func(t *rapid.T) {
				m.offerBytes(t, endpoint.Draw(t, "endpoint"), rapid.Int64Range(0, 5000).Draw(t, "bytes"))
			},
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
			"processors are busy": func(t *rapid.T) {
				m.strain(t, rapid.Float64Range(0, 50).Draw(t, "wait for each"), rapid.IntRange(1, 20).Draw(t, "times"))
			},
			"clear": func(t *rapid.T) {
				if rapid.IntRange(0, 9).Draw(t, "rarely") != 0 {
					t.Skip("a process stops once")
				}
				for _, delivery := range m.lanes.Clear() {
					require.False(t, m.settled[delivery], "came out twice")
					m.settled[delivery] = true
				}
				m.waiting = map[string]map[int]bool{}
			},
			"": func(t *rapid.T) { m.check(t) },
		})

		m.endAll(t)
		require.Len(t, m.settled, m.next, "every delivery comes out, exactly once")
		require.Empty(t, m.lanes.Clear())
		m.now = m.now.Add(1000 * time.Hour)
		m.tend(t)
		require.Zero(t, m.lanes.Load().Lanes, "idle lanes are forgotten")
	})
}

// As long as a quarter of everything shared is free, what happens at other
// endpoints changes nothing for this one.
func TestLanesDoNotInfluenceEachOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limits := drawLimits(t)
		limits.MaxInFlight, limits.MaxWaiting, limits.MaxBytes = 1000, 1_000_000, 1<<40
		alone, crowded := lane.New[int](limits), lane.New[int](limits)
		now, inFlight := noon, 0
		others := map[string]int{}
		ask := lane.Ask{Endpoint: "mine", Bytes: 1000}
		t.Repeat(map[string]func(*rapid.T){
			"offer": func(t *rapid.T) {
				answer := alone.Offer(ask, 1, now)
				require.Equal(t, answer, crowded.Offer(ask, 1, now))
				if answer.Verdict == lane.Send {
					inFlight++
				}
			},
			"done": func(t *rapid.T) {
				if inFlight == 0 {
					t.Skip("nothing under way")
				}
				result := drawResult(t, now)
				result.Bytes = ask.Bytes
				next := alone.Done("mine", result, now)
				require.Equal(t, next, crowded.Done("mine", result, now))
				inFlight += sent(next) - 1
			},
			"load elsewhere": func(t *rapid.T) {
				other := fmt.Sprint("other", rapid.IntRange(0, 80).Draw(t, "other"))
				if crowded.Offer(lane.Ask{Endpoint: other, Bytes: 1000}, 1, now).Verdict == lane.Send {
					others[other]++
				}
			},
			"trouble elsewhere": func(t *rapid.T) {
				other := fmt.Sprint("other", rapid.IntRange(0, 80).Draw(t, "other"))
				if others[other] == 0 {
					t.Skip("nothing under way")
				}
				result := drawResult(t, now)
				result.Bytes = 1000
				others[other] += sent(crowded.Done(other, result, now)) - 1
			},
			"time passes": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(1, 5000).Draw(t, "ms")) * time.Millisecond)
			},
		})
	})
}

func sent(next []lane.Next[int]) int {
	count := 0
	for _, n := range next {
		if n.Verdict == lane.Send {
			count++
		}
	}
	return count
}
