package portal

import (
	"net/http"
	"strings"

	"github.com/dembrane/webhooks/pkg/signature"
	"github.com/dembrane/webhooks/pkg/signature/diagnose"
	"github.com/dembrane/webhooks/pkg/words"
)

// checkBody is the page that says why a delivery does not verify. What is typed into
// it is looked at and forgotten; the secret is not even shown again.
type checkBody struct {
	Body, Headers string
	Result        *checkResult
	Faults        faults
}

// checkResult is what was found out.
type checkResult struct {
	State    state
	Findings []checkFinding
	Parts    []checkPart
}

type checkFinding struct{ Message, Advice string }

// checkPart is one of the headers with a signature.
type checkPart struct {
	Header  string
	State   state
	Message string
}

func checkPage(v *visit) error {
	return v.render(http.StatusOK, "check", v.t("check.title"), checkBody{})
}

func checkAgain(v *visit) error {
	return v.render(http.StatusUnprocessableEntity, "check", v.t("check.title"), checkBody{Body: v.field("body"), Headers: v.field("headers")})
}

// check compares what was typed.
func check(v *visit) error {
	// A browser sends each line break of a field as two characters.
	sent := strings.ReplaceAll(v.field("body"), "\r\n", "\n")
	body := checkBody{Body: sent, Headers: v.field("headers"), Faults: faults{}}
	given := v.field("secret")
	header, ok := typedHeaders(body.Headers)
	if !ok {
		body.Faults["headers"] = v.t("check.headers.missing")
	}
	if given == "" {
		body.Faults["secret"] = v.t("check.secret.missing")
	}
	if body.Faults.Any() {
		return v.render(http.StatusUnprocessableEntity, "check", v.t("check.title"), body)
	}
	body.Result = v.checkResult(diagnose.Check(diagnose.Input{Secret: given, Header: header, Body: []byte(sent), Now: v.now}))
	return v.render(http.StatusOK, "check", body.Result.State.Word+" · "+v.t("check.title"), body)
}

// typedHeaders reads headers, or a signature alone; false when there is neither.
func typedHeaders(text string) (http.Header, bool) {
	if header, err := diagnose.ParseHeader(text); err == nil {
		return header, true
	}
	const hexDigits = 64
	header := http.Header{}
	switch alone := strings.TrimSpace(text); {
	case strings.HasPrefix(alone, "sha256="):
		header.Set(signature.HeaderReference, alone)
	case strings.HasPrefix(alone, "v1,"):
		header.Set(signature.HeaderSignature, alone)
	case len(alone) == hexDigits && !strings.ContainsAny(alone, " \n"):
		header.Set(signature.HeaderBody, alone)
	default:
		return nil, false
	}
	return header, true
}

func (v *visit) checkResult(report diagnose.Report) *checkResult {
	result := &checkResult{State: state{Tone: "bad", Icon: "stop", Word: v.t("check.differs")}}
	for _, scheme := range report.Schemes {
		part := checkPart{Header: scheme.Header, State: v.partState(scheme.State), Message: words.Signature(scheme.Message, v.in)}
		result.Parts = append(result.Parts, part)
		if scheme.State == diagnose.Old || scheme.State == diagnose.Early {
			result.State = state{Tone: "wait", Icon: "clock", Word: v.t("check.old")}
		}
	}
	if report.Verified {
		result.State = state{Tone: "good", Icon: "check", Word: v.t("check.matches")}
	}
	for _, f := range report.Findings {
		result.Findings = append(result.Findings, checkFinding{Message: v.inZone(words.Signature(f.Message, v.in)), Advice: words.Signature(f.Advice, v.in)})
	}
	return result
}

func (v *visit) partState(s diagnose.State) state {
	switch s {
	case diagnose.Matches:
		return state{Tone: "good", Icon: "check", Word: v.t("check.part.matches")}
	case diagnose.Old, diagnose.Early:
		return state{Tone: "wait", Icon: "clock", Word: v.t("check.part.old")}
	case diagnose.Missing:
		return state{Tone: "off", Icon: "info", Word: v.t("check.part.missing")}
	case diagnose.Differs, diagnose.Malformed:
	}
	return state{Tone: "bad", Icon: "stop", Word: v.t("check.part.differs")}
}
