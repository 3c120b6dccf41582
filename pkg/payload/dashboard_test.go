package payload_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/payload"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

func dashboardURL(t *testing.T, adminBaseURL string, e *webhooksv1.Event) string {
	t.Helper()
	var body struct {
		DashboardURL string `json:"dashboardUrl"`
	}
	require.NoError(t, json.Unmarshal(payload.Renderer{AdminBaseURL: adminBaseURL}.Append(nil, e), &body))
	return body.DashboardURL
}

func conversation(id string) *webhooksv1.Event_Conversation {
	return &webhooksv1.Event_Conversation{Conversation: &webhooksv1.Conversation{Id: id}}
}

func TestDashboardURL(t *testing.T) {
	started, report, test := event.ConversationStarted, event.ReportGenerated, event.Test
	aReport := &webhooksv1.Event_Report{Report: &webhooksv1.Report{}}
	inW := &webhooksv1.Project{Id: "p1", WorkspaceId: new("w1")}
	tests := map[string]struct {
		base, want string
		e          *webhooksv1.Event
	}{
		"conversation": {
			base, base + "/en-US/w/w1/projects/p1/conversations/c1/overview",
			&webhooksv1.Event{Type: started, Project: inW, Subject: conversation("c1")},
		},
		"report": {
			base, base + "/en-US/w/w1/projects/p1/report",
			&webhooksv1.Event{Type: report, Project: inW, Subject: aReport},
		},
		"test": {
			base, base + "/en-US/w/w1/projects/p1/conversations/c1/overview",
			&webhooksv1.Event{Type: test, Project: inW, Subject: conversation("c1")},
		},
		"without a workspace": {
			base, base + "/en-US/projects/p1/report",
			&webhooksv1.Event{Type: report, Project: &webhooksv1.Project{Id: "p1"}, Subject: aReport},
		},
		"with an empty workspace": {
			base, base + "/en-US/projects/p1/report",
			&webhooksv1.Event{
				Type: report, Project: &webhooksv1.Project{Id: "p1", WorkspaceId: new("")}, Subject: aReport,
			},
		},
		"base with a path and slashes": {
			"http://localhost:3000/admin//", "http://localhost:3000/admin/en-US/w/w1/projects/p1/report",
			&webhooksv1.Event{Type: report, Project: inW, Subject: aReport},
		},
		"ids from outside": {
			base, base + "/en-US/w/a%2Fb/projects/p1/conversations/%3Fx=1%23%22%3Cy%3E%C3%A9%0D%0A/overview",
			&webhooksv1.Event{
				Type:    started,
				Project: &webhooksv1.Project{Id: "p1", WorkspaceId: new("a/b")},
				Subject: conversation("?x=1#\"<y>é\r\n"),
			},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.want, dashboardURL(t, test.base, test.e))
		})
	}
}

func TestLocales(t *testing.T) {
	tests := map[string]string{
		"en": "en-US", "nl": "nl-NL", "de": "de-DE", "fr": "fr-FR", "es": "es-ES", "it": "it-IT", "uk": "uk-UA", "cs": "cs-CZ",
		"en-US": "en-US", "nl-NL": "nl-NL", "de-DE": "de-DE", "fr-FR": "fr-FR",
		"es-ES": "es-ES", "it-IT": "it-IT", "uk-UA": "uk-UA", "cs-CZ": "cs-CZ",
		"NL": "nl-NL", "nl-nl": "nl-NL", "NL-be": "nl-NL", "nl_NL": "nl-NL", "en-GB": "en-US",
		"": "en-US", "pt": "en-US", "n": "en-US", "nld": "en-US", "-nl": "en-US", "xx-NL": "en-US", "../nl": "en-US",
	}
	for language, want := range tests {
		e := &webhooksv1.Event{
			Project: &webhooksv1.Project{Id: "p1", Language: new(language)}, Subject: conversation("c1"),
		}
		assert.Equal(t, base+"/"+want+"/projects/p1/conversations/c1/overview", dashboardURL(t, base, e), language)
	}
	e := &webhooksv1.Event{Project: &webhooksv1.Project{Id: "p1"}, Subject: conversation("c1")}
	assert.Equal(t, base+"/en-US/projects/p1/conversations/c1/overview", dashboardURL(t, base, e))
}
