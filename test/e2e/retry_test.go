package e2e_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/signature"
	"github.com/dembrane/webhooks/test/internal/receiver"
)

func TestAFailureIsTriedAgainUntilItSucceeds(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	r := receiverAnswers(t, 500, 500, 200)
	w := s.register(t, r)

	e := started()
	s.publish(t, e)

	s.wantAttempts(t, w, retry, retry, delivered)
	first, second, third := r.next(t), r.next(t), r.next(t)
	wantOneDelivery(t, first, second, third)
	assert.Equal(t, e.GetId(), third.Event)
	assert.Equal(t, e.GetId(), third.Header.Get("webhook-id"))
	for _, a := range []receiver.Arrival{first, second, third} {
		assert.True(t, signature.VerifyBody(secret, a.Header.Get("X-Dembrane-Signature"), a.Body))
	}
	r.wantNothingMore(t)
	// The log is written first, and the health right after it.
	eventually(t, "health ok", func() bool { return s.get(t, w).Health.State == "ok" })
}

func TestADeliveryIsExhaustedAfterItsLastAttempt(t *testing.T) {
	t.Parallel()
	s := start(t, settings{"RETRY_ATTEMPTS": "3"})
	r := receiverAnswers(t, 500, 404, 401)
	w := s.register(t, r)

	s.publish(t, started())

	list := s.wantAttempts(t, w, retry, retry, exhausted)
	assert.Equal(t, []int{500, 404, 401}, []int{list[0].StatusCode, list[1].StatusCode, list[2].StatusCode})
	assert.Equal(t, "failing", s.get(t, w).Health.State)
}

func TestRetryAfterMakesTheWholeEndpointWait(t *testing.T) {
	t.Parallel()
	const pause = 2 * time.Second
	s := start(t, nil)
	r := receiverDoes(t, receiver.RetryAfter(http.StatusServiceUnavailable, "2"))
	w := s.register(t, r)

	s.publish(t, started())
	refused := r.next(t)
	s.wantAttempts(t, w, retry)
	s.publish(t, started())

	again, other := r.next(t), r.next(t)
	for _, a := range []receiver.Arrival{again, other} {
		assert.GreaterOrEqual(t, a.At.Sub(refused.At), pause, "attempt %d of %s", a.Attempt, a.Delivery)
	}
	list := s.wantAttempts(t, w, retry, delivered, delivered)
	assert.Equal(t, "throttled", list[0].Reason)
	assert.Equal(t, 3, list[1].Number+list[2].Number, "the one that waited has not used up an attempt")
}

func TestGoneDisablesTheWebhook(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	r := receiverAnswers(t, http.StatusGone)
	w := s.register(t, r)

	s.publish(t, started())

	s.wantAttempts(t, w, gone)
	eventually(t, "the webhook is disabled", func() bool { return !s.get(t, w).Enabled })
	now := s.get(t, w)
	assert.Equal(t, "disabled", now.Health.State)
	assert.NotEmpty(t, now.Health.DisabledReason)

	s.publish(t, started())
	s.settle(t) // another event got through behind it
	r.next(t)
	r.wantNothingMore(t)
	s.wantAttempts(t, w, gone)
}

func TestARedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	elsewhere := receiverAnswers(t)
	r := receiverDoes(t, receiver.Redirect(elsewhere.url))
	w := s.register(t, r)

	s.publish(t, started())

	list := s.wantAttempts(t, w, retry, delivered)
	assert.Equal(t, "redirect", list[0].Reason)
	assert.Contains(t, list[0].Detail, elsewhere.url)
	elsewhere.wantNothingMore(t)
}

func TestAReceiverThatSaysNothingTimesOut(t *testing.T) {
	t.Parallel()
	s := start(t, settings{"ATTEMPT_TIMEOUT": "1s"})
	r := receiverDoes(t, receiver.Silence)
	w := s.register(t, r)

	s.publish(t, started())

	list := s.wantAttempts(t, w, retry, delivered)
	assert.Equal(t, "timeout", list[0].Reason)
	first, second := r.next(t), r.next(t)
	wantOneDelivery(t, first, second)
	assert.GreaterOrEqual(t, second.At.Sub(first.At), time.Second)
}

func TestAReceiverThatCannotBeReachedIsTriedAgain(t *testing.T) {
	t.Parallel()
	s := start(t, settings{"RETRY_ATTEMPTS": "2"})
	w := s.registerWith(t, fields{"url": "http://127.0.0.1:9/", "events": []string{"conversation.started"}})

	s.publish(t, started())

	list := s.wantAttempts(t, w, retry, exhausted)
	require.Zero(t, list[0].StatusCode)
	assert.NotEmpty(t, list[0].Reason)
}
