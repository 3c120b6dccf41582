package browser_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
)

// What a form did is said once, and a switch leaves a page where it was.
func TestASwitchLeavesThePageWhereItWas(t *testing.T) {
	const project = "stays-there"
	b := open(t, project, look{Width: 360, Height: 300})
	b.visit("/new")
	b.fill("url", hook(project, http.StatusOK))
	b.press("Add webhook")
	b.visit("")
	const scrolled = `Math.round(scrollY)`
	at := evaluate[int](b, `scrollTo(0, document.body.scrollHeight), `+scrolled)
	b.follow("[role=switch]")
	b.sees("The webhook is off")
	assert.Equal(t, "/projects/"+project+"/webhooks", b.path(), "loaded again, it is not said again")
	assert.Positive(t, evaluate[int](b, scrolled), "it was at %d", at)
	b.wantQuiet()
}
