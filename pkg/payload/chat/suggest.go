package chat

import (
	"net/url"
	"strings"
)

// Suggest is the format that a URL most likely takes, for a page to propose; [JSON]
// when nothing speaks for another. It looks at the whole host, so that a host that
// only looks like a product's is none.
func Suggest(rawURL string) Format {
	u, err := url.Parse(strings.TrimSpace(rawURL))
	if err != nil || !strings.EqualFold(u.Scheme, "https") || u.User != nil || (u.Port() != "" && u.Port() != "443") {
		return JSON
	}
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	path := u.EscapedPath()
	switch host {
	case "hooks.slack.com", "hooks.slack-gov.com":
		// Slack's workflows (/workflows/, /triggers/) take fields of their own: JSON.
		if strings.HasPrefix(path, "/services/") {
			return Slack
		}
		return JSON
	case "discord.com", "ptb.discord.com", "canary.discord.com", "discordapp.com":
		return suggestDiscord(path)
	case "chat.googleapis.com":
		if strings.HasPrefix(path, "/v1/spaces/") {
			return GoogleChat
		}
		return JSON
	}
	for _, domain := range []string{".logic.azure.com", ".environment.api.powerplatform.com", ".webhook.office.com"} {
		if strings.HasSuffix(host, domain) {
			return Teams
		}
	}
	return JSON
}

// suggestDiscord knows that Discord also takes what is meant for others, at
// addresses that end with their names.
func suggestDiscord(path string) Format {
	rest, ok := strings.CutPrefix(path, "/api/")
	if version, after, found := strings.Cut(rest, "/"); found && strings.HasPrefix(version, "v") {
		rest = after
	}
	if !ok || !strings.HasPrefix(rest, "webhooks/") {
		return JSON
	}
	switch rest = strings.TrimSuffix(rest, "/"); {
	case strings.HasSuffix(rest, "/slack"):
		return Slack
	case strings.HasSuffix(rest, "/github"):
		return JSON
	default:
		return Discord
	}
}
