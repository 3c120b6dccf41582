package store

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// lineTimeout bounds the wait for others of this process who create in the same
// project. Nothing is written before it is over.
const lineTimeout = 10 * time.Second

// lines are the projects in which somebody creates at the moment.
type lines struct {
	mu        sync.Mutex
	byProject map[string]*line
}

// line is those who create in one project, one at a time. It is forgotten when
// nobody is left in it, so what it knows is never old.
type line struct {
	turn chan struct{}
	// waiting counts those in it; the lock of [lines] guards it.
	waiting int

	// Whoever has the turn may use the rest.

	// taken are slots that somebody in this line has found taken. One of them may
	// be free again, so they only are tried last.
	taken map[int]bool
	// fullFrom is when the last one began who found every slot taken.
	fullFrom time.Time
}

// turn is somebody's turn in a line.
type turn struct {
	*line

	began time.Time
	// full says that every slot was found taken since this caller came.
	full bool
}

// enter waits for a turn and returns what ends it.
func (l *lines) enter(ctx context.Context, projectID string) (*turn, func(), error) {
	arrived := time.Now()
	in := l.join(projectID)
	ctx, cancel := context.WithTimeoutCause(ctx, lineTimeout, errors.New("too many create webhooks in this project at the same time"))
	defer cancel()
	select {
	case in.turn <- struct{}{}:
	case <-ctx.Done():
		l.leave(projectID, in)
		return nil, nil, unavailable("insert webhook", context.Cause(ctx))
	}
	return &turn{line: in, began: time.Now(), full: in.fullFrom.After(arrived)}, func() {
		<-in.turn
		l.leave(projectID, in)
	}, nil
}

func (l *lines) join(projectID string) *line {
	l.mu.Lock()
	defer l.mu.Unlock()
	in := l.byProject[projectID]
	if in == nil {
		in = &line{turn: make(chan struct{}, 1), taken: map[int]bool{}}
		l.byProject[projectID] = in
	}
	in.waiting++
	return in
}

func (l *lines) leave(projectID string, in *line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if in.waiting--; in.waiting == 0 {
		delete(l.byProject, projectID)
	}
}

// order is the slots in a random order, those that are not known to be taken
// first: replicas that create at the same time would all try the first one.
func (t *turn) order(limit int) []int {
	slots := rand.Perm(limit) //nolint:gosec // it only has to spread
	slices.SortStableFunc(slots, func(a, b int) int {
		switch {
		case t.taken[a] == t.taken[b]:
			return 0
		case t.taken[b]:
			return -1
		default:
			return 1
		}
	})
	return slots
}
