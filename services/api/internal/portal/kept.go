package portal

import (
	"bytes"
	"compress/flate"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// What somebody typed is never lost because a session ended, a page was open for too
// long, or the API was away: the answer carries the form along, and shows it again or
// sends it again with one more click. See [visit.fail] and [visit.stale].
//
// A form may hold secrets and the values of headers. So it is carried sealed: the key
// comes from the cookie of the forms, which scripts cannot read and no page shows.
// Whoever has a copy of the page alone, in a cache or a file, can do nothing with it,
// and the server remembers nothing.

// fieldKept carries a form that is kept, and fieldGo says that it is to be acted on,
// not only shown again.
const (
	fieldKept = "_kept"
	fieldGo   = "_go"
)

// maxKeptBytes bounds a form that carries another: sealed, the longest is a third
// longer, and what else there is takes little.
const maxKeptBytes = 2 * maxFormBytes

// kept is a form to be carried along, and where it was sent to.
type kept struct{ Action, Sealed string }

// keep is the form that was sent; nil when there is none, or it may have been another
// site that filled it in.
func (v *visit) keep() *kept {
	if v.form == nil || !v.isFromHere() || strings.HasPrefix(v.c.Path(), prefix) {
		return nil
	}
	typed := url.Values{}
	for name, values := range v.form {
		if name != fieldToken {
			typed[name] = values
		}
	}
	action := v.c.Request().URL.Path
	sealed, err := v.seal(typed, action)
	if err != nil {
		return nil
	}
	return &kept{Action: action, Sealed: sealed}
}

// isFromHere reports whether a browser says that a form was sent by a page of ours.
// To refuse forms of other sites, a request that does not say may pass, see
// [http.CrossOriginProtection]; to repeat to the host what it holds, it may not.
func (v *visit) isFromHere() bool {
	r := v.c.Request()
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" {
		return site == "same-origin" || site == "none"
	}
	origin, err := url.Parse(r.Header.Get("Origin"))
	return err == nil && origin.Host != "" && origin.Host == r.Host
}

// sealer encrypts for this browser alone.
func (v *visit) sealer() (cipher.AEAD, error) {
	block, err := aes.NewCipher(derive(v.formSecret(), "kept"))
	if err != nil {
		return nil, fmt.Errorf("make cipher: %w", err)
	}
	sealer, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("make cipher: %w", err)
	}
	return sealer, nil
}

// seal encrypts a form that is for one address only.
func (v *visit) seal(form url.Values, action string) (string, error) {
	sealer, err := v.sealer()
	if err != nil {
		return "", err
	}
	var packed bytes.Buffer
	writer, err := flate.NewWriter(&packed, flate.BestSpeed)
	if err == nil {
		_, err = io.WriteString(writer, form.Encode())
	}
	if err == nil {
		err = writer.Close()
	}
	if err != nil {
		return "", fmt.Errorf("pack form: %w", err)
	}
	sealed := sealer.Seal(nil, nil, packed.Bytes(), []byte(action)) //nolint:gosec // it takes no nonce: it makes its own
	return base64.RawURLEncoding.EncodeToString(sealed), nil
}

// unseal opens what was sealed for this browser and this address.
func (v *visit) unseal(sealed string) (url.Values, error) {
	raw, err := base64.RawURLEncoding.DecodeString(sealed)
	if err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	sealer, err := v.sealer()
	if err != nil {
		return nil, err
	}
	packed, err := sealer.Open(nil, nil, raw, []byte(v.c.Request().URL.Path))
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(packed)), maxKeptBytes))
	if err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	form, err := url.ParseQuery(string(text))
	if err != nil {
		return nil, fmt.Errorf("parse: %w", err)
	}
	return form, nil
}

// showAgain shows the form that was sent, filled in as it was, and why it has to be
// sent once more.
func (v *visit) showAgain(why string) error {
	v.notice = why
	return v.again(v)
}

// stale is for a form whose token does not fit any more: the browser was closed, or
// the host signed out and in again meanwhile.
func (v *visit) stale() error {
	switch carried := v.keep(); {
	case v.again != nil && v.isFromHere():
		return v.showAgain(v.t("form.stale"))
	case carried != nil:
		v.webhook = nil
		return v.render(http.StatusForbidden, "failure", v.t("error.stale.title"), failure{
			Heading: v.t("error.stale.title"), Detail: v.t("error.stale.detail"), Kept: carried, Link: v.here(), LinkText: v.t("error.stale.back"),
		})
	default:
		return v.outdated()
	}
}

// here is the page that somebody is on: this one, or the one whose form they sent.
func (v *visit) here() string {
	if r := v.c.Request(); r.Method == http.MethodGet {
		return r.URL.RequestURI()
	}
	fallback := pathSignIn
	if v.c.Param("pid") != "" {
		fallback = v.base()
	}
	return local(v.field(fieldPage), fallback)
}
