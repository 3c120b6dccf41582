package portal

import (
	"net/http"
	"net/url"
)

// What signs the deliveries of a new webhook is shown once, on a page of its own: the
// answer to the form leads there, so that going back or loading it again sends nothing
// twice. On the way the secret is in no address, which a browser and a proxy remember,
// but in a cookie: sealed for this browser and this page, out of reach of scripts, and
// taken away by the page that shows it. The server remembers nothing, so any of several
// can answer.

const (
	// cookieMade brings a new secret to the page that shows it. It has a path of its own
	// for each webhook, so two that are added at once do not get in each other's way.
	cookieMade = "webhooks_made"
	// madeLife is how long the browser may take to get there, in seconds.
	madeLife = 10 * 60
)

// createdBody is what somebody is told about the webhook that they made.
type createdBody struct {
	// Secret is the new one; empty when there is none, or it was shown before.
	Secret string
	// WasShown says that there is one, which cannot be shown again.
	WasShown bool
	Chat     bool
	Product  hint
}

// created is where the page of a new webhook is.
func (v *visit) created() string { return v.one() + "/created" }

// goToCreated ends the form of a new webhook.
func (v *visit) goToCreated(secret string) error {
	if secret != "" {
		sealed, err := v.seal(url.Values{"secret": {secret}}, v.created())
		if err != nil {
			return err
		}
		v.setMade(sealed, madeLife)
	}
	return v.redirect(v.created())
}

// setMade sets the cookie of this webhook, or deletes it when maxAge is negative. A
// page elsewhere that leads here does not get it sent, and so cannot use it up.
func (v *visit) setMade(value string, maxAge int) {
	v.c.SetCookie(&http.Cookie{ //nolint:gosec // over plain http, a secure cookie would not come back
		Name: cookieMade, Value: value, Path: v.created(), MaxAge: maxAge,
		HttpOnly: true, Secure: v.isSecure(), SameSite: http.SameSiteStrictMode,
	})
}

// takeSecret is the secret that the cookie brings; empty when it brings none that was
// sealed for this browser and this webhook.
func (v *visit) takeSecret() string {
	secret := ""
	// A neighbouring host may set another of the same name.
	for _, cookie := range v.c.Request().CookiesNamed(cookieMade) {
		if brought, err := v.unseal(cookie.Value); err == nil {
			secret = brought.Get("secret")
		}
		v.setMade("", -1)
	}
	return secret
}

// createdPage says that a webhook was made, and its secret the first time.
func createdPage(v *visit) error {
	body := createdBody{Chat: isChat(v.webhook.Format)}
	if secret := v.takeSecret(); v.webhook.HasSecret {
		body.Secret, body.WasShown = secret, secret == ""
	}
	if body.Secret != "" {
		v.forgetOnLeaving()
	}
	var err error
	if body.Product, err = v.hint(v.webhook.URL, v.webhook.ID); err != nil {
		return err
	}
	return v.render(http.StatusOK, "created", v.t("created.title"), body)
}
