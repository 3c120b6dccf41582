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

// maxFormBytes bounds a form. The API takes no more either.
const maxFormBytes = 64 << 10

// minFormCookie is how long a cookie of ours is at least.
const minFormCookie = 26

// fieldToken is the field of every form that proves that we made it for this browser.
const fieldToken = "_token"

// A form's token is made from a random cookie. A page elsewhere can neither read nor
// set that cookie, so it cannot make a token that fits. The session itself is not used:
// a dashboard renews it every few minutes, also while somebody fills in a form.

func (v *visit) formCookie() string {
	if v.isSecure() {
		return "__Host-webhooks_form" // no other subdomain can set it
	}
	return "webhooks_form"
}

// formToken is the token for the forms of this page.
func (v *visit) formToken() string {
	cookie, err := v.c.Cookie(v.formCookie())
	if err == nil && len(cookie.Value) >= minFormCookie {
		return tokenFrom(cookie.Value)
	}
	fresh := rand.Text()
	v.setCookie(v.formCookie(), fresh, 0)
	return tokenFrom(fresh)
}

func tokenFrom(cookie string) string {
	mac := hmac.New(sha256.New, []byte(cookie))
	_, _ = mac.Write([]byte("form")) // a hash takes everything
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// checkForm reads a form, and refuses one that is not ours.
func (v *visit) checkForm() error {
	r := v.c.Request()
	refused := &problem{Status: http.StatusForbidden, Detail: v.t("error.form.foreign")}
	if err := v.p.origins.Check(r); err != nil {
		return refused
	}
	raw, err := io.ReadAll(http.MaxBytesReader(v.c.Response(), r.Body, maxFormBytes))
	if err == nil {
		v.form, err = url.ParseQuery(string(raw))
	}
	if err != nil {
		return &problem{Status: http.StatusRequestEntityTooLarge, Detail: v.t("error.form.large")}
	}
	cookie, err := v.c.Cookie(v.formCookie())
	if err != nil || len(cookie.Value) < minFormCookie || !hmac.Equal([]byte(tokenFrom(cookie.Value)), []byte(v.field(fieldToken))) {
		return refused
	}
	return nil
}

// field is what the form says in a field.
func (v *visit) field(name string) string { return v.form.Get(name) }

// fields are what the form says in a field that can be there more than once.
func (v *visit) fields(name string) []string { return v.form[name] }
