package portal_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/payload/chat"
)

// Every sample in every format is a page of a reasonable size, and every header and
// language has its words.
func TestTheDeveloperSeesEverySample(t *testing.T) {
	s := newSite(t)
	b := s.as("good")
	one := b.add("url", "https://example.org/", "header_name", "X-Api-Key", "header_value", "a-key", "signing", "true", "secret", "a-secret-of-mine")
	for _, name := range append(event.Subscribable(), event.Test) {
		for _, format := range chat.Formats() {
			page := b.get(one + "/developer?event=" + name + "&format=" + string(format))
			require.Equal(t, http.StatusOK, page.status)
			assert.LessOrEqual(t, len(page.body), 100<<10)
			assert.NotContains(t, page.body, "a-key")
			assert.NotContains(t, page.body, "a-secret-of-mine")
			assert.NotContains(t, page.body, ">snippet.", "a language without a name")
			assert.Equal(t, 1, strings.Count(page.body, "As you set it for this webhook."), "only headers of the webhook's own")
			assert.Contains(t, page.body, `value="`+name+`" selected`)
			assert.Contains(t, page.body, `<p class="unseen" data-found>Shown: `+optionOf(page, name)+", "+optionOf(page, string(format))+"</p>", "it is said when it changes")
		}
	}
}

// optionOf is how a value is called that can be chosen.
func optionOf(page answer, value string) string {
	_, after, _ := strings.Cut(page.body, `<option value="`+value+`"`)
	return between(after, ">", "<")
}

// What is typed into the checker is in no address, no log and no later page.
func TestTheCheckerForgets(t *testing.T) {
	s := newSite(t)
	b := s.as("good")
	one := b.add("url", "https://example.org/", "signing", "true", "secret", "a-secret-of-mine")
	const script = `{"x":"<script>alert(1)</script>"}`
	checked := b.fill(one+"/check", "body", script+"\r\n", "headers", "X-Dembrane-Signature: "+strings.Repeat("0", 64), "secret", "typed-and-forgotten")
	require.Equal(t, http.StatusOK, checked.status, checked.body)
	assert.Equal(t, "no-store", checked.header.Get("Cache-Control"))
	assert.NotContains(t, checked.body, "typed-and-forgotten")
	assert.NotContains(t, checked.body, "<script>alert")
	assert.Regexp(t, `&lt;/script&gt;&#34;}\n</textarea>`, checked.body, "what was pasted stays, with its line break")
	assert.Contains(t, b.get(one+"/check?body=in-the-address").body, ">\n</textarea>", "nothing is taken from an address")
	assert.Equal(t, http.StatusForbidden, b.post(one+"/check", "body", script, "secret", "x").status, "a form without its token")
	for _, alone := range []string{"sha256=" + strings.Repeat("0", 64), strings.Repeat("0", 64), "v1,abc"} {
		assert.Equal(t, http.StatusOK, b.fill(one+"/check", "body", script, "headers", alone, "secret", "x").status, "a signature alone")
	}
	faults := b.fill(one+"/check", "body", script, "headers", " ", "secret", "")
	require.Equal(t, http.StatusUnprocessableEntity, faults.status)
	assert.Contains(t, faults.body, `id="headers-fault"`)
	assert.Contains(t, faults.body, `id="secret-fault"`)
	assert.Equal(t, http.StatusForbidden, s.as("member").get(one+"/check").status)
	assert.Equal(t, http.StatusOK, s.as("low-tier").get(one+"/check").status, "it changes nothing")
}
