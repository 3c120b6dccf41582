package webhook_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/dembrane/webhooks/pkg/webhook"
)

func TestAWebhookIsNeverToldAboutItself(t *testing.T) {
	subscribed := []string{"report.generated", "webhook.failing"}
	for _, c := range []struct {
		eventType, about string
		want             bool
	}{
		{"report.generated", "", true},
		{"conversation.started", "", false},
		{"webhook.failing", "w2", true},
		{"webhook.failing", "w1", false},
		{"webhook.disabled", "w2", false},
	} {
		assert.Equal(t, c.want, webhook.Covers("w1", subscribed, c.eventType, c.about), "%+v", c)
	}
}
