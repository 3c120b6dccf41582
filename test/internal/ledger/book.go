package ledger

import (
	"context"
	"slices"
	"time"
)

// Book is the events of one measurement, one fault or one story. They are numbered
// from 0; the number is the last part of an event's id, the book's name the rest.
type Book struct {
	ledger *Ledger
	name   string
	hooks  int // that an event goes to at most

	next  int
	begun []time.Time // by event; empty where another process publishes
	lines []Line      // by event, then by hook
	bytes int64
	sums  Sums
	watch *Watch
}

// Sums are the counts of a book.
type Sums struct {
	// Published events were begun, Acknowledged ones are owed.
	Published, Acknowledged int
	// Owed is an event to a hook that must get it; Delivered were answered with
	// success.
	Owed, Delivered int
	// Posts are all that arrived: Duplicates repeat one, Distinct are the first of
	// their delivery, and Repeated come after one that was answered with success.
	Posts, Distinct, Duplicates, Repeated int
}

// Line is one event to one hook.
type Line struct {
	First     int64 // when it arrived first, in unix nanoseconds; 0 when it has not
	Posts     int
	Attempts  uint64 // a bit for each attempt that arrived
	Owed      bool
	Delivered bool
	Delivery  string

	hash  uint64
	watch *Watch
}

// Begin names the next event to be published.
func (b *Book) Begin() (event string) {
	b.ledger.mu.Lock()
	defer b.ledger.mu.Unlock()
	b.sums.Published++
	b.begun = append(b.begun, time.Now())
	b.grow(b.next + 1)
	return EventID(b.name, b.next-1)
}

// Expect makes room for as many events, which another process numbers.
func (b *Book) Expect(events int) {
	b.ledger.mu.Lock()
	defer b.ledger.mu.Unlock()
	b.grow(events)
}

// grow is called with the ledger's lock held.
func (b *Book) grow(events int) {
	b.next = events
	b.lines = append(b.lines, make([]Line, max(0, events*b.hooks-len(b.lines)))...)
}

// Owe says that the event's publish was acknowledged: from now on every one of
// these hooks must get it.
func (b *Book) Owe(event string, hooks ...int) {
	b.ledger.mu.Lock()
	defer b.ledger.mu.Unlock()
	b.sums.Acknowledged++
	for _, hook := range hooks {
		b.owe(event, hook)
	}
	if b.watch != nil && b.watch.open {
		b.watch.open = false
		b.watch.look()
	}
}

// OweAlso says that one more hook must get an event that was owed to others.
func (b *Book) OweAlso(event string, hook int) {
	b.ledger.mu.Lock()
	defer b.ledger.mu.Unlock()
	b.owe(event, hook)
}

// owe is called with the ledger's lock held.
func (b *Book) owe(event string, hook int) {
	_, l := b.ledger.line(Post{Event: event, Hook: hook})
	l.Owed = true
	b.sums.Owed++
	if l.Delivered {
		b.sums.Delivered++
	} else if b.watch != nil && b.watch.open {
		l.watch = b.watch
		b.watch.missing++
	}
}

// Sums are the counts so far.
func (b *Book) Sums() Sums {
	b.ledger.mu.Lock()
	defer b.ledger.mu.Unlock()
	return b.sums
}

// Missing is how many deliveries are owed.
func (b *Book) Missing() int {
	s := b.Sums()
	return s.Owed - s.Delivered
}

// Lines is a copy of the book, by event, then by hook.
func (b *Book) Lines() []Line {
	b.ledger.mu.Lock()
	defer b.ledger.mu.Unlock()
	return slices.Clone(b.lines)
}

// Arrived is how many bytes arrived, and when each delivery did first.
func (b *Book) Arrived() (bytes int64, first []int64) {
	b.ledger.mu.Lock()
	defer b.ledger.mu.Unlock()
	first = make([]int64, len(b.lines))
	for i := range b.lines {
		first[i] = b.lines[i].First
	}
	return b.bytes, first
}

// Slowest is the longest that any event took from its beginning to the hook, and
// whether all of them arrived.
func (b *Book) Slowest(hook int) (longest time.Duration, all bool) {
	b.ledger.mu.Lock()
	defer b.ledger.mu.Unlock()
	all = true
	for i, at := range b.begun {
		first := b.lines[i*b.hooks+hook].First
		all = all && first != 0
		longest = max(longest, time.Unix(0, first).Sub(at))
	}
	return longest, all
}

// Ends is what the delivery log says about what is owed.
type Ends struct {
	// Lost neither arrived nor is its end in the log. Unrecorded arrived, and the log
	// does not say so.
	Lost, Unrecorded int
	// Otherwise counts the ends of what did not arrive.
	Otherwise map[string]int
}

// Compare looks up in the delivery log how each delivery ended, by its id.
func (b *Book) Compare(endings map[string]string) Ends {
	b.ledger.mu.Lock()
	defer b.ledger.mu.Unlock()
	ends := Ends{Otherwise: map[string]int{}}
	for i := range b.lines {
		l := &b.lines[i]
		ending, recorded := endings[l.Delivery]
		switch {
		case !l.Owed || l.Delivered && recorded:
		case l.Delivered:
			ends.Unrecorded++
		case recorded:
			ends.Otherwise[ending]++
		default:
			ends.Lost++
		}
	}
	return ends
}

// Watch waits until what was owed at some moment, and the first event after it, has
// been delivered.
type Watch struct {
	// Done is closed then, and At is the moment.
	Done chan struct{}
	At   time.Time

	open    bool // nothing was acknowledged since it began
	missing int
}

// Wait returns when it is done, or says why ctx is.
func (w *Watch) Wait(ctx context.Context) error {
	select {
	case <-w.Done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// look is called with the ledger's lock held.
func (w *Watch) look() {
	if !w.open && w.missing == 0 {
		w.At = time.Now()
		close(w.Done)
	}
}

// Since begins to watch what is owed now and has not been delivered.
func (b *Book) Since() *Watch { return b.watched(true) }

// Rest does the same when nothing more is published.
func (b *Book) Rest() *Watch { return b.watched(false) }

func (b *Book) watched(open bool) *Watch {
	b.ledger.mu.Lock()
	defer b.ledger.mu.Unlock()
	w := &Watch{open: open, Done: make(chan struct{})}
	b.watch = w
	for i := range b.lines {
		if l := &b.lines[i]; l.Owed && !l.Delivered {
			l.watch = w
			w.missing++
		}
	}
	w.look()
	return w
}
