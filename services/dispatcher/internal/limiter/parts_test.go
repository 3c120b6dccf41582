package limiter

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var noon = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

// round ends as many attempts as are allowed at once; each is followed by others.
func round(c *concurrency, took time.Duration, failed bool, began time.Time) {
	for range c.allowed() {
		c.end(attempt{took: took, failed: failed, began: began, ended: began.Add(took)}, c.allowed())
	}
}

func TestConcurrencyDoublesEachRoundUntilTheFirstFailure(t *testing.T) {
	c := newConcurrency(32)
	var limits []int
	for range 6 {
		limits = append(limits, c.allowed())
		round(&c, 10*time.Millisecond, false, noon)
	}
	require.Equal(t, []int{2, 4, 8, 16, 32, 32}, limits)

	round(&c, 10*time.Millisecond, true, noon)
	require.Equal(t, 16, c.allowed(), "halved once for all that were under way together")
	round(&c, 10*time.Millisecond, false, noon.Add(time.Second))
	assert.Equal(t, 16, c.allowed())
	round(&c, 10*time.Millisecond, false, noon.Add(time.Second))
	assert.Equal(t, 17, c.allowed(), "one more each round")
}

func TestConcurrencyFallsToOneWhileAttemptsFail(t *testing.T) {
	c := newConcurrency(32)
	for range 5 {
		round(&c, time.Millisecond, false, noon)
	}
	for i := range 6 {
		round(&c, time.Millisecond, true, noon.Add(time.Duration(i+1)*time.Second))
	}
	assert.Equal(t, 1, c.allowed())
}

func TestConcurrencyDoesNotGrowUnused(t *testing.T) {
	c := newConcurrency(32)
	for range 100 {
		c.end(attempt{took: time.Millisecond, began: noon, ended: noon}, 1)
	}
	assert.Equal(t, initialLimit, c.allowed())
}

func TestSlowEndpointsGetLessAtOnce(t *testing.T) {
	for took, allowed := range map[time.Duration]int{
		500 * time.Millisecond: 32, time.Second: 32, 2 * time.Second: 16, 4 * time.Second: 8, 15 * time.Second: 2, time.Minute: 1,
	} {
		c := newConcurrency(32)
		for range 40 {
			round(&c, took, false, noon)
		}
		assert.Equal(t, allowed, c.allowed(), took)
	}
}

// It is better to ask a quick receiver too often than too rarely.
func TestTurnsAreCloseInSlowStart(t *testing.T) {
	c := newConcurrency(32)
	assert.Zero(t, c.spacing(), "nothing is known")
	round(&c, 320*time.Millisecond, false, noon)
	assert.Equal(t, 10*time.Millisecond, c.spacing(), "as if it got its whole limit")
	round(&c, 320*time.Millisecond, true, noon)
	assert.Equal(t, 80*time.Millisecond, c.spacing(), "half of the interval")
}

// All that is under way looks slow at once when this process has stopped for a
// moment, or its garbage is collected.
func TestAHiccupDoesNotMakeALineLookLong(t *testing.T) {
	c := newConcurrency(32)
	for range 20 {
		round(&c, 2*time.Millisecond, false, noon)
	}
	before := c.wait(1000)
	round(&c, 500*time.Millisecond, false, noon)
	round(&c, 2*time.Millisecond, false, noon)
	assert.Less(t, c.wait(1000), 4*before)
}

// Answers that fail at once may be among good ones that take long.
func TestAQuickAnswerAmongSlowOnesIsNotBelieved(t *testing.T) {
	c := newConcurrency(32)
	for i := range 1000 {
		took := 2 * time.Second
		if i%10 == 9 {
			took = time.Millisecond
		}
		c.learn(took)
		require.Greater(t, c.took, 500*time.Millisecond)
	}
}

// fails ends an attempt after another, all of which fail, until the breaker opens.
func fails(b *breaker, now time.Time) (failures int) {
	for failures = 1; !b.fail(attempt{failed: true, began: now, ended: now}); failures++ {
	}
	return failures
}

func TestTheBreakerOpensAfterAStreak(t *testing.T) {
	var b breaker
	assert.Equal(t, 5, fails(&b, noon), "an unknown endpoint")

	b = breaker{}
	for range 100 {
		assert.False(t, b.succeed())
	}
	assert.Equal(t, 20, fails(&b, noon), "one that has worked")
}

func TestTheBreakerStaysClosedForReceiversThatFailAtRandom(t *testing.T) {
	var b breaker
	for i := range 10_000 {
		if i%20 < 14 {
			b.succeed()
		} else {
			require.False(t, b.fail(attempt{failed: true, began: noon, ended: noon}), "six in a row of twenty")
		}
	}
}

func TestTheBreakerIsOpenForLongerEachTime(t *testing.T) {
	var b breaker
	now := noon
	fails(&b, now)
	for _, seconds := range []int{5, 10, 20, 40, 80, 160, 300, 300} {
		least := time.Duration(seconds) * time.Second
		open := b.until.Sub(now)
		require.GreaterOrEqual(t, open, least)
		require.LessOrEqual(t, open, least+least/5)
		require.True(t, b.open(now.Add(open-1)))
		now = now.Add(open)
		require.False(t, b.open(now), "half-open")
		require.False(t, b.closed())
		require.True(t, b.fail(attempt{failed: true, began: now, ended: now}), "one failed probe is enough")
	}
	require.False(t, b.idle(b.until.Add(b.length-1)), "who comes then finds it half-open")
	require.True(t, b.idle(b.until.Add(b.length+1)))
	require.True(t, b.succeed())
	require.True(t, b.closed())
	assert.Equal(t, failuresToOpen, fails(&b, now))
	assert.LessOrEqual(t, b.until.Sub(now), 6*time.Second, "it begins again")
}

func TestTheBreakersProbesAreSpread(t *testing.T) {
	own, heard := map[time.Time]bool{}, map[time.Time]bool{}
	for range 100 {
		var b breaker
		fails(&b, noon)
		own[b.until] = true
		b = breaker{}
		b.hear(noon.Add(time.Minute), noon)
		heard[b.until] = true
	}
	assert.Greater(t, len(own), 90)
	assert.Greater(t, len(heard), 90)
}

func TestLateFailuresDoNotProlongTheBreak(t *testing.T) {
	var b breaker
	fails(&b, noon)
	until := b.until
	for after := range 10 { // seconds: while it is open, and when it is half-open
		ended := noon.Add(time.Duration(after) * time.Second)
		require.False(t, b.fail(attempt{failed: true, began: noon.Add(-time.Second), ended: ended}))
	}
	assert.Equal(t, until, b.until)
}

// sendAll sends as early as the rate allows, by a timer that is late, and returns how
// long it took.
func sendAll(r *rate, deliveries int, late time.Duration) time.Duration {
	now := noon
	for range deliveries {
		if r.woken = r.blocked(now); r.woken {
			now = r.next.Add(late)
		}
		r.begin(now)
	}
	return now.Sub(noon)
}

func TestTheRateIsExactOnAverage(t *testing.T) {
	for _, c := range []struct {
		perSecond float64
		replicas  int
		seconds   float64 // for a hundred after the first
	}{{100, 1, 1}, {5, 1, 20}, {5, 3, 60}, {0.5, 1, 200}, {0.5, 3, 600}, {1000, 1, 0.1}} {
		var r rate
		r.set(c.perSecond, c.replicas, noon)
		assert.InDelta(t, c.seconds, sendAll(&r, 101, 500*time.Microsecond).Seconds(), 0.001, "%+v", c)
	}
}

func TestTheRateHasNoBurstAfterAPause(t *testing.T) {
	var r rate
	r.set(10, 1, noon)
	r.begin(noon)
	idle := noon.Add(150 * time.Millisecond)
	r.begin(idle)
	assert.True(t, r.blocked(idle.Add(99*time.Millisecond)), "what was not used is gone")
	late := idle.Add(time.Minute) // the process stood still
	r.woken = true
	r.begin(late)
	assert.True(t, r.blocked(late.Add(99*time.Millisecond)))
}

func TestAChangedRateHoldsAtOnce(t *testing.T) {
	var r rate
	r.set(0.01, 1, noon)
	r.begin(noon)
	require.True(t, r.blocked(noon.Add(99*time.Second)))
	r.set(10, 1, noon)
	assert.False(t, r.blocked(noon.Add(100*time.Millisecond)))
	r.set(0, 1, noon)
	assert.False(t, r.blocked(noon))
}

func TestAPauseIsNeverCutShort(t *testing.T) {
	var r rate
	require.True(t, r.pause(noon.Add(time.Minute)))
	require.False(t, r.pause(noon.Add(time.Second)))
	require.False(t, r.pause(time.Time{}))
	assert.True(t, r.paused(noon.Add(time.Minute-1)))
	assert.False(t, r.paused(noon.Add(time.Minute)))
}

func TestNobodyTakesAllThatIsFree(t *testing.T) {
	limits := Limits{Concurrency: 32, MaxInFlight: 2048, MaxWaiting: 1200, MaxBytes: 1000}
	fill := func(endpoints int, may func(*fairShare, holding) bool, one holding) (held int, _ *fairShare) {
		s := &fairShare{limits: limits}
		own := make([]holding, endpoints)
		for again := true; again; {
			again = false
			for i := range own {
				if may(s, own[i]) {
					s.add(&own[i], one)
					again, held = true, held+1
				}
			}
		}
		return held, s
	}
	attempt := func(s *fairShare, own holding) bool { return own.inFlight < limits.Concurrency && s.attempt(own) }
	place := func(s *fairShare, own holding) bool { return s.place(own, limits.MaxWaiting) }
	flood := func(s *fairShare, own holding) bool { return s.place(own, lineOfFlood*limits.Concurrency) }
	memory := func(s *fairShare, own holding) bool { return s.memory(own, 1) }

	for endpoints, want := range map[int]int{1: 32, 48: 48 * 32} {
		held, _ := fill(endpoints, attempt, holding{inFlight: 1})
		assert.Equal(t, want, held, "the whole limit while a quarter is free")
	}
	held, s := fill(500, attempt, holding{inFlight: 1})
	assert.Less(t, held, 2048, "there is one for whoever comes next")
	assert.True(t, s.attempt(holding{}))

	held, _ = fill(1, place, holding{waiting: 1})
	assert.Equal(t, 600, held, "half of all places")
	held, _ = fill(1, flood, holding{waiting: 1})
	assert.Equal(t, 8*32, held, "of a flood; what stands in line is unsettled, too")
	held, s = fill(5, place, holding{waiting: 1})
	assert.InDelta(t, 600, held, 5, "noisy ones leave half to the quiet")
	assert.True(t, place(s, holding{inFlight: 100}), "without a line, nobody is noisy")
	quiet := holding{}
	for place(s, quiet) {
		s.add(&quiet, holding{waiting: 1})
		if s.noisy(quiet) {
			break
		}
	}
	assert.Greater(t, quiet.waiting, 60, "a tenth of what is taken, although no noisy one gets any")
	held, s = fill(50, place, holding{waiting: 1})
	assert.Less(t, held, 1200)
	assert.True(t, place(s, holding{}))

	held, s = fill(1, memory, holding{bytes: 1})
	assert.Equal(t, 200, held, "a fifth of the memory")
	assert.True(t, s.memory(holding{}, 800), "a single one may be larger than a share")
	assert.False(t, s.memory(holding{}, 801))
}

// A process that was stopped finds that what was under way took long or failed. None
// of it is the receivers' fault.
func TestAStandstillOfOurOwnIsNotHeldAgainstReceivers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(testLimits(), func(Hint) {}) // nobody looks at the clock: as if stopped
		close(l.ended)
		defer l.Close()
		e := l.known("a")
		for range 5 {
			e.concurrency.limit *= 2
		}
		e.concurrency.growing, e.concurrency.took = false, time.Millisecond
		var turns []Turn
		for range 32 {
			turn := l.Wait(t.Context(), Request{Endpoint: "a"})
			require.True(t, turn.Go())
			turns = append(turns, turn)
		}
		<-time.After(time.Minute)
		var waiting sync.WaitGroup
		waiting.Go(func() {
			turn := l.Wait(t.Context(), Request{Endpoint: "a"})
			assert.True(t, turn.Go(), "what is under way does not hang")
			l.Done(turn, Result{Took: time.Millisecond})
		})
		synctest.Wait()
		for _, turn := range turns {
			l.Done(turn, Result{Took: time.Minute, Failed: true})
		}
		waiting.Wait()
		assert.Zero(t, l.Load().Broken)
		assert.Equal(t, 32, e.concurrency.allowed(), "as many at once as before")
		assert.Equal(t, time.Millisecond, e.concurrency.took)
	})
}
