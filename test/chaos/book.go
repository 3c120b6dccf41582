package main

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"time"
)

// book is the part of the ledger about the events of one fault. Methods whose
// comment says "locked" are called with the ledger's lock held.
type book struct {
	ledger *ledger
	name   string

	published, acknowledged int
	next                    int
	lines                   map[string]*line // by event and hook
	owed, served            int              // lines; served counts only owed ones
	posts, duplicates       int
	repeated                int // lines with a duplicate
	watch                   *watch
}

// line is one event to one webhook.
type line struct {
	delivery   string
	hash       [sha256.Size]byte
	arrivals   []arrival
	duplicates int
	owed       bool
	delivered  bool
	watch      *watch
}

// arrival is one POST of a line.
type arrival struct {
	attempt int
	at      time.Time
}

// watch waits until what was owed at some moment, and the first event after it,
// has been delivered.
type watch struct {
	open    bool // nothing was acknowledged since it began
	missing int
	done    chan struct{}
	at      time.Time // valid once done is closed
}

func (w *watch) look() {
	if !w.open && w.missing == 0 {
		w.at = time.Now()
		close(w.done)
	}
}

// eventID numbers an event of a book.
func eventID(name string, number int) string { return fmt.Sprintf("%s-%07d", name, number) }

// bookOf is the book that an event belongs to.
func bookOf(event string) string {
	if i := strings.LastIndexByte(event, '-'); i >= 0 {
		return event[:i]
	}
	return ""
}

// begin names the next event to be published.
func (b *book) begin() (event string) {
	b.ledger.mu.Lock()
	defer b.ledger.mu.Unlock()
	b.next++
	b.published++
	return eventID(b.name, b.next)
}

// owe says that the event's publish was acknowledged: from now on every one of
// these hooks must get it.
func (b *book) owe(event string, hooks []*hook) {
	b.ledger.mu.Lock()
	defer b.ledger.mu.Unlock()
	b.acknowledged++
	for _, h := range hooks {
		l := b.line(event, h)
		l.owed = true
		b.owed++
		if l.delivered {
			b.served++
		} else if b.watch != nil && b.watch.open {
			l.watch = b.watch
			b.watch.missing++
		}
	}
	if b.watch != nil && b.watch.open {
		b.watch.open = false
		b.watch.look()
	}
}

// since begins to watch what is owed now and has not been delivered.
func (b *book) since() *watch {
	b.ledger.mu.Lock()
	defer b.ledger.mu.Unlock()
	b.watch = &watch{open: true, done: make(chan struct{})}
	for _, l := range b.lines {
		if l.owed && !l.delivered {
			l.watch = b.watch
			b.watch.missing++
		}
	}
	return b.watch
}

// rest begins to watch what is owed when nothing more is published.
func (b *book) rest() *watch {
	w := b.since()
	b.ledger.mu.Lock()
	defer b.ledger.mu.Unlock()
	w.open = false
	w.look()
	return w
}

// missing is how many deliveries are owed.
func (b *book) missing() int {
	b.ledger.mu.Lock()
	defer b.ledger.mu.Unlock()
	return b.owed - b.served
}

// line finds or makes a line; locked.
func (b *book) line(event string, h *hook) *line {
	key := event + h.path
	l := b.lines[key]
	if l == nil {
		l = new(line)
		b.lines[key] = l
	}
	return l
}

// note writes a POST down; locked. What it repeats is a duplicate: an attempt
// that was seen before, or any attempt after one that was answered with 200.
func (b *book) note(h *hook, p post) {
	l := b.line(p.event, h)
	b.posts++
	if l.delivery == "" {
		l.delivery, l.hash = p.delivery, p.hash
	}
	if l.delivery != p.delivery {
		b.ledger.complain("%s: event %s came as delivery %s, then as %s", h.path, p.event, l.delivery, p.delivery)
	}
	if l.hash != p.hash {
		b.ledger.complain("%s: event %s came with two different bodies", h.path, p.event)
	}
	repeats := l.delivered
	for _, before := range l.arrivals {
		repeats = repeats || before.attempt == p.attempt
	}
	l.arrivals = append(l.arrivals, arrival{attempt: p.attempt, at: p.at})
	if repeats {
		b.duplicates++
		l.duplicates++
		if l.duplicates == 1 {
			b.repeated++
		}
	}
}

// delivered says that a POST is being answered with 200; locked.
func (b *book) delivered(h *hook, p post) {
	l := b.line(p.event, h)
	if l.delivered {
		return
	}
	l.delivered = true
	if l.owed {
		b.served++
	}
	if l.watch != nil {
		l.watch.missing--
		l.watch.look()
		l.watch = nil
	}
}
