package chat_test

import (
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/payload/chat"
)

func TestSuggest(t *testing.T) {
	// The addresses have the shape of real ones and lead nowhere.
	const slack, discord = "services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX", "webhooks/100000000000000000/abc-DEF_ghi"
	for url, want := range map[string]chat.Format{
		"https://hooks.slack.com/" + slack:                                                                   chat.Slack,
		"HTTPS://Hooks.Slack.COM/" + slack:                                                                   chat.Slack,
		"https://hooks.slack.com:443/" + slack:                                                               chat.Slack,
		"https://hooks.slack.com./" + slack:                                                                  chat.Slack,
		"  https://hooks.slack.com/" + slack + "\n":                                                          chat.Slack,
		"https://hooks.slack-gov.com/" + slack:                                                               chat.Slack,
		"https://hooks.slack.com/workflows/T0/A0/1/x":                                                        chat.JSON,
		"https://hooks.slack.com/triggers/T0/1/x":                                                            chat.JSON,
		"https://slack.com/" + slack:                                                                         chat.JSON,
		"http://hooks.slack.com/" + slack:                                                                    chat.JSON,
		"https://hooks.slack.com.evil.example/" + slack:                                                      chat.JSON,
		"https://evil-hooks.slack.com/" + slack:                                                              chat.JSON,
		"https://hooks.slack.com@evil.example/" + slack:                                                      chat.JSON,
		"https://evil.example/hooks.slack.com/" + slack:                                                      chat.JSON,
		"https://prod-12.westeurope.logic.azure.com:443/workflows/x/triggers":                                chat.Teams,
		"https://default0.1a.environment.api.powerplatform.com/powerautomate/automations/direct/workflows/x": chat.Teams,
		"https://contoso.webhook.office.com/webhookb2/x@y/IncomingWebhook/z/w":                               chat.Teams,
		"https://webhook.office.com/webhookb2/x":                                                             chat.JSON,
		"https://logic.azure.com.evil.example/workflows/x":                                                   chat.JSON,
		"https://notlogic.azure.com/workflows/x":                                                             chat.JSON,
		"https://discord.com/api/" + discord:                                                                 chat.Discord,
		"https://DISCORD.com/api/v10/" + discord + "?wait=true":                                              chat.Discord,
		"https://canary.discord.com/api/" + discord:                                                          chat.Discord,
		"https://discordapp.com/api/" + discord:                                                              chat.Discord,
		"https://discord.com/api/" + discord + "/slack":                                                      chat.Slack,
		"https://discord.com/api/" + discord + "/github":                                                     chat.JSON,
		"https://discord.com/channels/1/2":                                                                   chat.JSON,
		"https://discord.com.evil.example/api/" + discord:                                                    chat.JSON,
		"https://chat.googleapis.com/v1/spaces/AAA/messages?key=x&token=y":                                   chat.GoogleChat,
		"https://chat.googleapis.com/v2/other":                                                               chat.JSON,
		"https://chat.googleapis.com:8443/v1/spaces/AAA/messages":                                            chat.JSON,
		"https://mattermost.example.org/hooks/xyz":                                                           chat.JSON,
		"https://hooks.zapier.com/hooks/catch/1/2/":                                                          chat.JSON,
		"":             chat.JSON,
		"https://":     chat.JSON,
		"no address":   chat.JSON,
		"https://[::1": chat.JSON,
	} {
		assert.Equal(t, want, chat.Suggest(url), url)
	}
}

// The table that pages suggest by is the one in docs/chats.md.
func TestTheDocsHaveTheSuggestions(t *testing.T) {
	page, err := os.ReadFile("../../../docs/chats.md")
	require.NoError(t, err)
	rows := regexp.MustCompile("(?m)^\\| `(https://[^`]+)` \\| `([a-z_]+)` \\|$").FindAllStringSubmatch(string(page), -1)
	require.Greater(t, len(rows), 10)
	for _, row := range rows {
		assert.Equal(t, row[2], string(chat.Suggest(row[1])), row[1])
	}
}
