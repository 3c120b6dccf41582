package health

import (
	"encoding/json"
	"time"

	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// notice is an operational event, for whoever watches over webhooks.
type notice struct {
	WebhookID  string    `json:"webhook_id"`
	ProjectID  string    `json:"project_id"`
	At         time.Time `json:"at"`
	Reason     string    `json:"reason,omitempty"`
	StatusCode uint32    `json:"status_code,omitempty"`
}

// notifyTransition tells operators that a webhook began or ceased to fail.
func (t *Tracker) notifyTransition(change transition, last *webhooksv1.Attempt) {
	switch change {
	case beganToFail:
		t.notify("failing", last, last.GetReason().Label())
	case recovered:
		t.notify("recovered", last, "")
	case unchanged:
	}
}

// notify publishes to NATS without JetStream: the webhook's health in the
// database is the truth, this is only a hint to look at it, and may come twice.
func (t *Tracker) notify(what string, last *webhooksv1.Attempt, reason string) {
	data, err := json.Marshal(notice{
		WebhookID: last.GetWebhookId(), ProjectID: last.GetProjectId(), At: last.GetStartedAt().AsTime(),
		Reason: reason, StatusCode: last.GetStatusCode(),
	})
	if err == nil {
		err = t.nc.Publish(topology.SubjectOps+".webhook."+what, data)
	}
	if err != nil {
		t.log.Warn("operational event not published", zap.String("event", what), zap.Error(err))
	}
}
