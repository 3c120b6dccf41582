// Package diagnose says why a delivery does not verify. It tries what receivers
// usually get wrong (a line break behind the body, JSON that was parsed and written
// anew, a secret with a blank at its end, hex for base64 …) until a signature fits,
// and words the mistake that made it fit.
//
// It is for people who look for a mistake: a program decides with package signature
// alone, since what fits only here must not be trusted.
package diagnose

import (
	"cmp"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/dembrane/webhooks/pkg/signature"
)

// maxPairs is the largest body for which two mistakes at once are looked for: every
// pair costs two passes over it. One mistake alone costs fewer than 50 passes, and
// is looked for whatever the size.
const maxPairs = 1 << 20

// Input is a delivery as a receiver has it.
type Input struct {
	// Secret is the webhook's secret as the receiver has it.
	Secret string
	// Header holds the headers that arrived; see [ParseHeader].
	Header http.Header
	// Body is the body as the receiver has it.
	Body []byte
	// Now is the time at which the age of the delivery counts. Zero leaves it out.
	Now time.Time
	// Tolerance is how old a delivery may be; zero is [signature.Tolerance].
	Tolerance time.Duration
	// Computed is the signature that the receiver's own code came to, if it is known.
	Computed string
}

// State is what became of one signature header.
type State string

// The states of a signature header.
const (
	// Matches says that the signature is the one of this body by this secret.
	Matches State = "matches"
	// Differs says that it is the signature of something else.
	Differs State = "differs"
	// Missing says that the header is not there.
	Missing State = "missing"
	// Malformed says that the header does not look as it was sent.
	Malformed State = "malformed"
	// Old says that the signature matches, and was made too long before now.
	Old State = "too_old"
	// Early says that the signature matches, and was made too long after now.
	Early State = "too_early"
)

// Scheme is one of the three ways in which a delivery is signed.
type Scheme struct {
	// Header is the name of the header with the signature, as the documents write it.
	Header string `json:"header"`
	State  State  `json:"state"`
	// Message says the same in a sentence.
	Message string `json:"message"`
}

// Finding is one thing to know or to put right.
type Finding struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
	// Advice says what to do; empty when there is nothing to be done.
	Advice string `json:"advice,omitempty"`
}

// Report is what was found out.
type Report struct {
	// Verified says that a signature matches, exactly as it arrived.
	Verified bool     `json:"verified"`
	Schemes  []Scheme `json:"schemes"`
	// Findings come with the likeliest cause first.
	Findings []Finding `json:"findings"`
}

// Check compares the signatures of a delivery with those that it should have, and
// looks for the mistake when they differ.
func Check(in Input) Report {
	r := received(in.Header)
	expected := r.signed(in.Secret, in.Body)
	report := Report{Schemes: r.schemes(in, expected)}
	for _, scheme := range report.Schemes {
		report.Verified = report.Verified || scheme.State == Matches
	}
	switch {
	case in.Secret == "":
		report.Findings = append(report.Findings, found(NoSecret))
	case !r.signedAtAll():
		report.Findings = append(report.Findings, found(NoSignature))
	case !report.Verified && report.Schemes[2].State != Old && report.Schemes[2].State != Early:
		report.Findings = append(report.Findings, r.explain(in, expected)...)
	}
	report.Findings = append(report.Findings, r.remarks(in, expected, report)...)
	if in.Computed != "" && in.Secret != "" {
		report.Findings = append(report.Findings, r.explainComputed(in))
	}
	return report
}

// schemes compares each of the ways in which a delivery is signed.
func (r arrived) schemes(in Input, expected http.Header) []Scheme {
	return []Scheme{r.plain(dembraneHeader, expected), r.plain(webhookHeader, expected), r.standard(expected, in)}
}

// explain looks for the mistake that makes a signature fit.
func (r arrived) explain(in Input, expected http.Header) []Finding {
	if findings := r.miswritten(in, expected); len(findings) > 0 {
		return findings
	}
	bodies, secrets := bodiesOf(in.Body), secretsOf(in.Secret)
	for _, body := range bodies {
		if findings, fits := r.fits(in.Secret, body.bytes); fits {
			return append(body.findings, findings...)
		}
	}
	for _, secret := range secrets {
		if findings, fits := r.fits(secret.text, in.Body); fits {
			return append([]Finding{secret.finding}, findings...)
		}
	}
	if len(in.Body) > maxPairs {
		return r.unexplained(in, expected)
	}
	for _, secret := range secrets {
		for _, body := range bodies {
			if findings, fits := r.fits(secret.text, body.bytes); fits {
				return append(append([]Finding{secret.finding}, body.findings...), findings...)
			}
		}
	}
	return r.unexplained(in, expected)
}

// unexplained is said when no mistake fits: what the body shows of itself may be
// one that cannot be undone, and so may what is left of the signatures.
func (r arrived) unexplained(in Input, expected http.Header) []Finding {
	shape := shapeOf(in.Body)
	switch {
	case shape == CutBody:
		return []Finding{found(CutBody, len(in.Body))}
	case shape != OtherSecret:
		return []Finding{found(shape)}
	}
	malformed := ""
	for _, scheme := range r.schemes(in, expected) {
		switch scheme.State {
		case Malformed:
			malformed = cmp.Or(malformed, scheme.Header)
		case Missing:
		case Matches, Differs, Old, Early:
			return []Finding{found(OtherSecret)}
		}
	}
	return []Finding{found(CutHeader, malformed)}
}

// remarks are what is worth knowing beside the verdict.
func (r arrived) remarks(in Input, expected http.Header, report Report) []Finding {
	var findings []Finding
	if report.Verified {
		findings = r.miswritten(in, expected)
	}
	plain, standard := report.Schemes[0], report.Schemes[2]
	switch standard.State {
	case Old:
		findings = append(findings, found(OldTimestamp, r.at.UTC().Format(time.RFC3339), duration(in.Now.Sub(r.at)), duration(in.tolerance())))
	case Early:
		findings = append(findings, found(EarlyTimestamp, r.at.UTC().Format(time.RFC3339), duration(r.at.Sub(in.Now)), duration(in.tolerance())))
	case Missing:
		if report.Verified {
			findings = append(findings, found(NoStandard))
		}
	case Differs, Malformed:
		if report.Verified && len(findings) == 0 {
			findings = append(findings, found(ChangedTime))
		}
	case Matches:
	}
	if plain.State == Differs && (standard.State == Matches || standard.State == Old || standard.State == Early) {
		findings = append(findings, r.onlyStandard(in, expected))
	}
	return findings
}

// onlyStandard explains that webhook-signature fits and X-Dembrane-Signature does
// not.
func (r arrived) onlyStandard(in Input, expected http.Header) Finding {
	if !strings.HasPrefix(r.signatures, expected.Get(signature.HeaderSignature)) {
		return found(OlderSecret)
	}
	for _, secret := range secretsOf(in.Secret) {
		if r.header.Get(signature.HeaderBody) == r.signed(secret.text, in.Body).Get(signature.HeaderBody) {
			return secret.finding
		}
	}
	return found(ChangedHeader, dembraneHeader)
}

func (in Input) tolerance() time.Duration {
	if in.Tolerance == 0 {
		return signature.Tolerance
	}
	return in.Tolerance
}

// duration writes a time span as people say it.
func duration(d time.Duration) string {
	for _, unit := range []struct {
		size time.Duration
		name string
	}{{24 * time.Hour, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}} {
		if d >= 2*unit.size || d == unit.size {
			return plural(int(d/unit.size), unit.name)
		}
	}
	return plural(int(d/time.Second), "second")
}

func plural(n int, unit string) string {
	if n == 1 {
		return "1 " + unit
	}
	return fmt.Sprintf("%d %ss", n, unit)
}

// unixSeconds reads a time as webhook-timestamp has it: 32 bits without a sign.
func unixSeconds(text string) (time.Time, bool) {
	seconds, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return time.Time{}, false
	}
	return time.Unix(int64(seconds), 0), true
}
