package store_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// fill sets every field that attemptAt leaves out.
func fill(a *webhooksv1.Attempt) {
	a.DeliveryId, a.EventId, a.EventType, a.EventSequence, a.WebhookRevision, a.Number = "d1", "e1", "report.generated", 7, 3, 2
	a.Trigger, a.Outcome, a.Reason = webhooksv1.Trigger_TRIGGER_REPLAY, webhooksv1.Outcome_OUTCOME_RETRY, webhooksv1.Reason_REASON_CERTIFICATE
	a.Cause, a.Detail, a.ReplayId, a.DurationUs = webhooksv1.Cause_CAUSE_CERTIFICATE_EXPIRED, "It expired.", "r1", 1234567
	a.NextAttemptAt = timestamppb.New(a.GetStartedAt().AsTime().Add(time.Minute))
	a.OccurredAt = timestamppb.New(time.UnixMicro(1_800_000_000_123_456))
	a.Request = &webhooksv1.Request{Url: "https://example.org/hook?token=x", BodyBytes: 99, Signed: true, HeaderNames: []string{"X-Api-Key"}}
	a.Timing = &webhooksv1.Timing{DnsUs: 1, ConnectUs: 2, TlsUs: 3, WaitUs: 4, EndedIn: webhooksv1.Phase_PHASE_TLS}
}

func assertProto(t *testing.T, want, got proto.Message) {
	t.Helper()
	assert.True(t, proto.Equal(want, got), "want %v, got %v", want, got)
}

// ignore leaves out an error that is no failure.
func ignore(err, harmless error) error {
	if errors.Is(err, harmless) {
		return nil
	}
	return err
}
