package limiter

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testLimits is what the settings come to by default.
func testLimits() Limits {
	return Limits{Concurrency: 32, MaxWait: 2 * time.Second, MaxInFlight: 2048, MaxWaiting: 16384, MaxBytes: 256 << 20}
}

// world is a limiter and receivers.
type world struct {
	*Limiter
	t       *testing.T
	answers func(endpoint string) Result // after as long as it took

	mu    sync.Mutex
	all   sync.WaitGroup
	posts map[string]int
	most  map[string]int // attempts under way at once
	under map[string]int
	times []time.Time // of posts
	away  []Turn
	waits time.Duration // the longest
	hints []Hint
}

func newWorld(t *testing.T, limits Limits, answers func(endpoint string) Result) *world {
	t.Helper()
	w := &world{t: t, answers: answers, posts: map[string]int{}, most: map[string]int{}, under: map[string]int{}}
	w.Limiter = New(limits, func(h Hint) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.hints = append(w.hints, h)
	})
	t.Cleanup(w.Close)
	return w
}

// answersIn is receivers that answer well, after so long.
func answersIn(took time.Duration) func(string) Result {
	return func(string) Result { return Result{Took: took} }
}

// deliver is one delivery, as the dispatcher makes it.
func (w *world) deliver(r Request) Turn {
	asked := time.Now()
	turn := w.Wait(w.t.Context(), r)
	w.mu.Lock()
	w.waits = max(w.waits, time.Since(asked))
	if !turn.Go() {
		w.away = append(w.away, turn)
		w.mu.Unlock()
		return turn
	}
	w.posts[r.Endpoint]++
	w.under[r.Endpoint]++
	w.most[r.Endpoint] = max(w.most[r.Endpoint], w.under[r.Endpoint])
	w.times = append(w.times, time.Now())
	w.mu.Unlock()
	result := w.answers(r.Endpoint)
	pass(result.Took)
	w.mu.Lock()
	w.under[r.Endpoint]--
	w.mu.Unlock()
	w.Done(turn, result)
	return turn
}

// seen is how many posts an endpoint has seen, and most how many at once.
func (w *world) seen(endpoint string) (posts, most int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.posts[endpoint], w.most[endpoint]
}

func (w *world) assertSeen(posts int, endpoint string) {
	w.t.Helper()
	seen, _ := w.seen(endpoint)
	assert.Equal(w.t, posts, seen, endpoint)
}

// start begins so many deliveries at once.
func (w *world) start(n int, r Request) {
	for range n {
		w.all.Go(func() { w.deliver(r) })
	}
	synctest.Wait()
}

func pass(d time.Duration) { <-time.After(d) }

func TestAReceiverThatAsksForAPauseSeesAHandfulOfPosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		until := start.Add(time.Minute)
		w := newWorld(t, testLimits(), func(string) Result {
			return Result{Took: 20 * time.Millisecond, Failed: true, PauseUntil: until}
		})
		w.start(50, Request{Endpoint: "a"})
		w.all.Wait()

		assert.LessOrEqual(t, w.posts["a"], 3)
		assert.Less(t, time.Since(start), 50*time.Millisecond, "those in line are turned away at once")
		slots := map[time.Time]bool{}
		for _, turn := range w.away {
			require.Equal(t, Paused, turn.Cause)
			require.False(t, turn.NotBefore.Before(until))
			slots[turn.NotBefore] = true
		}
		assert.Len(t, slots, len(w.away), "each has a time of its own")
		assert.Equal(t, Hint{Endpoint: "a", Until: until, Cause: Paused}, w.hints[0])

		pass(time.Until(until) - 1)
		require.False(t, w.deliver(Request{Endpoint: "a"}).Go())
		pass(1)
		assert.True(t, w.deliver(Request{Endpoint: "a"}).Go())
	})
}

func TestAFastReceiverReachesItsWholeLimitSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, limits := range []Limits{
			testLimits(),
			{Concurrency: 1, MaxWait: time.Second, MaxInFlight: 1, MaxWaiting: 1000, MaxBytes: 1 << 20},
			{Concurrency: 4, MaxWait: time.Second, MaxInFlight: 16, MaxWaiting: 1000, MaxBytes: 1 << 20},
			{Concurrency: 32, MaxWait: time.Second, MaxInFlight: 64, MaxWaiting: 1000, MaxBytes: 1 << 20},
		} {
			w := newWorld(t, limits, answersIn(10*time.Millisecond))
			w.start(400, Request{Endpoint: "a"})
			_, most := w.seen("a")
			require.Equal(t, min(initialLimit, limits.Concurrency), most, "few at first")
			pass(100 * time.Millisecond)
			synctest.Wait()
			_, most = w.seen("a")
			assert.Equal(t, limits.Concurrency, most)
			w.all.Wait()
		}
	})
}

// What one endpoint's line holds is bounded, and what finds no place in it is turned
// away at once, so that those behind it in the same stream need not wait for it.
// Nothing ends at an endpoint that hangs: nobody stands in its line for long, and
// soon nobody joins it.
func TestCase33AThousandHangingEndpointsLeaveRoomForOneMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testLimits(), func(endpoint string) Result {
			if endpoint == "healthy" {
				return Result{Took: 5 * time.Millisecond}
			}
			return Result{Took: 15 * time.Second, Failed: true}
		})
		for hanging := range 1000 {
			w.start(10, Request{Endpoint: fmt.Sprint("hanging", hanging)})
		}
		started := time.Now()
		for range 1000 {
			require.True(t, w.deliver(Request{Endpoint: "healthy"}).Go())
		}
		assert.Equal(t, 5*time.Second, time.Since(started), "none has waited")
		w.start(200, Request{Endpoint: "healthy"})
		pass(time.Second)
		w.assertSeen(1200, "healthy")
		w.all.Wait()
		for range 40 { // each hangs until its breaker opens
			for hanging := range 1000 {
				w.start(1, Request{Endpoint: fmt.Sprint("hanging", hanging)})
			}
			pass(15 * time.Second)
		}
		w.all.Wait()
		assert.Equal(t, 1000, w.Load().Broken)
	})
}

// What hangs for good ends up with one attempt now and then.
func TestAHangingEndpointCostsNextToNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testLimits(), func(string) Result { return Result{Took: 15 * time.Second, Failed: true} })
		for range 6 * 60 * 60 {
			w.start(1, Request{Endpoint: "hanging"})
			pass(time.Second)
		}
		w.all.Wait()
		assert.Less(t, w.posts["hanging"], 6*60*60/15/10)
		assert.Equal(t, 1, w.Load().Broken)
	})
}

func TestALargeBodyIsNotTheLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testLimits(), answersIn(time.Second))
		w.start(100, Request{Endpoint: "large", Bytes: 8 << 20})
		assert.LessOrEqual(t, w.Load().Bytes, int64(52<<20))
		for other := range 10 {
			w.start(1, Request{Endpoint: fmt.Sprint("other", other), Bytes: 8 << 20})
			w.assertSeen(1, fmt.Sprint("other", other))
		}
		w.all.Wait()
		assert.Zero(t, w.Load().Bytes)
		assert.True(t, w.deliver(Request{Endpoint: "large", Bytes: 200 << 20}).Go(), "a single one may be larger than a share")
	})
}

func TestMaxPerSecondIsKept(t *testing.T) {
	for _, c := range []struct {
		perSecond float64
		replicas  int
	}{{5, 1}, {5, 3}, {0.5, 1}, {0.5, 3}, {100, 1}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, testLimits(), answersIn(3*time.Millisecond))
			w.SetReplicas(c.replicas)
			started := time.Now()
			const minutes = 10
			for time.Since(started) < minutes*time.Minute { // twice as many as may
				w.start(1, Request{Endpoint: "a", MaxPerSecond: c.perSecond})
				pass(time.Duration(float64(time.Second) / c.perSecond / 2))
			}
			w.all.Wait()
			share := c.perSecond / float64(c.replicas)
			assert.InEpsilon(t, share*minutes*60, w.posts["a"], 0.02, "%+v", c)
			for i := range w.times[1:] {
				require.GreaterOrEqual(t, w.times[i+1].Sub(w.times[i]).Seconds(), 0.999/share, "%+v", c)
			}
			for _, turn := range w.away {
				require.Equal(t, RateLimited, turn.Cause)
			}
		})
	}
}

// A delivery that was turned away is asked for again at its time, and goes then: a
// backlog comes back at the pace of the endpoint.
func TestABacklogComesBackAtTheEndpointsPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testLimits(), answersIn(3*time.Millisecond))
		started := time.Now()
		for range 100 {
			w.all.Go(func() {
				turn := w.deliver(Request{Endpoint: "a", MaxPerSecond: 5})
				for !turn.Go() {
					pass(time.Until(turn.NotBefore))
					turn = w.deliver(Request{Endpoint: "a", MaxPerSecond: 5})
				}
			})
		}
		w.all.Wait()
		assert.InDelta(t, 20, time.Since(started).Seconds(), 0.5)
		assert.Len(t, w.away, 89, "each once: two seconds' worth could wait")
	})
}

// A replay that was turned away has taken no turn of a live delivery.
func TestABreakerLetsOneProbeThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failing := true
		w := newWorld(t, testLimits(), func(string) Result { return Result{Took: 10 * time.Millisecond, Failed: failing} })
		for range failuresToOpen {
			require.True(t, w.deliver(Request{Endpoint: "a"}).Go())
		}
		turn := w.deliver(Request{Endpoint: "a"})
		require.Equal(t, Broken, turn.Cause)
		require.Equal(t, Hint{Endpoint: "a", Until: turn.NotBefore, Cause: Broken}, w.hints[0])
		pass(time.Until(turn.NotBefore))
		w.start(10, Request{Endpoint: "a"})
		w.assertSeen(failuresToOpen+1, "a")
		assert.Zero(t, w.Load().Waiting)
		w.all.Wait()
		pass(12 * time.Second)
		failing = false
		require.True(t, w.deliver(Request{Endpoint: "a"}).Go())
		assert.Zero(t, w.Load().Broken)
		assert.Equal(t, Hint{Endpoint: "a"}, w.hints[len(w.hints)-1])
		assert.True(t, w.deliver(Request{Endpoint: "a"}).Go())
	})
}

func TestWhatAnotherDispatcherSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testLimits(), answersIn(time.Second))
		until := time.Now().Add(time.Minute)
		w.start(10, Request{Endpoint: "a"})
		w.Pause("a", until, Paused)
		synctest.Wait()
		assert.Zero(t, w.Load().Waiting, "who stood in line")
		w.Pause("a", time.Time{}, 0)
		assert.Equal(t, Paused, w.deliver(Request{Endpoint: "a"}).Cause, "only a breaker closes")

		w.Pause("b", until, Broken)
		turn := w.deliver(Request{Endpoint: "b"})
		assert.Equal(t, Broken, turn.Cause)
		assert.False(t, turn.NotBefore.Before(until), "who found out probes first")
		w.Pause("b", time.Time{}, 0)
		assert.True(t, w.deliver(Request{Endpoint: "b"}).Go())
		w.Pause("b", time.Now().Add(time.Minute), Broken)
		pass(66 * time.Second)
		before, _ := w.seen("b")
		w.start(10, Request{Endpoint: "b"})
		w.assertSeen(before+1, "b")
		w.Pause("c", time.Now().Add(-time.Second), Paused)
		assert.True(t, w.deliver(Request{Endpoint: "c"}).Go())
		w.all.Wait()
		assert.Equal(t, []Hint{{Endpoint: "b"}}, w.hints, "what was heard is not told, what was found out is")
	})
}

func TestAReceiverThatIsMendedIsBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testLimits(), func(string) Result { return Result{Took: 1, Failed: true} })
		for range failuresToOpen + 1 {
			w.deliver(Request{Endpoint: "a"})
		}
		w.Recovered("never heard of")
		w.Recovered("a")
		require.Len(t, w.hints, 2)
		assert.Equal(t, Hint{Endpoint: "a"}, w.hints[1])
		assert.True(t, w.endpoints["a"].live.slot.IsZero(), "nor do others have to wait for those that were turned away")
		assert.True(t, w.deliver(Request{Endpoint: "a"}).Go())
	})
}

// Whatever is under way may be anywhere: the attempt that comes free first is given
// to whoever has waited longest without any.
func TestStopping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testLimits(), answersIn(time.Minute))
		w.start(5, Request{Endpoint: "a"})
		ctx, cancel := context.WithCancel(t.Context())
		asked := time.Now()
		w.all.Go(func() {
			assert.Equal(t, Stopping, w.Wait(ctx, Request{Endpoint: "a"}).Cause)
			assert.Equal(t, asked, time.Now())
		})
		synctest.Wait()
		cancel()
		synctest.Wait()
		assert.Equal(t, Stopping, w.Wait(ctx, Request{Endpoint: "other"}).Cause)
		require.Equal(t, 3, w.Load().Waiting)

		w.Close()
		synctest.Wait()
		require.Zero(t, w.Load().Waiting)
		assert.Equal(t, Stopping, w.deliver(Request{Endpoint: "other"}).Cause)
		w.all.Wait()
		require.Len(t, w.away, 4)
		for _, turn := range w.away {
			assert.Equal(t, Stopping, turn.Cause)
			assert.Equal(t, asked, turn.NotBefore)
		}
		assert.Equal(t, holding{}, w.share.total)
		w.Close()
	})
}

func TestWhatWasLearnedIsKeptForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testLimits(), answersIn(time.Millisecond))
		w.deliver(Request{Endpoint: "a"})
		w.deliver(Request{Endpoint: "rare", MaxPerSecond: 0.01})
		w.Pause("paused", time.Now().Add(time.Hour), Paused)
		w.Pause("backlog", time.Now().Add(time.Second), Paused)
		for range 40_000 { // a thousand a second, as at any endpoint that has never answered
			w.Wait(t.Context(), Request{Endpoint: "backlog"})
		}
		pass(29 * time.Second)
		require.Equal(t, 4, w.Load().Endpoints)
		pass(10 * time.Second)
		require.Equal(t, 3, w.Load().Endpoints)
		require.False(t, w.deliver(Request{Endpoint: "rare", MaxPerSecond: 0.01}).Go())
		pass(time.Hour)
		assert.Zero(t, w.Load().Endpoints)
	})
}

func TestCauses(t *testing.T) {
	for cause, label := range map[Cause]string{
		0: "", Busy: "busy", RateLimited: "rate_limited", Paused: "retry_after", Broken: "receiver_failing", Stopping: "stopping",
	} {
		assert.Equal(t, label, cause.String())
	}
}
