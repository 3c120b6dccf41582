package webhook_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/dembrane/webhooks/pkg/webhook"
)

func TestSetHeaders(t *testing.T) {
	h := http.Header{}
	webhook.Attempt{EventType: "report.generated", DeliveryID: "dlv_1", Number: 3}.SetHeaders(h)
	assert.Equal(t, http.Header{
		"Content-Type": {"application/json"}, "Accept": {"*/*"}, "User-Agent": {"Dembrane-Webhook/1.0"},
		"X-Dembrane-Event": {"report.generated"}, "X-Webhook-Event": {"report.generated"},
		"X-Dembrane-Delivery": {"dlv_1"}, "X-Dembrane-Attempt": {"3"},
	}, h)
	h.Add("Accept", "more")
	assert.Equal(t, []string{"Dembrane-Webhook/1.0"}, h["User-Agent"], "no header reaches into the next")
}
