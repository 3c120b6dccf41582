package lease_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/services/api/internal/lease"
)

const (
	length = 12 * time.Second
	// renewed is when every lease has been renewed once more, and looked when every
	// replica has looked once more.
	renewed = length / 4
	looked  = 2 * time.Second
)

var errAway = errors.New("the store is away")

// Work that takes much longer than a lease is done once, by one replica at a time.
func TestOneReplicaWorksOnATask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, w := newTasks(20), newWorkers()
		work := func(ctx context.Context, id string) error {
			return w.during(id, func() error { return lasts(ctx, 5*length) })
		}
		for _, name := range []string{"one", "two", "three"} {
			s.start(t, name, work, asTheyAre)
		}

		pass(10 * length)

		assert.Zero(t, s.left())
		assert.Equal(t, 1, w.together)
		assert.Equal(t, 20, w.all, "they are worked on at once")
		for id, begun := range w.begun {
			assert.Equal(t, 1, begun, id)
		}
	})
}

// The store does not answer the one that works: its work ends with its lease, and not
// before that another one begins.
func TestATaskIsTakenOverWhenItsLeaseHasEnded(t *testing.T) {
	for name, away := range map[string]func(context.Context) error{
		"refused": func(context.Context) error { return errAway },
		"no answer": func(ctx context.Context) error {
			<-ctx.Done()
			return context.Cause(ctx)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newTasks(1)
				began, ended, again := times(), times(), times()
				s.start(t, "one", untilTold(began, ended), asTheyAre)
				<-began
				s.start(t, "two", untilTold(again, times()), asTheyAre)
				pass(2*length + renewed/2)
				require.Empty(t, again, "nobody takes away what is renewed")
				until := s.first().Until

				s.isAway(away)

				assert.Equal(t, until, (<-ended).UTC())
				taken := <-again
				assert.False(t, taken.Before(until), "two would work on it")
				assert.LessOrEqual(t, taken.Sub(until), looked)
			})
		})
	}
}

// A store that is away for less than a lease disturbs nobody.
func TestOneRenewalThatFailsIsMadeUpFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTasks(1)
		began, ended := times(), times()
		s.start(t, "one", untilTold(began, ended), asTheyAre)
		<-began
		s.isAway(func(context.Context) error { return errAway })
		pass(2*renewed + renewed/2)
		s.isAway(nil)
		pass(length)

		assert.Empty(t, ended)
		assert.True(t, s.first().Until.After(time.Now()))
	})
}

func TestWorkEndsWhenSomebodyElseHasTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTasks(1)
		began, ended := times(), times()
		s.start(t, "one", untilTold(began, ended), asTheyAre)
		<-began
		theirs := lease.Lease{Owner: "another", Until: time.Now().Add(time.Hour)}
		require.True(t, s.swap("task 0", s.first(), theirs))

		pass(renewed)

		assert.Len(t, ended, 1)
		pass(length)
		assert.Equal(t, theirs, s.first(), "it is left alone")
	})
}

// A stop ends the work, waits for it, and gives the task to another replica at once.
func TestAStopWaitsForTheWorkAndHandsItOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const tidying = 5 * time.Second
		s := newTasks(1)
		began, again := times(), times()
		var tidied time.Time
		one := s.start(t, "one", func(ctx context.Context, _ string) error {
			began <- time.Now()
			<-ctx.Done()
			<-time.After(tidying)
			tidied = time.Now()
			return context.Cause(ctx)
		}, asTheyAre)
		<-began
		s.start(t, "two", untilTold(again, times()), asTheyAre)
		asked := time.Now()

		one.stop()

		assert.Equal(t, tidying, time.Since(asked))
		assert.Equal(t, time.Now(), tidied)
		taken := <-again
		assert.False(t, taken.Before(tidied), "two would work on it")
		assert.LessOrEqual(t, taken.Sub(tidied), looked)
	})
}

func TestATaskThatCannotBeHandedOverIsTakenOverLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTasks(1)
		began, again := times(), times()
		one := s.start(t, "one", untilTold(began, times()), asTheyAre)
		<-began
		s.isAway(func(context.Context) error { return errAway })
		one.stop()
		assert.Equal(t, 1, one.logs.FilterMessage("work was not handed over: it goes on a little later").Len())
		until := s.first().Until
		s.start(t, "two", untilTold(again, times()), asTheyAre)
		assert.False(t, (<-again).Before(until))
	})
}

func TestNoMoreTasksThanAllowedAreWorkedOnAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, w := newTasks(10), newWorkers()
		s.start(t, "one", func(ctx context.Context, id string) error {
			return w.during(id, func() error { return lasts(ctx, time.Minute) })
		}, func(deps *lease.Deps) { deps.AtOnce = 3 })
		pass(10 * time.Minute)
		assert.Zero(t, s.left())
		assert.Equal(t, 3, w.all)
	})
}

// What fails stays with its replica, and is begun again, less and less often.
func TestWorkThatFailsIsBegunAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const failures = 10
		s, w := newTasks(1), newWorkers()
		work := func(_ context.Context, id string) error {
			return w.during(id, func() error {
				if w.begins(id) <= failures {
					return errAway
				}
				return nil
			})
		}
		one := s.start(t, "one", work, asTheyAre)
		two := s.start(t, "two", work, asTheyAre)
		pass(time.Second)
		assert.Less(t, w.begins("task 0"), failures)
		pass(time.Minute)
		assert.Zero(t, s.left())
		assert.Equal(t, failures+1, w.begins("task 0"))
		assert.Equal(t, 1, w.together)
		interrupted := func(r replica) int { return r.logs.FilterMessage("work is interrupted: going on").Len() }
		assert.Equal(t, failures, max(interrupted(one), interrupted(two)), "by the same replica")
	})
}

func TestTasksThatCannotBeLookedUpWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTasks(1)
		s.isAway(func(context.Context) error { return errAway })
		one := s.start(t, "one", func(context.Context, string) error { return nil }, asTheyAre)
		pass(time.Minute)
		assert.Equal(t, 1, one.logs.FilterMessage("work waits: it cannot be looked up").Len(), "it is said once")
		s.isAway(nil)
		pass(looked)
		assert.Zero(t, s.left())
		assert.Equal(t, 1, one.logs.FilterMessage("work goes on").Len())
	})
}

func TestATaskThatCouldNotBeTakenIsTakenLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, asked := newTasks(1), 0
		s.isAway(func(context.Context) error {
			if asked++; asked == 2 { // it was looked up, and is to be taken
				return errAway
			}
			return nil
		})
		s.start(t, "one", func(context.Context, string) error { return nil }, asTheyAre)
		pass(looked)
		assert.Zero(t, s.left())
	})
}

func TestANewTaskIsBegunAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTasks(0)
		began := times()
		one := s.start(t, "one", untilTold(began, times()), asTheyAre)
		synctest.Wait()
		s.mu.Lock()
		s.leases["new"] = lease.Lease{}
		s.mu.Unlock()
		now := time.Now()
		one.Wake()
		assert.Equal(t, now, <-began)
	})
}

// A lease has ended when the clock of the one that looks says so. One whose clock is
// ahead takes a task too early: then the other one lets go of it.
func TestAReplicaWhoseClockIsAheadTakesOverEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTasks(1)
		began, ended, again := times(), times(), times()
		s.start(t, "one", untilTold(began, ended), asTheyAre)
		<-began
		s.start(t, "ahead", untilTold(again, times()), func(deps *lease.Deps) {
			deps.Now = func() time.Time { return time.Now().Add(length) }
		})
		taken := <-again
		assert.LessOrEqual(t, (<-ended).Sub(taken), renewed)
		pass(10 * length)
		assert.Empty(t, again)
		assert.Empty(t, began, "it stays with one of them")
	})
}
