// Package activity is what is kept of one webhook's attempts so that its host can
// look at them at once: the newest in summary, counts by hour, and where the older
// ones are.
//
// An attempt gets a position when it is recorded: 1, 2, 3, … It never changes, so a
// list that is walked by position sees each attempt that was there at the start
// once, whatever is added meanwhile. The newest attempts, the tail, are in the
// activity itself. What is older is in pages of [PageEntries] positions each, whose
// content follows from what the activity held: whoever writes a page writes the
// same.
//
// Everything here is pure; package store keeps it.
package activity

import (
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/dembrane/webhooks/proto/webhooksv1"
)

const (
	// PageEntries is how many positions a page has.
	PageEntries = 100
	// tailMost is how many positions the tail has before pages are cut off it. At
	// least half of them stay, so that the first page of a list needs nothing else.
	tailMost = 2 * PageEntries
	// RoundMost is how many attempts are added at once. It bounds the activity: see
	// its test.
	RoundMost = 2 * PageEntries
	// recordOverhead is about what a record takes in the database besides its texts.
	recordOverhead = 1 << 10
)

// Activity is what is kept of one webhook.
type Activity struct {
	// First is the number of the oldest page that may be there.
	First uint64
	// Page is the number of the page that the tail begins.
	Page uint64
	// Cut is how many positions of that page are no longer kept.
	Cut uint64
	// Tail has the newest attempts, oldest first.
	Tail []*webhooksv1.LogEntry
	// Counts is what became of them by hour.
	Counts *webhooksv1.Counts
	// Bytes is about how much the records of all attempts take, those included that
	// have expired, and BytesGone how much of it has.
	Bytes, BytesGone int64
}

// Newest is the position of the newest attempt; 0 when there is none.
func (a *Activity) Newest() uint64 { return a.Page*PageEntries + a.Cut + uint64(len(a.Tail)) }

// Position is that of one entry of the tail.
func (a *Activity) Position(i int) uint64 {
	return a.Page*PageEntries + a.Cut + uint64(i) + 1 //nolint:gosec // an index
}

// Page is a part of the log that is not in the activity any more.
type Page struct {
	Number uint64
	// Entries are those of its last positions, oldest first; all of them, unless
	// some had expired before it was written.
	Entries []*webhooksv1.LogEntry
}

// Position is that of one of its entries.
func (p Page) Position(i int) uint64 {
	return (p.Number+1)*PageEntries - uint64(len(p.Entries)-i) + 1 //nolint:gosec // an index
}

// PageOf is the number of the page that has a position, which is 1 or more.
func PageOf(position uint64) uint64 { return (position - 1) / PageEntries }

// TakePages takes off the tail what is to go into pages before anything is added.
func (a *Activity) TakePages() []Page {
	var pages []Page
	for a.Cut+uint64(len(a.Tail)) >= tailMost {
		whole := PageEntries - int(a.Cut) //nolint:gosec // below PageEntries
		pages = append(pages, Page{Number: a.Page, Entries: a.Tail[:whole:whole]})
		a.Tail, a.Cut = a.Tail[whole:], 0
		a.Page++
	}
	return pages
}

// Add adds attempts that are not in the log yet, at most [RoundMost].
func (a *Activity) Add(entries []*webhooksv1.LogEntry) {
	a.Tail = append(slices.Clip(a.Tail), entries...)
	if a.Counts == nil {
		a.Counts = &webhooksv1.Counts{}
	}
	for _, e := range entries {
		a.Bytes += e.GetStoredBytes()
		count(a.Counts, e)
		a.noteMissed(e)
	}
}

// Expire takes what began before the given time off the tail, and returns it. Its
// positions stay taken.
func (a *Activity) Expire(before time.Time) []*webhooksv1.LogEntry {
	n := 0
	for n < len(a.Tail) && StartedAt(a.Tail[n]).Before(before) {
		a.BytesGone += a.Tail[n].GetStoredBytes()
		n++
	}
	gone := a.Tail[:n:n]
	a.Tail = a.Tail[n:]
	a.Cut += uint64(n)
	for a.Cut >= PageEntries { // of pages that are never written
		a.Cut -= PageEntries
		a.Page++
	}
	return gone
}

// Entry summarises an attempt.
func Entry(a *webhooksv1.Attempt, id ulid.ULID) *webhooksv1.LogEntry {
	e := &webhooksv1.LogEntry{
		Id:            id[:],
		DeliveryId:    a.GetDeliveryId(),
		EventId:       a.GetEventId(),
		EventType:     a.GetEventType(),
		EventSequence: a.GetEventSequence(),
		Number:        a.GetNumber(),
		Trigger:       a.GetTrigger(),
		DurationUs:    a.GetDurationUs(),
		Outcome:       a.GetOutcome(),
		Reason:        a.GetReason(),
		StatusCode:    a.GetStatusCode(),
		EndedIn:       a.GetTiming().GetEndedIn(),
		Cause:         a.GetCause(),
		BodyBytes:     a.GetRequest().GetBodyBytes(),
		Location:      Location(a),
		ReplayId:      a.GetReplayId(),
		StoredBytes:   storedBytes(a),
	}
	if at := a.GetOccurredAt(); at != nil {
		e.OccurredUs = at.AsTime().UnixMicro()
	}
	if at := a.GetNextAttemptAt(); at != nil {
		e.NextAttemptMs = at.AsTime().UnixMilli()
	}
	return e
}

func storedBytes(a *webhooksv1.Attempt) int64 {
	n := recordOverhead + len(a.GetRequest().GetUrl()) + len(a.GetDetail()) + len(a.GetResponse().GetBody())
	for _, h := range a.GetResponse().GetHeaders() {
		n += len(h.GetName()) + len(h.GetValue())
	}
	return int64(n)
}

// ID is the attempt's id as hosts see it.
func ID(e *webhooksv1.LogEntry) string { return idOf(e).String() }

// StartedAt is when the attempt began, in milliseconds.
func StartedAt(e *webhooksv1.LogEntry) time.Time { return idOf(e).Timestamp().UTC() }

func idOf(e *webhooksv1.LogEntry) (id ulid.ULID) {
	copy(id[:], e.GetId())
	return id
}
