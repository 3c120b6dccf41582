package portal

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strings"

	"github.com/dembrane/webhooks/pkg/words"
)

//go:embed templates/*.gohtml
var templateFiles embed.FS

// templates are the pages, by language and name.
type templates map[words.Language]map[string]*template.Template

func loadTemplates(texts catalogue) (templates, error) {
	all := templates{}
	for _, in := range words.Languages() {
		all[in] = map[string]*template.Template{}
		shared, err := template.New("").Option("missingkey=error").Funcs(functions(texts, in)).
			ParseFS(templateFiles, "templates/layout.gohtml", "templates/parts.gohtml")
		if err != nil {
			return nil, fmt.Errorf("parse: %w", err)
		}
		names, err := fs.Glob(templateFiles, "templates/*.gohtml")
		if err != nil {
			return nil, fmt.Errorf("list: %w", err)
		}
		for _, name := range names {
			one, err := shared.Clone()
			if err == nil {
				one, err = one.ParseFS(templateFiles, name)
			}
			if err != nil {
				return nil, fmt.Errorf("parse %s: %w", name, err)
			}
			all[in][strings.TrimSuffix(path.Base(name), ".gohtml")] = one
		}
	}
	return all, nil
}

// functions are what templates can call.
func functions(texts catalogue, in words.Language) template.FuncMap {
	return template.FuncMap{
		"t":       func(key string, values ...any) string { return texts.text(in, key, values...) },
		"n":       func(key string, n uint64, values ...any) string { return texts.plural(in, key, n, values...) },
		"number":  func(n uint64) string { return number(in, n) },
		"decimal": func(f float64) string { return decimal(in, f) },
		// code escapes a text and shows what stands between backquotes as code.
		"code": func(text string) template.HTML {
			parts := strings.Split(template.HTMLEscapeString(text), "`")
			for i := 1; i < len(parts); i += 2 {
				parts[i] = "<code>" + parts[i] + "</code>"
			}
			return template.HTML(strings.Join(parts, "")) //nolint:gosec // it is escaped above
		},
		"icon": func(name string) template.HTML {
			return template.HTML(`<svg class="icon" aria-hidden="true"><use href="#i-` + //nolint:gosec // escaped
				template.HTMLEscapeString(name) + `"/></svg>`)
		},
		"dict": dict,
	}
}

// dict makes what a part needs from names and values in turn.
func dict(pairs ...any) (map[string]any, error) {
	made := map[string]any{}
	for i := 0; i+1 < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok {
			return nil, errors.New("dict: a name must be a text")
		}
		made[name] = pairs[i+1]
	}
	return made, nil
}

// page is the dot of the layout.
type page struct {
	Lang, Title string
	// Base is the address of the project's overview; empty outside of one.
	Base    string
	Project apiProject
	// Webhook and One are the webhook that the page is about, and its address.
	Webhook *apiWebhook
	One     string
	// Tabs are the pages of a webhook.
	Tabs []tab
	// Done says what the form before did, and Notice why it has to be sent again.
	Done, Notice string
	// Here is where switching the language leads back to.
	Here  string
	Token string
	// Zone is the one of all times on the page.
	Zone, ZoneName string
	// Style, Script and Icon are where ours are.
	Style, Script, Icon string
	// CanSignOut says that the session is ours to end.
	CanSignOut bool
	Languages  []languageChoice
	Body       any
}

type tab struct {
	Path, Text string
	Current    bool
}

type languageChoice struct {
	Tag, Text string
	Current   bool
}

// render answers with a page. Its title is a text, which is the first that is read
// out; so it says when something has to be typed anew.
func (v *visit) render(status int, name, title string, body any) error {
	if status == http.StatusUnprocessableEntity && name != "failure" {
		title = v.t("form.fault.title", "title", title)
	}
	p := page{
		Lang: v.in.Tag(), Title: title, Project: v.project, Webhook: v.webhook,
		Here: v.here(), Token: v.formToken(), Notice: v.notice,
		Zone: v.zoneInWords(), ZoneName: v.zone.String(),
		Style: v.p.assets.path("app.css"), Script: v.p.assets.path("app.js"), Icon: v.p.assets.path("icon.svg"),
		CanSignOut: v.p.SignIn && v.hasSession() && name != "signin", Body: body,
	}
	if v.project.ID != "" {
		p.Base = v.base()
	}
	if v.webhook != nil {
		p.One, p.Tabs = v.one(), v.tabs(name)
	}
	if what := v.c.QueryParam("done"); what != "" {
		if _, known := v.p.texts[v.in]["done."+what]; known {
			p.Done = v.t("done." + what)
		}
	}
	for _, in := range words.Languages() {
		p.Languages = append(p.Languages, languageChoice{
			Tag: in.Tag(), Text: v.p.texts.text(in, "language.name"), Current: in == v.in,
		})
	}
	return v.html(status, name, "layout", p)
}

// fragment answers with a part of a page, for the script.
func (v *visit) fragment(name, block string, body any) error {
	return v.html(http.StatusOK, name, block, body)
}

func (v *visit) html(status int, name, block string, dot any) error {
	var made bytes.Buffer
	if err := v.p.pages[v.in][name].ExecuteTemplate(&made, block, dot); err != nil {
		return fmt.Errorf("render %s: %w", name, err)
	}
	v.c.Response().Header().Set("Content-Language", v.in.Tag())
	return v.c.HTMLBlob(status, made.Bytes()) //nolint:wrapcheck // the caller is gone
}

// tabs are the pages of the visit's webhook; current is the template of one.
func (v *visit) tabs(current string) []tab {
	list := []struct{ path, template, text string }{
		{"", "summary", v.t("tab.summary")},
		{"/deliveries", "deliveries", v.t("tab.deliveries")},
		{"/replays", "replays", v.t("tab.right")},
		{"/statistics", "statistics", v.t("tab.statistics")},
		{"/test", "test", v.t("tab.test")},
		{"/edit", "edit", v.t("tab.settings")},
		{"/secret", "secret", v.t("tab.secret")},
		{"/developer", "developer", v.t("tab.developer")},
	}
	within := map[string]string{"delivery": "deliveries", "check": "developer", "missing": "developer", "unsign": "secret"}
	var tabs []tab
	for _, one := range list {
		if one.template == "test" && !v.project.CanChange {
			continue // all of it would be refused
		}
		tabs = append(tabs, tab{Path: v.one() + one.path, Text: one.text, Current: one.template == current || one.template == within[current]})
	}
	return tabs
}
