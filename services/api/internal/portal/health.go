package portal

import (
	"errors"
	"net/http"

	"github.com/dembrane/webhooks/pkg/words"
)

// How a webhook does, as the API says it.
const (
	stateFailing  = "failing"
	stateDisabled = "disabled"
)

// health is how a webhook does, in words. Tone is good, bad, off or idle; the icon
// and the word say the same, for whoever does not see the colour.
type health struct {
	Tone, Icon, Word string
	// Lead and When are the sentence: "Failing since" and a moment.
	Lead string
	When *moment
	// Detail says why, and Advice what to do; either may be empty.
	Detail, Advice string
	// Missed leads to where what was missed is sent; empty when nothing was, or nobody may.
	Missed string
}

func (v *visit) health(w apiWebhook, last *apiAttempt) health {
	switch h := w.Health; {
	case w.isStopped():
		return health{Tone: "bad", Icon: "stop", Word: v.t("health.stopped"), Lead: v.t("health.stopped.lead"), Detail: v.translated(*h.DisabledReason)}
	case h.State == stateDisabled:
		return health{Tone: "off", Icon: "pause", Word: v.t("health.off"), Lead: v.t("health.off.lead")}
	case h.State == stateFailing:
		failing := health{Tone: "bad", Icon: "alert", Word: v.t("health.failing"), Lead: v.t("health.failing.lead")}
		if h.FailingSince != nil {
			since := v.moment(*h.FailingSince)
			failing.When = &since
		}
		if last != nil {
			why := v.ofReceiver(*last)
			failing.Detail, failing.Advice = why.Message, why.Advice
		}
		return failing
	case h.LastSuccessAt != nil:
		last := v.ago(*h.LastSuccessAt)
		return health{Tone: "good", Icon: "check", Word: v.t("health.working"), Lead: v.t("health.working.lead"), When: &last}
	default:
		return health{Tone: "idle", Icon: "clock", Word: v.t("health.idle"), Lead: v.t("health.idle.lead")}
	}
}

// ofReceiver is what an attempt says of the receiver.
func (v *visit) ofReceiver(a apiAttempt) words.Sentence {
	return words.OfReceiver(words.Sentence{Message: a.Message, Advice: a.Advice}, v.in)
}

// refusalOf is what the API refused with, if that is what the error is.
func refusalOf(err error) (*problem, bool) { return errors.AsType[*problem](err) }

// isGone reports whether what was asked for is not there any more.
func isGone(err error) bool {
	refusal, ok := refusalOf(err)
	return ok && refusal.Status == http.StatusNotFound
}
