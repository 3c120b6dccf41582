package portal

import (
	"net/http"
	"strconv"
	"time"

	"github.com/dembrane/webhooks/pkg/secret"
	"github.com/dembrane/webhooks/services/api/internal/registration"
)

// The overlaps that can be chosen, in hours.
const (
	overlapNone  = 0
	overlapHour  = 1
	overlapDay   = 24
	overlapThree = 3 * 24
	overlapWeek  = 7 * 24
)

// secretBody is the page of the secret.
type secretBody struct {
	// Secret is a fresh one, which the form proposes.
	Secret   string
	Overlaps []overlapChoice
	Faults   faults
	// Chat says that the webhook posts into a chat, and Folded that all else is folded
	// away: there is no need for it.
	Chat, Folded bool
	// Replaced says that the secret was replaced just now: the form for the next one is
	// folded away, so that nobody takes what it proposes for the one that is in use.
	Replaced bool
	// Until says how long the secret so far goes on signing beside the new one.
	Until *until
}

type overlapChoice struct {
	Hours  int
	Title  string
	Chosen bool
}

// until is when something ends, and how long that takes from now on.
type until struct{ When, Left moment }

func (v *visit) until(t time.Time) *until { return &until{When: v.moment(t), Left: v.remaining(t)} }

func secretPage(v *visit) error { return v.renderSecret(http.StatusOK, secretBody{}, overlapDay) }

func (v *visit) renderSecret(status int, body secretBody, overlap int) error {
	if body.Secret == "" {
		body.Secret = secret.Generate().Reveal()
	}
	for _, hours := range []int{overlapDay, overlapThree, overlapWeek, overlapHour, overlapNone} {
		title := v.t("secret.overlap.none")
		switch {
		case hours >= overlapDay:
			title = v.n("when.left.days", uint64(hours)/overlapDay)
		case hours > 0:
			title = v.n("when.left.hours", uint64(hours))
		}
		body.Overlaps = append(body.Overlaps, overlapChoice{Hours: hours, Title: title, Chosen: hours == overlap})
	}
	if v.webhook.PreviousUntil != nil && v.webhook.PreviousUntil.After(v.now) {
		body.Until = v.until(*v.webhook.PreviousUntil)
	}
	body.Chat = isChat(v.webhook.Format)
	body.Folded = body.Chat && !v.webhook.HasSecret && status == http.StatusOK
	body.Replaced = v.webhook.HasSecret && status == http.StatusOK && (body.Until != nil || v.c.QueryParam("done") != "")
	v.forgetOnLeaving()
	return v.render(status, "secret", v.t("secret.title"), body)
}

// rotateSecret makes the proposed secret the current one. The form shows it before it
// is used, so that this can end with a redirect: reloading must not rotate again.
func rotateSecret(v *visit) error {
	given, hours := v.typedSecret()
	err := v.api.rotate(v.webhook.ID, askedOf(given, registration.MaxSecretBytes), time.Duration(hours)*time.Hour)
	if found, ok := v.faultsOf(err); ok {
		return v.renderSecret(http.StatusUnprocessableEntity, secretBody{Secret: given, Faults: found}, hours)
	}
	if err != nil {
		return err
	}
	return v.done(v.one()+"/secret", "rotated")
}

// typedSecret is the form as it came back.
func (v *visit) typedSecret() (given string, hours int) {
	hours, err := strconv.Atoi(v.field("overlap"))
	if err != nil {
		hours = overlapDay
	}
	return v.field("secret"), hours
}

func secretAgain(v *visit) error {
	given, hours := v.typedSecret()
	return v.renderSecret(http.StatusUnprocessableEntity, secretBody{Secret: given}, hours)
}

// endOverlap has the secret before the current one sign no more.
func endOverlap(v *visit) error {
	if err := v.api.endOverlap(v.webhook.ID); err != nil {
		return err
	}
	return v.done(v.one()+"/secret", "ended")
}

// unsignBody is the page that asks once more before the secret is taken away.
type unsignBody struct{ Chat bool }

// unsignPage says what follows when the secret is taken away.
func unsignPage(v *visit) error {
	if err := v.mayChange(); err != nil {
		return err
	}
	if !v.webhook.HasSecret {
		return v.redirect(v.one() + "/secret") // it was taken away meanwhile
	}
	return v.render(http.StatusOK, "unsign", v.t("secret.stop"), unsignBody{Chat: isChat(v.webhook.Format)})
}

// stopSigning takes the secret away.
func stopSigning(v *visit) error {
	if err := v.api.change(v.webhook.ID, map[string]any{"secret": ""}); err != nil {
		return err
	}
	return v.done(v.one()+"/secret", "unsigned")
}

// deletePage says what deleting the webhook costs.
func deletePage(v *visit) error {
	return v.render(http.StatusOK, "delete", v.t("delete.title"), nil)
}

func deleteWebhook(v *visit) error {
	if err := v.api.remove(v.webhook.ID); err != nil {
		return err
	}
	return v.done(v.base(), "deleted")
}
