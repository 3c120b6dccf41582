// Package ledger knows what was owed to whom and what arrived: so it can say what
// was lost, what came twice, and what is missing in the delivery log. It outlives
// every fault, because it is in the process of the receiver.
package ledger

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
)

// mostFaults bounds what is remembered word for word.
const mostFaults = 20

// Ledger is books of events. Its methods and those of its books may be called by
// any number of requests at once.
type Ledger struct {
	mu     sync.Mutex
	books  map[string]*Book
	faults []string
	wrong  int // faults, counted
}

// New returns an empty ledger.
func New() *Ledger { return &Ledger{books: map[string]*Book{}} }

// Post is one POST as it was received.
type Post struct {
	Event string
	// Hook tells the webhooks of an event's project apart, from 0.
	Hook int
	Size int64
	At   time.Time
	// Attempt, Delivery and Hash, which is of the body, are compared between the
	// POSTs of a delivery. They are zero where only arrivals count.
	Attempt  int
	Delivery string
	Hash     uint64
}

// EventID numbers an event of a book. All ids of a book are equally long.
func EventID(book string, number int) string {
	digits := strconv.Itoa(number)
	return book + "-" + "00000000"[:max(0, 8-len(digits))] + digits
}

// CutLast cuts at the last separator; after is empty without one.
func CutLast(text string, separator byte) (before, after string) {
	if i := strings.LastIndexByte(text, separator); i >= 0 {
		return text[:i], text[i+1:]
	}
	return text, ""
}

// Open begins the book of the events whose ids begin with this name, or goes on
// with it. Each event goes to at most as many hooks.
func (l *Ledger) Open(name string, hooks int) *Book {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.books[name]
	if b == nil {
		b = &Book{ledger: l, name: name, hooks: hooks}
		l.books[name] = b
	}
	return b
}

// Find returns a book, or nil when there is none of this name.
func (l *Ledger) Find(name string) *Book {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.books[name]
}

// Forget closes all books: what arrives for them later is wrong.
func (l *Ledger) Forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.books)
}

// Wrongs is what must not be there: a signature that does not fit, a delivery that
// changed, an event that nobody published.
func (l *Ledger) Wrongs() (count int, examples []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.wrong, l.faults
}

// Complain notes something that must not be.
func (l *Ledger) Complain(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.complain(format, args...)
}

// complain is called with l.mu held.
func (l *Ledger) complain(format string, args ...any) {
	l.wrong++
	if len(l.faults) < mostFaults {
		l.faults = append(l.faults, fmt.Sprintf(format, args...))
	}
}

// Note writes a POST down before it is answered, and reports whether its event is
// in a book. What it repeats is a duplicate: an attempt that was seen before, or any
// attempt after one that was answered with success.
func (l *Ledger) Note(p Post) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, line := l.line(p)
	if line == nil {
		l.complain("hook %d: event %s: nobody published it", p.Hook, p.Event)
		return false
	}
	b.sums.Posts++
	b.bytes += p.Size
	if line.Posts == 0 {
		b.sums.Distinct++
		line.First, line.Delivery, line.hash = p.At.UnixNano(), p.Delivery, p.Hash
	}
	line.Posts++
	if line.Delivery != p.Delivery {
		l.complain("hook %d: event %s came as delivery %s, then as %s", p.Hook, p.Event, line.Delivery, p.Delivery)
	}
	if line.hash != p.Hash {
		l.complain("hook %d: event %s came with two different bodies", p.Hook, p.Event)
	}
	const mostAttempts = 63
	attempt := uint64(1) << min(max(p.Attempt, 0), mostAttempts)
	if line.Delivered || line.Attempts&attempt != 0 {
		b.sums.Duplicates++
	}
	if line.Delivered {
		b.sums.Repeated++
	}
	line.Attempts |= attempt
	return true
}

// Answered says that a POST is being answered with success.
func (l *Ledger) Answered(p Post) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, line := l.line(p)
	if line == nil || line.Delivered {
		return
	}
	line.Delivered = true
	if line.Owed {
		b.sums.Delivered++
	}
	if line.watch != nil {
		line.watch.missing--
		line.watch.look()
		line.watch = nil
	}
}

// line finds what a POST is about, or nothing; l.mu is held.
func (l *Ledger) line(p Post) (*Book, *Line) {
	name, digits := CutLast(p.Event, '-')
	number, err := strconv.Atoi(digits)
	b := l.books[name]
	if b == nil || err != nil || number < 0 || number >= b.next || p.Hook < 0 || p.Hook >= b.hooks {
		return nil, nil
	}
	return b, &b.lines[number*b.hooks+p.Hook]
}
