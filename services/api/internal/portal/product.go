package portal

import (
	"net/url"
	"strings"

	"github.com/dembrane/webhooks/pkg/payload/chat"
)

// product is what a URL looks like.
type product struct {
	// Name is its own, in every language; Key finds what to know about it in the texts.
	Name, Key string
	// Format is the one that fits.
	Format chat.Format
}

// productOf recognises a URL; the zero value is for one that it does not know. The
// formats of chats are those that [chat.Suggest] finds.
func productOf(rawURL string) product {
	switch format := chat.Suggest(rawURL); format {
	case chat.Slack:
		return product{Name: "Slack", Key: "slack", Format: format}
	case chat.Teams:
		return product{Name: "Microsoft Teams / Power Automate", Key: "teams", Format: format}
	case chat.Discord:
		return product{Name: "Discord", Key: "discord", Format: format}
	case chat.GoogleChat:
		return product{Name: "Google Chat", Key: "google_chat", Format: format}
	case chat.JSON, chat.Mattermost:
	}
	u, err := url.Parse(strings.TrimSpace(rawURL))
	if err != nil || u.Host == "" {
		return product{}
	}
	host, path := strings.ToLower(u.Hostname()), u.EscapedPath()
	is := func(domain string) bool { return host == domain || strings.HasSuffix(host, "."+domain) }
	switch {
	case is("hooks.zapier.com"):
		return product{Name: "Zapier", Key: "zapier", Format: chat.JSON}
	case is("make.com") && strings.HasPrefix(host, "hook."), is("integromat.com") && strings.HasPrefix(host, "hook."):
		return product{Name: "Make", Key: "make", Format: chat.JSON}
	case strings.HasPrefix(path, "/webhook-test/"):
		return product{Name: "n8n", Key: "n8n.test", Format: chat.JSON}
	case is("n8n.cloud"), strings.HasPrefix(path, "/webhook/") && strings.Contains(host, "n8n"):
		return product{Name: "n8n", Key: "n8n", Format: chat.JSON}
	case is("hooks.slack.com"):
		return product{Name: "Slack", Key: "slack.workflow", Format: chat.JSON}
	case is("script.google.com"):
		return product{Name: "Google Apps Script", Key: "apps_script", Format: chat.JSON}
	case isMattermost(path):
		return product{Name: "Mattermost", Key: "mattermost", Format: chat.Mattermost}
	}
	return product{}
}

// isMattermost knows its paths: /hooks/ and 26 letters and digits.
func isMattermost(path string) bool {
	_, key, found := strings.Cut(path, "/hooks/")
	return found && len(key) == 26 && strings.Trim(key, "abcdefghijklmnopqrstuvwxyz0123456789") == ""
}
