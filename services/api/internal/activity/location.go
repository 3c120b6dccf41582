package activity

import (
	"net/url"

	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// longestLocation bounds what is kept of where a redirect leads, in bytes.
const longestLocation = 160

// Location is where a redirect led, without its query, which may hold a token;
// empty for anything else.
func Location(a *webhooksv1.Attempt) string {
	if a.GetReason() != webhooksv1.Reason_REASON_REDIRECT {
		return ""
	}
	for _, h := range a.GetResponse().GetHeaders() {
		if h.GetName() == "Location" {
			return cleanLocation(h.GetValue())
		}
	}
	return ""
}

func cleanLocation(value string) string {
	target, err := url.Parse(value)
	if err != nil || target.Opaque != "" { // such as mailto:, which String escapes nothing of
		return ""
	}
	target.User, target.RawQuery, target.Fragment = nil, "", ""
	target.ForceQuery = false
	if text := target.String(); len(text) <= longestLocation {
		return text
	}
	return ""
}
