package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo/options"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/payload"
	"github.com/dembrane/webhooks/proto/webhooksv1"
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

// webhook is a registration as the API shows it.
type webhook struct {
	ID        string   `json:"id"`
	ProjectID string   `json:"project_id"`
	URL       string   `json:"url"`
	Events    []string `json:"events"`
	Enabled   bool     `json:"enabled"`
	HasSecret bool     `json:"has_secret"`
	Health    struct {
		State          string `json:"state"`
		DisabledReason string `json:"disabled_reason"`
	} `json:"health"`
}

type fields map[string]any

// call makes one request of a host and wants this status.
func (s *system) call(t *testing.T, method, path string, in fields, want int) []byte {
	t.Helper()
	data, err := json.Marshal(in)
	require.NoError(t, err)
	request, err := http.NewRequestWithContext(t.Context(), method, s.at.API+path, bytes.NewReader(data))
	require.NoError(t, err)
	request.Header.Set("Authorization", "Bearer "+s.at.Token)
	request.Header.Set("Content-Type", "application/json")
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, want, response.StatusCode, "%s %s: %s", method, path, body)
	return body
}

func webhooksPath(project string) string { return "/api/projects/" + project + "/webhooks" }

func (w webhook) path() string { return webhooksPath(w.ProjectID) + "/" + w.ID }

// register makes a webhook for every event, with the secret, and returns when it
// is in force.
func (s *system) register(t *testing.T, r *receiver) webhook {
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
	var w webhook
	require.NoError(t, json.Unmarshal(s.call(t, http.MethodPost, webhooksPath(project), f, http.StatusCreated), &w))
	return w
}

// change patches a webhook and returns when that is in force.
func (s *system) change(t *testing.T, w webhook, f fields) {
	t.Helper()
	s.call(t, http.MethodPatch, w.path(), f, http.StatusOK)
	s.settle(t)
}

// remove deletes a webhook and returns when that is in force.
func (s *system) remove(t *testing.T, w webhook) {
	t.Helper()
	s.call(t, http.MethodDelete, w.path(), nil, http.StatusNoContent)
	s.settle(t)
}

func (s *system) get(t *testing.T, w webhook) webhook {
	t.Helper()
	var now webhook
	require.NoError(t, json.Unmarshal(s.call(t, http.MethodGet, w.path(), nil, http.StatusOK), &now))
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
	ticker := time.NewTicker(25 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(patience)
	for {
		e := started()
		e.Project.Id = other
		require.NoError(t, s.publisher.Publish(t.Context(), e))
		select {
		case <-probe.arrivals:
			return
		case <-ticker.C:
		case <-deadline:
			require.Fail(t, "a change was never in force")
		}
	}
}

// started is a fresh event of the project.
func started() *webhooksv1.Event {
	p := &webhooksv1.Project{Id: project, Name: new("Buurtgesprekken"), Language: new("nl")}
	return payload.Sample(event.ConversationStarted, p, "evt_"+ulid.Make().String(), time.Now())
}

func (s *system) publish(t *testing.T, e *webhooksv1.Event) {
	t.Helper()
	require.NoError(t, s.publisher.Publish(t.Context(), e))
}

// attempt is a record of the delivery log.
type attempt struct {
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

// attempts is what the delivery log says about a webhook, oldest first.
func (s *system) attempts(t *testing.T, w webhook) []attempt {
	t.Helper()
	cursor, err := s.database.Collection("attempts").Find(t.Context(), bson.M{"webhook_id": w.ID},
		options.Find().SetSort(bson.M{"_id": 1}))
	require.NoError(t, err)
	var list []attempt
	require.NoError(t, cursor.All(t.Context(), &list))
	return list
}

// wantAttempts waits until the delivery log has as many records of the webhook,
// and wants these outcomes.
func (s *system) wantAttempts(t *testing.T, w webhook, outcomes ...string) []attempt {
	t.Helper()
	var list []attempt
	eventually(t, fmt.Sprintf("%d attempts in the delivery log", len(outcomes)), func() bool {
		list = s.attempts(t, w)
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
func wantOneDelivery(t *testing.T, arrivals ...arrival) {
	t.Helper()
	first := arrivals[0]
	for i, a := range arrivals {
		assert.Equal(t, first.deliveryID(), a.deliveryID())
		assert.Equal(t, first.header.Get("webhook-id"), a.header.Get("webhook-id"))
		assert.Equal(t, fmt.Sprint(i+1), a.attempt())
		assert.Equal(t, string(first.body), string(a.body))
	}
}

// eventually looks until it is so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(patience)
	for !so() {
		select {
		case <-ticker.C:
		case <-deadline:
			require.Fail(t, "never: "+what)
		}
	}
}
