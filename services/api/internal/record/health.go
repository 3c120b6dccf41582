package record

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

const (
	// healthInterval is how late the times in a webhook's health may be, unless many
	// are to be written.
	healthInterval = 2 * time.Second
	// healthShare keeps the writing of health below a fifth of the time, however
	// slow the database and however many webhooks.
	healthShare = 4
	// healthPiece is how long it works at it before it pauses for that.
	healthPiece = 100 * time.Millisecond
	// maxKnown bounds the webhooks whose health is remembered.
	maxKnown = 20_000
)

// counts reports whether an attempt says something about the receiver: a POST
// was made, and not because a person pressed "test".
func counts(a *webhooksv1.Attempt) bool {
	if a.GetTrigger() == webhooksv1.Trigger_TRIGGER_TEST {
		return false
	}
	switch a.GetOutcome() {
	case webhooksv1.Outcome_OUTCOME_DELIVERED, webhooksv1.Outcome_OUTCOME_RETRY,
		webhooksv1.Outcome_OUTCOME_EXHAUSTED, webhooksv1.Outcome_OUTCOME_GONE:
		return true
	case webhooksv1.Outcome_OUTCOME_UNSPECIFIED, webhooksv1.Outcome_OUTCOME_DELETED,
		webhooksv1.Outcome_OUTCOME_DISABLED, webhooksv1.Outcome_OUTCOME_EXPIRED:
		return false
	}
	return false
}

// told is what one attempt that counts says about its webhook.
func told(a *webhooksv1.Attempt) store.Health {
	at := a.GetStartedAt().AsTime().Truncate(time.Millisecond)
	h := store.Health{LastAttemptAt: &at, LastStatusCode: int(a.GetStatusCode())}
	if a.GetOutcome() == webhooksv1.Outcome_OUTCOME_DELIVERED {
		h.LastSuccessAt = &at
	} else {
		h.FailingSince = &at
	}
	return h
}

// summary is what attempts say about their webhook, in the order of their time.
func summary(attempts []*webhooksv1.Attempt) store.Health {
	slices.SortStableFunc(attempts, func(a, b *webhooksv1.Attempt) int {
		return a.GetStartedAt().AsTime().Compare(b.GetStartedAt().AsTime())
	})
	var h store.Health
	for _, a := range attempts {
		h = h.Merge(told(a))
	}
	return h
}

// book remembers the health of webhooks between writes. A webhook that starts or
// stops failing is written before its records are acknowledged; that one more
// attempt went as the last one did is written a little later, once for many.
type book struct {
	load  func(ctx context.Context, webhookID string) (store.Webhook, error)
	merge func(ctx context.Context, webhookID string, known store.Health) (store.Health, error)

	mu    sync.Mutex
	pages map[string]page
}

type page struct {
	// written is what the database had when it was last told something.
	written store.Health
	// since is what it has not been told yet.
	since store.Health
	dirty bool
}

// tell adds what is newly known of a webhook, and says whether it began or ceased
// to fail.
func (b *book) tell(ctx context.Context, id string, news store.Health) (turn, error) {
	if err := b.meet(ctx, id); err != nil {
		return goesOn, err
	}
	b.mu.Lock()
	known := b.pages[id]
	news = known.since.Merge(news)
	if !turns(known.written, news) {
		known.since, known.dirty = news, true
		b.pages[id] = known
		b.mu.Unlock()
		return goesOn, nil
	}
	b.mu.Unlock()
	written, err := b.write(ctx, id, news)
	switch was, is := known.written.FailingSince != nil, written.FailingSince != nil; {
	case err != nil || was == is:
		return goesOn, err
	case is:
		return beganToFail, nil
	default:
		return recovered, nil
	}
}

// meet opens the page of a webhook that is not remembered.
func (b *book) meet(ctx context.Context, id string) error {
	b.mu.Lock()
	_, known := b.pages[id]
	b.mu.Unlock()
	if known {
		return nil
	}
	w, err := b.load(ctx, id)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("load health of webhook %s: %w", id, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.pages) >= maxKnown {
		b.forget()
	}
	b.pages[id] = page{written: w.Health}
	return nil
}

// failingSince is what the database has.
func (b *book) failingSince(id string) *time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.pages[id].written.FailingSince
}

// turns reports whether the news are more than that things go on as they were.
func turns(written, news store.Health) bool {
	next := written.Merge(news)
	return (next.FailingSince == nil) != (written.FailingSince == nil) ||
		(next.LastSuccessAt == nil) != (written.LastSuccessAt == nil) ||
		(next.LastAttemptAt == nil) != (written.LastAttemptAt == nil)
}

func (b *book) write(ctx context.Context, id string, news store.Health) (store.Health, error) {
	written, err := b.merge(ctx, id, news)
	if err != nil {
		return store.Health{}, fmt.Errorf("update health of webhook %s: %w", id, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	// What came in between is merged once more with the next write: harmless.
	after := b.pages[id]
	after.written = written
	if written.Merge(after.since).Equal(written) {
		after.since, after.dirty = store.Health{}, false
	}
	b.pages[id] = after
	return written, nil
}

// forget drops what the database knows as well.
func (b *book) forget() {
	for id, known := range b.pages {
		if !known.dirty {
			delete(b.pages, id)
		}
	}
}

// flush writes everything that is not written yet. Each time it has worked for a
// piece, or in vain, it calls rest, which says whether to go on.
func (b *book) flush(ctx context.Context, rest func(worked time.Duration) bool) error {
	b.mu.Lock()
	var late []string
	for id, known := range b.pages {
		if known.dirty {
			late = append(late, id)
		}
	}
	b.mu.Unlock()
	began := time.Now()
	for _, id := range late {
		err := b.writeLate(ctx, id)
		worked := time.Since(began)
		if err == nil && worked < healthPiece {
			continue
		}
		if goOn := rest(worked); err != nil || !goOn {
			return err // if the database is away, all are still there the next time
		}
		began = time.Now()
	}
	return nil
}

func (b *book) writeLate(ctx context.Context, id string) error {
	b.mu.Lock()
	known := b.pages[id]
	b.mu.Unlock()
	if !known.dirty { // it turned meanwhile
		return nil
	}
	_, err := b.write(ctx, id, known.since)
	return err
}

// keepHealth writes late health until ctx is done, and then once more: nobody tells
// anything any more then.
func (r *Recorder) keepHealth(ctx context.Context) {
	giveWay := newRest(r.share)
	rest := func(worked time.Duration) bool {
		pause(ctx, healthShare*worked)
		giveWay.after(ctx, worked)
		return ctx.Err() == nil
	}
	uncut := context.WithoutCancel(ctx) // a stop does not cut off a write
	for pause(ctx, healthInterval); ctx.Err() == nil; pause(ctx, healthInterval) {
		r.writeHealth(uncut, rest)
	}
	last, cancel := context.WithTimeout(uncut, writeTimeout)
	defer cancel()
	r.writeHealth(last, func(time.Duration) bool { return true })
}

func (r *Recorder) writeHealth(ctx context.Context, rest func(worked time.Duration) bool) {
	if err := r.book.flush(ctx, rest); err != nil {
		r.log.Warn("health of webhooks is late", zap.Error(err))
	}
}
