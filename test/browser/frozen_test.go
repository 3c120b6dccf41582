package browser_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/services/api/directustest"
	"github.com/dembrane/webhooks/test/internal/apiclient"
)

// When the tier of a workspace falls, the pages say so, and what is still allowed can be
// done: a webhook is switched off and deleted. It cannot be switched on again.
func TestAfterADowngradeWebhooksAreSwitchedOffAndDeleted(t *testing.T) {
	need(t, shared.missing)
	d, id := shared.dashboard, directustest.ProjectID(directustest.Innovator)
	d.setTier(directustest.Innovator, "changemaker")
	w, err := d.owner().Create(t.Context(), id, apiclient.Fields{
		"name": "Our archive", "url": "https://hooks.example.org/archive", "events": event.Types(),
	})
	require.NoError(t, err)
	d.setTier(directustest.Innovator, "innovator")

	as := desktop
	as.As = visitor{Dashboard: true, User: directustest.Owner}
	b := open(t, id, as)
	b.visit("")
	b.sees("This takes the “changemaker” tier; the workspace has “innovator” now. Your webhooks go on working. You can look at them, switch them off and delete them.")
	assert.NotContains(t, b.text("main"), "Add a webhook")
	b.press("Our archive")
	b.press("Send to Our archive")
	b.sees("The webhook is off")
	assert.True(t, evaluate[bool](b, `document.querySelector("[role=switch]").disabled`), "it cannot be switched on again")
	found, err := d.owner().Get(t.Context(), w)
	require.NoError(t, err)
	assert.False(t, found.Enabled)

	b.press("Settings")
	b.sees("Your webhooks go on working.")
	b.press("Delete …")
	b.press("Delete for good")
	b.sees("The webhook was deleted.")
	_, err = d.owner().Call(t.Context(), http.MethodGet, w.Path(), nil, http.StatusNotFound)
	require.NoError(t, err)
	b.wantQuiet()
}
