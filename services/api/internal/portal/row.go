package portal

import (
	"net/url"
	"time"

	"github.com/dembrane/webhooks/pkg/words"
)

// logRow is an attempt in a list.
type logRow struct {
	Path, Event string
	State       state
	When        moment
	// Took is how long that took; empty when nothing was sent.
	Took    string
	Message string
	Advice  string
	// StatusCode is what was answered; 0 for nothing.
	StatusCode int
	// Note says how it came about, when that is out of the ordinary.
	Note string
	// Next says when the delivery is tried again; nil when it is not, or was already.
	Next *moment
}

// logRows are attempts as a list shows them, the newest first. All says that none of
// their deliveries can have a newer attempt that is not among them.
func (v *visit) logRows(list []apiAttempt, all bool) []logRow {
	rows := make([]logRow, len(list))
	seen := map[string]bool{}
	for i, a := range list {
		rows[i] = v.logRow(a, seen[a.DeliveryID] || !all && a.isOverdue(v.now))
		seen[a.DeliveryID] = true
	}
	return rows
}

// isOverdue reports whether the next attempt was to be made by now.
func (a apiAttempt) isOverdue(now time.Time) bool {
	return a.NextAttemptAt != nil && a.NextAttemptAt.Before(now)
}

// logRow is one attempt; overtaken says that the delivery was tried again since.
func (v *visit) logRow(a apiAttempt, overtaken bool) logRow { //nolint:revive // what is known of the delivery
	row := logRow{
		Path: v.one() + "/deliveries/" + url.PathEscape(a.ID), Event: v.t("event." + a.Event), State: v.state(a, overtaken),
		When: v.moment(a.StartedAt), Message: a.Message, Advice: a.Advice,
	}
	if overtaken {
		row.Message = v.ofReceiver(a).Message
	}
	if a.StatusCode != nil {
		row.StatusCode = *a.StatusCode
	}
	if a.DurationMS > 0 || a.StatusCode != nil { // in less than a millisecond, too
		row.Took = took(v.in, float64(a.DurationMS))
	}
	switch {
	case a.Trigger != "event":
		row.Note = v.t("trigger." + a.Trigger)
	case a.Status == "pending" && a.Number > 1:
		row.Note = v.t("attempt.number", "n", number(v.in, uint64(a.Number)))
	}
	if a.Status == "pending" && !overtaken && a.NextAttemptAt != nil {
		next := v.next(*a.NextAttemptAt)
		row.Next = &next
	}
	return row
}

// state says what an attempt meant for its delivery, and after how many tries.
func (v *visit) state(a apiAttempt, overtaken bool) state {
	switch {
	case a.Status == "delivered" && a.Number > 1:
		return state{Tone: "good", Icon: "check", Word: v.n("status.delivered.after", uint64(a.Number))}
	case a.Status == "delivered":
		return state{Tone: "good", Icon: "check", Word: v.t("status.delivered")}
	case a.Status == "pending" && overtaken:
		return state{Tone: "bad", Icon: "alert", Word: v.t("status.retried")}
	case a.Status == "pending":
		return state{Tone: "wait", Icon: "clock", Word: v.t("status.pending")}
	case a.Status == "failed" && a.Trigger == "test": // which is tried once
		return state{Tone: "bad", Icon: "alert", Word: v.t("test.failed")}
	case a.Status == "failed":
		tries := a.Number
		if a.Reason == "receiver_failing" && tries > 0 {
			tries-- // this one was not made any more
		}
		if tries == 0 {
			return state{Tone: "bad", Icon: "stop", Word: v.t("status.failed")}
		}
		return state{Tone: "bad", Icon: "stop", Word: v.n("status.failed.after", uint64(tries))}
	default:
		return state{Tone: "off", Icon: "pause", Word: v.t("status.ended")}
	}
}

// next says when a delivery is tried again. What is due and was not tried waits until
// the receiver, or the limit on its deliveries, lets it.
func (v *visit) next(t time.Time) moment {
	said := moment{ISO: isoTime(t)}
	switch left := t.Sub(v.now); {
	case left <= 0:
		said.Text = v.t("next.due")
	case left < time.Hour:
		said.Text = v.t("next.in", "time", v.remaining(t).Text)
	default:
		said.Text = v.t("next.at", "time", v.moment(t).Text)
	}
	return said
}

// whyNoAnswer says why nothing came back, or what was odd about what did: what was
// noted when the attempt was made, or else what its reason means.
func (v *visit) whyNoAnswer(detail, reason string, answered bool) string { //nolint:revive // what is known of the attempt
	if noted := words.Noted(detail, v.in); noted != "" || answered || reason == "none" {
		return noted
	}
	return v.t("reason."+reason) + "."
}
