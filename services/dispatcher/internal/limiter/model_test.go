package limiter

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// given is the times that were given to who was turned away.
type given struct{ at, last, before time.Time }

// add reports whether the time is after all that were given earlier than now. Of
// those that are given at one moment, goroutines tell in any order.
func (g *given) add(slot time.Time) bool {
	if now := time.Now(); now.After(g.at) {
		g.at, g.before = now, g.last
	}
	g.last = later(g.last, slot)
	return !slot.Before(g.before)
}

// model is what the comments of the package promise, kept beside the real limiter.
type model struct {
	l      *Limiter
	limits Limits
	rates  map[string]float64

	mu      sync.Mutex
	running sync.WaitGroup
	faults  []string

	asked, answered int
	turns           map[string][]Turn // to go, not done
	paused          map[string]time.Time
	sent            map[string]time.Time // when an attempt last began
	slots           map[Request]*given
	stopping        bool
}

func newModel(limits Limits) *model {
	return &model{
		l: New(limits, func(Hint) {}), limits: limits, rates: map[string]float64{}, turns: map[string][]Turn{},
		paused: map[string]time.Time{}, sent: map[string]time.Time{}, slots: map[Request]*given{},
	}
}

// require is called in goroutines of deliveries, which must not end the test.
func (m *model) require(holds bool, format string, args ...any) { //nolint:revive // it is an assertion
	if !holds {
		m.faults = append(m.faults, fmt.Sprintf(format, args...))
	}
}

// ask asks for a turn, without waiting for the answer.
func (m *model) ask(endpoint string, bytes int64, background bool) {
	m.mu.Lock()
	m.asked++
	m.mu.Unlock()
	r := Request{Endpoint: endpoint, Bytes: bytes, MaxPerSecond: m.rates[endpoint], Background: background}
	asked := time.Now()
	m.running.Go(func() {
		turn := m.l.Wait(context.Background(), r)
		m.mu.Lock()
		defer m.mu.Unlock()
		m.answered++
		m.require(time.Since(asked) <= 2*m.limits.MaxWait, "waited for %s", time.Since(asked))
		if turn.Go() {
			m.goes(r)
			m.turns[endpoint] = append(m.turns[endpoint], turn)
			return
		}
		m.turnedAway(r, turn)
	})
}

func (m *model) goes(r Request) {
	now := time.Now()
	m.require(!m.stopping, "sent while stopping")
	m.require(!now.Before(m.paused[r.Endpoint]), "sent during a pause")
	if last, rate := m.sent[r.Endpoint], r.MaxPerSecond; rate > 0 && !last.IsZero() {
		m.require(now.Sub(last) >= time.Duration(float64(time.Second)/rate), "sent faster than the webhook allows")
	}
	m.sent[r.Endpoint] = now
}

func (m *model) turnedAway(r Request, turn Turn) {
	m.require(turn.Cause.String() != "", "turned away for no reason")
	if turn.Cause == Stopping {
		m.require(m.stopping, "nobody stops")
		return
	}
	r.Bytes = 0
	m.require(!turn.NotBefore.Before(m.paused[r.Endpoint]), "to come back during the pause")
	m.require(turn.NotBefore.After(time.Now()) || m.limits.MaxWait == 0, "to come back at once")
	if m.slots[r] == nil {
		m.slots[r] = &given{}
	}
	m.require(m.slots[r].add(turn.NotBefore), "turns go back")
}

// underWay is how many attempts are.
func (m *model) underWay(endpoint string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.turns[endpoint])
}

func (m *model) endpoints() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Keys(m.turns))
}

// lastSlot is the last time that was given to a live delivery.
func (m *model) lastSlot(endpoint string) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	if g := m.slots[Request{Endpoint: endpoint}]; g != nil {
		return g.last
	}
	return time.Time{}
}

// done ends an attempt.
func (m *model) done(endpoint string, result Result) {
	m.mu.Lock()
	turn := m.turns[endpoint][0]
	m.turns[endpoint] = m.turns[endpoint][1:]
	if result.PauseUntil.After(m.paused[endpoint]) {
		m.paused[endpoint] = result.PauseUntil
	}
	m.mu.Unlock()
	m.l.Done(turn, result)
}

func (m *model) check(t require.TestingT) {
	synctest.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	require.Empty(t, m.faults)
	inFlight, load := 0, m.l.Load()
	for endpoint, turns := range m.turns {
		require.LessOrEqual(t, len(turns), m.limits.Concurrency, endpoint)
		inFlight += len(turns)
	}
	require.Equal(t, inFlight, load.InFlight)
	require.LessOrEqual(t, inFlight, m.limits.MaxInFlight)
	require.Equal(t, m.asked-m.answered, load.Waiting)
	require.LessOrEqual(t, load.Waiting, m.limits.MaxWaiting)
	require.LessOrEqual(t, load.Bytes, m.limits.MaxBytes)
	m.l.mu.Lock()
	defer m.l.mu.Unlock()
	for _, e := range m.l.endpoints {
		called := e.holding.inFlight > 0 || e.rate.blocked(time.Now()) || inFlight == m.limits.MaxInFlight
		require.True(t, e.holding.waiting == 0 || called, "nobody calls what waits at %s", e.name)
	}
}

// finish ends what is under way and what waits for it, well.
func (m *model) finish(t require.TestingT) {
	for m.l.Load().InFlight+m.l.Load().Waiting > 0 {
		for _, endpoint := range m.endpoints() {
			for m.underWay(endpoint) > 0 {
				m.done(endpoint, Result{Took: time.Millisecond})
				synctest.Wait()
			}
		}
		pass(100 * time.Millisecond)
		m.check(t)
	}
	m.running.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	require.Equal(t, m.asked, m.answered, "every delivery is answered, exactly once")
}

func drawLimits(t *rapid.T) Limits {
	return Limits{
		Concurrency: rapid.IntRange(1, 8).Draw(t, "concurrency"),
		MaxWait:     time.Duration(rapid.IntRange(0, 2000).Draw(t, "max wait")) * time.Millisecond,
		MaxInFlight: rapid.IntRange(1, 40).Draw(t, "max in flight"),
		MaxWaiting:  rapid.IntRange(1, 200).Draw(t, "max waiting"),
		MaxBytes:    rapid.Int64Range(1000, 100_000).Draw(t, "max bytes"),
	}
}

func drawResult(t *rapid.T) Result {
	result := Result{
		Took:   time.Duration(rapid.IntRange(0, 15000).Draw(t, "took")) * time.Millisecond,
		Failed: rapid.Bool().Draw(t, "failed"),
		Ignore: rapid.IntRange(0, 9).Draw(t, "ignored") == 0,
	}
	if rapid.IntRange(0, 5).Draw(t, "asks for a pause") == 0 {
		result.PauseUntil = time.Now().Add(time.Duration(rapid.IntRange(-5, 60).Draw(t, "pause")) * time.Second)
	}
	return result
}

// inTime is a test whose deadline rapid does not ask for: a bubble has none.
type inTime struct{ *testing.T }

func TestTheLimiterKeepsItsPromises(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(inTime{t}, func(t *rapid.T) {
			m := newModel(drawLimits(t))
			t.Cleanup(m.l.Close)
			m.rates["d"] = rapid.Float64Range(0.1, 100).Draw(t, "rate limit")
			endpoints := rapid.SampledFrom([]string{"a", "a", "a", "b", "c", "d", "d", "e"})
			t.Repeat(map[string]func(*rapid.T){
				"ask": func(t *rapid.T) {
					m.ask(endpoints.Draw(t, "endpoint"), rapid.Int64Range(0, 5000).Draw(t, "bytes"), rapid.Bool().Draw(t, "replayed"))
				},
				"burst": func(t *rapid.T) {
					endpoint := endpoints.Draw(t, "endpoint")
					for range rapid.IntRange(1, 50).Draw(t, "deliveries") {
						m.ask(endpoint, 10, false)
					}
				},
				"done": func(t *rapid.T) {
					endpoint := endpoints.Draw(t, "endpoint")
					if m.underWay(endpoint) == 0 {
						t.Skip("nothing under way")
					}
					m.done(endpoint, drawResult(t))
				},
				"time passes": func(t *rapid.T) {
					pass(time.Duration(rapid.IntRange(1, 30000).Draw(t, "ms")) * time.Millisecond)
				},
				"another dispatcher tells": func(t *rapid.T) {
					endpoint := endpoints.Draw(t, "endpoint")
					until := time.Now().Add(time.Duration(rapid.IntRange(1, 60).Draw(t, "pause")) * time.Second)
					m.l.Pause(endpoint, until, rapid.SampledFrom([]Cause{Paused, Broken}).Draw(t, "cause"))
				},
				"": func(t *rapid.T) { m.check(t) },
			})

			if rapid.Bool().Draw(t, "stops") {
				m.mu.Lock()
				m.stopping = true
				m.mu.Unlock()
				m.l.Close()
				m.check(t)
			}
			m.finish(t)
			require.Equal(t, holding{}, m.l.share.total)
			if !m.stopping {
				pass(5 * time.Second) // timers that were set
				m.l.forget(time.Now().Add(1000 * time.Hour))
				require.Empty(t, m.l.endpoints, "idle endpoints are forgotten")
			}
		})
	})
}

// As long as a quarter of what is shared is free and no line is long, what happens
// at other endpoints changes nothing for this one.
func TestEndpointsDoNotInfluenceEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(inTime{t}, func(t *rapid.T) {
			limits := drawLimits(t)
			limits.MaxInFlight, limits.MaxWaiting, limits.MaxBytes = 1000, 1_000_000, 1<<40
			alone, crowded := newModel(limits), newModel(limits)
			t.Cleanup(alone.l.Close)
			t.Cleanup(crowded.l.Close)
			t.Repeat(map[string]func(*rapid.T){
				"ask": func(*rapid.T) {
					alone.ask("mine", 1000, false)
					crowded.ask("mine", 1000, false)
				},
				"done": func(t *rapid.T) {
					if alone.underWay("mine") == 0 {
						t.Skip("nothing under way")
					}
					result := drawResult(t)
					result.Failed = false // the breaker's jitter differs
					alone.done("mine", result)
					crowded.done("mine", result)
				},
				"load elsewhere": func(t *rapid.T) {
					crowded.ask(fmt.Sprint("other", rapid.IntRange(0, 80).Draw(t, "other")), 1000, false)
				},
				"trouble elsewhere": func(t *rapid.T) {
					other := fmt.Sprint("other", rapid.IntRange(0, 80).Draw(t, "other"))
					if crowded.underWay(other) == 0 {
						t.Skip("nothing under way")
					}
					crowded.done(other, drawResult(t))
				},
				"time passes": func(t *rapid.T) {
					pass(time.Duration(rapid.IntRange(1, 5000).Draw(t, "ms")) * time.Millisecond)
				},
				"": func(t *rapid.T) {
					alone.check(t)
					crowded.check(t)
					require.Equal(t, alone.underWay("mine"), crowded.underWay("mine"))
					require.Equal(t, alone.lastSlot("mine"), crowded.lastSlot("mine"))
				},
			})
			alone.finish(t)
			crowded.finish(t)
		})
	})
}
