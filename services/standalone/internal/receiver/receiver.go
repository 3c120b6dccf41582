// Package receiver is what a host would write: it answers deliveries after
// checking their signature. It knows nothing but the documented rule and uses
// nothing of this system, so that what it accepts, every receiver can.
package receiver

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"sync"
	"time"
)

// maxBody is more than the largest event becomes when its text is escaped.
const maxBody = 64 << 20

// Delivery is one request that arrived.
type Delivery struct {
	At       time.Time
	Event    string
	ID       string
	Attempt  string
	Body     []byte
	Answered int
	// Problem says why the signature is wrong; empty when it is right.
	Problem string
}

// Options says how a receiver behaves.
type Options struct {
	// Secret is the webhook's. Without one nothing is verified.
	Secret string
	// Answers are the statuses of the first deliveries whose signature is right,
	// in order; the last one is repeated. None means 204.
	Answers []int
	// Seen is called with each delivery, one at a time, before it is answered.
	Seen func(Delivery)
}

// Receiver answers deliveries.
type Receiver struct {
	options Options

	mu      sync.Mutex
	answers []int
}

// New returns a receiver.
func New(o Options) *Receiver { return &Receiver{options: o, answers: o.Answers} }

// ServeHTTP implements http.Handler.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	if request.Method != http.MethodPost {
		http.Error(w, "Deliveries are POSTed here.", http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, request.Body, maxBody))
	if err != nil {
		http.Error(w, "The body cannot be read.", http.StatusBadRequest)
		return
	}
	d := Delivery{
		At:      time.Now(),
		Event:   request.Header.Get("X-Dembrane-Event"),
		ID:      request.Header.Get("X-Dembrane-Delivery"),
		Attempt: request.Header.Get("X-Dembrane-Attempt"),
		Body:    body,
		Problem: r.problem(request.Header.Get("X-Dembrane-Signature"), body),
	}
	r.mu.Lock()
	d.Answered = r.answer(d.Problem)
	r.options.Seen(d)
	r.mu.Unlock()
	if d.Problem != "" {
		http.Error(w, d.Problem, d.Answered)
		return
	}
	w.WriteHeader(d.Answered)
}

// problem is the documented rule: X-Dembrane-Signature is the hex HMAC-SHA256 of
// the body's bytes as received, keyed by the secret; compare in constant time.
func (r *Receiver) problem(header string, body []byte) string {
	if r.options.Secret == "" {
		return ""
	}
	if header == "" {
		return "X-Dembrane-Signature is missing: the webhook has no secret."
	}
	mac := hmac.New(sha256.New, []byte(r.options.Secret))
	mac.Write(body)
	if !hmac.Equal([]byte(header), []byte(hex.EncodeToString(mac.Sum(nil)))) {
		return "X-Dembrane-Signature does not match: another secret, or another body."
	}
	return ""
}

func (r *Receiver) answer(problem string) int {
	if problem != "" {
		return http.StatusUnauthorized
	}
	if len(r.answers) == 0 {
		return http.StatusNoContent
	}
	next := r.answers[0]
	if len(r.answers) > 1 {
		r.answers = r.answers[1:]
	}
	return next
}
