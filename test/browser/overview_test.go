package browser_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/test/internal/apiclient"
	"github.com/dembrane/webhooks/test/internal/receiver"
)

// A webhook that begins to fail says so at once, and stays where it is until the page is
// loaded again: nothing moves away under a finger.
func TestNothingMovesUnderAFinger(t *testing.T) {
	t.Parallel()
	const project = "finger"
	newWebhook(t, project, receiver.Status(http.StatusNotFound))
	steady := shared.receiver.Add(receiver.Hook{Path: "/" + project + "-steady", Answer: receiver.Status(http.StatusOK), Unnoted: true})
	_, err := host().Create(t.Context(), project, apiclient.Fields{"name": "steady", "url": steady, "events": event.Types()})
	require.NoError(t, err)
	b := open(t, project, phone)
	b.visit("")
	names := `[...document.querySelectorAll("#webhooks h2")].map((h) => h.textContent).join(" ")`
	assert.Equal(t, "steady finger", evaluate[string](b, names))
	publish(t, project, 1)
	b.sees("1 of 2 webhooks is failing")
	assert.Equal(t, "steady finger", evaluate[string](b, names))
	assert.Contains(t, b.text("#webhooks"), "Failing")
	b.visit("")
	assert.Equal(t, "finger steady", evaluate[string](b, names))
	b.wantQuiet()
}
