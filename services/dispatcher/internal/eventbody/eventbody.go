// Package eventbody makes of an event's message the body that its deliveries
// send, within a bound on memory, or writes down why the event cannot be used.
// An event is decoded here and nowhere else, and only when a delivery of it may go.
package eventbody

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/sync/semaphore"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/payload"
	"github.com/dembrane/webhooks/pkg/payload/chat"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// ErrNoMemory says that bodies in use leave no room for this one now.
var ErrNoMemory = errors.New("no memory is free for the body")

// UnusableError says why an event can never be delivered. Its reason is for the
// pipeline stage that published it.
type UnusableError struct{ Reason string }

func (e *UnusableError) Error() string { return "event cannot be used: " + e.Reason }

// decodingFactor is how many times its own size an event may need while it is
// decoded and rendered: itself, decoded, and rendered with every letter escaped.
const decodingFactor = 5

// Message is an event as the stream EVENTS has it.
type Message struct {
	// Subject is the one that it is stored on.
	Subject string
	Header  nats.Header
	Data    []byte
}

// Body is what deliveries of one format send. It counts as memory in use until Release.
type Body struct {
	EventID string
	// OccurredAt is when the event happened.
	OccurredAt time.Time
	Bytes      []byte
	release    func()
}

// Release gives the memory back; more than once is the same as once. Bytes are
// not used any more.
func (b *Body) Release() { b.release() }

// Renderer renders bodies. It is safe for concurrent use.
type Renderer struct {
	payload payload.Renderer
	memory  *semaphore.Weighted
	most    int64
}

// NewRenderer returns a renderer whose bodies, and what they are made of, take up
// at most so many bytes at once.
func NewRenderer(p payload.Renderer, maxBytes int64) *Renderer {
	return &Renderer{payload: p, memory: semaphore.NewWeighted(maxBytes), most: maxBytes}
}

// Hold counts an event that is kept as it is as memory in use, until release. It
// reports false when there is no memory for it now.
func (r *Renderer) Hold(bytes int) (release func(), ok bool) {
	held := min(int64(bytes), r.most)
	if !r.memory.TryAcquire(held) {
		return nil, false
	}
	return func() { r.memory.Release(held) }, true
}

// Render makes the body of an event in a format. It returns an [UnusableError] when there can
// be none, also when the attempt panics, since that would come back with the event;
// and [ErrNoMemory] when it has to wait.
func (r *Renderer) Render(m Message, format chat.Format) (*Body, error) {
	return r.render(m, func(e *webhooksv1.Event) []byte { return format.Append(nil, r.payload, e) })
}

func (r *Renderer) render(m Message, canonical func(*webhooksv1.Event) []byte) (body *Body, err error) {
	held := min(decodingFactor*int64(len(m.Data)), r.most)
	if !r.memory.TryAcquire(held) {
		return nil, ErrNoMemory
	}
	defer func() {
		if fault := recover(); fault != nil {
			body, err = nil, &UnusableError{fmt.Sprintf("reading it made the dispatcher panic: %v", fault)}
		}
		if err != nil {
			r.memory.Release(held)
		}
	}()
	e, err := Decode(m)
	if err != nil {
		return nil, err
	}
	data := canonical(e)
	kept := min(int64(cap(data)), held)
	r.memory.Release(held - kept)
	return &Body{
		EventID: e.GetId(), OccurredAt: e.GetOccurredAt().AsTime(), Bytes: data,
		release: sync.OnceFunc(func() { r.memory.Release(kept) }),
	}, nil
}

// Decode reads and checks an event. It returns an [UnusableError] when that
// cannot be done.
func Decode(m Message) (*webhooksv1.Event, error) {
	e, err := event.Decode(m.Header.Get("Content-Type"), m.Data)
	if err == nil {
		err = event.Validate(e)
	}
	if err != nil {
		return nil, &UnusableError{err.Error()}
	}
	if want := topology.SubjectEvent(e.GetProject().GetId(), e.GetType()); topology.PublishedSubject(m.Subject) != want {
		return nil, &UnusableError{"its subject and its body disagree: by the body it belongs on " + want}
	}
	if id := m.Header.Get(nats.MsgIdHdr); id != "" && id != e.GetId() {
		return nil, &UnusableError{"its header " + nats.MsgIdHdr + " and its id disagree: set both to the event's id"}
	}
	return e, nil
}
