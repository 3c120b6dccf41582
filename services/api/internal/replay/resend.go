package replay

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/eventlog"
	"github.com/dembrane/webhooks/services/api/internal/ranges"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

// ErrTest says that the attempt is of a test, for which there is no event.
var ErrTest = errors.New("a test is of no event")

// Resend sends the event of an attempt to its webhook again, as due now. key names
// the request: doing it again with the same one within two minutes does it once.
// Errors: [ErrTest], [ErrDisabled], [topology.ErrEventGone].
func (s *Service) Resend(ctx context.Context, w store.Webhook, of *webhooksv1.Attempt, key string) error {
	switch {
	case of.GetEventSequence() == 0:
		return ErrTest
	case !w.Status.Enabled():
		return ErrDisabled
	}
	msg, err := s.reader.Event(ctx, w.ProjectID, of.GetEventSequence())
	if err != nil {
		return fmt.Errorf("read event: %w", err)
	}
	id := msg.Header.Get(nats.MsgIdHdr)
	if id == "" {
		if e, err := event.Decode(msg.Header.Get("Content-Type"), msg.Data); err == nil {
			id = e.GetId()
		}
	}
	if id != of.GetEventId() { // the stream was made again since
		return fmt.Errorf("read event: found another one: %w", topology.ErrEventGone)
	}
	err = s.ranges.WriteOne(ctx, ranges.Single{
		ProjectID: w.ProjectID, WebhookID: w.ID,
		Event:   eventlog.Event{Sequence: of.GetEventSequence(), ID: of.GetEventId(), Type: of.GetEventType()},
		Trigger: webhooksv1.Trigger_TRIGGER_RESEND, MessageID: "resend-" + key,
	})
	if err != nil {
		return fmt.Errorf("resend: %w", err)
	}
	return nil
}
