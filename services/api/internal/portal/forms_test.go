package portal_test

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"
)

// inputs are what a browser would send of the form with this action on a page.
func (b *browser) inputs(page answer, action string) url.Values {
	b.site.t.Helper()
	root, err := html.Parse(strings.NewReader(page.body))
	require.NoError(b.site.t, err)
	for node := range root.Descendants() {
		if node.Data == "form" && attribute(node, "action") == action {
			return fieldsOf(node)
		}
	}
	require.Fail(b.site.t, "there is no form for "+action, page.body)
	return nil
}

func fieldsOf(form *html.Node) url.Values {
	fields := url.Values{}
	for node := range form.Descendants() {
		name, value := attribute(node, "name"), attribute(node, "value")
		switch {
		case node.Type != html.ElementNode || name == "":
		case node.Data == "textarea" && node.FirstChild != nil:
			fields.Add(name, strings.TrimPrefix(node.FirstChild.Data, "\n"))
		case node.Data == "select":
			fields.Add(name, chosen(node))
		case node.Data != "input":
		case attribute(node, "type") == "checkbox" || attribute(node, "type") == "radio":
			if has(node, "checked") {
				fields.Add(name, value)
			}
		default:
			fields.Add(name, value)
		}
	}
	return fields
}

func chosen(list *html.Node) string {
	for node := range list.Descendants() {
		if node.Data == "option" && has(node, "selected") {
			return attribute(node, "value")
		}
	}
	return ""
}

func has(node *html.Node, name string) bool {
	for _, one := range node.Attr {
		if one.Key == name {
			return true
		}
	}
	return false
}

func attribute(node *html.Node, name string) string {
	for _, one := range node.Attr {
		if one.Key == name {
			return one.Val
		}
	}
	return ""
}

// press sends the form with this action on a page as a browser does, with what is
// given, name and value in turn, in place of what is in its fields.
func (b *browser) press(page answer, action string, pairs ...string) answer {
	b.site.t.Helper()
	fields := b.inputs(page, action)
	for i := 0; i+1 < len(pairs); i += 2 {
		fields.Set(pairs[i], pairs[i+1])
	}
	request, err := http.NewRequestWithContext(b.site.t.Context(), http.MethodPost, b.site.url+action, strings.NewReader(fields.Encode()))
	require.NoError(b.site.t, err)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Sec-Fetch-Site", "same-origin")
	sent := b.do(request)
	if sent.status != http.StatusTemporaryRedirect {
		return sent
	}
	again, err := http.NewRequestWithContext(b.site.t.Context(), http.MethodPost, b.site.url+sent.header.Get("Location"), strings.NewReader(fields.Encode()))
	require.NoError(b.site.t, err)
	again.Header = request.Header
	return b.do(again)
}

// become changes who is signed in; empty for nobody. What else the browser knows stays.
func (b *browser) become(token string) {
	b.site.t.Helper()
	at, err := url.Parse(b.site.url)
	require.NoError(b.site.t, err)
	b.client.Jar.SetCookies(at, []*http.Cookie{{Name: sessionCookie, Value: token}})
}

// forget makes the browser forget the cookie of the forms, as it does when it is closed.
func (b *browser) forget() {
	b.site.t.Helper()
	at, err := url.Parse(b.site.url)
	require.NoError(b.site.t, err)
	b.client.Jar.SetCookies(at, []*http.Cookie{{Name: "webhooks_form", Path: "/", MaxAge: -1}})
}
