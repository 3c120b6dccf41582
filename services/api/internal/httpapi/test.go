package httpapi

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"
	"github.com/oklog/ulid/v2"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/words"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/access"
	"github.com/dembrane/webhooks/services/api/internal/activity"
	"github.com/dembrane/webhooks/services/api/internal/registration"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

// shownBodyBytes is how much of a receiver's answer a test shows.
const shownBodyBytes = 4 << 10

// tested is what became of a test delivery.
type tested struct {
	Success    bool    `json:"success"`
	StatusCode *uint32 `json:"status_code"`
	Message    string  `json:"message"`
	Advice     string  `json:"advice"`
	Outcome    string  `json:"outcome"`
	Reason     string  `json:"reason"`
	// Detail is what was noted when it was made, in English; empty for most.
	Detail     string `json:"detail"`
	DurationMS int64  `json:"duration_ms"`
	// Timing is null when no request was made.
	Timing            *shownTiming `json:"timing"`
	ResponseBody      string       `json:"response_body"`
	ResponseTruncated bool         `json:"response_truncated"`
	WebhookID         string       `json:"webhook_id"`
	EventID           string       `json:"event_id"`
	DeliveryID        string       `json:"delivery_id"`
	AttemptID         string       `json:"attempt_id"`
	StartedAt         timestamp    `json:"started_at"`
}

// test sends one delivery now and waits for it. The webhook need not be enabled:
// trying it out comes first.
func (s *server) test(c echo.Context, grant access.Grant) error {
	w, err := s.find(c, grant)
	if err != nil {
		return err
	}
	given, err := readTest(c)
	if err != nil {
		return err
	}
	if given.Format != nil {
		w.Format = *given.Format
	}
	attempt, err := s.SendTest(c.Request().Context(), &webhooksv1.TestRequest{
		Registration:    w.Registration(),
		ProjectName:     grant.Project.Name,
		ProjectLanguage: grant.Project.Language,
		WorkspaceId:     grant.Project.WorkspaceID,
		EventType:       given.event(),
	})
	if err != nil {
		return fmt.Errorf("test webhook: %w", err)
	}
	return c.JSON(http.StatusOK, showTest(attempt, w, language(c)))
}

// testInput is what a request says about a test. Nothing is needed.
type testInput struct {
	// Event is the one to send a sample of; nil is the test's own.
	Event *string
	// Format is the one to send it in; nil is the webhook's.
	Format *string
}

func (t testInput) event() string {
	if t.Event == nil {
		return event.Test
	}
	return *t.Event
}

func readTest(c echo.Context) (testInput, error) {
	raw, err := readBody(c)
	if err != nil || saysNothing(raw) {
		return testInput{}, err
	}
	fields, err := parseObject(raw)
	if err != nil {
		return testInput{}, err
	}
	var t testInput
	var faults registration.Faults
	faults.Add(field(fields, "event", "text", &t.Event))
	faults.Add(field(fields, "format", "text", &t.Format))
	if t.Event != nil && *t.Event != event.Test {
		faults.Add(registration.Event(*t.Event))
	}
	if t.Format != nil {
		var stored string
		stored, err = registration.Format(*t.Format)
		faults.Add(err)
		t.Format = &stored
	}
	return t, faults.Err()
}

func showTest(a *webhooksv1.Attempt, w store.Webhook, in words.Language) tested {
	entry := activity.Entry(a, ulid.ULID{})
	entry.Trigger = webhooksv1.Trigger_TRIGGER_TEST
	said := sayEntry(entry, in)
	t := tested{
		Success:    a.GetOutcome() == webhooksv1.Outcome_OUTCOME_DELIVERED,
		Message:    said.Message,
		Advice:     said.Advice,
		Outcome:    a.GetOutcome().Label(),
		Reason:     a.GetReason().Label(),
		Detail:     a.GetDetail(),
		DurationMS: a.GetDurationUs() / 1000,
		Timing:     showTiming(a),
		WebhookID:  a.GetWebhookId(),
		EventID:    a.GetEventId(),
		DeliveryID: a.GetDeliveryId(),
		AttemptID:  a.GetId(),
		StartedAt:  timestamp(a.GetStartedAt().AsTime()),
	}
	if code := a.GetStatusCode(); code != 0 {
		t.StatusCode = &code
	}
	body := a.GetResponse().GetBody()
	t.ResponseTruncated = a.GetResponse().GetTruncated() || len(body) > shownBodyBytes
	t.ResponseBody = strings.ToValidUTF8(string(body[:min(len(body), shownBodyBytes)]), "\ufffd")
	if t.Success && !w.Status.Enabled() {
		off := words.Off(string(w.DisabledReason), in)
		t.Message += " " + off.Message
		t.Advice = strings.TrimSpace(t.Advice + " " + off.Advice)
	}
	return t
}
