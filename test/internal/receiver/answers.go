package receiver

import (
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Status answers with a status at once.
func Status(code int) Answer {
	return func(http.Header, <-chan struct{}, Arrival) int { return code }
}

// RetryAfter refuses and asks for a pause.
func RetryAfter(status int, pause string) Answer {
	return func(header http.Header, _ <-chan struct{}, _ Arrival) int {
		header.Set("Retry-After", pause)
		return status
	}
}

// Redirect answers 302.
func Redirect(to string) Answer {
	return func(header http.Header, _ <-chan struct{}, _ Arrival) int {
		header.Set("Location", to)
		return http.StatusFound
	}
}

// Silence says nothing until the sender gives up.
func Silence(_ http.Header, gone <-chan struct{}, _ Arrival) int {
	<-gone
	return 0
}

// Hold answers 200 as soon as released is closed.
func Hold(released <-chan struct{}) Answer {
	return func(_ http.Header, gone <-chan struct{}, _ Arrival) int {
		select {
		case <-released:
			return http.StatusOK
		case <-gone:
			return 0
		}
	}
}

// Thinks answers 200 after a while.
func Thinks(pause time.Duration) Answer {
	return func(_ http.Header, gone <-chan struct{}, _ Arrival) int {
		timer := time.NewTimer(pause)
		defer timer.Stop()
		select {
		case <-timer.C:
			return http.StatusOK
		case <-gone:
			return 0
		}
	}
}

// InTurn does this with the first POSTs, and answers 200 from then on.
func InTurn(answers ...Answer) Answer {
	var mu sync.Mutex
	next := func() Answer {
		mu.Lock()
		defer mu.Unlock()
		if len(answers) == 0 {
			return Status(http.StatusOK)
		}
		first := answers[0]
		answers = answers[1:]
		return first
	}
	return func(header http.Header, gone <-chan struct{}, a Arrival) int { return next()(header, gone, a) }
}

// FlakyShare is of how many deliveries a flaky hook refuses one at first: so few
// that hardly ever enough come in a row to open a breaker.
const FlakyShare = 8

// Flaky answers 500 to the first attempt of every eighth delivery, else 200.
func Flaky(_ http.Header, _ <-chan struct{}, a Arrival) int {
	if a.Attempt == 1 && a.Hash%FlakyShare == 0 {
		return http.StatusInternalServerError
	}
	return http.StatusOK
}

// Refusal is what receivers share that refuse everything for a while.
type Refusal struct {
	mu    sync.Mutex
	on    bool
	pause time.Duration
}

// Begin makes them refuse; those that ask for a pause ask for this one.
func (r *Refusal) Begin(pause time.Duration) { r.set(true, pause) }

// End mends them.
func (r *Refusal) End() { r.set(false, 0) }

func (r *Refusal) set(on bool, pause time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.on, r.pause = on, pause
}

func (r *Refusal) now() (on bool, pause time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.on, r.pause
}

// Broken answers 500 while it refuses, else 200.
func (r *Refusal) Broken(http.Header, <-chan struct{}, Arrival) int {
	if on, _ := r.now(); on {
		return http.StatusInternalServerError
	}
	return http.StatusOK
}

// Throttled answers 503 while it refuses and asks for the pause, else 200.
func (r *Refusal) Throttled(header http.Header, gone <-chan struct{}, a Arrival) int {
	if on, pause := r.now(); on {
		return RetryAfter(http.StatusServiceUnavailable, strconv.Itoa(int(pause/time.Second)))(header, gone, a)
	}
	return http.StatusOK
}
