package portal_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// What an address looks like is said while it is typed, however it was copied: with the
// format that fits, and nothing that is not so.
func TestEveryProductIsRecognised(t *testing.T) {
	const (
		path  = "/services/T0/B0/X"
		flow  = "/powerautomate/automations/direct/workflows/1/triggers/manual/paths/invoke?api-version=1&sp=%2Ftriggers&sv=1.0&sig=x"
		uuid  = "3f0c1a2e-1234-4bcd-9abc-0123456789ab"
		plain = "whoever is on the way can read"
	)
	s := newSite(t)
	b := s.as("good")
	token := b.token(overview + "/new")
	for _, row := range []struct{ typed, format, looks, says string }{
		{"https://hooks.slack.com" + path, "slack", "Slack", "at most one a second. Slack does not check signatures"},
		{"  HTTPS://Hooks.Slack.COM:443" + path + "\r\n", "slack", "Slack", "Messages arrive in the channel"},
		{"hooks.slack.com" + path, "slack", "Slack", "Messages arrive in the channel"},
		{"http://hooks.slack.com" + path, "slack", "Slack", plain},
		{"https://hooks.slack.com/triggers/T0/1/x", "json", "Slack", "It starts a workflow in Slack"},
		{"https://hooks.slack.com/workflows/T0/A0/1/x", "json", "Slack", "It starts a workflow in Slack"},
		{"https://prod-12.westeurope.logic.azure.com:443/workflows/1/triggers/manual/paths/invoke?sig=x", "teams", "Microsoft Teams / Power Automate", "If the flow posts to a channel"},
		{"https://default1.2a.environment.api.powerplatform.com:443" + flow, "teams", "Microsoft Teams / Power Automate", "If your own flow reads the data, choose Data."},
		{"https://Contoso.webhook.office.com/webhookb2/x", "teams", "Microsoft Teams / Power Automate", "choose the message for Teams"},
		{"<https://discord.com/api/webhooks/1/x>", "discord", "Discord", "about one every two seconds"},
		{"https://CHAT.googleapis.com/v1/spaces/A/messages?key=x&token=y", "google_chat", "Google Chat", "Messages arrive in the space"},
		{"https://hooks.zapier.com/hooks/catch/1/2/ ", "json", "Zapier", "so that Zapier learns the fields"},
		{"https://Hook.EU1.make.com/abc", "json", "Make", "Redetermine data structure"},
		{"https://hook.us1.make.celonis.com/abc", "json", "Make", "Redetermine data structure"},
		{"https://x.app.n8n.cloud/webhook/abc", "json", "n8n", "Activate the workflow in n8n"},
		{"https://automation.example.org/webhook/" + uuid, "json", "n8n", "Activate the workflow in n8n"},
		{"https://automation.example.org/webhook-test/" + uuid, "json", "n8n", "it works only while you press"},
		{"https://mattermost.example.org/hooks/abcdefghijklmnopqrstuvwxyz", "mattermost", "Mattermost", "Messages arrive in the channel"},
		{"https://script.google.com/macros/s/x/exec", "json", "Google Apps Script", "we count that as delivered"},
		// Nothing is said of what is not known, or not whole.
		{"", "", "", ""},
		{path, "", "", ""},
		{"https://", "", "", ""},
		{"https://hooks.slack.com/", "", "", ""},
		{"https://hooks.slack.com:8443" + path, "", "", ""},
		{"https://hooks.slack.com.example.org" + path, "", "", ""},
		{"https://example.org/webhook/" + uuid + "0", "", "", ""},
		{"https://make.com.example.org/abc", "", "", ""},
	} {
		said := b.post(overview+"/suggest", "_token", token, "url", row.typed)
		assert.Equal(t, row.format, said.header.Get("Suggested-Format"), row.typed)
		if row.looks == "" {
			assert.NotContains(t, said.body, "This looks like", row.typed)
			continue
		}
		assert.Contains(t, said.body, "This looks like "+row.looks+".", row.typed)
		assert.Contains(t, said.body, row.says, row.typed)
	}
}
