package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/dembrane/webhooks/pkg/signature"
)

// kind is how a hook answers.
type kind string

const (
	steady kind = "steady" // 200 at once
	flaky  kind = "flaky"  // 500 to the first attempt of every eighth delivery, else 200
	slow   kind = "slow"   // 200 after a while

	throttled kind = "throttled" // 503 and Retry-After while it refuses, else 200
	broken    kind = "broken"    // 500 while it refuses, else 200
)

const (
	// slowness is how long a slow hook thinks.
	slowness = 50 * time.Millisecond
	// flakyShare is of how many deliveries a flaky hook refuses one at first: so
	// few that hardly ever enough come in a row to open a breaker.
	flakyShare = 8
	// mostFaults bounds what is remembered word for word.
	mostFaults = 20
	// maxBody is more than any event of this program.
	maxBody = 1 << 20
)

// attempts is how many attempts a delivery to such a hook takes at most when
// nothing is wrong with us.
func (k kind) attempts() int {
	if k == flaky {
		return 2
	}
	return 1
}

// hook is what a webhook points to.
type hook struct {
	path   string
	kind   kind
	secret string
	// arrived holds a token once something has arrived since it was last taken.
	arrived chan struct{}
}

// ledger is the receiver: it notes every POST, and what was owed. It outlives
// every fault.
type ledger struct {
	url    string
	server *http.Server
	ended  chan error

	mu     sync.Mutex
	hooks  map[string]*hook
	books  map[string]*book
	faults []string
	wrong  int // faults, counted
	// refusing says that throttled and broken hooks do, and pause is what the
	// throttled ones ask for.
	refusing bool
	pause    time.Duration
}

// refuse lets throttled and broken hooks refuse everything until they are mended.
func (l *ledger) refuse(pause time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refusing, l.pause = true, pause
}

// asks is the pause that throttled hooks ask for, in seconds.
func (l *ledger) asks() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return int(l.pause / time.Second)
}

// mend lets them take everything.
func (l *ledger) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refusing = false
}

func openLedger(ctx context.Context) (*ledger, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for deliveries: %w", err)
	}
	l := &ledger{
		url:   "http://" + listener.Addr().String(),
		ended: make(chan error, 1),
		hooks: map[string]*hook{}, books: map[string]*book{},
	}
	l.server = &http.Server{Handler: l, ReadHeaderTimeout: time.Minute}
	go func() { l.ended <- l.server.Serve(listener) }()
	return l, nil
}

func (l *ledger) close() error {
	err := l.server.Close()
	if served := <-l.ended; !errors.Is(served, http.ErrServerClosed) {
		return fmt.Errorf("receive deliveries: %w", served)
	}
	return err
}

// hook makes an address to deliver to.
func (l *ledger) hook(name string, k kind) *hook {
	h := &hook{path: "/" + name, kind: k, secret: "the secret of " + name, arrived: make(chan struct{}, 1)}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hooks[h.path] = h
	return h
}

// open begins the book of all events whose ids begin with this name, or goes on
// with it.
func (l *ledger) open(name string) *book {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.books[name]
	if b == nil {
		b = &book{ledger: l, name: name, lines: map[string]*line{}}
		l.books[name] = b
	}
	return b
}

// wrongs is what must not be there: a signature that does not fit, a delivery
// that changed, an event that nobody published.
func (l *ledger) wrongs() (count int, examples []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.wrong, l.faults
}

// complain is called with l.mu held.
func (l *ledger) complain(format string, args ...any) {
	l.wrong++
	if len(l.faults) < mostFaults {
		l.faults = append(l.faults, fmt.Sprintf(format, args...))
	}
}

// post is one POST as it was received.
type post struct {
	event    string
	delivery string
	attempt  int
	hash     [sha256.Size]byte
	at       time.Time
}

// ServeHTTP implements [http.Handler].
func (l *ledger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		return // whoever sent it was killed
	}
	l.mu.Lock()
	h := l.hooks[r.URL.Path]
	l.mu.Unlock()
	p, err := read(r.Header, body, h)
	if err != nil {
		l.mu.Lock()
		l.complain("%s: %v", r.URL.Path, err)
		l.mu.Unlock()
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	b, status := l.note(h, p)
	if h.kind == slow {
		timer := time.NewTimer(slowness)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
			return // nobody is left to be answered
		}
	}
	switch status {
	case http.StatusOK:
		l.answered(b, h, p)
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", strconv.Itoa(l.asks()))
	}
	w.WriteHeader(status)
}

// read takes a POST apart, or says what must not be so.
func read(header http.Header, body []byte, h *hook) (post, error) {
	if h == nil {
		return post{}, errors.New("nobody registered this address")
	}
	if !signature.VerifyBody(h.secret, header.Get(signature.HeaderBody), body) {
		return post{}, errors.New(signature.HeaderBody + " does not match")
	}
	if err := signature.Verify(h.secret, header, body, time.Now(), signature.Tolerance); err != nil {
		return post{}, fmt.Errorf("verify: %w", err)
	}
	var content struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(body, &content); err != nil {
		return post{}, fmt.Errorf("read body: %w", err)
	}
	if id := header.Get(signature.HeaderID); id != content.ID {
		return post{}, fmt.Errorf("webhook-id is %s, and the body's id %s", id, content.ID)
	}
	attempt, err := strconv.Atoi(header.Get("X-Dembrane-Attempt"))
	if err != nil || attempt < 1 {
		return post{}, fmt.Errorf("attempt %q", header.Get("X-Dembrane-Attempt"))
	}
	return post{
		event: content.ID, delivery: header.Get("X-Dembrane-Delivery"), attempt: attempt,
		hash: sha256.Sum256(body), at: time.Now(),
	}, nil
}

// note writes a POST down before it is answered, and decides how it will be.
func (l *ledger) note(h *hook, p post) (*book, int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.books[bookOf(p.event)]
	if b == nil {
		l.complain("%s: event %s: nobody published it", h.path, p.event)
		return nil, http.StatusBadRequest
	}
	b.note(h, p)
	switch {
	case h.kind == flaky && p.attempt == 1 && int(p.hash[0])%flakyShare == 0, h.kind == broken && l.refusing:
		return b, http.StatusInternalServerError
	case h.kind == throttled && l.refusing:
		return b, http.StatusServiceUnavailable
	default:
		return b, http.StatusOK
	}
}

func (l *ledger) answered(b *book, h *hook, p post) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b.delivered(h, p)
	select {
	case h.arrived <- struct{}{}:
	default:
	}
}
