package diagnose_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/signature"
	"github.com/dembrane/webhooks/pkg/signature/diagnose"
)

const (
	plainSecret    = "geheim+/van/Zoë 12"
	standardSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw+/"
)

// deliveredBody is a body that package payload wrote, and a line break, which files
// have at their end.
//
//go:embed testdata/delivered.json
var deliveredBody string

func sentAt() time.Time { return time.Unix(1768910400, 0) }

// delivered is a delivery exactly as it is sent.
func delivered(secrets ...string) diagnose.Input {
	in := diagnose.Input{
		Secret: secrets[0], Header: http.Header{}, Now: sentAt().Add(time.Second),
		Body: []byte(strings.TrimSuffix(deliveredBody, "\n")),
	}
	keys := make([]signature.Key, len(secrets))
	for i, secret := range secrets {
		keys[i] = signature.NewKey(secret)
	}
	signature.Headers(in.Header, keys, "evt_1", sentAt(), in.Body)
	return in
}

func codes(report diagnose.Report) []diagnose.Code {
	var list []diagnose.Code
	for _, f := range report.Findings {
		list = append(list, f.Code)
	}
	return list
}

func TestWhatWasSentVerifies(t *testing.T) {
	for _, secret := range []string{plainSecret, standardSecret} {
		report := diagnose.Check(delivered(secret))
		assert.True(t, report.Verified)
		assert.Empty(t, report.Findings)
		for _, scheme := range report.Schemes {
			assert.Equal(t, diagnose.Matches, scheme.State, scheme.Header)
		}
	}
}

// edit changes a delivery as a receiver gets it wrong.
type edit func(in *diagnose.Input)

func body(change func([]byte) []byte) edit {
	return func(in *diagnose.Input) { in.Body = change(in.Body) }
}

func secret(text string) edit { return func(in *diagnose.Input) { in.Secret = text } }

func header(name string, change func(string) string) edit {
	return func(in *diagnose.Input) {
		if value := change(in.Header.Get(name)); value == "" {
			in.Header.Del(name)
		} else {
			in.Header.Set(name, value)
		}
	}
}

func gone(string) string { return "" }

// masked is how logs write what they hide.
func masked(string) string { return "***" }

// only leaves one signature header.
func only(name string) edit {
	return func(in *diagnose.Input) {
		for _, other := range []string{signature.HeaderBody, signature.HeaderReference, signature.HeaderSignature} {
			if !strings.EqualFold(other, name) {
				in.Header.Del(other)
			}
		}
	}
}

// rewrite parses the body and writes it with Go's encoding/json.
func rewrite(change func(*json.Encoder)) edit {
	return body(func(sent []byte) []byte {
		decoder := json.NewDecoder(bytes.NewReader(sent))
		decoder.UseNumber()
		var value any
		if err := decoder.Decode(&value); err != nil {
			panic(err)
		}
		var out bytes.Buffer
		encoder := json.NewEncoder(&out)
		change(encoder)
		if err := encoder.Encode(value); err != nil {
			panic(err)
		}
		return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
	})
}

func toBase64(text string) string {
	mac, err := hex.DecodeString(strings.TrimPrefix(text, "sha256="))
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(mac)
}

func TestEveryUsualMistakeIsNamed(t *testing.T) {
	append1 := func(text string) edit {
		return body(func(b []byte) []byte { return append(b, text...) })
	}
	tests := []struct {
		name   string
		secret string
		edits  []edit
		want   []diagnose.Code
	}{
		{"line break", plainSecret, []edit{append1("\n")}, []diagnose.Code{diagnose.TrailingNewline}},
		{"line break of Windows", standardSecret, []edit{append1("\r\n")}, []diagnose.Code{diagnose.TrailingNewline}},
		{"blanks", plainSecret, []edit{body(func(b []byte) []byte { return append([]byte("  "), b...) })}, []diagnose.Code{diagnose.Blanks}},
		{"byte order mark", plainSecret, []edit{body(func(b []byte) []byte { return append([]byte("\ufeff"), b...) }), append1("\n")}, []diagnose.Code{diagnose.ByteOrderMark}},
		{"indented", plainSecret, []edit{rewrite(func(e *json.Encoder) { e.SetIndent("", "  ") })}, []diagnose.Code{diagnose.Rewritten}},
		{"not escaped", plainSecret, []edit{rewrite(func(e *json.Encoder) { e.SetEscapeHTML(false) })}, []diagnose.Code{diagnose.Rewritten}},
		{"written anew with a line break", plainSecret, []edit{rewrite(func(*json.Encoder) {}), append1("\n")}, []diagnose.Code{diagnose.Rewritten}},
		{"a JSON string", plainSecret, []edit{body(func(b []byte) []byte {
			quoted, _ := json.Marshal(string(b))
			return quoted
		})}, []diagnose.Code{diagnose.Quoted}},
		{"base64", plainSecret, []edit{body(func(b []byte) []byte { return []byte(base64.StdEncoding.EncodeToString(b)) })}, []diagnose.Code{diagnose.Base64Body}},
		{"base64 of JSON written anew", plainSecret, []edit{
			rewrite(func(*json.Encoder) {}),
			body(func(b []byte) []byte { return []byte(base64.StdEncoding.EncodeToString(b)) }),
		}, []diagnose.Code{diagnose.Base64Body, diagnose.Rewritten}},
		{"HTML", plainSecret, []edit{body(func(b []byte) []byte { return []byte(html.EscapeString(string(b))) })}, []diagnose.Code{diagnose.HTMLEscaped}},
		{"empty", plainSecret, []edit{body(func([]byte) []byte { return nil })}, []diagnose.Code{diagnose.EmptyBody}},
		{"cut off", plainSecret, []edit{body(func(b []byte) []byte { return b[:len(b)/2] })}, []diagnose.Code{diagnose.CutBody}},
		{"a form", plainSecret, []edit{body(func(b []byte) []byte { return append([]byte("payload="), b...) })}, []diagnose.Code{diagnose.NotJSON}},

		{"no secret", plainSecret, []edit{secret("")}, []diagnose.Code{diagnose.NoSecret}},
		{"signature cut off", plainSecret, []edit{only(signature.HeaderBody), header(signature.HeaderBody, func(v string) string { return v[:20] })}, []diagnose.Code{diagnose.CutHeader}},
		{"every signature replaced", plainSecret, []edit{
			header(signature.HeaderBody, masked), header(signature.HeaderReference, masked), header(signature.HeaderSignature, masked),
		}, []diagnose.Code{diagnose.CutHeader}},
		{"one signature cut off, and another secret", plainSecret, []edit{secret("something else"), header(signature.HeaderBody, masked)}, []diagnose.Code{diagnose.OtherSecret}},
		{"another secret", plainSecret, []edit{secret("something else")}, []diagnose.Code{diagnose.OtherSecret}},
		{"secret with a line break", plainSecret, []edit{secret(plainSecret + "\n")}, []diagnose.Code{diagnose.SecretBlanks}},
		{"secret in quotes", plainSecret, []edit{secret(`"` + plainSecret + `"`)}, []diagnose.Code{diagnose.SecretQuotes}},
		{"secret as a line", plainSecret, []edit{secret(`export SECRET="` + plainSecret + `"`)}, []diagnose.Code{diagnose.SecretLine}},
		{"prefix cut", standardSecret, []edit{secret(strings.TrimPrefix(standardSecret, "whsec_"))}, []diagnose.Code{diagnose.PrefixCut}},
		{"prefix added", plainSecret, []edit{secret("whsec_" + plainSecret)}, []diagnose.Code{diagnose.PrefixAdded}},
		{"secret in base64", plainSecret, []edit{secret(base64.StdEncoding.EncodeToString([]byte(plainSecret)))}, []diagnose.Code{diagnose.SecretBase64}},
		{"secret in hex", plainSecret, []edit{secret(hex.EncodeToString([]byte(plainSecret)))}, []diagnose.Code{diagnose.SecretHex}},
		{"secret percent-encoded", plainSecret, []edit{secret("geheim%2B%2Fvan%2FZo%C3%AB%2012")}, []diagnose.Code{diagnose.SecretEscaped}},
		{"secret for URLs", standardSecret, []edit{secret(strings.NewReplacer("+", "-", "/", "_").Replace(standardSecret))}, []diagnose.Code{diagnose.SecretURLSafe}},
		{"secret and body", plainSecret, []edit{secret(plainSecret + "\n"), append1("\n")}, []diagnose.Code{diagnose.SecretBlanks, diagnose.TrailingNewline}},
		{"the libraries' form of a raw secret", plainSecret, []edit{secret("whsec_" + base64.StdEncoding.EncodeToString([]byte(plainSecret)))}, []diagnose.Code{diagnose.PrefixAdded}},

		{"unsigned", plainSecret, []edit{only("none")}, []diagnose.Code{diagnose.NoSignature}},
		{"body signature only", plainSecret, []edit{only(signature.HeaderBody)}, []diagnose.Code{diagnose.NoStandard}},
		{"sha256= too much", plainSecret, []edit{only(signature.HeaderBody), header(signature.HeaderBody, func(s string) string { return "sha256=" + s })}, []diagnose.Code{diagnose.PrefixTooMuch}},
		{"sha256= cut", plainSecret, []edit{only(signature.HeaderReference), header(signature.HeaderReference, func(s string) string { return s[7:] })}, []diagnose.Code{diagnose.PrefixMissing}},
		{"base64 for hex", plainSecret, []edit{only(signature.HeaderBody), header(signature.HeaderBody, toBase64)}, []diagnose.Code{diagnose.Base64ForHex}},
		{"capitals", plainSecret, []edit{only(signature.HeaderBody), header(signature.HeaderBody, strings.ToUpper)}, []diagnose.Code{diagnose.OtherCase}},
		{"blank in the header", plainSecret, []edit{only(signature.HeaderBody), header(signature.HeaderBody, func(s string) string { return s + " " })}, []diagnose.Code{diagnose.HeaderBlanks}},
		{"v1 cut", plainSecret, []edit{only(signature.HeaderSignature), header(signature.HeaderSignature, func(s string) string { return s[3:] })}, []diagnose.Code{diagnose.VersionMissing}},
		{"joined", plainSecret, []edit{only(signature.HeaderSignature), header(signature.HeaderSignature, func(s string) string { return s + ",v1,abc" })}, []diagnose.Code{diagnose.Joined}},
		{"hex for base64", plainSecret, []edit{only(signature.HeaderSignature), header(signature.HeaderSignature, func(s string) string {
			mac, _ := base64.StdEncoding.DecodeString(s[3:])
			return hex.EncodeToString(mac)
		})}, []diagnose.Code{diagnose.HexForBase64}},
		{"milliseconds", plainSecret, []edit{only(signature.HeaderSignature), header(signature.HeaderTimestamp, func(s string) string { return s + "000" })}, []diagnose.Code{diagnose.Milliseconds}},
		{"a date", plainSecret, []edit{header(signature.HeaderTimestamp, func(string) string { return "yesterday" })}, []diagnose.Code{diagnose.BadTimestamp}},
		{"another attempt's time", plainSecret, []edit{header(signature.HeaderTimestamp, func(string) string { return "1768910401" })}, []diagnose.Code{diagnose.ChangedTime}},
		{"without an id", plainSecret, []edit{header(signature.HeaderID, gone)}, []diagnose.Code{diagnose.NoStandard}},
		{"another body signature", plainSecret, []edit{header(signature.HeaderBody, func(s string) string { return strings.Repeat("0", len(s)) })}, []diagnose.Code{diagnose.ChangedHeader}},
		{"old", plainSecret, []edit{only(signature.HeaderSignature), func(in *diagnose.Input) { in.Now = sentAt().Add(time.Hour) }}, []diagnose.Code{diagnose.OldTimestamp}},
		{"early", plainSecret, []edit{only(signature.HeaderSignature), func(in *diagnose.Input) { in.Now = sentAt().Add(-time.Hour) }}, []diagnose.Code{diagnose.EarlyTimestamp}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			in := delivered(test.secret)
			for _, change := range test.edits {
				change(&in)
			}
			report := diagnose.Check(in)
			assert.Equal(t, test.want, codes(report), "%+v", report)
			for _, finding := range report.Findings {
				assert.NotContains(t, finding.Message+finding.Advice, "%!")
				assert.NotEmpty(t, finding.Advice)
			}
			verified := signature.VerifyBody(in.Secret, in.Header.Get(signature.HeaderBody), in.Body) ||
				signature.Verify(in.Secret, in.Header, in.Body, in.Now, signature.Tolerance) == nil
			if report.Schemes[1].State == diagnose.Matches {
				verified = true
			}
			assert.Equal(t, verified, report.Verified, "only what really verifies may be called verified")
		})
	}
}

func TestTheOlderSecretOfARotationIsNamed(t *testing.T) {
	in := delivered("the newer secret", plainSecret)
	in.Secret = plainSecret
	report := diagnose.Check(in)
	assert.True(t, report.Verified)
	assert.Equal(t, []diagnose.Code{diagnose.OlderSecret}, codes(report))
}

func TestAnOldDeliveryThatWasSavedStillVerifiesByItsBody(t *testing.T) {
	in := delivered(plainSecret)
	in.Now = sentAt().Add(49 * time.Hour)
	report := diagnose.Check(in)
	assert.True(t, report.Verified)
	require.Equal(t, []diagnose.Code{diagnose.OldTimestamp}, codes(report))
	assert.Contains(t, report.Findings[0].Message, "2 days before")
	in.Now = time.Time{}
	assert.Empty(t, diagnose.Check(in).Findings, "without a time there is no age")
}

func TestHowABodyWasWrittenAnewIsSaid(t *testing.T) {
	in := delivered(plainSecret)
	rewrite(func(e *json.Encoder) { e.SetIndent("", " ") })(&in)
	message := diagnose.Check(in).Findings[0].Message
	for _, part := range []string{"blanks", `\u00e9`, `\u003c`} {
		assert.Contains(t, message, part)
	}
	assert.NotContains(t, message, "order")

	in = delivered(plainSecret)
	in.Body = append([]byte(`{"timestamp":"2026-01-20T12:00:00+00:00",`),
		bytes.Replace(in.Body[1:], []byte(`,"timestamp":"2026-01-20T12:00:00+00:00"`), nil, 1)...)
	assert.Contains(t, diagnose.Check(in).Findings[0].Message, "another order")
}

func TestWhatTheReceiverComputedIsExplained(t *testing.T) {
	mac := func(key string, text string) string {
		h := hmac.New(sha256.New, []byte(key))
		h.Write([]byte(text))
		return hex.EncodeToString(h.Sum(nil))
	}
	in := delivered(standardSecret)
	sent := string(in.Body)
	sha := hmac.New(sha1.New, []byte(standardSecret))
	sha.Write(in.Body)
	plain := sha256.Sum256(in.Body)
	var stringify bytes.Buffer
	encoder := json.NewEncoder(&stringify)
	encoder.SetEscapeHTML(false)
	var value any
	require.NoError(t, json.Unmarshal(in.Body, &value))
	require.NoError(t, encoder.Encode(value))
	tests := map[string]struct{ computed, want string }{
		"right":             {in.Header.Get("X-Dembrane-Signature"), "is right"},
		"right, standard":   {in.Header.Get("webhook-signature"), "is right"},
		"base64":            {toBase64(in.Header.Get("X-Dembrane-Signature")), "another writing"},
		"line break":        {mac(standardSecret, sent+"\n"), "a line break"},
		"without prefix":    {mac(standardSecret[6:], sent), "without whsec_"},
		"secret with break": {mac(standardSecret+"\n", sent), "the secret and a line break"},
		"no secret":         {mac("", sent), "an empty key"},
		"empty body":        {mac(standardSecret, ""), "an empty body"},
		"SHA-1":             {hex.EncodeToString(sha.Sum(nil)), "HMAC-SHA-1"},
		"no HMAC":           {hex.EncodeToString(plain[:]), "without the secret"},
		"JSON written anew": {mac(standardSecret, strings.TrimSpace(stringify.String())), "parsed and written anew|JSON.stringify|another form of the body"},
		"time and body":     {mac(standardSecret, "1768910400."+sent), "time and body"},
		"nonsense":          {"hello", "no signature at all"},
		"unknown":           {mac("x", "y"), "none of the usual mistakes"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			in.Computed = test.computed
			report := diagnose.Check(in)
			assert.True(t, report.Verified)
			require.NotEmpty(t, report.Findings)
			last := report.Findings[len(report.Findings)-1]
			assert.Regexp(t, test.want, last.Message)
			assert.NotEmpty(t, last.Advice)
		})
	}
}

// A key of another order than ours is how JavaScript and Python keep it.
func TestComputedOfRewrittenJSONInTheOrderOfTheBody(t *testing.T) {
	in := delivered(plainSecret)
	spaced := strings.NewReplacer(`":`, `": `, `,"`, `, "`).Replace(string(in.Body))
	h := hmac.New(sha256.New, []byte(plainSecret))
	h.Write([]byte(spaced))
	in.Computed = hex.EncodeToString(h.Sum(nil))
	report := diagnose.Check(in)
	require.Len(t, report.Findings, 1)
	assert.Contains(t, report.Findings[0].Message, "Python's json.dumps")
}

func TestParseHeader(t *testing.T) {
	for name, text := range map[string]string{
		"lines":   "webhook-id: evt_1\r\nwebhook-timestamp:1768910400\n",
		"request": "POST /hook HTTP/1.1\nHost: x\nWebhook-Id: evt_1\nwebhook-timestamp: 1768910400\n\n{\"a\": \"b\"}",
		"curl -v": "> webhook-id: evt_1\n> webhook-timestamp: 1768910400\n",
		"curl -H": "-H 'webhook-id: evt_1' \\\n  -H \"webhook-timestamp: 1768910400\"",
		"JSON":    `{"webhook-id": "evt_1", "webhook-timestamp": [1768910400]}`,
		"CGI":     "HTTP_WEBHOOK_ID: evt_1\nHTTP_WEBHOOK_TIMESTAMP: 1768910400",
		"WSGI":    `{"HTTP_WEBHOOK_ID": "evt_1", "HTTP_WEBHOOK_TIMESTAMP": "1768910400", "wsgi.input": null}`,
	} {
		header, err := diagnose.ParseHeader(text)
		require.NoError(t, err, name)
		assert.Equal(t, "evt_1", header.Get("webhook-id"), name)
		assert.Equal(t, "1768910400", header.Get("webhook-timestamp"), name)
	}
	for _, text := range []string{"", "{}", "nothing here", "{\"a\": null}"} {
		_, err := diagnose.ParseHeader(text)
		require.Error(t, err)
	}
}

func TestALargeBodyIsCheckedInReasonableTime(t *testing.T) {
	in := delivered(plainSecret)
	in.Body = fmt.Appendf(nil, `{"a":"%s"}`, strings.Repeat("x", 2<<20))
	in.Computed = strings.Repeat("0", 64)
	report := diagnose.Check(in)
	assert.Equal(t, []diagnose.Code{diagnose.OtherSecret, diagnose.ComputedUnknown}, codes(report))
}

func FuzzCheck(f *testing.F) {
	f.Add("secret", "v1,abc", "00", `{"a":"\u00e9"}`, "1768910400", "computed")
	f.Add("whsec_AAAA", "v1,abc v1,def", "sha256=00", `[[[["\ud800"]]]]`, "1", "")
	f.Fuzz(func(t *testing.T, secret, standard, plain, body, timestamp, computed string) {
		in := diagnose.Input{Secret: secret, Header: http.Header{}, Body: []byte(body), Now: sentAt(), Computed: computed}
		in.Header.Set("webhook-id", "evt_1")
		in.Header.Set("webhook-timestamp", timestamp)
		in.Header.Set("webhook-signature", standard)
		in.Header.Set("X-Dembrane-Signature", plain)
		report := diagnose.Check(in)
		if signature.VerifyBody(secret, plain, in.Body) {
			require.True(t, report.Verified)
		}
		if !report.Verified {
			require.NotEmpty(t, report.Findings)
		}
	})
}
