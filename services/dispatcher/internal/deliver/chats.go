package deliver

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// Formats whose products answer in a way of their own.
const (
	formatSlack      = "slack"
	formatTeams      = "teams"
	formatDiscord    = "discord"
	formatMattermost = "mattermost"
	formatGoogleChat = "google_chat"
)

// What products mean by the words with which they refuse a message.
const (
	gone       = webhooksv1.Cause_CAUSE_CHAT_GONE
	channel    = webhooksv1.Cause_CAUSE_CHAT_CHANNEL
	prohibited = webhooksv1.Cause_CAUSE_CHAT_PROHIBITED
	form       = webhooksv1.Cause_CAUSE_CHAT_FORM
)

// chatCause is what the words mean with which the product of a format refuses a
// message; unspecified when it says nothing that is known.
func chatCause(format string, body []byte) webhooksv1.Cause {
	switch format {
	case formatSlack:
		return slackCauses()[strings.TrimSpace(string(body))]
	case formatTeams:
		return teamsCauses()[wordOf(body)]
	case formatDiscord:
		return discordCauses()[wordOf(body)]
	case formatMattermost:
		return mattermostCauses()[wordOf(body)]
	case formatGoogleChat:
		return googleChatCauses()[wordOf(body)]
	default:
		return webhooksv1.Cause_CAUSE_UNSPECIFIED
	}
}

// wordOf is how an answer in JSON names its error: Discord has a number in "code",
// Mattermost an "id", Teams a "code" and Google a "status" in "error".
func wordOf(body []byte) string {
	var answer struct {
		ID    string `json:"id"`
		Code  int    `json:"code"`
		Error struct {
			Code   any    `json:"code"` // of Google it is the status
			Status string `json:"status"`
		} `json:"error"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return ""
	}
	code, isWord := answer.Error.Code.(string)
	switch {
	case answer.ID != "":
		return answer.ID
	case answer.Code != 0:
		return strconv.Itoa(answer.Code)
	case isWord:
		return code
	default:
		return answer.Error.Status
	}
}

// slackCauses are the words of https://api.slack.com/messaging/webhooks#handling_errors.
func slackCauses() map[string]webhooksv1.Cause {
	return map[string]webhooksv1.Cause{
		"no_service": gone, "no_service_id": gone, "no_active_hooks": gone, "no_team": gone, "team_disabled": gone, "invalid_token": gone,
		"channel_not_found": channel, "channel_is_archived": channel,
		"action_prohibited": prohibited, "posting_to_general_channel_denied": prohibited,
		"invalid_payload": form, "invalid_blocks": form, "no_text": form,
	}
}

// teamsCauses are those of the workflows that take what is sent to Teams.
func teamsCauses() map[string]webhooksv1.Cause {
	return map[string]webhooksv1.Cause{
		"WorkflowNotFound": gone, "WorkflowTriggerNotFound": gone, "WorkflowDisabled": gone, "WorkflowTriggerIsNotEnabled": gone,
		"TriggerInputSchemaMismatch": form, "InvalidRequestContent": form,
	}
}

// discordCauses are those of https://discord.com/developers/docs/topics/opcodes-and-status-codes#json.
func discordCauses() map[string]webhooksv1.Cause {
	return map[string]webhooksv1.Cause{
		"10015": gone,    // unknown webhook
		"50027": gone,    // invalid webhook token
		"10003": channel, // unknown channel
		"50001": prohibited, "50013": prohibited,
		"220001": prohibited, // a forum takes threads only
		"50006":  form, "50035": form, "50109": form,
	}
}

// mattermostCauses are the ids of errors of Mattermost's incoming webhooks.
func mattermostCauses() map[string]webhooksv1.Cause {
	const prefix = "web.incoming_webhook."
	return map[string]webhooksv1.Cause{
		prefix + "invalid.app_error": gone, prefix + "disabled.app_error": gone,
		prefix + "channel.app_error": channel, "api.post.create_post.can_not_post_to_deleted.error": channel,
		prefix + "channel_locked.app_error": prohibited, prefix + "permissions.app_error": prohibited, prefix + "user.app_error": prohibited,
		prefix + "parse.app_error": form, prefix + "text.app_error": form,
	}
}

// googleChatCauses are those of https://cloud.google.com/apis/design/errors.
func googleChatCauses() map[string]webhooksv1.Cause {
	return map[string]webhooksv1.Cause{
		"UNAUTHENTICATED": gone, "NOT_FOUND": gone, "PERMISSION_DENIED": prohibited, "INVALID_ARGUMENT": form,
	}
}

// chatSentence says in a sentence what a product means, or nothing.
func chatSentence(format string, body []byte) string {
	product := map[string]string{
		formatSlack: "Slack", formatTeams: "Teams", formatDiscord: "Discord", formatMattermost: "Mattermost", formatGoogleChat: "Google Chat",
	}[format]
	switch chatCause(format, body) { //nolint:exhaustive // the four that a product can mean
	case gone:
		return "the " + product + " webhook no longer exists or was switched off. Make a new one in " + product + " and register its URL"
	case channel:
		return "the " + product + " channel no longer exists or is archived. Choose another channel in " + product
	case prohibited:
		return product + "'s settings do not allow messages to this channel"
	case form:
		return product + " does not take this message. Check that the format of the webhook is the one that this URL takes"
	default:
		return ""
	}
}
