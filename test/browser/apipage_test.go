package browser_test

import (
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The page of the API runs under its policy, and a request that is tried on it goes
// out with the session.
func TestARequestIsTriedOnThePageOfTheAPI(t *testing.T) {
	for name, as := range map[string]look{"desktop": desktop, "phone": phone} {
		t.Run(name, func(t *testing.T) {
			b := open(t, "api-page-"+name, as)
			b.goTo("/api/docs")
			const operation = "#operations-webhooks-createWebhook "
			within := func(selector string) chromedp.CSS { return chromedp.CSS(operation + selector) }
			b.do(chromedp.Click(within(".opblock-summary-control")), chromedp.Click(within(".try-out__btn")))
			b.do(chromedp.SendKeys(within("tr[data-param-name=pid] input"), b.project))

			b.do(chromedp.Click(within(".execute")), chromedp.WaitVisible(within(".live-responses-table")))

			assert.Contains(t, b.text(operation+".live-responses-table"), "201")
			b.wantFits()
			b.wantQuiet()
			made, err := host().List(t.Context(), b.project)
			require.NoError(t, err)
			require.Len(t, made, 1)
			assert.Equal(t, "https://example.org/hook", made[0].URL, "the document's example")
		})
	}
}
