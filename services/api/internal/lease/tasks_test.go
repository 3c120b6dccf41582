package lease_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/dembrane/webhooks/services/api/internal/lease"
)

// tasks is a store of tasks that replicas share. What is done is removed.
type tasks struct {
	mu     sync.Mutex
	leases map[string]lease.Lease
	// away is what the replica "one" is answered instead; nil for nothing.
	away func(context.Context) error
}

func newTasks(count int) *tasks {
	s := &tasks{leases: map[string]lease.Lease{}}
	for i := range count {
		s.leases[fmt.Sprint("task ", i)] = lease.Lease{}
	}
	return s
}

// answers reports whether the store answers a replica.
func (s *tasks) answers(ctx context.Context, replica string) error {
	s.mu.Lock()
	away := s.away
	s.mu.Unlock()
	if away != nil && replica == "one" {
		return away(ctx)
	}
	return ctx.Err()
}

func (s *tasks) isAway(answer func(context.Context) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = answer
}

// swap stores a lease if the one that is stored is as seen.
func (s *tasks) swap(id string, seen, next lease.Lease) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if stored, there := s.leases[id]; !there || stored != seen {
		return false
	}
	s.leases[id] = next
	return true
}

// first is the lease of the first task.
func (s *tasks) first() lease.Lease {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leases["task 0"]
}

func (s *tasks) left() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.leases)
}

// replica works on tasks.
type replica struct {
	*lease.Runner

	stop func() // and waits until Run has returned
	logs *observer.ObservedLogs
}

// start starts a replica.
func (s *tasks) start(t *testing.T, name string, work func(ctx context.Context, id string) error, change func(*lease.Deps)) replica {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	log := zap.New(core)
	deps := lease.Deps{Length: length, AtOnce: 100, Log: log, Open: func(ctx context.Context) (list []lease.Task, _ error) {
		if err := s.answers(ctx, name); err != nil {
			return nil, err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for id, seen := range s.leases {
			list = append(list, lease.Task{
				ID: id, Seen: seen, Log: log,
				Swap: func(ctx context.Context, seen, next lease.Lease) (bool, error) {
					if err := s.answers(ctx, name); err != nil {
						return false, err
					}
					return s.swap(id, seen, next), nil
				},
				Work: func(ctx context.Context) error {
					err := work(ctx, id)
					if err == nil {
						s.mu.Lock()
						defer s.mu.Unlock()
						delete(s.leases, id)
					}
					return err
				},
			})
		}
		return list, nil
	}}
	change(&deps)
	r := replica{Runner: lease.New(deps), logs: logs}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { r.Run(ctx) })
	r.stop = func() {
		cancel()
		running.Wait()
	}
	t.Cleanup(r.stop)
	return r
}

func asTheyAre(*lease.Deps) {}

// workers counts who works.
type workers struct {
	mu sync.Mutex
	// on is how many work on a task, begun how often that began.
	on, begun map[string]int
	// together is how many worked on one task at once at most, and all on all of them.
	together, all int
	now           int
}

func newWorkers() *workers { return &workers{on: map[string]int{}, begun: map[string]int{}} }

// during counts while do is done.
func (w *workers) during(id string, do func() error) error {
	w.mu.Lock()
	w.begun[id]++
	w.on[id]++
	w.now++
	w.together, w.all = max(w.together, w.on[id]), max(w.all, w.now)
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.on[id]--
		w.now--
	}()
	return do()
}

// begins is how often work on a task has begun.
func (w *workers) begins(id string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.begun[id]
}

// pass lets time pass, and what happens by then happen.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// lasts is work that takes its time.
func lasts(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// untilTold is work that never ends by itself. It tells when it began and ended.
func untilTold(began, ended chan<- time.Time) func(context.Context, string) error {
	return func(ctx context.Context, _ string) error {
		began <- time.Now()
		<-ctx.Done()
		ended <- time.Now()
		return context.Cause(ctx)
	}
}

// times is for one task that is begun a few times.
func times() chan time.Time { return make(chan time.Time, 10) }
