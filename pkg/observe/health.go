package observe

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// checkTimeout bounds one run of all readiness checks.
const checkTimeout = 3 * time.Second

// noticeTimeout bounds one run of all notices: a probe does not wait for them.
const noticeTimeout = time.Second

// Check reports why a part is not ready, or nil. Its text is shown to operators.
type Check func(ctx context.Context) error

// Health is whether a process lives and whether it should be sent work. It is
// safe for concurrent use.
type Health struct {
	mu       sync.Mutex
	names    []string
	checks   map[string]Check
	notices  map[string]Check
	draining atomic.Bool
	dead     atomic.Pointer[string]
}

// NewHealth returns a health without checks, which is ready.
func NewHealth() *Health { return &Health{checks: map[string]Check{}, notices: map[string]Check{}} }

// Add registers a readiness check under a name that is shown to operators.
func (h *Health) Add(name string, check Check) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, known := h.checks[name]; !known {
		h.names = append(h.names, name)
	}
	h.checks[name] = check
}

// Notice registers a check of what the process serves without: its fault is told
// to operators, and the process stays ready.
func (h *Health) Notice(name string, check Check) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.notices[name] = check
}

// Away runs every check that was registered as a notice, all at once, and returns
// what is wrong by name.
func (h *Health) Away(ctx context.Context) map[string]string {
	ctx, cancel := context.WithTimeout(ctx, noticeTimeout)
	defer cancel()
	h.mu.Lock()
	notices := maps.Clone(h.notices)
	h.mu.Unlock()
	var running sync.WaitGroup
	var mu sync.Mutex
	faults := map[string]string{}
	for name, check := range notices {
		running.Go(func() {
			if err := check(ctx); err != nil {
				mu.Lock()
				defer mu.Unlock()
				faults[name] = err.Error()
			}
		})
	}
	running.Wait()
	return faults
}

// Drain makes the process not ready for good: the first step of a stop.
func (h *Health) Drain() { h.draining.Store(true) }

// Ready runs every check and returns what is wrong by name; empty means ready.
func (h *Health) Ready(ctx context.Context) map[string]string {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	h.mu.Lock()
	names := append([]string(nil), h.names...)
	checks := make([]Check, len(names))
	for i, name := range names {
		checks[i] = h.checks[name]
	}
	h.mu.Unlock()
	faults := map[string]string{}
	if h.draining.Load() {
		faults["process"] = "stopping"
	}
	if why := h.dead.Load(); why != nil {
		faults["process"] = *why
	}
	for i, check := range checks {
		if err := check(ctx); err != nil {
			faults[names[i]] = err.Error()
		}
	}
	return faults
}

// Dead says that the process cannot do its work any more and that nothing mends
// that: from now on it is neither alive nor ready. The text is shown to operators.
// Whoever says so ends the process as well.
func (h *Health) Dead(why string) { h.dead.CompareAndSwap(nil, &why) }

func (h *Health) serveReady(w http.ResponseWriter, r *http.Request) {
	faults := h.Ready(r.Context())
	status := http.StatusOK
	if len(faults) > 0 {
		status = http.StatusServiceUnavailable
	}
	body := map[string]any{"ready": len(faults) == 0, "faults": faults}
	if away := h.Away(r.Context()); len(away) > 0 {
		body["away"] = away
	}
	answer(w, status, body)
}

// serveLive answers as long as the process can answer at all: a dependency that
// is down is no reason to restart. Only what nothing mends is.
func (h *Health) serveLive(w http.ResponseWriter, _ *http.Request) {
	if why := h.dead.Load(); why != nil {
		answer(w, http.StatusServiceUnavailable, map[string]any{"live": false, "fault": *why})
		return
	}
	answer(w, http.StatusOK, map[string]any{"live": true})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the prober went away: nobody is left to tell
}
