package payload

import (
	"net/url"
	"strings"

	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// appendDashboardURL writes, without quotes, where a host sees what the event
// is about:
//
//	{AdminBaseURL}/{locale}/w/{workspace}/projects/{project}/conversations/{conversation}/overview
//	{AdminBaseURL}/{locale}/w/{workspace}/projects/{project}/report
//	{AdminBaseURL}/{locale}/w/{workspace}/projects/{project}/overview (of a webhook)
//
// A project without a workspace has no "/w/{workspace}". Ids are escaped: those
// of conversations and workspaces come from outside and have no fixed alphabet.
func (r Renderer) appendDashboardURL(dst []byte, e *webhooksv1.Event) []byte {
	return appendDashboardPath(appendEscaped(dst, strings.TrimRight(r.AdminBaseURL, "/")), e)
}

// DashboardURL is the dashboardUrl of an event's body.
func (r Renderer) DashboardURL(e *webhooksv1.Event) string {
	return string(appendDashboardPath([]byte(strings.TrimRight(r.AdminBaseURL, "/")), e))
}

func appendDashboardPath(dst []byte, e *webhooksv1.Event) []byte {
	project := e.GetProject()
	dst = append(dst, '/')
	dst = append(dst, Locale(project.GetLanguage())...)
	if workspace := project.GetWorkspaceId(); workspace != "" {
		dst = append(dst, "/w/"...)
		dst = append(dst, url.PathEscape(workspace)...)
	}
	dst = append(dst, "/projects/"...)
	dst = append(dst, url.PathEscape(project.GetId())...)
	switch {
	case e.GetReport() != nil:
		return append(dst, "/report"...)
	case e.GetWebhook() != nil:
		return append(dst, "/overview"...)
	}
	dst = append(dst, "/conversations/"...)
	dst = append(dst, url.PathEscape(e.GetConversation().GetId())...)
	return append(dst, "/overview"...)
}

// Locale is the dashboard's locale for a project's language. The language
// alone decides ("nl", "nl-NL" and "nl-BE" are Dutch), in any case; what the
// dashboard does not speak is en-US.
func Locale(language string) string {
	primary := language
	if i := strings.IndexAny(language, "-_"); i >= 0 {
		primary = language[:i]
	}
	for _, known := range [...]string{"nl-NL", "de-DE", "fr-FR", "es-ES", "it-IT", "uk-UA", "cs-CZ"} {
		if strings.EqualFold(primary, known[:2]) {
			return known
		}
	}
	return "en-US"
}
