package browser_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"

	"github.com/dembrane/webhooks/test/internal/receiver"
)

// Forms work without TLS in a network of one's own, too. There a browser does not say
// from which site a form comes (Sec-Fetch-Site), and names an origin only where the
// policy for referrers lets it.
func TestFormsWorkWithoutTLS(t *testing.T) {
	w := newWebhook(t, "plain-http", receiver.Status(http.StatusOK))
	b := open(t, "plain-http", desktop)
	address := strings.Replace(shared.at.API, "127.0.0.1", internalName, 1)
	b.do(
		command(network.SetCookie, network.SetCookieParams{
			Name: "directus_session_token", Value: shared.at.Token, URL: address, HTTPOnly: new(true),
		}),
		chromedp.Navigate(address+"/projects/plain-http/webhooks/"+w.ID+"/test"),
	)
	b.press("Send test")
	b.sees("Delivered: the receiver answered 200 OK")
	assert.False(t, evaluate[bool](b, `isSecureContext`), "or this tests nothing")
}
