package deliver

import (
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/egress"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

func TestB12TooLargeSaysHowLarge(t *testing.T) {
	for bytes, want := range map[int]string{
		0: "0 bytes", 1023: "1023 bytes", 1024: "1.0 KiB (1024 bytes)", 1536: "1.5 KiB", 8 << 20: "8.0 MiB (8388608 bytes)",
	} {
		v := judge(egress.Result{StatusCode: 413}, sentRequest{bytes: bytes, attempt: 1}, defaults, noon, 0)
		assert.Contains(t, v.detail, "the body of this delivery is "+want)
		assert.Equal(t, webhooksv1.Outcome_OUTCOME_RETRY, v.outcome)
		assert.True(t, v.blameless)
	}
}

func TestChatsThatAnswerInTheirOwnWay(t *testing.T) {
	tests := map[string]struct {
		format string
		answer egress.Result
		reason webhooksv1.Reason
		detail string
		pause  time.Duration
		next   time.Duration
	}{
		"teams, accepted": {
			"teams", egress.Result{StatusCode: 202}, 0, "does not tell whether it was posted", 0, 0,
		},
		"teams, too fast": {
			"teams",
			egress.Result{StatusCode: 200, Body: []byte("Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 429 with ContextId x")},
			webhooksv1.Reason_REASON_THROTTLED, "could not be posted", 0, 5 * time.Second,
		},
		"teams, failed": {
			"teams",
			egress.Result{StatusCode: 200, Body: []byte("Webhook message delivery failed with error: 413")},
			webhooksv1.Reason_REASON_STATUS, "could not be posted", 0, 5 * time.Second,
		},
		"the same words of anybody else": {
			"json", egress.Result{StatusCode: 200, Body: []byte("Webhook message delivery failed, HTTP error 429")}, 0, "", 0, 0,
		},
		"slack, switched off": {
			"slack", egress.Result{StatusCode: 404, Body: []byte("no_service\n")}, webhooksv1.Reason_REASON_STATUS, "no longer exists", 0, 5 * time.Second,
		},
		"slack, archived": {
			"slack", egress.Result{StatusCode: 403, Body: []byte("channel_is_archived")}, webhooksv1.Reason_REASON_STATUS, "channel", 0, 5 * time.Second,
		},
		"slack, without a word": {
			"slack", egress.Result{StatusCode: 403}, webhooksv1.Reason_REASON_STATUS, "Check that the URL is complete", 0, 5 * time.Second,
		},
		"slack, archived, as documented": {
			"slack", egress.Result{StatusCode: 410, Body: []byte("channel_is_archived")}, webhooksv1.Reason_REASON_STATUS, "channel", 0, 0,
		},
		"discord, deleted": {
			"discord",
			egress.Result{StatusCode: 404, Body: []byte(`{"message": "Unknown Webhook", "code": 10015}`)},
			webhooksv1.Reason_REASON_STATUS, "the Discord webhook no longer exists", 0, 5 * time.Second,
		},
		"discord, a forum": {
			"discord",
			egress.Result{StatusCode: 400, Body: []byte(`{"message":"Webhooks posted to forum channels must have a thread_name or thread_id","code":220001}`)},
			webhooksv1.Reason_REASON_STATUS, "do not allow messages", 0, 5 * time.Second,
		},
		"mattermost, deleted": {
			"mattermost",
			egress.Result{StatusCode: 400, Body: []byte(`{"id":"web.incoming_webhook.invalid.app_error","message":"Invalid webhook.","status_code":400}`)},
			webhooksv1.Reason_REASON_STATUS, "the Mattermost webhook", 0, 5 * time.Second,
		},
		"google chat, removed": {
			"google_chat",
			egress.Result{StatusCode: 404, Body: []byte(`{"error":{"code":404,"message":"Not found.","status":"NOT_FOUND"}}`)},
			webhooksv1.Reason_REASON_STATUS, "the Google Chat webhook", 0, 5 * time.Second,
		},
		"google chat, not of this form": {
			"google_chat",
			egress.Result{StatusCode: 400, Body: []byte(`{"error":{"code":400,"status":"INVALID_ARGUMENT"}}`)},
			webhooksv1.Reason_REASON_STATUS, "Google Chat does not take this message", 0, 5 * time.Second,
		},
		"google chat, too fast": {
			"google_chat",
			egress.Result{StatusCode: 429, Body: []byte(`{"error":{"code":429,"status":"RESOURCE_EXHAUSTED"}}`)},
			webhooksv1.Reason_REASON_THROTTLED, "429", 0, 5 * time.Second,
		},
		"teams, switched off": {
			"teams",
			egress.Result{StatusCode: 404, Body: []byte(`{"error":{"code":"WorkflowNotFound","message":"gone"}}`)},
			webhooksv1.Reason_REASON_STATUS, "the Teams webhook", 0, 5 * time.Second,
		},
		"a status without words": {
			"google_chat", egress.Result{StatusCode: 403, Body: []byte("<html>")}, webhooksv1.Reason_REASON_STATUS, "Check that the URL is complete", 0, 5 * time.Second,
		},
		"discord, in the body": {
			"discord",
			egress.Result{StatusCode: 429, Body: []byte(`{"message":"slow down","retry_after":64.57,"global":false}`)},
			webhooksv1.Reason_REASON_THROTTLED, "429", 65 * time.Second, 65 * time.Second,
		},
		"discord, in both": {
			"discord",
			egress.Result{StatusCode: 429, Header: http.Header{"Retry-After": {"65"}}, Body: []byte(`{"retry_after":64.57}`)},
			webhooksv1.Reason_REASON_THROTTLED, "429", 65 * time.Second, 65 * time.Second,
		},
		"discord, nonsense": {
			"discord",
			egress.Result{StatusCode: 429, Body: []byte(`{"retry_after":"soon"}`)},
			webhooksv1.Reason_REASON_THROTTLED, "429", 0, 5 * time.Second,
		},
		"the same body of anybody else": {
			"json",
			egress.Result{StatusCode: 429, Body: []byte(`{"retry_after":64.57}`)},
			webhooksv1.Reason_REASON_THROTTLED, "429", 0, 5 * time.Second,
		},
	}
	causes := map[string]string{
		"teams, accepted": "accepted", "teams, too fast": "not_posted", "teams, failed": "not_posted",
		"slack, switched off": "chat_gone", "slack, archived": "chat_channel", "slack, archived, as documented": "chat_channel",
		"discord, deleted": "chat_gone", "discord, a forum": "chat_prohibited", "mattermost, deleted": "chat_gone",
		"google chat, removed": "chat_gone", "google chat, not of this form": "chat_form", "teams, switched off": "chat_gone",
	}
	for name, test := range tests {
		v := judge(test.answer, sentRequest{format: test.format, attempt: 1}, defaults, noon, 0)
		assert.Equal(t, test.reason, v.reason, name)
		assert.Contains(t, v.detail, test.detail, name)
		assert.Equal(t, causes[name], v.cause.Label(), name)
		assert.Equal(t, test.reason == 0, v.outcome == webhooksv1.Outcome_OUTCOME_DELIVERED, name)
		assert.Equal(t, test.pause > 0, !v.pauseUntil.IsZero(), name)
		if test.pause > 0 {
			assert.Equal(t, noon.Add(test.pause), v.pauseUntil, name)
		}
		if test.next > 0 {
			assert.Equal(t, noon.Add(test.next), v.next, name)
		}
	}
}

func TestCase1RedirectIsExplained(t *testing.T) {
	const advice = ". Redirects are not followed; register the final URL instead."
	for location, want := range map[string]string{
		"":                                      "",
		"https://new.example/hook":              " to https://new.example/hook",
		"/elsewhere":                            " to /elsewhere",
		"https://me:pw@new.example/h?token=x#":  " to https://new.example/h",
		"://":                                   "",
		"https://x/" + strings.Repeat("a", 600): "",
		"mailto:a\u202eb":                       "",
	} {
		for _, status := range []int{301, 302, 303, 307, 308} {
			v := judge(egress.Result{StatusCode: status, Header: http.Header{"Location": {location}}}, to(1), defaults, noon, 0)
			name := strconv.Itoa(status) + " " + http.StatusText(status)
			assert.Equal(t, "The receiver answered "+name+want+advice, v.detail)
		}
	}
}

// docs/chats.md explains every word that is known.
func TestTheDocsExplainWhatChatsAnswer(t *testing.T) {
	page, err := os.ReadFile("../../../../docs/chats.md")
	require.NoError(t, err)
	for format, heading := range map[string]string{
		formatSlack: "Slack", formatTeams: "Microsoft Teams", formatDiscord: "Discord", formatMattermost: "Mattermost", formatGoogleChat: "Google Chat",
	} {
		_, section, found := strings.Cut(string(page), "\n## "+heading+"\n")
		require.True(t, found, heading)
		section, _, _ = strings.Cut(section, "\n## ")
		_, table, found := strings.Cut(section, strings.TrimPrefix(heading, "Microsoft ")+" answers")
		require.True(t, found, heading)
		known := map[string]map[string]webhooksv1.Cause{
			formatSlack: slackCauses(), formatTeams: teamsCauses(), formatDiscord: discordCauses(), formatMattermost: mattermostCauses(), formatGoogleChat: googleChatCauses(),
		}[format]
		for word := range known {
			assert.Contains(t, table, "`"+word+"`", heading)
		}
	}
}
