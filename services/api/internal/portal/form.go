package portal

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
)

// maxFormBytes bounds a form. It is more than any field needs, and than the API takes:
// whoever pasted a whole transcript into one is told so beside it, and loses nothing.
const maxFormBytes = 256 << 10

// maxFieldBytes is longer than what the API takes in any field, and in all of them
// together it takes several times as much. See [askedOf].
const maxFieldBytes = 8 << 10

// minFormCookie is how long a cookie of ours is at least.
const minFormCookie = 26

// fieldToken is the field of every form that proves that we made it for this browser.
const fieldToken = "_token"

// fieldPage is the field of every form that says on which page it is.
const fieldPage = "_page"

// A form's token is made from a random cookie. A page elsewhere can neither read nor
// set that cookie, so it cannot make a token that fits. The session itself is not used:
// a dashboard renews it every few minutes, also while somebody fills in a form.

func (v *visit) formCookie() string {
	if v.isSecure() {
		return "__Host-webhooks_form" // no other subdomain can set it
	}
	return "webhooks_form"
}

// formSecret is what the cookie of the forms holds, which is made when there is none.
func (v *visit) formSecret() string {
	if v.cookie != "" {
		return v.cookie
	}
	if cookie, err := v.c.Cookie(v.formCookie()); err == nil && len(cookie.Value) >= minFormCookie {
		v.cookie = cookie.Value
		return v.cookie
	}
	v.cookie = rand.Text()
	v.setCookie(v.formCookie(), v.cookie, 0)
	return v.cookie
}

// formToken is the token for the forms of this page.
func (v *visit) formToken() string {
	return base64.RawURLEncoding.EncodeToString(derive(v.formSecret(), "form"))
}

// derive makes a key for one purpose.
func derive(cookie, purpose string) []byte {
	mac := hmac.New(sha256.New, []byte(cookie))
	_, _ = mac.Write([]byte(purpose)) // a hash takes everything
	return mac.Sum(nil)
}

// outdated refuses a form that may not be ours.
func (v *visit) outdated() error {
	return &problem{Status: http.StatusForbidden, Detail: v.t("error.form.foreign")}
}

// readForm reads a form, and refuses one of another site.
func (v *visit) readForm() error {
	r := v.c.Request()
	if err := v.p.origins.Check(r); err != nil {
		return v.outdated()
	}
	raw, err := io.ReadAll(http.MaxBytesReader(v.c.Response(), r.Body, maxKeptBytes))
	if err != nil {
		return &problem{Status: http.StatusRequestEntityTooLarge, Detail: v.t("error.form.large")}
	}
	form, err := url.ParseQuery(string(raw))
	if err != nil {
		return &problem{Status: http.StatusBadRequest, Detail: v.t("error.form.foreign")}
	}
	sealed := form.Get(fieldKept)
	if sealed == "" && len(raw) > maxFormBytes {
		return &problem{Status: http.StatusRequestEntityTooLarge, Detail: v.t("error.form.large")}
	}
	v.form = form
	if sealed == "" || v.c.Path() == pathSignIn { // which carries it on
		return nil
	}
	typed, err := v.unseal(sealed)
	if err != nil {
		v.form = nil
		return v.outdated()
	}
	typed.Set(fieldToken, v.field(fieldToken))
	v.onlyShow = v.field(fieldGo) == ""
	v.form = typed
	return nil
}

// tokenFits reports whether the form is one that we made for this browser.
func (v *visit) tokenFits() bool {
	cookie, err := v.c.Cookie(v.formCookie())
	return err == nil && len(cookie.Value) >= minFormCookie && hmac.Equal([]byte(v.formToken()), []byte(v.field(fieldToken)))
}

// field is what the form says in a field.
func (v *visit) field(name string) string { return v.form.Get(name) }

// fields are what the form says in a field that can be there more than once.
func (v *visit) fields(name string) []string { return v.form[name] }
