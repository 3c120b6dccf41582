package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo/options"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/payload"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/test/internal/apiclient"
	"github.com/dembrane/webhooks/test/internal/receiver"
)

const (
	project = "town-talks"
	secret  = "a secret of nobody's"
)

// Outcomes, as the delivery log writes them.
const (
	delivered = "delivered"
	retry     = "retry"
	exhausted = "exhausted"
	gone      = "gone"
	disabled  = "disabled"
	deleted   = "deleted"
)

type (
	webhook = apiclient.Webhook
	fields  = apiclient.Fields
)

// call makes one request of a host and wants this status.
func (s *system) call(t *testing.T, method, path string, in fields, want int) []byte {
	t.Helper()
	body, err := s.host().Call(t.Context(), method, path, in, want)
	require.NoError(t, err)
	return body
}

// register makes a webhook for every event, with the secret, and returns when it
// is in force.
func (s *system) register(t *testing.T, r *story) webhook {
	t.Helper()
	return s.registerWith(t, fields{"url": r.url, "secret": secret, "events": event.Types()})
}

func (s *system) registerWith(t *testing.T, f fields) webhook {
	t.Helper()
	w := s.create(t, project, f)
	s.settle(t)
	return w
}

func (s *system) create(t *testing.T, project string, f fields) webhook {
	t.Helper()
	w, err := s.host().Create(t.Context(), project, f)
	require.NoError(t, err)
	return w
}

// registerMany puts webhooks of a project into the bucket, as the api does once it
// has them in its database: hundreds of them would take the embedded database
// minutes. They are in force as soon as whatever is registered after them is.
func (s *system) registerMany(t *testing.T, project, url string, count int) {
	t.Helper()
	bucket, err := s.Streams.KeyValue(t.Context(), topology.BucketWebhooks)
	require.NoError(t, err)
	for i := range count {
		id := project + "-" + strconv.Itoa(i)
		data, err := proto.Marshal(&webhooksv1.Registration{
			Id: id, ProjectId: project, Revision: 1, Url: url + "/" + strconv.Itoa(i), Events: event.Types(), Enabled: true,
		})
		require.NoError(t, err)
		_, err = bucket.Put(t.Context(), topology.KeyRegistration(project, id), data)
		require.NoError(t, err)
	}
}

// change patches a webhook and returns when that is in force.
func (s *system) change(t *testing.T, w webhook, f fields) {
	t.Helper()
	s.call(t, http.MethodPatch, w.Path(), f, http.StatusOK)
	s.settle(t)
}

// remove deletes a webhook and returns when that is in force.
func (s *system) remove(t *testing.T, w webhook) {
	t.Helper()
	s.call(t, http.MethodDelete, w.Path(), nil, http.StatusNoContent)
	s.settle(t)
}

func (s *system) get(t *testing.T, w webhook) webhook {
	t.Helper()
	now, err := s.host().Get(t.Context(), w)
	require.NoError(t, err)
	return now
}

// settle returns when everything that was registered before is in force.
// Dispatchers hear of registrations in the order in which they were made, so it
// makes another one and publishes to it until something arrives.
func (s *system) settle(t *testing.T) {
	t.Helper()
	probe := receiverAnswers(t)
	other := "probe-" + ulid.Make().String()
	s.create(t, other, fields{"url": probe.url, "events": []string{event.ConversationStarted}})
	eventually(t, "the change is in force", func() bool {
		s.publish(t, startedIn(other))
		return len(probe.arrivals) > 0
	})
}

// sampleOf is a fresh event of the project.
func sampleOf(eventType string) *webhooksv1.Event {
	p := &webhooksv1.Project{Id: project, Name: new("Buurtgesprekken"), Language: new("nl")}
	return payload.Sample(eventType, p, "evt_"+ulid.Make().String(), time.Now())
}

func started() *webhooksv1.Event { return sampleOf(event.ConversationStarted) }

func startedIn(project string) *webhooksv1.Event {
	e := started()
	e.Project.Id = project
	return e
}

func (s *system) publish(t *testing.T, e *webhooksv1.Event) {
	t.Helper()
	require.NoError(t, s.Publisher.Publish(t.Context(), e))
}

// publishTo publishes an event of the book.
func (s *system) publishTo(ctx context.Context, b book) error {
	e := startedIn(b.project)
	e.Id = b.Begin()
	return s.Publisher.Publish(ctx, e)
}

// floods publishes events as quickly as they are acknowledged.
func (s *system) floods(ctx context.Context, b book, count int) error {
	publishing, ctx := errgroup.WithContext(ctx)
	publishing.SetLimit(64)
	for range count {
		publishing.Go(func() error { return s.publishTo(ctx, b) })
	}
	return publishing.Wait()
}

// paced publishes an event of each of these books every 50 ms until it is told to
// stop.
func (s *system) paced(t *testing.T, until func() bool, books ...book) {
	t.Helper()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(patience)
	for !until() {
		for _, b := range books {
			require.NoError(t, s.publishTo(t.Context(), b))
		}
		select {
		case <-ticker.C:
		case <-deadline:
			require.Fail(t, "it never ended")
		}
	}
}

// attempt is a record of the delivery log.
type attempt struct {
	ID         string    `bson:"_id"`
	DeliveryID string    `bson:"delivery_id"`
	EventID    string    `bson:"event_id"`
	Number     int       `bson:"number"`
	Trigger    string    `bson:"trigger"`
	StartedAt  time.Time `bson:"started_at"`
	Outcome    string    `bson:"outcome"`
	Reason     string    `bson:"reason"`
	StatusCode int       `bson:"status_code"`
	Detail     string    `bson:"detail"`
}

// wantAttempts waits until the delivery log has as many records of the webhook,
// wants these outcomes, and returns the records, oldest first.
func (s *system) wantAttempts(t *testing.T, w webhook, outcomes ...string) (list []attempt) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d attempts are in the delivery log", len(outcomes)), func() bool {
		list = nil
		cursor, err := s.Attempts.Find(t.Context(), bson.M{"webhook_id": w.ID}, options.Find().SetSort(bson.M{"_id": 1}))
		require.NoError(t, err)
		require.NoError(t, cursor.All(t.Context(), &list))
		return len(list) >= len(outcomes)
	})
	got := make([]string, len(list))
	for i, a := range list {
		got[i] = a.Outcome
	}
	require.Equal(t, outcomes, got)
	return list
}

// wantOneDelivery wants the same ids and the same bytes every time, and attempts
// counted from 1.
func wantOneDelivery(t *testing.T, arrivals ...receiver.Arrival) {
	t.Helper()
	first := arrivals[0]
	for i, a := range arrivals {
		assert.Equal(t, first.Delivery, a.Delivery)
		assert.Equal(t, first.Header.Get("webhook-id"), a.Header.Get("webhook-id"))
		assert.Equal(t, i+1, a.Attempt)
		assert.Equal(t, string(first.Body), string(a.Body))
	}
}
