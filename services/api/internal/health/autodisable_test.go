package health_test

import (
	"context"
	"encoding/json"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/natstest"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/activity"
	"github.com/dembrane/webhooks/services/api/internal/health"
	"github.com/dembrane/webhooks/services/api/internal/mongotest"
	"github.com/dembrane/webhooks/services/api/internal/registration"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	day      = 24 * time.Hour
	patience = 20 * time.Second
)

type world struct {
	t         *testing.T
	store     *store.Store
	nc        *nats.Conn
	projected atomic.Int32
	published []*webhooksv1.Event
	refuses   error // to publish
}

func newWorld(t *testing.T) *world {
	t.Helper()
	mongo := mongotest.StartEmbedded(t)
	s, err := store.Open(t.Context(), mongo.URI(), mongo.Database(), zap.NewNop())
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close(context.Background())) })
	require.NoError(t, s.Prepare(t.Context()))
	return &world{t: t, store: s, nc: natstest.Start(t, natstest.Embedded()).Connect(t)}
}

// webhooks lets a test put itself between the tracker and its store.
type webhooks interface {
	Load(ctx context.Context, webhookID string) (store.Webhook, error)
	MergeHealth(ctx context.Context, webhookID string, known store.Health) (store.Health, error)
	Disable(ctx context.Context, projectID, webhookID string, revision int64, reason store.DisabledReason) (bool, error)
	Tell(ctx context.Context, webhookID string, told store.Told) error
	CountExhausted(ctx context.Context, webhookID string, since time.Time, limit int64) (int, error)
}

func (w *world) tracker(s webhooks) *health.Tracker {
	return health.New(health.Deps{
		Store: s, NATS: w.nc, Log: zap.NewNop(), Metrics: health.NewMetrics(prometheus.NewRegistry()),
		Publish: func(_ context.Context, e *webhooksv1.Event) error {
			if w.refuses == nil {
				require.NoError(w.t, event.Validate(e))
				w.published = append(w.published, e)
			}
			return w.refuses
		},
		Project: func(context.Context, string, string) { w.projected.Add(1) },
	})
}

func (w *world) create() store.Webhook {
	w.t.Helper()
	made, err := w.store.Create(w.t.Context(), store.Webhook{
		ID: registration.NewID(), ProjectID: "p1", Name: "CRM", URL: "https://example.org/hook",
		Events: []string{"report.generated"}, Status: registration.Published, CreatedAt: time.Now().UTC(),
	}, 50)
	require.NoError(w.t, err)
	return made
}

func attemptOf(made store.Webhook, outcome webhooksv1.Outcome, status uint32) *webhooksv1.Attempt {
	return &webhooksv1.Attempt{
		Id: ulid.Make().String(), ProjectId: made.ProjectID, WebhookId: made.ID, WebhookRevision: uint64(made.Revision),
		StartedAt: timestamppb.Now(), Outcome: outcome, StatusCode: status, Trigger: webhooksv1.Trigger_TRIGGER_EVENT,
	}
}

// record does with one attempt what the delivery log does.
func (w *world) record(tracker *health.Tracker, a *webhooksv1.Attempt) {
	w.t.Helper()
	list := []*webhooksv1.Attempt{a}
	_, err := w.store.InsertAttempts(w.t.Context(), list)
	require.NoError(w.t, err)
	entry := activity.Entry(a, ulid.MustParse(a.GetId()))
	require.NoError(w.t, w.store.AppendLog(w.t.Context(), a.GetProjectId(), a.GetWebhookId(), []*webhooksv1.LogEntry{entry},
		func(string) bool { return false }))
	require.NoError(w.t, tracker.Update(w.t.Context(), list))
}

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
			tracker := w.tracker(w.store)
			if row.success > 0 && row.success > row.began {
				w.record(tracker, ago(made, row.success, delivered, 200))
			}
			w.record(tracker, ago(made, row.began, retry, 500))
			if row.success > 0 && row.success < row.began {
				w.record(tracker, ago(made, row.success, delivered, 200))
			}
			for i := range row.exhausted {
				w.record(tracker, ago(made, time.Duration(row.exhausted-i)*time.Minute, exhausted, 500))
			}

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
	events, err := w.nc.SubscribeSync("dembrane.ops.>")
	require.NoError(t, err)
	require.NoError(t, w.nc.Flush())
	tracker := w.tracker(w.store)
	want := func(subject, reason string) {
		t.Helper()
		gotSubject, gotID, gotReason := told(t, events)
		assert.Equal(t, subject, gotSubject)
		assert.Equal(t, made.ID, gotID)
		assert.Equal(t, reason, gotReason)
	}

	w.record(tracker, ago(made, 5*time.Minute, webhooksv1.Outcome_OUTCOME_DELIVERED, 200))
	failed := ago(made, 4*time.Minute, webhooksv1.Outcome_OUTCOME_RETRY, 404)
	failed.Reason = webhooksv1.Reason_REASON_STATUS
	w.record(tracker, failed)
	want("dembrane.ops.webhook.failing", "status")

	// Another api goes on from what the database has.
	tracker = w.tracker(w.store)
	w.record(tracker, ago(made, 3*time.Minute, webhooksv1.Outcome_OUTCOME_RETRY, 404))
	w.record(tracker, ago(made, 2*time.Minute, webhooksv1.Outcome_OUTCOME_DELIVERED, 200))
	want("dembrane.ops.webhook.recovered", "")
	w.record(tracker, ago(made, time.Minute, webhooksv1.Outcome_OUTCOME_GONE, 410))
	want("dembrane.ops.webhook.failing", "none")
	want("dembrane.ops.webhook.disabled", "gone")
}
