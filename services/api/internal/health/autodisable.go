package health

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/observe"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

// A webhook is disabled when nothing could be delivered for disableAfter and at
// least disableExhausted deliveries were exhausted in that time (contract,
// "Auto-disable").
const (
	disableAfter     = 5 * 24 * time.Hour
	disableExhausted = 10
)

// disableGone disables a webhook when a receiver answered 410 to what is still
// its registration: one that was changed or enabled again since then gets the
// benefit of the doubt.
func (t *Tracker) disableGone(ctx context.Context, group []*webhooksv1.Attempt) error {
	for _, a := range group {
		if a.GetOutcome() != webhooksv1.Outcome_OUTCOME_GONE {
			continue
		}
		revision := int64(a.GetWebhookRevision()) //nolint:gosec // made by this service
		if err := t.disable(ctx, a, revision, store.DisabledGone); err != nil {
			return err
		}
	}
	return nil
}

// disableFailing disables a webhook when one more of its deliveries was exhausted
// and there has been no success for days. It may be repeated.
func (t *Tracker) disableFailing(ctx context.Context, id string, group []*webhooksv1.Attempt) error {
	last := lastExhausted(group)
	if last == nil {
		return nil
	}
	now := last.GetStartedAt().AsTime()
	if _, long := failingFor(t.cache.failingSince(id), nil, now); !long {
		return nil
	}
	w, err := t.store.Load(ctx, id)
	if errors.Is(err, store.ErrNotFound) || err == nil && (w.Deleted() || !w.Status.Enabled()) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("load webhook %s: %w", id, err)
	}
	since, long := failingFor(w.Health.FailingSince, w.EnabledAt, now)
	if !long {
		return nil
	}
	count, err := t.store.CountExhausted(ctx, id, since, disableExhausted)
	if err != nil || count < disableExhausted {
		return err //nolint:wrapcheck // it says what it was
	}
	return t.disable(ctx, last, w.Revision, store.DisabledFailing)
}

// failingFor says since when nothing was delivered, and whether that is long
// enough. A webhook that was enabled again starts anew.
func failingFor(failingSince, enabledAt *time.Time, now time.Time) (since time.Time, long bool) {
	if failingSince == nil {
		return time.Time{}, false
	}
	since = *failingSince
	if enabledAt != nil && enabledAt.After(since) {
		since = *enabledAt
	}
	return since, now.Sub(since) >= disableAfter
}

// disable disables the webhook of an attempt, unless it is past that revision,
// and tells whom it concerns.
func (t *Tracker) disable(ctx context.Context, cause *webhooksv1.Attempt, revision int64, reason store.DisabledReason) error {
	projectID, id := cause.GetProjectId(), cause.GetWebhookId()
	disabled, err := t.store.Disable(ctx, projectID, id, revision, reason)
	if err != nil {
		return fmt.Errorf("disable webhook %s: %w", id, err)
	}
	if disabled {
		t.metrics.disabled.Inc()
		t.log.Info("webhook disabled", zap.String(observe.KeyReason, string(reason)),
			zap.String(observe.KeyProject, projectID), zap.String(observe.KeyWebhook, id))
		t.project(ctx, projectID, id)
		t.notify("disabled", cause, string(reason))
		t.announceDisabled(ctx, cause, revision, reason)
	}
	return nil
}

func lastExhausted(group []*webhooksv1.Attempt) *webhooksv1.Attempt {
	for _, a := range slices.Backward(group) {
		if a.GetOutcome() == webhooksv1.Outcome_OUTCOME_EXHAUSTED {
			return a
		}
	}
	return nil
}
