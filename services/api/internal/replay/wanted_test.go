package replay

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/services/api/internal/account"
	"github.com/dembrane/webhooks/services/api/internal/eventlog"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

// What is sent, for whatever is asked for and whatever became of the event.
func TestWanted(t *testing.T) {
	w := store.Webhook{ID: "w", Events: []string{event.ReportGenerated, event.WebhookFailing}}
	for _, row := range []struct {
		name                string
		entry               account.Entry
		failed, missed, all bool
	}{
		{"nobody has tried", account.Entry{State: account.NotSent}, false, true, true},
		{"it is on its way", account.Entry{State: account.Pending}, false, false, false},
		{"it waits for its next attempt", account.Entry{State: account.Pending, Scheduled: true}, true, true, true},
		{"it was given up", account.Entry{State: account.Failed}, true, true, true},
		{"it was delivered", account.Entry{State: account.Delivered}, false, false, true},
	} {
		for only, want := range map[string]bool{Failed: row.failed, Missed: row.missed, All: row.all} {
			for _, e := range []eventlog.Event{{Type: event.ReportGenerated}, {Type: event.WebhookFailing, About: "another"}} {
				assert.Equal(t, want, wanted(w, only, e, row.entry), "%s of %s, when %s", only, e.Type, row.name)
			}
			for _, e := range []eventlog.Event{{Type: event.ConversationStarted}, {Type: event.WebhookFailing, About: "w"}} {
				assert.False(t, wanted(w, only, e, row.entry), "%s is not subscribed to", e.Type)
			}
		}
	}
}
