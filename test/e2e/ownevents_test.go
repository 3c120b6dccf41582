package e2e_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/event"
)

// A host's chat is told that their CRM fails, and that it works again; the CRM is
// not told about itself, though it asked.
func TestAWebhookHearsOfAnotherThatFails(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	crm, chat := receiverAnswers(t, http.StatusNotFound), receiverAnswers(t)
	own := []string{event.WebhookFailing, event.WebhookRecovered}
	failing := s.create(t, project, fields{"name": "CRM", "url": crm.url, "events": append(own, event.ConversationStarted)})
	w := s.create(t, project, fields{"url": chat.url, "events": own})
	s.settle(t)

	s.publish(t, started())

	var body struct {
		Event   string `json:"event"`
		Webhook struct {
			ID, Name, Host, State, Message string
			StatusCode                     int `json:"status_code"`
		} `json:"webhook"`
	}
	require.NoError(t, json.Unmarshal(chat.next(t).Body, &body))
	assert.Equal(t, event.WebhookFailing, body.Event)
	assert.Equal(t, failing.ID, body.Webhook.ID)
	assert.Equal(t, "CRM", body.Webhook.Name)
	assert.Equal(t, "127.0.0.1", body.Webhook.Host)
	assert.Equal(t, http.StatusNotFound, body.Webhook.StatusCode)
	assert.Equal(t, "failing", body.Webhook.State)
	require.NoError(t, json.Unmarshal(chat.next(t).Body, &body))
	assert.Equal(t, event.WebhookRecovered, body.Event)
	assert.Equal(t, "ok", body.Webhook.State)

	s.wantAttempts(t, w, delivered, delivered)
	s.wantAttempts(t, failing, retry, delivered)
}
