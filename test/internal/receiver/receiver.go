// Package receiver is the other end of the deliveries of bench, chaos and e2e: it
// verifies what arrives, writes it into a ledger, and answers as it was told.
package receiver

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/signature"
	"github.com/dembrane/webhooks/test/internal/ledger"
	"github.com/dembrane/webhooks/test/internal/run"
)

// maxBody is more than any event becomes.
const maxBody = 64 << 20

// Arrival is one POST.
type Arrival struct {
	ledger.Post

	Header http.Header
	Body   []byte // nil at a hook that is blind
}

// Answer decides with which status a POST is answered, and may set headers before
// and take its time. 0 cuts the connection. gone is closed when nobody waits for the
// answer any more.
type Answer func(header http.Header, gone <-chan struct{}, a Arrival) int

// Hook is what webhooks point to.
type Hook struct {
	// Path is the hook's; "/" stands for every path without a hook of its own. A
	// number at its end tells the hooks of a project apart.
	Path string
	// Secret verifies what arrives; without one nothing is verified.
	Secret string
	// Blind is for a receiver that costs next to nothing: it takes what the headers
	// say for granted.
	Blind bool
	// Unnoted is for a hook that the ledger does not know of.
	Unnoted bool
	// Answer is nil for 200 at once.
	Answer Answer
	// Reply is the body of every answer; it may be empty.
	Reply []byte
	// Seen is called with each arrival before it is answered; it may be nil.
	Seen func(Arrival)
}

// Receiver is an HTTP server of hooks.
type Receiver struct {
	// URL is where it listens.
	URL string

	ledger *ledger.Ledger // nil when nothing is written down
	mu     sync.Mutex
	hooks  map[string]Hook
	open   int
	most   int
}

// New returns a receiver that listens nowhere yet.
func New(l *ledger.Ledger, hooks ...Hook) *Receiver {
	r := &Receiver{ledger: l, hooks: map[string]Hook{}}
	for _, h := range hooks {
		r.hooks[h.Path] = h
	}
	return r
}

// Start starts one on a free port, until t ends.
func Start(t run.T, l *ledger.Ledger, hooks ...Hook) *Receiver {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	run.Must(t, err, "listen for deliveries")
	r := New(l, hooks...)
	r.URL = "http://" + listener.Addr().String()
	server, ended := &http.Server{Handler: r, ReadHeaderTimeout: time.Minute}, make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	t.Cleanup(func() {
		if err := errors.Join(server.Close(), <-ended); !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("receive deliveries: %v", err)
		}
	})
	return r
}

// Add adds a hook, and returns its URL.
func (r *Receiver) Add(h Hook) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hooks[h.Path] = h
	return r.URL + h.Path
}

// AtOnce is how many POSTs were under way at once, at the most.
func (r *Receiver) AtOnce() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.most
}

// enter counts a POST and finds its hook.
func (r *Receiver) enter(path string) (Hook, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open++
	r.most = max(r.most, r.open)
	h, found := r.hooks[path]
	if !found {
		h, found = r.hooks["/"]
	}
	return h, found
}

func (r *Receiver) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open--
}

// ServeHTTP implements [http.Handler].
func (r *Receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	h, found := r.enter(request.URL.Path)
	defer r.leave()
	a, err := read(request, h)
	switch {
	case !found:
		err = errors.New("nobody registered this address")
	case errors.Is(err, errCut):
		return
	}
	book := r.ledger
	if h.Unnoted || a.Header.Get("X-Dembrane-Event") == event.Test {
		book = nil // nobody is owed it
	}
	if err != nil {
		if book != nil {
			book.Complain("%s: %v", request.URL.Path, err)
		}
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if book != nil && !book.Note(a.Post) && !h.Blind {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if h.Seen != nil {
		h.Seen(a)
	}
	status := http.StatusOK
	if h.Answer != nil {
		status = h.Answer(w.Header(), request.Context().Done(), a)
	}
	if status == 0 {
		panic(http.ErrAbortHandler)
	}
	if book != nil && status < http.StatusMultipleChoices {
		book.Answered(a.Post)
	}
	w.WriteHeader(status)
	if len(h.Reply) > 0 {
		_, _ = w.Write(h.Reply) // whoever asked may be gone
	}
}

// errCut says that the sender was cut off before it had said everything.
var errCut = errors.New("cut off")

// read takes a POST apart, or says what must not be so.
func read(request *http.Request, h Hook) (Arrival, error) {
	_, number := ledger.CutLast(request.URL.Path, '/')
	hook, _ := strconv.Atoi(number) // without one it is the only hook
	a := Arrival{Header: request.Header, Post: ledger.Post{Event: request.Header.Get(signature.HeaderID), Hook: hook}}
	if h.Blind {
		size, err := io.Copy(io.Discard, request.Body)
		a.At, a.Size, a.Delivery = time.Now(), size, request.Header.Get("X-Dembrane-Delivery")
		a.Attempt, _ = strconv.Atoi(request.Header.Get("X-Dembrane-Attempt")) // other products send none
		if err != nil {
			return a, errCut
		}
		return a, nil
	}
	body, err := io.ReadAll(io.LimitReader(request.Body, maxBody))
	a.At, a.Body, a.Size = time.Now(), body, int64(len(body))
	if err != nil {
		return a, errCut
	}
	return a, a.check(h.Secret)
}

// check completes an arrival with what its body and its headers say.
func (a *Arrival) check(secret string) error {
	if secret != "" {
		if !signature.VerifyBody(secret, a.Header.Get(signature.HeaderBody), a.Body) {
			return errors.New(signature.HeaderBody + " does not match")
		}
		if err := signature.Verify(secret, a.Header, a.Body, a.At, signature.Tolerance); err != nil {
			return fmt.Errorf("verify: %w", err)
		}
	}
	var content struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(a.Body, &content); err != nil {
		return fmt.Errorf("read body: %w", err)
	}
	if a.Event != content.ID && (a.Event != "" || secret != "") {
		return fmt.Errorf("webhook-id is %s, and the body's id %s", a.Event, content.ID)
	}
	attempt, err := strconv.Atoi(a.Header.Get("X-Dembrane-Attempt"))
	if err != nil || attempt < 1 {
		return fmt.Errorf("attempt %q", a.Header.Get("X-Dembrane-Attempt"))
	}
	hash := sha256.Sum256(a.Body)
	a.Event, a.Attempt, a.Delivery, a.Hash = content.ID, attempt, a.Header.Get("X-Dembrane-Delivery"), binary.BigEndian.Uint64(hash[:])
	return nil
}
