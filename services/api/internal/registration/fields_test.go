package registration_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/services/api/internal/registration"
)

func requireFault(t *testing.T, err error, kind registration.Kind, field string) *registration.Fault {
	t.Helper()
	var fault *registration.Fault
	require.ErrorAs(t, err, &fault)
	assert.Equal(t, kind, fault.Kind)
	assert.Equal(t, field, fault.Field)
	assert.True(t, strings.HasSuffix(fault.Message, "."), "%q is no sentence", fault.Message)
	return fault
}

func TestName(t *testing.T) {
	for given, want := range map[string]string{
		"CRM":                    "CRM",
		"  CRM  ":                "CRM",
		strings.Repeat("é", 200): strings.Repeat("é", 200),
		"Zoë's 👩‍👩‍👧 hook":       "Zoë's 👩‍👩‍👧 hook",
		"\u00a0CRM\u200b\n":      "CRM",
		"שלום\u200e (CRM)":       "שלום\u200e (CRM)",
		"می\u200cخواهم":          "می\u200cخواهم",
		"?":                      "?",
		"🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f": "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
	} {
		got, err := registration.Name(given)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	for _, given := range []string{
		"", "   ", strings.Repeat("é", 201), "two\nlines", "nul\x00", "bad\xff",
		// Report B17: shows nothing, turns the text around, or is more than a line.
		"\u200b\u200b", "\u3164", "\u2800\u2800", "\u200d", "\u0301", "\ufe0f", "\u00ad", "\u115f \u1160",
		"a\u202eb", "x\u202dab", "a\u2067b\u2069", "a\u2028b", "a\u2029b", "a\u0085b",
	} {
		_, err := registration.Name(given)
		_ = requireFault(t, err, registration.KindBounds, "name")
	}
}

func TestDefaultName(t *testing.T) {
	for given, want := range map[string]string{
		"https://example.org/a?b":                    "example.org",
		"https://example.org?b":                      "example.org",
		"https://example.org":                        "example.org",
		"https://[2606:4700::1111]:8443/":            "[2606:4700::1111]:8443",
		"https://" + strings.Repeat("a.", 120) + "a": strings.Repeat("a.", 100),
	} {
		assert.Equal(t, want, registration.DefaultName(given))
	}
}

func TestDescription(t *testing.T) {
	for given, want := range map[string]string{
		"":                        "",
		" x ":                     "x",
		"one\r\ntwo\tthree":       "one\ntwo\tthree",
		"one\u2028two\u200b":      "one\ntwo",
		strings.Repeat("é", 2000): strings.Repeat("é", 2000),
	} {
		got, err := registration.Description(given)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	for _, given := range []string{strings.Repeat("é", 2001), "nul\x00", "bad\xff", "esc\x1b[0m", "a\u202eb"} {
		_, err := registration.Description(given)
		_ = requireFault(t, err, registration.KindBounds, "description")
	}
}

// Nasty case 28, as far as creation goes.
func TestSecret(t *testing.T) {
	for _, given := range []string{
		"12345678",
		"geheim wörd",
		"пароль-пароль",
		"blanks within count",
		"emoji-🔑-secret",
		strings.Repeat("x", 255),
		"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
		"whsec_aGk=",
		"WHSEC_not standard",
		"whsec-not standard",
	} {
		require.NoError(t, registration.Secret(given), given)
	}
	for _, given := range []string{
		"", "1", "1234567", strings.Repeat("x", 256), strings.Repeat("é", 128),
		"new\nline-secret", "cr\r-secret-x", "tab\t-secret-x", "nul\x00-secret", "del\x7f-secret",
		"nel\u0085-secret", "bad\xff-secret", "lost\ufffd-secret", "zero\u200bwidth", "line\u2028separator",
		" spaces count", "spaces count ", "correct horse ", "        ", "nobreak-space\u00a0", "\u2003em-space-x",
		"v1,whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", `"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"`, "SECRET=whsec_aGk=",
		"whsec_", "whsec_###", "whsec_abc", "whsec_aGk", "whsec_aGk= ", "whsec_aGl=", "whsec_-_-_",
	} {
		fault := requireFault(t, registration.Secret(given), registration.KindBounds, "secret")
		if given != "" {
			assert.NotContains(t, fault.Message, given+" ")
		}
	}
}

// What a person copies by accident is refused with what to do (report B16).
func TestSecretSaysWhatToLeaveOut(t *testing.T) {
	for given, want := range map[string]string{
		"correct horse ":       "must not begin or end with a blank",
		"        ":             "must not begin or end with a blank",
		"correct horse\n":      "must not begin or end with a blank or a line break",
		"v1,whsec_MfKQ9r8G":    "must begin with whsec_",
		`"whsec_MfKQ9r8GKYqr"`: "must begin with whsec_",
		" whsec_MfKQ9r8GKYqr":  "must not begin or end with a blank",
	} {
		fault := requireFault(t, registration.Secret(given), registration.KindBounds, "secret")
		assert.Contains(t, fault.Message, want, given)
	}
}

func TestPerSecond(t *testing.T) {
	for _, given := range []float64{0, math.Copysign(0, -1), 0.1, 0.5, 1, 999.9, 1000} {
		require.NoError(t, registration.PerSecond(given), given)
	}
	for _, given := range []float64{-1, 1e-9, 0.099, 1000.1, 1e300, math.Inf(1), math.Inf(-1), math.NaN()} {
		fault := requireFault(t, registration.PerSecond(given), registration.KindBounds, "max_per_second")
		assert.Contains(t, fault.Message, "0.1 to 1000")
	}
}

func TestOverlap(t *testing.T) {
	for given, want := range map[int64]time.Duration{0: 0, 1: time.Second, 86400: registration.DefaultOverlap, 604800: registration.MaxOverlap} {
		got, err := registration.Overlap(given)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	for _, given := range []int64{-1, 604801, math.MaxInt64, math.MinInt64} {
		_, err := registration.Overlap(given)
		fault := requireFault(t, err, registration.KindBounds, "overlap_seconds")
		assert.Contains(t, fault.Message, "7 days")
	}
}

func TestEvents(t *testing.T) {
	all := event.Subscribable()
	require.Len(t, all, 7)
	for n := 1; n <= len(all); n++ {
		got, err := registration.Events(all[:n])
		require.NoError(t, err)
		assert.Equal(t, all[:n], got)
	}
	_, err := registration.Events(nil)
	_ = requireFault(t, err, registration.KindBounds, "events")
	_, err = registration.Events([]string{all[0], all[1], all[0]})
	_ = requireFault(t, err, registration.KindBounds, "events")
	_, err = registration.Events(append(append([]string{}, all...), all...))
	_ = requireFault(t, err, registration.KindBounds, "events")

	for given, quoted := range map[string]bool{
		"conversation.deleted":    true,
		"webhook.test":            true,
		"Conversation.Started":    true,
		"":                        true,
		"*":                       false,
		"<script>":                false,
		strings.Repeat("x", 1000): false,
	} {
		_, err := registration.Events([]string{all[0], given})
		fault := requireFault(t, err, registration.KindEvent, "events")
		for _, known := range all {
			assert.Contains(t, fault.Message, known)
		}
		assert.Equal(t, quoted, strings.Contains(fault.Message, `"`+given+`"`), fault.Message)
	}
}

func TestReconcile(t *testing.T) {
	yes, no := true, false
	status := func(s string) *string { return &s }
	for _, row := range []struct {
		enabled *bool
		status  *string
		current registration.Status
		want    registration.Status
	}{
		{nil, nil, registration.Published, registration.Published},
		{nil, nil, registration.Archived, registration.Archived},
		{&yes, nil, registration.Published, registration.Published},
		{&yes, nil, registration.Draft, registration.Published},
		{&yes, nil, registration.Archived, registration.Published},
		{&no, nil, registration.Published, registration.Draft},
		{&no, nil, registration.Draft, registration.Draft},
		{&no, nil, registration.Archived, registration.Archived},
		{nil, status("published"), registration.Draft, registration.Published},
		{nil, status("draft"), registration.Published, registration.Draft},
		{nil, status("archived"), registration.Draft, registration.Archived},
		{&yes, status("published"), registration.Draft, registration.Published},
		{&no, status("draft"), registration.Published, registration.Draft},
		{&no, status("archived"), registration.Published, registration.Archived},
	} {
		got, err := registration.Reconcile(row.enabled, row.status, row.current)
		require.NoError(t, err)
		assert.Equal(t, row.want, got)
		assert.Equal(t, got == registration.Published, got.Enabled())
	}
	for _, row := range []struct {
		enabled *bool
		status  *string
	}{{&yes, status("draft")}, {&yes, status("archived")}, {&no, status("published")}} {
		_, err := registration.Reconcile(row.enabled, row.status, registration.Published)
		_ = requireFault(t, err, registration.KindContradiction, "status")
	}
	for _, unknown := range []string{"", "Published", "deleted"} {
		_, err := registration.Reconcile(nil, &unknown, registration.Published)
		_ = requireFault(t, err, registration.KindBounds, "status")
	}
}

func TestIDs(t *testing.T) {
	first, second := registration.NewID(), registration.NewID()
	assert.True(t, event.ValidID(first))
	assert.Less(t, first, second)
}

func TestFaults(t *testing.T) {
	var faults registration.Faults
	require.NoError(t, faults.Err())
	faults.Add(nil)
	require.NoError(t, faults.Err())
	_, err := registration.Name("")
	faults.Add(err)
	faults.Add(registration.Secret("x"))
	require.EqualError(t, faults.Err(), "The name must not be empty. The secret must have 8 to 255 bytes.")
}
