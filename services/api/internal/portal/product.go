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
	// IsPage says that it is a page for people, which takes no deliveries.
	IsPage bool
}

// isChat reports whether a format is a message for a chat. No chat checks signatures.
func isChat(format string) bool { return format != "" && format != string(chat.JSON) }

// completeURL is an address as it was meant: without what comes along in copying, and
// with https:// where only that is missing.
func completeURL(typed string) string {
	typed = strings.Trim(strings.Map(func(r rune) rune {
		switch r {
		case '\n', '\r', '\t', '\u200b', '\u2060', '\ufeff':
			return -1
		case '\u00a0':
			return ' '
		default:
			return r
		}
	}, typed), " <>\"'“”‘’")
	if rest, found := strings.CutPrefix(typed, "//"); found {
		typed = rest
	}
	host, _, _ := strings.Cut(typed, "/")
	host, _, _ = strings.Cut(host, "?")
	host, _, _ = strings.Cut(host, ":")
	isHost := func(r rune) bool {
		return r == '.' || r == '-' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
	}
	if strings.Contains(strings.Trim(host, "."), ".") && !strings.ContainsFunc(host, func(r rune) bool { return !isHost(r) }) {
		return "https://" + typed
	}
	return typed
}

// productOf recognises a URL; the zero value is for one that it does not know. The
// formats of chats are those that [chat.Suggest] finds, with TLS or without: that it is
// missing is said beside.
func productOf(rawURL string) product {
	rawURL = strings.TrimSpace(rawURL)
	encrypted := rawURL
	if scheme, rest, found := strings.Cut(rawURL, "://"); found && strings.EqualFold(scheme, "http") {
		encrypted = "https://" + rest
	}
	switch format := chat.Suggest(encrypted); format {
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
	u, err := url.Parse(rawURL)
	if err != nil || u.Host == "" {
		return product{}
	}
	host, path := strings.ToLower(u.Hostname()), u.EscapedPath()
	if page := pageOf(host, path); page.IsPage {
		return page
	}
	is := func(domain string) bool { return host == domain || strings.HasSuffix(host, "."+domain) }
	switch {
	case is("hooks.zapier.com"):
		return product{Name: "Zapier", Key: "zapier", Format: chat.JSON}
	case strings.HasPrefix(host, "hook.") && (is("make.com") || is("make.celonis.com") || is("integromat.com")):
		return product{Name: "Make", Key: "make", Format: chat.JSON}
	case strings.HasPrefix(path, "/webhook-test/"):
		return product{Name: "n8n", Key: "n8n.test", Format: chat.JSON}
	case is("n8n.cloud"), isN8N(host, path):
		return product{Name: "n8n", Key: "n8n", Format: chat.JSON}
	case is("hooks.slack.com") && (strings.HasPrefix(path, "/workflows/") || strings.HasPrefix(path, "/triggers/")):
		return product{Name: "Slack", Key: "slack.workflow", Format: chat.JSON}
	case is("script.google.com"):
		return product{Name: "Google Apps Script", Key: "apps_script", Format: chat.JSON}
	case isMattermost(path):
		return product{Name: "Mattermost", Key: "mattermost", Format: chat.Mattermost}
	}
	return product{}
}

// isN8N knows the production addresses of an n8n on a host of one's own: its name says
// so, or the path ends with the UUID that n8n gives a webhook.
func isN8N(host, path string) bool {
	key, found := strings.CutPrefix(path, "/webhook/")
	const length, hyphens = 36, 4
	isUUID := len(key) == length && strings.Count(key, "-") == hyphens && strings.Trim(key, "0123456789abcdef-") == ""
	return found && (isUUID || strings.Contains(host, "n8n"))
}

// isMattermost knows its paths: /hooks/ and 26 letters and digits.
func isMattermost(path string) bool {
	_, key, found := strings.Cut(path, "/hooks/")
	return found && len(key) == 26 && strings.Trim(key, "abcdefghijklmnopqrstuvwxyz0123456789") == ""
}

// pageOf recognises the page on which somebody sets up a product, whose address is
// easily taken for the one to paste. Such pages often answer 200, so that deliveries
// would seem to arrive.
func pageOf(host, path string) product {
	is := func(domains ...string) bool {
		for _, domain := range domains {
			if host == domain || strings.HasSuffix(host, "."+domain) {
				return true
			}
		}
		return false
	}
	begins := func(prefixes ...string) bool {
		for _, prefix := range prefixes {
			if strings.HasPrefix(path, prefix) {
				return true
			}
		}
		return false
	}
	switch {
	case is("hooks.zapier.com", "hooks.slack.com"), strings.HasPrefix(host, "hook."):
		return product{}
	case is("zapier.com"):
		return product{Name: "Zapier", Key: "zapier.page", IsPage: true}
	case is("make.com", "integromat.com"):
		return product{Name: "Make", Key: "make.page", IsPage: true}
	case strings.Contains(host, "n8n") && begins("/workflow/", "/home/", "/projects/"):
		return product{Name: "n8n", Key: "n8n.page", IsPage: true}
	case is("slack.com"):
		return product{Name: "Slack", Key: "slack.page", IsPage: true}
	case is("discord.gg"), is("discord.com", "discordapp.com") && begins("/channels/", "/invite/"):
		return product{Name: "Discord", Key: "discord.page", IsPage: true}
	case is("teams.microsoft.com", "teams.live.com", "teams.cloud.microsoft"):
		return product{Name: "Microsoft Teams", Key: "teams.page", IsPage: true}
	case is("powerautomate.com", "flow.microsoft.com"):
		return product{Name: "Power Automate", Key: "power_automate.page", IsPage: true}
	case is("chat.google.com"), is("mail.google.com"):
		return product{Name: "Google Chat", Key: "google_chat.page", IsPage: true}
	case is("script.google.com") && !begins("/macros/", "/a/"):
		return product{Name: "Google Apps Script", Key: "apps_script.page", IsPage: true}
	}
	return product{}
}
