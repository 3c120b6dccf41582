package record

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/observe"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

// A webhook is given up when nothing could be delivered for hopelessAfter and at
// least hopelessDeliveries were exhausted in that time (contract, "Auto-disable").
const (
	hopelessAfter      = 5 * 24 * time.Hour
	hopelessDeliveries = 10
)

// turn is what a batch of attempts changed in a webhook's health.
type turn int

const (
	goesOn turn = iota
	beganToFail
	recovered
)

// hopelessSince says since when nothing was delivered, and whether that is long
// enough. A webhook that was enabled again starts anew.
func hopelessSince(failingSince, enabledAt *time.Time, now time.Time) (since time.Time, long bool) {
	if failingSince == nil {
		return time.Time{}, false
	}
	since = *failingSince
	if enabledAt != nil && enabledAt.After(since) {
		since = *enabledAt
	}
	return since, now.Sub(since) >= hopelessAfter
}

// disableHopeless switches a webhook off when one more of its deliveries was given
// up and there has been no success for days. It may be repeated.
func (r *Recorder) disableHopeless(ctx context.Context, id string, group []*webhooksv1.Attempt) error {
	last := lastExhausted(group)
	if last == nil {
		return nil
	}
	now := last.GetStartedAt().AsTime()
	if _, long := hopelessSince(r.book.failingSince(id), nil, now); !long {
		return nil
	}
	w, err := r.store.Load(ctx, id)
	if errors.Is(err, store.ErrNotFound) || err == nil && (w.Deleted() || !w.Status.Enabled()) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("load webhook %s: %w", id, err)
	}
	since, long := hopelessSince(w.Health.FailingSince, w.EnabledAt, now)
	if !long {
		return nil
	}
	count, err := r.store.CountExhausted(ctx, id, since, hopelessDeliveries)
	if err != nil || count < hopelessDeliveries {
		return err //nolint:wrapcheck // it says what it was
	}
	disabled, err := r.store.Disable(ctx, w.ProjectID, id, w.Revision, store.DisabledFailing)
	if err != nil {
		return fmt.Errorf("disable webhook %s: %w", id, err)
	}
	if disabled {
		r.metrics.disabled.Inc()
		r.log.Info("webhook disabled: nothing could be delivered for days",
			zap.String(observe.KeyProject, w.ProjectID), zap.String(observe.KeyWebhook, id), zap.Time("failing_since", since))
		r.project(ctx, w.ProjectID, id)
		r.notifyDisabled(last, store.DisabledFailing)
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

// notice is an operational event, for whoever watches over webhooks.
type notice struct {
	WebhookID  string    `json:"webhook_id"`
	ProjectID  string    `json:"project_id"`
	At         time.Time `json:"at"`
	Reason     string    `json:"reason,omitempty"`
	StatusCode uint32    `json:"status_code,omitempty"`
}

// notify tells operators that a webhook began or ceased to fail.
func (r *Recorder) notify(what turn, last *webhooksv1.Attempt) {
	switch what {
	case beganToFail:
		r.tellOperators("failing", last, last.GetReason().Label())
	case recovered:
		r.tellOperators("recovered", last, "")
	case goesOn:
	}
}

func (r *Recorder) notifyDisabled(last *webhooksv1.Attempt, reason store.DisabledReason) {
	r.tellOperators("disabled", last, string(reason))
}

// tellOperators publishes to NATS without JetStream: the webhook's health in the
// database is the truth, this is only a hint to look at it, and may come twice.
func (r *Recorder) tellOperators(what string, last *webhooksv1.Attempt, reason string) {
	data, err := json.Marshal(notice{
		WebhookID: last.GetWebhookId(), ProjectID: last.GetProjectId(), At: last.GetStartedAt().AsTime(),
		Reason: reason, StatusCode: last.GetStatusCode(),
	})
	if err == nil {
		err = r.js.Conn().Publish(topology.SubjectOps+".webhook."+what, data)
	}
	if err != nil {
		r.log.Warn("operational event not published", zap.String("event", what), zap.Error(err))
	}
}
