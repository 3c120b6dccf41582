// Package account says what became of each event that a webhook's subscription
// covers: delivered, on its way, given up, or never sent. Replays and the ledger
// stand on it.
//
// Two sources say so together. The recorder's pages of outcomes say what attempts
// meant ([Account]). What has no outcome yet is on its way when the intake has not
// settled it, or when it is written down as due ([Way]). As an event is settled only
// once its consequence is stored, whoever looks at the way first, waits for the
// records that were stored by then, and reads the outcomes last, misses nothing.
package account

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/eventlog"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

// State is what became of an event at a webhook: a closed set.
type State string

// The states, as the ledger shows them.
const (
	Delivered State = "delivered"
	// Pending says that it is on its way, or will be tried again.
	Pending State = "pending"
	// Failed says that it was given up.
	Failed State = "failed"
	// NotSent says that nobody has tried: the webhook was disabled, or was not there.
	NotSent State = "not_sent"
)

// Entry is what became of one event.
type Entry struct {
	State State
	// Attempts is how many are on record.
	Attempts int
	// FirstDeliveredAt is when the receiver had it first; zero when it has not.
	FirstDeliveredAt time.Time
	// Scheduled says that it is pending because the next attempt is on the schedule.
	Scheduled bool
}

// outcomes is what an account needs of the store.
type outcomes interface {
	BlockOutcomes(ctx context.Context, webhookID string, block uint64) ([]store.Outcome, error)
}

// Account answers for one webhook. It holds one block of outcomes, so it is quick
// for events in the order of their sequences. It is for one goroutine.
type Account struct {
	store   outcomes
	webhook store.Webhook
	way     *Way

	loaded bool
	block  uint64
	list   map[uint64][]store.Outcome // by sequence, in the order of the attempts
}

// New returns the account of a webhook; way says what is on its way to it.
func New(s outcomes, w store.Webhook, way *Way) *Account {
	return &Account{store: s, webhook: w, way: way}
}

// Of says what became of an event.
func (a *Account) Of(ctx context.Context, e eventlog.Event) (Entry, error) {
	if block := store.OutcomeBlock(e.Sequence); !a.loaded || a.block != block {
		if err := a.load(ctx, block); err != nil {
			return Entry{}, err
		}
	}
	entry := a.recorded(e)
	switch {
	case entry.State == Delivered || a.way == nil:
	case a.way.Parked(e.Sequence):
		entry.State, entry.Scheduled = Pending, false
	case entry.State == NotSent && a.way.Unsettled(e) && a.inForce(e):
		entry.State = Pending
	}
	return entry, nil
}

// Forget makes the account read again what became of events.
func (a *Account) Forget() { a.loaded = false }

func (a *Account) load(ctx context.Context, block uint64) error {
	list, err := a.store.BlockOutcomes(ctx, a.webhook.ID, block)
	if err != nil {
		return fmt.Errorf("read what became of events: %w", err)
	}
	a.list = map[uint64][]store.Outcome{}
	for _, outcome := range list {
		a.list[outcome.Sequence] = append(a.list[outcome.Sequence], outcome)
	}
	a.loaded, a.block = true, block
	return nil
}

// recorded is what the outcomes say.
func (a *Account) recorded(e eventlog.Event) Entry {
	mark := store.EventMark(e.ID)
	entry := Entry{State: NotSent}
	for _, outcome := range a.list[e.Sequence] {
		if outcome.Event != mark {
			continue // of a stream that was made again since
		}
		if made(outcome.Outcome) {
			entry.Attempts++
		}
		switch {
		case outcome.Outcome == webhooksv1.Outcome_OUTCOME_DELIVERED:
			if entry.FirstDeliveredAt.IsZero() {
				entry.FirstDeliveredAt = outcome.At()
			}
			entry.State, entry.Scheduled = Delivered, false
		case entry.State == Delivered: // what was delivered stays delivered
		case outcome.Outcome == webhooksv1.Outcome_OUTCOME_RETRY:
			entry.State, entry.Scheduled = Pending, true
		default:
			entry.State, entry.Scheduled = Failed, false
		}
	}
	return entry
}

// made reports whether a POST was made.
func made(o webhooksv1.Outcome) bool {
	return slices.Contains([]webhooksv1.Outcome{
		webhooksv1.Outcome_OUTCOME_DELIVERED, webhooksv1.Outcome_OUTCOME_RETRY,
		webhooksv1.Outcome_OUTCOME_EXHAUSTED, webhooksv1.Outcome_OUTCOME_GONE,
	}, o)
}

// inForce reports whether the webhook was there to be sent an event when that was
// published. In doubt it says no: an event twice is better than none.
func (a *Account) inForce(e eventlog.Event) bool {
	since := a.webhook.CreatedAt
	if a.webhook.EnabledAt != nil {
		since = *a.webhook.EnabledAt
	}
	if a.webhook.UpdatedAt.After(since) {
		since = a.webhook.UpdatedAt // its events may have been others
	}
	return a.webhook.Status.Enabled() && e.Stored.After(since.Add(clockMargin))
}

// clockMargin is how far the clocks of the servers may be apart.
const clockMargin = 2 * time.Second
