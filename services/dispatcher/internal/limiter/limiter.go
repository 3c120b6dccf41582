// Package limiter answers one question for each delivery: may it go now, or not
// before when? Four parts decide, which do not know each other:
//
//	concurrency.go  how many attempts at once an endpoint can take   (AIMD)
//	breaker.go      whether it answers anything good any more        (closed, open, half-open)
//	rate.go         what was asked for                               (max_per_second, Retry-After)
//	fairshare.go    how much of what all share it may hold           (attempts, places in line, memory)
//
// A delivery that cannot go at once stands in its endpoint's line (line.go) when its
// turn is expected soon. Any other is turned away and told not to come before a
// certain time: those times follow each other at the endpoint's pace, so that a
// backlog does not come back as a herd. What is known is in memory, for each
// dispatcher, and is forgotten when an endpoint has been idle for a while. Package
// hints tells other dispatchers of pauses and open breakers.
package limiter

import (
	"context"
	"sync"
	"time"
)

// Limits bounds each endpoint and all of them together.
type Limits struct {
	// Concurrency is how many attempts may be under way at once to one endpoint.
	Concurrency int
	// MaxWait is the longest expected wait in line. Nobody stands there for longer
	// than twice as long.
	MaxWait time.Duration
	// MaxInFlight is how many attempts may be under way at once to all endpoints.
	MaxInFlight int
	// MaxWaiting is how many deliveries may stand in all lines.
	MaxWaiting int
	// MaxBytes is what all deliveries under way and in line may hold in memory. One
	// endpoint's have a fifth of that at most, but for a single one.
	MaxBytes int64
}

const (
	// standstill is how long this process has to have done nothing at all for it to be
	// its own fault that receivers seem slow: it was stopped, or its machine was.
	standstill = time.Second
	// rememberFor is how long what was learned of an idle endpoint is kept.
	rememberFor = 30 * time.Second
)

// Limiter decides for all endpoints of this dispatcher. It is safe for concurrent use.
type Limiter struct {
	limits Limits
	tell   func(Hint)

	mu        sync.Mutex
	endpoints map[string]*endpoint
	share     fairShare
	starved   []*endpoint // in need of one of the attempts that others hold
	replicas  int
	clock     clock
	closed    bool

	stop  chan struct{}
	ended chan struct{}
}

// New returns a limiter. Whoever calls it calls Close in the end. Tell is called when
// an endpoint asks for a pause, when its breaker opens, and when it may be called
// again. It must not block.
func New(limits Limits, tell func(Hint)) *Limiter {
	l := newLimiter(limits, tell)
	go l.run()
	return l
}

func newLimiter(limits Limits, tell func(Hint)) *Limiter {
	return &Limiter{
		limits: limits, tell: tell,
		endpoints: map[string]*endpoint{}, share: fairShare{limits: limits},
		replicas: 1, clock: clock{last: time.Now()},
		stop: make(chan struct{}), ended: make(chan struct{}),
	}
}

// Wait asks for a delivery's turn. It returns at once when the delivery may go, or
// may not for a while. In between, it blocks while the delivery stands in line. The
// end of ctx and Close take it out of there. Whoever gets a turn to go calls
// [Limiter.Done] when the attempt has ended.
func (l *Limiter) Wait(ctx context.Context, r Request) Turn {
	if ctx.Err() != nil {
		return Turn{NotBefore: time.Now(), Cause: Stopping}
	}
	turn, w := l.ask(r)
	if w == nil {
		return turn
	}
	patience := time.NewTimer(2 * l.limits.MaxWait)
	defer patience.Stop()
	select {
	case turn := <-w.turn:
		return turn
	case <-patience.C:
		return l.giveUp(w, Busy)
	case <-ctx.Done():
		return l.giveUp(w, Stopping)
	}
}

// ask answers, or puts the delivery in line.
func (l *Limiter) ask(r Request) (Turn, *waiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.clock.now()
	if l.closed {
		return Turn{NotBefore: now, Cause: Stopping}, nil
	}
	e := l.endpoint(r, now)
	if until, cause := e.shut(now); cause != 0 {
		return e.turnAway(r, until, cause), nil
	}
	wait := e.wait(r, now)
	notBefore := now.Add(max(wait, l.limits.MaxWait))
	switch {
	case !l.share.memory(e.holding, r.Bytes):
		return e.turnAway(r, notBefore, Busy), nil
	case e.next(r) && e.room(now) && l.share.attempt(e.holding):
		l.share.add(&e.holding, holding{bytes: r.Bytes})
		return l.grant(e, r, now), nil
	case !e.breaker.closed():
		return e.turnAway(r, notBefore, Broken), nil // another one is probing
	case wait > l.limits.MaxWait || e.hangs(l.clock.resumed, now, l.limits.MaxWait):
		return e.turnAway(r, notBefore, e.busy()), nil
	case !l.share.place(e.holding, e.longestLine(r, l.limits)): // there will be a place within MaxWait
		return e.turnAway(r, now.Add(max(wait, fullLine)), e.busy()), nil
	}
	w := &waiter{endpoint: e, request: r, turn: make(chan Turn, 1)}
	e.lineOf(r).join(w)
	l.share.add(&e.holding, holding{waiting: 1, bytes: r.Bytes})
	l.call(e, now)
	return Turn{}, w
}

// endpoint is what is known of where the delivery goes.
func (l *Limiter) endpoint(r Request, now time.Time) *endpoint {
	e := l.known(r.Endpoint)
	e.used = now
	e.rate.set(r.MaxPerSecond, l.replicas, now)
	return e
}

func (l *Limiter) known(name string) *endpoint {
	e := l.endpoints[name]
	if e == nil {
		e = &endpoint{name: name, concurrency: newConcurrency(l.limits.Concurrency)}
		l.endpoints[name] = e
	}
	return e
}

// grant lets a delivery go.
func (l *Limiter) grant(e *endpoint, r Request, now time.Time) Turn {
	e.concurrency.begin(e.holding.inFlight, now)
	e.rate.begin(now)
	l.share.add(&e.holding, holding{inFlight: 1})
	return Turn{endpoint: e, bytes: r.Bytes, began: now}
}

// giveUp takes a delivery out of its line, unless it has just been answered.
func (l *Limiter) giveUp(w *waiter, cause Cause) Turn {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w.left {
		return <-w.turn
	}
	now := l.clock.now()
	l.leave(w)
	if cause == Stopping {
		return Turn{NotBefore: now, Cause: Stopping}
	}
	e := w.endpoint
	return e.turnAway(w.request, now.Add(max(e.wait(w.request, now), l.limits.MaxWait)), e.busy())
}

// leave takes a delivery out of its line.
func (l *Limiter) leave(w *waiter) {
	e := w.endpoint
	e.lineOf(w.request).leave(w)
	l.share.add(&e.holding, holding{waiting: -1, bytes: -w.request.Bytes})
}

// Done ends the attempt that a turn to go allowed, and lets others go. For any other
// turn it does nothing.
func (l *Limiter) Done(t Turn, r Result) {
	if !t.Go() {
		return
	}
	if hint, news := l.done(t, r); news {
		l.tell(hint)
	}
}

func (l *Limiter) done(t Turn, r Result) (hint Hint, news bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.clock.now()
	e := t.endpoint
	e.used = now
	if !r.Ignore && !t.began.Before(l.clock.resumed) {
		news = e.learn(attempt{took: r.Took, failed: r.Failed, began: t.began, ended: now})
	}
	if e.rate.pause(r.PauseUntil) {
		news = true
	}
	e.concurrency.moved = now
	l.share.add(&e.holding, holding{inFlight: -1, bytes: -t.bytes})
	l.feedStarved(now)
	l.release(e, now)
	return e.hint(now), news
}

// feedStarved gives attempts that are free to those endpoints that have none, one each, in
// the order in which they came to need one.
func (l *Limiter) feedStarved(now time.Time) {
	for len(l.starved) > 0 && l.share.total.inFlight < l.limits.MaxInFlight {
		e := l.starved[0]
		l.starved[0] = nil
		l.starved = l.starved[1:]
		e.starved = false
		l.release(e, now)
	}
}

// release lets go from the endpoint's line what may go now. When nothing may for a
// while, it turns everybody away.
func (l *Limiter) release(e *endpoint, now time.Time) {
	until, cause := e.shut(now)
	for w := e.first(); w != nil; w = e.first() {
		if cause != 0 {
			l.leave(w)
			w.turn <- e.turnAway(w.request, until, cause)
			continue
		}
		if !e.room(now) || !l.share.attempt(e.holding) {
			break
		}
		l.leave(w)
		l.share.add(&e.holding, holding{bytes: w.request.Bytes})
		w.turn <- l.grant(e, w.request, now)
	}
	l.call(e, now)
}

// call makes sure that somebody comes for what is in line: an attempt of the
// endpoint that ends, one of anybody's, or a timer.
func (l *Limiter) call(e *endpoint, now time.Time) {
	switch {
	case e.holding.waiting == 0:
	case e.rate.blocked(now):
		e.wakeAt(e.rate.next, now, func() { l.wake(e) })
	case e.holding.inFlight == 0 && !e.starved:
		e.starved = true
		l.starved = append(l.starved, e)
	}
}

// wake releases what its rate allows.
func (l *Limiter) wake(e *endpoint) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.waking = false
	if l.closed {
		return
	}
	e.rate.woken = true
	l.release(e, l.clock.now())
	e.rate.woken = false
}

// Close takes everybody out of line, at once, and ends what runs here. Attempts
// under way are not affected.
func (l *Limiter) Close() {
	l.mu.Lock()
	closing := !l.closed
	l.closed = true
	now := l.clock.now()
	for _, e := range l.endpoints {
		for w := e.first(); w != nil; w = e.first() {
			l.leave(w)
			w.turn <- Turn{NotBefore: now, Cause: Stopping}
		}
		if e.timer != nil {
			e.timer.Stop()
		}
	}
	l.starved = nil
	l.mu.Unlock()
	if closing {
		close(l.stop)
	}
	<-l.ended
}

// run notices when this process stood still, and forgets idle endpoints.
func (l *Limiter) run() {
	defer close(l.ended)
	tick := time.NewTicker(standstill / 4)
	defer tick.Stop()
	forgotten := time.Now()
	for {
		select {
		case <-l.stop:
			return
		case now := <-tick.C:
			l.look()
			if now.Sub(forgotten) > rememberFor/4 {
				forgotten = now
				l.forget(now)
			}
		}
	}
}

// look at the clock, so that it stands still only when this process does.
func (l *Limiter) look() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clock.now()
}

func (l *Limiter) forget(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, e := range l.endpoints {
		if e.idle(now) {
			delete(l.endpoints, name)
		}
	}
}

// Load is what there is at one moment.
type Load struct {
	// Endpoints are remembered, and the breakers of Broken of them are not closed.
	Endpoints, Broken int
	// InFlight attempts are under way, Waiting deliveries stand in line, and all of
	// them hold so many Bytes.
	InFlight, Waiting int
	Bytes             int64
	// Replicas is how many dispatchers share each webhook's rate.
	Replicas int
}

// Load tells what there is now.
func (l *Limiter) Load() Load {
	l.mu.Lock()
	defer l.mu.Unlock()
	load := Load{
		Endpoints: len(l.endpoints),
		InFlight:  l.share.total.inFlight, Waiting: l.share.total.waiting, Bytes: l.share.total.bytes,
		Replicas: l.replicas,
	}
	for _, e := range l.endpoints {
		if !e.breaker.closed() {
			load.Broken++
		}
	}
	return load
}
