// Package lease lets the replicas of a service share tasks: one replica works on a
// task at a time, and another one goes on with it when that one dies.
//
//	Open ──▶ what is to be done, and until when each task is somebody's
//	Swap ──▶ this replica's, if nobody else was faster; and again, as long as it works
//	Work ──▶ until it is done; its context ends when the lease is lost
//
// A replica that stops gives its leases back. One that is killed does not: its tasks are
// taken over when their leases have ended. Clocks differ, and a process may stand still
// without knowing it, so for a moment two may work on the same task: work must bear that,
// and being begun again from wherever it was broken off.
package lease

import (
	"context"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/retry"
)

const (
	// lookEvery is how often tasks are looked for that nobody works on.
	lookEvery = 2 * time.Second
	// renewals is how often a lease could be renewed before it ends.
	renewals = 4
	// giveBackPatience bounds how long a stop waits for the store.
	giveBackPatience = 4 * time.Second
)

// Lease says which replica works on a task, and until when. It is stored with the task.
type Lease struct {
	Owner string    `bson:"owner"`
	Until time.Time `bson:"until"`
}

// Task is something that one replica works on at a time.
type Task struct {
	ID string
	// Seen is its lease as it is stored.
	Seen Lease
	// Swap stores next, if the lease that is stored is still as seen, and reports whether
	// it was. It is called while Work runs.
	Swap func(ctx context.Context, seen, next Lease) (bool, error)
	// Work returns nil when there is nothing left to do. After an error it is called
	// again, a while later.
	Work func(ctx context.Context) error
	// Log says which task it is.
	Log *zap.Logger
}

// Deps is what a [Runner] needs.
type Deps struct {
	// Open returns the tasks that are not done, whoever works on them.
	Open func(ctx context.Context) ([]Task, error)
	// Length is how long a task is left to a replica that does not renew its lease.
	Length time.Duration
	// AtOnce bounds the tasks that this replica works on at once.
	AtOnce int
	// Now is the clock; nil for the system's.
	Now func() time.Time
	// Log says which kind of tasks they are.
	Log *zap.Logger
}

// Runner works on tasks. It is safe for concurrent use.
type Runner struct {
	Deps

	// owner names this replica.
	owner string
	// wake tells the loop of [Runner.Run] that there is something to do.
	wake chan struct{}

	mu      sync.Mutex
	running map[string]bool // by task
}

// New returns a runner. It does nothing until [Runner.Run].
func New(deps Deps) *Runner {
	if deps.Now == nil {
		deps.Now = time.Now
	}
	return &Runner{Deps: deps, owner: ulid.Make().String(), wake: make(chan struct{}, 1), running: map[string]bool{}}
}

// Wake says that there is a new task: Run looks at once.
func (r *Runner) Wake() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run works on tasks until ctx is done. It returns when all work has ended.
func (r *Runner) Run(ctx context.Context) {
	var work sync.WaitGroup
	defer work.Wait()
	failing := false
	for ctx.Err() == nil {
		err := r.look(ctx, &work)
		switch {
		case err != nil && !failing && ctx.Err() == nil:
			r.Log.Warn("work waits: it cannot be looked up", zap.Error(err))
		case err == nil && failing:
			r.Log.Info("work goes on")
		}
		failing = err != nil
		select {
		case <-ctx.Done():
		case <-r.wake:
		case <-time.After(lookEvery):
		}
	}
}

// look takes the tasks that nobody works on.
func (r *Runner) look(ctx context.Context, work *sync.WaitGroup) error {
	all, err := r.Open(ctx)
	if err != nil {
		return err
	}
	for _, task := range all {
		if r.Now().Before(task.Seen.Until) || !r.begin(task.ID) {
			continue
		}
		taken := r.next()
		ok, err := task.Swap(ctx, task.Seen, taken)
		if ok {
			work.Go(func() { r.hold(ctx, task, taken) })
			continue
		}
		r.forget(task.ID)
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *Runner) next() Lease { return Lease{Owner: r.owner, Until: r.Now().Add(r.Length).UTC()} }

func (r *Runner) begin(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.running[id] || len(r.running) >= r.AtOnce {
		return false
	}
	r.running[id] = true
	return true
}

func (r *Runner) forget(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.running, id)
}

// hold works on a task for as long as its lease can be renewed.
func (r *Runner) hold(ctx context.Context, task Task, held Lease) {
	defer r.forget(task.ID)
	working, release := context.WithCancel(ctx)
	defer release()
	var renewing sync.WaitGroup
	renewing.Go(func() {
		defer release()
		held = r.renew(working, task, held)
	})
	// It returns when working is done, which is no fault: another replica goes on.
	err := retry.Until(working, retry.Pace{First: 100 * time.Millisecond, Longest: 10 * time.Second},
		func(err error, _ time.Duration) { task.Log.Warn("work is interrupted: going on", zap.Error(err)) }, task.Work)
	release()
	renewing.Wait()
	if err != nil && ctx.Err() != nil { // this replica stops
		back, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveBackPatience)
		defer cancel()
		if _, err := task.Swap(back, held, Lease{Until: r.Now().UTC()}); err != nil {
			task.Log.Info("work was not handed over: it goes on a little later", zap.Error(err))
		}
	}
}

// renew renews a lease until ctx is done, somebody else has it, or it has ended. It
// returns it as it was stored last.
func (r *Runner) renew(ctx context.Context, task Task, held Lease) Lease {
	for {
		retry.Pause(ctx, r.Length/renewals)
		if ctx.Err() != nil {
			return held
		}
		renewal, cancel := context.WithTimeout(ctx, held.Until.Sub(r.Now()))
		next := r.next()
		ok, err := task.Swap(renewal, held, next)
		cancel()
		switch {
		case ok:
			held = next
		case err == nil, !r.Now().Before(held.Until):
			return held
		}
	}
}
