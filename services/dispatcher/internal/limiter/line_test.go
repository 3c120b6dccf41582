package limiter

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestABurstToReceiversThatAnswerAtOnceIsNotTurnedAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attempts, limits := 0, testLimits()
		limits.MaxWaiting = 64 << 10 // noisy endpoints have half of it
		w := newWorld(t, limits, nil)
		w.answers = func(string) Result {
			w.mu.Lock()
			defer w.mu.Unlock()
			if attempts++; attempts < 50 { // our own first moments slow the first ones down
				return Result{Took: 60 * time.Millisecond}
			}
			return Result{Took: 6 * time.Millisecond}
		}
		for range 300 { // 50,000 a second
			for endpoint := range 4 {
				w.start(25, Request{Endpoint: fmt.Sprint(endpoint), Bytes: 1200})
			}
			pass(2 * time.Millisecond)
		}
		w.all.Wait()
		assert.Empty(t, w.away)
		assert.Less(t, w.waits, 2*time.Second)
	})
}

func TestAFloodLeavesPlacesToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testLimits(), answersIn(5*time.Millisecond))
		for _, flooded := range []string{"a", "b", "c"} {
			w.start(20_000, Request{Endpoint: flooded})
		}
		assert.Less(t, w.Load().Waiting, testLimits().MaxWaiting*2/3)
		for quiet := range 50 {
			w.start(100, Request{Endpoint: fmt.Sprint("quiet", quiet)})
		}
		w.all.Wait()
		for quiet := range 50 {
			assert.Equal(t, 100, w.posts[fmt.Sprint("quiet", quiet)])
		}
	})
}

func TestALineAtAnEndpointThatHangsIsDissolved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testLimits(), func(string) Result { return Result{Took: 15 * time.Second, Failed: true} })
		w.start(1000, Request{Endpoint: "a"})
		require.Equal(t, 998, w.Load().Waiting, "a moment says nothing")
		pass(w.limits.MaxWait)
		w.start(1000, Request{Endpoint: "a"})
		assert.Equal(t, 998, w.Load().Waiting)
		pass(w.limits.MaxWait)
		synctest.Wait()
		assert.Zero(t, w.Load().Waiting)
		w.all.Wait()
		assert.LessOrEqual(t, w.waits, 2*w.limits.MaxWait)
	})
}

func TestReplaysGoWhenNothingElseWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := testLimits()
		limits.Concurrency = 1
		w := newWorld(t, limits, answersIn(10*time.Millisecond))
		var order []string
		ask := func(name string, background bool) {
			w.all.Go(func() {
				turn := w.Wait(t.Context(), Request{Endpoint: "a", Background: background})
				w.mu.Lock()
				order = append(order, name)
				w.mu.Unlock()
				pass(10 * time.Millisecond)
				w.Done(turn, Result{Took: 10 * time.Millisecond})
			})
			synctest.Wait()
		}
		ask("first", false)
		ask("replay 1", true)
		ask("replay 2", true)
		ask("live 1", false)
		pass(15 * time.Millisecond)
		ask("live 2", false)
		w.all.Wait()
		assert.Equal(t, []string{"first", "live 1", "live 2", "replay 1", "replay 2"}, order)
	})
}

func TestReplaysHaveTimesOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testLimits(), answersIn(time.Millisecond))
		w.Pause("a", time.Now().Add(time.Minute), Paused)
		for range 1000 {
			require.False(t, w.Wait(t.Context(), Request{Endpoint: "a", Background: true}).Go())
		}
		assert.Equal(t, time.Now().Add(time.Minute), w.Wait(t.Context(), Request{Endpoint: "a"}).NotBefore)
	})
}

func TestAnEndpointWithoutAnAttemptGetsTheNextOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := testLimits()
		limits.MaxInFlight = 4
		took := map[string]time.Duration{"a": 10 * time.Millisecond, "b": 20 * time.Millisecond}
		w := newWorld(t, limits, func(endpoint string) Result { return Result{Took: max(took[endpoint], 30*time.Millisecond)} })
		for _, endpoint := range []string{"a", "b", "c", "d", "e", "f", "a"} {
			w.start(1, Request{Endpoint: endpoint})
		}
		w.assertSeen(0, "e")
		require.Equal(t, 3, w.Load().Waiting)
		pass(30 * time.Millisecond)
		synctest.Wait()
		w.assertSeen(1, "e")
		w.assertSeen(1, "f")
		w.all.Wait()
		w.assertSeen(2, "a")
	})
}

func TestNobodyWaitsForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := testLimits()
		limits.MaxInFlight = 1
		w := newWorld(t, limits, answersIn(time.Minute))
		w.start(1, Request{Endpoint: "hanging"})
		turn := w.deliver(Request{Endpoint: "a"})
		assert.Equal(t, Busy, turn.Cause)
		assert.Equal(t, 2*limits.MaxWait, w.waits)
		assert.Equal(t, time.Now().Add(limits.MaxWait), turn.NotBefore)
		w.all.Wait()
	})
}

// The times follow each other at the endpoint's pace, twice as close.
func TestTurnsAreAtTheEndpointsPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testLimits(), answersIn(20*time.Millisecond))
		w.start(1000, Request{Endpoint: "a"})
		w.all.Wait()
		until := time.Now().Add(time.Minute)
		w.Pause("a", until, Paused)
		var last time.Time
		for range 1000 {
			last = w.Wait(t.Context(), Request{Endpoint: "a"}).NotBefore
		}
		assert.InDelta(t, 1000*0.020/32/2, last.Sub(until).Seconds(), 0.1, "twice as close as attempts end")

		w.Pause("unknown", until, Paused)
		for range 1000 {
			last = w.Wait(t.Context(), Request{Endpoint: "unknown"}).NotBefore
		}
		assert.InDelta(t, 1, last.Sub(until).Seconds(), 0.1)
	})
}

// Who finds a line full that moves quickly comes back soon.
func TestALineThatIsFullHasPlacesSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testLimits(), answersIn(10*time.Millisecond))
		for range 5 { // until it has its whole limit
			w.start(32, Request{Endpoint: "a"})
			w.all.Wait()
		}
		flood := Request{Endpoint: "a", Behind: 7000} // takes 2.2 s
		w.start(32+8*32, flood)
		require.Equal(t, 8*32, w.Load().Waiting)
		turn := w.Wait(t.Context(), flood)
		assert.Equal(t, Busy, turn.Cause)
		soon := time.Until(turn.NotBefore)
		assert.GreaterOrEqual(t, soon, 50*time.Millisecond)
		assert.Less(t, soon, 90*time.Millisecond, "the line takes 80 ms")
		pass(soon)
		assert.True(t, w.deliver(Request{Endpoint: "a"}).Go())
		w.all.Wait()
	})
}

// What the endpoint can take within MaxWait is not parked: that costs as much as
// delivering it.
func TestAShortBacklogWaitsInLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testLimits(), answersIn(10*time.Millisecond))
		for range 5 { // until it has its whole limit
			w.start(32, Request{Endpoint: "a"})
			w.all.Wait()
		}
		w.start(1000, Request{Endpoint: "a", Behind: 5000}) // takes 1.9 s
		require.Equal(t, 968, w.Load().Waiting)
		w.all.Wait()
	})
}

// A timer that is late does not make everybody after it late.
func TestALateTimerIsMadeUpFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testLimits(), answersIn(time.Millisecond))
		w.start(2, Request{Endpoint: "a", MaxPerSecond: 10})
		e := w.endpoints["a"]
		w.mu.Lock()
		e.timer.Stop()
		w.mu.Unlock()
		started := w.times[0]
		pass(130 * time.Millisecond)
		w.wake(e)
		w.all.Wait()
		assert.Equal(t, started.Add(200*time.Millisecond), e.rate.next)
	})
}

// Large bodies, each for a receiver of its own that hangs, hold no more memory than
// they may: the others are parked at once, so that what is behind them is taken in.
func TestA19LargeBodiesOfManyThatHangAreParked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testLimits(), answersIn(15*time.Second))
		began := time.Now()
		for i := range 48 {
			w.start(1, Request{Endpoint: fmt.Sprint("hangs", i), Bytes: 8 << 20})
		}
		assert.Zero(t, time.Since(began))
		assert.EqualValues(t, 256<<20, w.Load().Bytes)
		assert.Len(t, w.away, 16)
		w.all.Wait()
		assert.Zero(t, w.Load().Bytes)
	})
}
