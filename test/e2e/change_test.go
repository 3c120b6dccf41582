package e2e_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/signature"
	"github.com/dembrane/webhooks/test/internal/apiclient"
)

// retryLater leaves the time to change a webhook before its retry.
func retryLater() settings { return settings{"RETRY_FIRST": "6s"} }

func TestAWebhookDisabledWhileItWaitsGetsNothingMore(t *testing.T) {
	t.Parallel()
	s := start(t, retryLater())
	r := receiverAnswers(t, 500)
	w := s.register(t, r)
	s.publish(t, started())
	s.wantAttempts(t, w, retry)

	s.change(t, w, fields{"enabled": false})

	s.wantAttempts(t, w, retry, disabled)
	r.next(t)
	r.wantNothingMore(t)
}

func TestAWebhookDeletedWhileItWaitsGetsNothingMore(t *testing.T) {
	t.Parallel()
	s := start(t, retryLater())
	r := receiverAnswers(t, 500)
	w := s.register(t, r)
	s.publish(t, started())
	s.wantAttempts(t, w, retry)

	s.remove(t, w)

	s.wantAttempts(t, w, retry, deleted)
	r.next(t)
	r.wantNothingMore(t)
	s.call(t, http.MethodGet, w.Path(), nil, http.StatusNotFound)
}

func TestARetryUsesTheURLAndTheSecretOfItsTime(t *testing.T) {
	t.Parallel()
	const changed = "another secret of nobody's"
	s := start(t, retryLater())
	before, after := receiverAnswers(t, 500), receiverAnswers(t)
	w := s.register(t, before)
	s.publish(t, started())
	s.wantAttempts(t, w, retry)

	s.change(t, w, fields{"url": after.url, "secret": changed})

	s.wantAttempts(t, w, retry, delivered)
	first, second := before.next(t), after.next(t)
	wantOneDelivery(t, first, second)
	assert.True(t, signature.VerifyBody(secret, first.Header.Get("X-Dembrane-Signature"), first.Body))
	require.NoError(t, signature.Verify(changed, second.Header, second.Body, time.Now(), signature.Tolerance))
	before.wantNothingMore(t)
}

func TestOnlyTheEventsThatWereAskedForArrive(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	r := receiverAnswers(t)
	w := s.registerWith(t, fields{"url": r.url, "events": []string{event.ReportGenerated}})

	s.publish(t, started())
	report := sampleOf(event.ReportGenerated)
	s.publish(t, report)

	got := r.next(t)
	assert.Equal(t, report.GetId(), got.Event)
	for _, name := range []string{"X-Dembrane-Signature", "X-Webhook-Signature", "webhook-signature"} {
		assert.Empty(t, got.Header.Get(name), "there is no secret")
	}
	s.wantAttempts(t, w, delivered)
	r.wantNothingMore(t)
}

func TestATestDeliveryIsMadeAtOnceAndReported(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	r := receiverAnswers(t, 204, 500)
	w := s.register(t, r)
	var report struct {
		Success    bool   `json:"success"`
		StatusCode int    `json:"status_code"`
		Message    string `json:"message"`
		EventID    string `json:"event_id"`
	}

	require.NoError(t, json.Unmarshal(s.call(t, http.MethodPost, w.Path()+"/test", nil, http.StatusOK), &report))

	assert.True(t, report.Success, report.Message)
	assert.Equal(t, 204, report.StatusCode)
	got := r.next(t)
	assert.Equal(t, event.Test, got.Header.Get("X-Dembrane-Event"))
	assert.Equal(t, report.EventID, got.Event)
	assert.NoError(t, signature.Verify(secret, got.Header, got.Body, time.Now(), signature.Tolerance))

	require.NoError(t, json.Unmarshal(s.call(t, http.MethodPost, w.Path()+"/test", nil, http.StatusOK), &report))

	assert.False(t, report.Success)
	assert.Equal(t, 500, report.StatusCode)
	list := s.wantAttempts(t, w, delivered, exhausted) // and never tried again
	assert.Equal(t, "test", list[0].Trigger)
}

func TestLoopbackIsForbiddenUnlessItIsAllowed(t *testing.T) {
	t.Parallel()
	s := start(t, nil) // nobody has decided: it is allowed
	r := receiverAnswers(t)
	w := s.register(t, r)
	s.publish(t, started())
	s.wantAttempts(t, w, delivered)
	r.next(t)

	s.stop()
	again := startIn(t, s.folder, settings{"ALLOW_CIDRS": "", "RETRY_ATTEMPTS": "1"})

	again.publish(t, started())
	list := again.wantAttempts(t, w, delivered, exhausted)
	assert.Equal(t, "address_forbidden", list[1].Reason)
	again.call(t, http.MethodPost, apiclient.Webhooks(project), fields{"url": r.url, "events": event.Types()}, http.StatusBadRequest)
	r.wantNothingMore(t)
}
