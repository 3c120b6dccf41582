// Package ledger accounts for every event that a webhook was owed in a span of
// time, and proves that nothing is missing: with a digest over the ids, which a
// receiver computes over those that it has.
package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/services/api/internal/account"
	"github.com/dembrane/webhooks/services/api/internal/eventlog"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

// lookPatience is how long a page waits for a delivery log that is late.
const lookPatience = 3 * time.Second

// Deps is what a ledger needs.
type Deps struct {
	Store *store.Store
	JS    jetstream.JetStream
}

// Ledger reads what became of events. It is safe for concurrent use.
type Ledger struct {
	store  *store.Store
	js     jetstream.JetStream
	events *eventlog.Log
	reader *topology.EventReader
}

// New returns a ledger.
func New(deps Deps) *Ledger {
	return &Ledger{
		store: deps.Store, js: deps.JS, events: eventlog.New(deps.JS), reader: topology.NewEventReader(deps.JS),
	}
}

// Clock is the time that until is measured by.
func (l *Ledger) Clock(ctx context.Context) (time.Time, error) {
	return l.events.Clock(ctx) //nolint:wrapcheck // it says what it was
}

// Line is one event that the subscription covers.
type Line struct {
	Sequence   uint64
	EventID    string
	Event      string
	OccurredAt time.Time // zero when it cannot be read any more
	Published  time.Time
	Entry      account.Entry
}

// Position is how far a walk through a ledger is, and what it has added up.
type Position struct {
	Since time.Time `json:"s"`
	Until time.Time `json:"u"`
	After uint64    `json:"a"`
	Sums  Sums      `json:"n"`
}

// Sums are counts and digests.
type Sums struct {
	Delivered int64 `json:"d"`
	Pending   int64 `json:"p"`
	Failed    int64 `json:"f"`
	NotSent   int64 `json:"n"`
	// All is the digest over the ids of all events, and Arrived over those that were
	// delivered.
	All     Digest `json:"a"`
	Arrived Digest `json:"r"`
}

// Digest is over a set of event ids, in whatever order: the sum of the SHA-256 of
// each, taken as a number, modulo 2^256. It is 64 hexadecimal digits; empty is 0.
type Digest string

// Add returns the digest with one more id.
func (d Digest) Add(id string) Digest {
	sum, ok := new(big.Int).SetString(string(d), 16)
	if !ok {
		sum = new(big.Int)
	}
	hash := sha256.Sum256([]byte(id))
	sum.Add(sum, new(big.Int).SetBytes(hash[:]))
	sum.Mod(sum, new(big.Int).Lsh(big.NewInt(1), 8*sha256.Size))
	return Digest(hex.EncodeToString(sum.FillBytes(make([]byte, sha256.Size))))
}

// String is the 64 digits.
func (d Digest) String() string {
	if d == "" {
		return fmt.Sprintf("%064d", 0)
	}
	return string(d)
}

// Page reads at most limit lines after a position, and returns the position to go on
// with. last says that there are no more.
func (l *Ledger) Page(ctx context.Context, w store.Webhook, at Position, limit int) (lines []Line, next Position, last bool, _ error) {
	next, last = at, true
	if len(w.Events) == 0 {
		return nil, next, true, nil
	}
	way, err := account.Look(ctx, l.js, w, lookPatience)
	if err != nil && !errors.Is(err, account.ErrLate) {
		return nil, at, false, err //nolint:wrapcheck // it says what it was
	}
	of := account.New(l.store, w, way)
	query := eventlog.Query{ProjectID: w.ProjectID, Types: w.Events, Since: at.Since, Until: at.Until, After: at.After}
	err = l.events.Each(ctx, query, func(e eventlog.Event) error {
		if !w.Covers(e.Type, e.About) {
			return nil
		}
		if len(lines) == limit {
			last = false
			return eventlog.ErrStop
		}
		entry, err := of.Of(ctx, e)
		if err != nil {
			return err //nolint:wrapcheck // it says what it was
		}
		lines = append(lines, Line{Sequence: e.Sequence, EventID: e.ID, Event: e.Type, Published: e.Stored, Entry: entry})
		next.After = e.Sequence
		next.Sums.add(e.ID, entry.State)
		return nil
	})
	if err != nil {
		return nil, at, false, fmt.Errorf("read ledger: %w", err)
	}
	return lines, next, last, l.date(ctx, w.ProjectID, lines)
}

func (s *Sums) add(id string, state account.State) {
	s.All = s.All.Add(id)
	switch state {
	case account.Delivered:
		s.Delivered++
		s.Arrived = s.Arrived.Add(id)
	case account.Pending:
		s.Pending++
	case account.Failed:
		s.Failed++
	case account.NotSent:
		s.NotSent++
	}
}

// date says when the events happened, which stands in their bodies.
func (l *Ledger) date(ctx context.Context, projectID string, lines []Line) error {
	places := map[uint64]int{}
	sequences := make([]uint64, len(lines))
	for i, line := range lines {
		places[line.Sequence], sequences[i] = i, line.Sequence
	}
	err := l.reader.Read(ctx, projectID, sequences, func(sequence uint64, msg *jetstream.RawStreamMsg, err error) bool {
		if err != nil {
			return true // erased meanwhile
		}
		e, err := event.Decode(msg.Header.Get("Content-Type"), msg.Data)
		if err == nil && e.GetOccurredAt().IsValid() {
			lines[places[sequence]].OccurredAt = e.GetOccurredAt().AsTime()
		}
		return true
	})
	if err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	return nil
}
