package httpapi

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/access"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

// shownBodyBytes is how much of a receiver's answer a test shows.
const shownBodyBytes = 4 << 10

// tested is what became of a test delivery.
type tested struct {
	Success           bool      `json:"success"`
	StatusCode        *uint32   `json:"status_code"`
	Message           string    `json:"message"`
	Outcome           string    `json:"outcome"`
	Reason            string    `json:"reason"`
	DurationMS        int64     `json:"duration_ms"`
	ResponseBody      string    `json:"response_body"`
	ResponseTruncated bool      `json:"response_truncated"`
	WebhookID         string    `json:"webhook_id"`
	EventID           string    `json:"event_id"`
	DeliveryID        string    `json:"delivery_id"`
	AttemptID         string    `json:"attempt_id"`
	StartedAt         timestamp `json:"started_at"`
}

// test sends one delivery now and waits for it. The webhook need not be enabled:
// trying it out comes first.
func (s *server) test(c echo.Context, grant access.Grant) error {
	w, err := s.find(c, grant)
	if err != nil {
		return err
	}
	attempt, err := s.SendTest(c.Request().Context(), &webhooksv1.TestRequest{
		Registration:    w.Registration(),
		ProjectName:     grant.Project.Name,
		ProjectLanguage: grant.Project.Language,
		WorkspaceId:     grant.Project.WorkspaceID,
	})
	if err != nil {
		return fmt.Errorf("test webhook: %w", err)
	}
	return c.JSON(http.StatusOK, showTest(attempt, w))
}

func showTest(a *webhooksv1.Attempt, w store.Webhook) tested {
	t := tested{
		Success:    a.GetOutcome() == webhooksv1.Outcome_OUTCOME_DELIVERED,
		Outcome:    a.GetOutcome().Label(),
		Reason:     a.GetReason().Label(),
		DurationMS: a.GetDurationUs() / 1000,
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
	t.Message = testMessage(a)
	if t.Success && !w.Status.Enabled() {
		t.Message += " The webhook is off: " + offSentence(w)
	}
	return t
}

func testMessage(a *webhooksv1.Attempt) string {
	milliseconds := a.GetDurationUs() / 1000
	switch {
	case a.GetOutcome() == webhooksv1.Outcome_OUTCOME_DELIVERED:
		return fmt.Sprintf("Delivered: the receiver answered %d in %d ms.", a.GetStatusCode(), milliseconds)
	case a.GetDetail() != "":
		return a.GetDetail()
	case a.GetStatusCode() != 0:
		return fmt.Sprintf("Not delivered: the receiver answered %d in %d ms.", a.GetStatusCode(), milliseconds)
	default:
		return "Not delivered: " + strings.ReplaceAll(a.GetReason().Label(), "_", " ") + "."
	}
}

// offSentence says why a webhook gets nothing but tests, and how to change that.
func offSentence(w store.Webhook) string {
	if w.DisabledReason != "" {
		return lowerFirst(disabledSentence(w.DisabledReason))
	}
	return "no events are sent to it. Enable the webhook to have them sent."
}

func lowerFirst(sentence string) string { return strings.ToLower(sentence[:1]) + sentence[1:] }
