package diagnose

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dembrane/webhooks/pkg/signature"
)

// The headers as the documents write them.
const (
	dembraneHeader  = "X-Dembrane-Signature"
	webhookHeader   = "X-Webhook-Signature"
	standardHeader  = "webhook-signature"
	referencePrefix = "sha256="
	version         = "v1,"
)

// ParseHeader reads headers as people have them: lines "Name: value" (of a log, of
// `curl -v`, of a whole request), a JSON object of texts or lists of texts, or
// names as CGI and WSGI write them (HTTP_WEBHOOK_ID). Lines that are no header are
// skipped; an error says that there is none.
func ParseHeader(text string) (http.Header, error) {
	header := http.Header{}
	var object map[string]any
	if json.Unmarshal([]byte(text), &object) == nil {
		for name, given := range object {
			for _, one := range texted(given) {
				header.Add(headerName(name), one)
			}
		}
	} else {
		for line := range strings.Lines(text) {
			line = strings.TrimLeft(strings.TrimRight(line, "\r\n"), "<> \t")
			if option, quoted := curlOption(line); quoted {
				line = option
			}
			name, given, found := strings.Cut(line, ":")
			if name = headerName(name); found && name != "" {
				header.Add(name, strings.TrimLeft(given, " \t"))
			}
		}
	}
	if len(header) == 0 {
		return nil, errors.New("there is no header in it: write one a line, as in `webhook-id: evt_1`, or a JSON object")
	}
	return header, nil
}

// curlOption takes the header out of -H 'webhook-id: evt_1' \.
func curlOption(line string) (string, bool) {
	for _, option := range []string{"-H ", "--header "} {
		if rest, found := strings.CutPrefix(line, option); found {
			return strings.Trim(rest, " \t\\'\""), true
		}
	}
	return "", false
}

// texted takes the texts out of a value of a JSON object.
func texted(given any) []string {
	switch g := given.(type) {
	case string:
		return []string{g}
	case float64:
		return []string{strconv.FormatFloat(g, 'f', -1, 64)}
	case []any:
		var all []string
		for _, one := range g {
			all = append(all, texted(one)...)
		}
		return all
	default:
		return nil
	}
}

// headerName is the name in Go's spelling, or nothing when it is none.
func headerName(name string) string {
	name = strings.Trim(name, " \t\"'")
	name = strings.ReplaceAll(strings.TrimPrefix(name, "HTTP_"), "_", "-")
	if name == "" || strings.ContainsFunc(name, func(r rune) bool {
		return r != '-' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}) {
		return ""
	}
	return http.CanonicalHeaderKey(name)
}

// arrived are the headers that matter.
type arrived struct {
	header     http.Header
	id, time   string
	signatures string
	// at is the time in the headers, if it can be read.
	at    time.Time
	timed bool
}

func received(header http.Header) arrived {
	r := arrived{
		header: header, id: header.Get(signature.HeaderID), time: header.Get(signature.HeaderTimestamp),
		signatures: header.Get(signature.HeaderSignature),
	}
	r.at, r.timed = unixSeconds(r.time)
	return r
}

func (r arrived) signedAtAll() bool {
	return r.header.Get(signature.HeaderBody) != "" || r.header.Get(signature.HeaderReference) != "" || r.signatures != ""
}

// signed are the headers that the delivery should have.
func (r arrived) signed(secret string, body []byte) http.Header {
	expected := http.Header{}
	signature.Headers(expected, []signature.Key{signature.NewKey(secret)}, r.id, r.at, body)
	return expected
}

// plain compares a header that signs the body alone.
func (r arrived) plain(name string, expected http.Header) Scheme {
	given, want := r.header.Get(name), expected.Get(name)
	s := Scheme{Header: name}
	switch {
	case given == "":
		s.State, s.Message = Missing, "The header is not there."
	case want != "" && given == want:
		s.State, s.Message = Matches, "It is the signature of this body by this secret."
	case strings.TrimPrefix(given, referencePrefix) == given && name == webhookHeader || !isHexMAC(strings.TrimPrefix(given, referencePrefix)):
		s.State, s.Message = Malformed, "It does not look as it was sent: 64 lower-case hex digits"
		if name == webhookHeader {
			s.Message += " behind sha256="
		}
		s.Message += "."
	default:
		s.State, s.Message = Differs, "It is the signature of another body, or by another secret."
	}
	return s
}

// standard compares the headers of Standard Webhooks.
func (r arrived) standard(expected http.Header, in Input) Scheme {
	s := Scheme{Header: standardHeader}
	switch {
	case r.id == "" || r.time == "" || r.signatures == "":
		s.State, s.Message = Missing, "webhook-id, webhook-timestamp or webhook-signature is not there."
	case !r.timed:
		s.State, s.Message = Malformed, "webhook-timestamp is no number of seconds."
	case !r.standardFits(expected):
		s.State, s.Message = Differs, "It is the signature of another id, time or body, or by another secret."
		if !strings.Contains(r.signatures, version) {
			s.State, s.Message = Malformed, "It does not look as it was sent: v1, and base64."
		}
	case !in.Now.IsZero() && in.Now.Sub(r.at) > in.tolerance():
		s.State, s.Message = Old, "It matches, and is too old: libraries refuse it."
	case !in.Now.IsZero() && r.at.Sub(in.Now) > in.tolerance():
		s.State, s.Message = Early, "It matches, and comes from the future: libraries refuse it."
	default:
		s.State, s.Message = Matches, "It is the signature of this id, time and body by this secret."
	}
	return s
}

func (r arrived) standardFits(expected http.Header) bool {
	want := expected.Get(signature.HeaderSignature)
	return want != "" && r.id != "" && r.timed && slices.Contains(strings.Split(r.signatures, " "), want)
}

// fits reports whether a signature is that of this body by this secret, and what is
// wrong with how it is written.
func (r arrived) fits(secret string, body []byte) ([]Finding, bool) {
	expected := r.signed(secret, body)
	findings := r.misshapen(expected)
	return findings, len(findings) > 0 || r.standardFits(expected) ||
		r.header.Get(signature.HeaderBody) == expected.Get(signature.HeaderBody) ||
		r.header.Get(signature.HeaderReference) == expected.Get(signature.HeaderReference)
}

// miswritten says what is wrong with the writing of the headers, when a signature
// fits otherwise.
func (r arrived) miswritten(in Input, expected http.Header) []Finding {
	findings := r.misshapen(expected)
	if hint, wrong := r.mistimed(in); wrong {
		findings = append(findings, hint)
	}
	return findings
}

// misshapen says what is wrong with the writing of a signature whose value fits.
func (r arrived) misshapen(expected http.Header) []Finding {
	want := expected.Get(signature.HeaderBody)
	if want == "" {
		return nil
	}
	for _, name := range []string{dembraneHeader, webhookHeader} {
		if given := r.header.Get(name); given != "" && given != expected.Get(name) {
			if code := misshapenHex(name, given, want); code != "" {
				return []Finding{found(code, name)}
			}
		}
	}
	if r.signatures == "" || r.id == "" || !r.timed || r.standardFits(expected) {
		return nil
	}
	if code := misshapenStandard(r.signatures, strings.TrimPrefix(expected.Get(signature.HeaderSignature), version)); code != "" {
		return []Finding{found(code, standardHeader)}
	}
	return nil
}

// misshapenHex says how a signature differs that is wanted in hex.
func misshapenHex(name, given, want string) Code {
	bare, prefixed := strings.CutPrefix(strings.Trim(given, " \t\"'"), referencePrefix)
	switch {
	case bare != want && strings.EqualFold(bare, want):
		return OtherCase
	case bare != want:
		if decoded, err := base64.StdEncoding.DecodeString(bare); err == nil && hex.EncodeToString(decoded) == want || string(decoded) == want {
			return Base64ForHex
		}
		return ""
	case name == webhookHeader && !prefixed:
		return PrefixMissing
	case name == dembraneHeader && prefixed:
		return PrefixTooMuch
	default:
		return HeaderBlanks
	}
}

// misshapenStandard says how webhook-signature differs from what is wanted, in
// base64 without its version.
func misshapenStandard(given, want string) Code {
	bare := strings.Trim(given, " \t\"'")
	mac, err := base64.StdEncoding.DecodeString(want)
	switch {
	case err != nil:
		return ""
	case slices.Contains(strings.Split(bare, " "), version+want):
		return HeaderBlanks
	case slices.Contains(strings.FieldsFunc(bare, func(r rune) bool { return r == ',' || r == ' ' }), want):
		if strings.HasPrefix(bare, version) {
			return Joined
		}
		return VersionMissing
	case strings.EqualFold(strings.TrimPrefix(bare, version), hex.EncodeToString(mac)):
		return HexForBase64
	default:
		return ""
	}
}

// mistimed finds a time that was written in another way.
func (r arrived) mistimed(in Input) (Finding, bool) {
	if r.timed || r.time == "" || r.signatures == "" {
		return Finding{}, false
	}
	if millis, err := strconv.ParseInt(r.time, 10, 64); err == nil {
		r.at, r.timed = time.UnixMilli(millis), true
		if r.standardFits(r.signed(in.Secret, in.Body)) {
			return found(Milliseconds), true
		}
		return Finding{}, false
	}
	return found(BadTimestamp), true
}

func isHexMAC(text string) bool {
	decoded, err := hex.DecodeString(text)
	return err == nil && len(decoded) == 32 && strings.ToLower(text) == text
}
