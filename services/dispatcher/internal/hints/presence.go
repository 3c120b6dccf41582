package hints

import (
	"context"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"
)

const (
	// presenceSubject has three subjects below it: hello, alive and bye. The message
	// is the random id of a dispatcher.
	presenceSubject = "dembrane.dispatcher.presence."
	// beat is how often a dispatcher says that it lives.
	beat = time.Second
	// missed is after how many beats without a word it is taken for gone.
	missed = 3
)

// meet counts the dispatchers that live, this one included, and tells the count.
func (h *Hints) meet(ctx context.Context, count func(int)) error {
	return h.again(ctx, "other dispatchers not heard, trying again", func(ctx context.Context) error { return h.present(ctx, count) })
}

func (h *Hints) present(ctx context.Context, count func(int)) error {
	messages := make(chan *nats.Msg, 256)
	sub, err := h.conn.ChanSubscribe(presenceSubject+"*", messages)
	if err != nil {
		return err //nolint:wrapcheck // says what it did
	}
	defer func() { _ = sub.Unsubscribe() }() // the connection may be gone
	h.say("hello")
	defer h.say("bye")
	tick := time.NewTicker(beat)
	defer tick.Stop()
	p := presence{id: h.id, others: map[string]time.Time{}, deaf: time.Now(), looked: time.Now()}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err() //nolint:wrapcheck // the caller knows it
		case msg := <-messages:
			kind := strings.TrimPrefix(msg.Subject, presenceSubject)
			if p.hear(kind, string(msg.Data), time.Now()) {
				h.say("alive")
			}
		case now := <-tick.C:
			h.say("alive")
			if !h.conn.IsConnected() {
				p.deaf = now
			}
			p.look(now)
		}
		count(1 + len(p.others))
	}
}

// say does not wait for anything. What cannot be sent now is of no use later.
func (h *Hints) say(what string) {
	if err := h.conn.Publish(presenceSubject+what, []byte(h.id)); err != nil {
		h.log.Debug("other dispatchers not told that this one lives", zap.Error(err))
	}
}

// presence is which other dispatchers live.
type presence struct {
	id     string
	others map[string]time.Time // when each was last heard
	deaf   time.Time            // when nobody could be heard last
	looked time.Time
}

// hear takes what a dispatcher says. It reports whether that one asks who is there.
func (p *presence) hear(kind, id string, now time.Time) (asked bool) {
	switch {
	case id == p.id:
		return false
	case kind == "bye":
		delete(p.others, id)
		return false
	default:
		p.others[id] = now
		return kind == "hello"
	}
}

// look forgets those that have not been heard for a while. The time in which this
// dispatcher had no connection, or did not run, says nothing about others.
func (p *presence) look(now time.Time) {
	if now.Sub(p.looked) > 2*beat {
		p.deaf = now
	}
	p.looked = now
	for id, heard := range p.others {
		if now.Sub(heard) > missed*beat+beat/2 && now.Sub(p.deaf) > missed*beat+beat/2 {
			delete(p.others, id)
		}
	}
}
