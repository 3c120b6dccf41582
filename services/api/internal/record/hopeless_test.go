package record_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/registration"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

const day = 24 * time.Hour

// ago is an attempt that began some time ago.
func ago(made store.Webhook, age time.Duration, outcome webhooksv1.Outcome, status uint32) *webhooksv1.Attempt {
	a := attemptOf(made, outcome, status)
	began := time.Now().Add(-age)
	a.StartedAt = timestamppb.New(began)
	a.Id = ulid.MustNew(ulid.Timestamp(began), ulid.DefaultEntropy()).String()
	return a
}

// told reads one operational event.
func told(t *testing.T, events *nats.Subscription) (subject, webhookID, reason string) {
	t.Helper()
	msg, err := events.NextMsg(patience)
	require.NoError(t, err)
	var notice struct {
		WebhookID string `json:"webhook_id"`
		ProjectID string `json:"project_id"`
		Reason    string `json:"reason"`
	}
	require.NoError(t, json.Unmarshal(msg.Data, &notice))
	assert.Equal(t, "p1", notice.ProjectID)
	return msg.Subject, notice.WebhookID, notice.Reason
}

func TestNothingDeliveredForFiveDaysDisables(t *testing.T) {
	const exhausted, retry, delivered = webhooksv1.Outcome_OUTCOME_EXHAUSTED, webhooksv1.Outcome_OUTCOME_RETRY, webhooksv1.Outcome_OUTCOME_DELIVERED
	for name, row := range map[string]struct {
		began     time.Duration // the first failure
		exhausted int
		success   time.Duration // the last success; 0 for none
		enabled   bool          // again, a moment ago
		want      bool
	}{
		"long and often":          {began: 5*day + time.Hour, exhausted: 10, want: true},
		"after a success":         {began: 6 * day, exhausted: 10, success: 7 * day, want: true},
		"not long enough":         {began: 5*day - time.Hour, exhausted: 12},
		"not often enough":        {began: 30 * day, exhausted: 9},
		"a success in between":    {began: 9 * day, exhausted: 12, success: 4 * day},
		"enabled again meanwhile": {began: 9 * day, exhausted: 12, enabled: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			made := w.create()
			if row.enabled {
				for _, status := range []registration.Status{registration.Draft, registration.Published} {
					_, err := w.store.Change(t.Context(), "p1", made.ID, func(h *store.Webhook) error {
						h.Status = status
						return nil
					})
					require.NoError(t, err)
				}
			}
			w.run(w.store)
			if row.success > 0 && row.success > row.began {
				w.publish(ago(made, row.success, delivered, 200))
			}
			w.publish(ago(made, row.began, retry, 500))
			if row.success > 0 && row.success < row.began {
				w.publish(ago(made, row.success, delivered, 200))
			}
			for i := range row.exhausted {
				w.publish(ago(made, time.Duration(row.exhausted-i)*time.Minute, exhausted, 500))
			}
			w.wantDrained()

			got, err := w.store.Get(t.Context(), "p1", made.ID)
			require.NoError(t, err)
			assert.Equal(t, row.want, !got.Status.Enabled())
			if row.want {
				assert.Equal(t, store.DisabledFailing, got.DisabledReason)
				assert.EqualValues(t, 1, w.projected.Load())
			}
		})
	}
}

func TestOperatorsAreTold(t *testing.T) {
	w := newWorld(t)
	made := w.create()
	events, err := w.js.Conn().SubscribeSync("dembrane.ops.>")
	require.NoError(t, err)
	require.NoError(t, w.js.Conn().Flush())
	stop := w.run(w.store)
	want := func(subject, reason string) {
		t.Helper()
		gotSubject, gotID, gotReason := told(t, events)
		assert.Equal(t, subject, gotSubject)
		assert.Equal(t, made.ID, gotID)
		assert.Equal(t, reason, gotReason)
	}

	w.publish(ago(made, 5*time.Minute, webhooksv1.Outcome_OUTCOME_DELIVERED, 200))
	failed := ago(made, 4*time.Minute, webhooksv1.Outcome_OUTCOME_RETRY, 404)
	failed.Reason = webhooksv1.Reason_REASON_STATUS
	w.publish(failed)
	want("dembrane.ops.webhook.failing", "status")

	// Another api goes on from what the database has.
	w.wantDrained()
	stop()
	w.run(w.store)
	w.publish(ago(made, 3*time.Minute, webhooksv1.Outcome_OUTCOME_RETRY, 404))
	w.publish(ago(made, 2*time.Minute, webhooksv1.Outcome_OUTCOME_DELIVERED, 200))
	want("dembrane.ops.webhook.recovered", "")
	w.publish(ago(made, time.Minute, webhooksv1.Outcome_OUTCOME_GONE, 410))
	want("dembrane.ops.webhook.failing", "none")
	want("dembrane.ops.webhook.disabled", "gone")
}
