package limiter

import "time"

// Hint is what other dispatchers should know of an endpoint.
type Hint struct {
	Endpoint string
	// Until is when it may be called again; zero when it may be called.
	Until time.Time
	Cause Cause
}

// Recovered tells that a receiver has just taken something that did not come through
// here, such as a host's test: its breaker closes. A pause that it asked for goes on.
func (l *Limiter) Recovered(endpoint string) {
	if hint, news := l.recovered(endpoint); news {
		l.tell(hint)
	}
}

func (l *Limiter) recovered(endpoint string) (hint Hint, news bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.endpoints[endpoint]
	if e == nil || !e.breaker.succeed() {
		return Hint{}, false
	}
	e.live.slot, e.background.slot = time.Time{}, time.Time{}
	return e.hint(l.clock.now()), true
}

// Pause is heard from another dispatcher: the endpoint wants nothing before the
// given time ([Paused]), or its breaker is open there ([Broken]). With a zero time,
// the breaker closes.
func (l *Limiter) Pause(endpoint string, until time.Time, cause Cause) {
	if until.IsZero() {
		l.recovered(endpoint)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.clock.now()
	if l.closed || !now.Before(until) {
		return
	}
	e := l.known(endpoint)
	if cause == Broken {
		e.breaker.hear(until, now)
	} else {
		e.rate.pause(until)
	}
	l.release(e, now)
}

// Paused is until when the receiver has asked to be left alone; zero when it has not.
func (l *Limiter) Paused(endpoint string) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.endpoints[endpoint]; e != nil && e.rate.paused(l.clock.now()) {
		return e.rate.pauseUntil
	}
	return time.Time{}
}

// SetReplicas says how many dispatchers share each webhook's max_per_second.
func (l *Limiter) SetReplicas(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.replicas = max(1, n)
}
