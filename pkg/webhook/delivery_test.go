package webhook_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/webhook"
)

// Receivers deduplicate on it: it must never change.
func TestDeliveryIDIsForEver(t *testing.T) {
	id := webhook.DeliveryID("evt-1", "01JH")
	assert.Equal(t, "dlv_LSLJ1A366TK63D2H7J1E75E7", id)
	assert.True(t, event.ValidID(id))
	assert.NotEqual(t, id, webhook.DeliveryID("evt-1", "01JI"))
	assert.NotEqual(t, webhook.DeliveryID("a", "bc"), webhook.DeliveryID("ab", "c"))
}
