package portal

import (
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/payload/chat"
	"github.com/dembrane/webhooks/pkg/secret"
)

// maxHeaderRows is how many headers of its own a webhook has at most.
const maxHeaderRows = 8

// webhookForm is the one form for a webhook, new or not: what is typed into it, and
// what is wrong with that.
type webhookForm struct {
	// IsNew says that the webhook is not there yet; Action is where the form goes, and
	// Cancel where one gets who changes their mind.
	IsNew          bool
	Action, Cancel string
	// FormID makes a new webhook once, however often the form is sent.
	FormID string

	URL, Name, Description, Format, PerSecond string
	Events                                    []eventChoice
	Own                                       []eventChoice
	Formats                                   []formatChoice
	// Signing is whether a new webhook gets the Secret.
	Signing bool
	Secret  string
	Enabled bool
	// Headers are rows for headers of the webhook's own: first those that it has, whose
	// values are not shown.
	Headers []headerRow

	Product hint
	Faults  faults
	// WhyNot says why the webhook cannot be changed now.
	WhyNot string
}

// headerRow is one header: Value is empty for one that is there already and stays.
type headerRow struct {
	Name, Value string
	// Known says that the webhook has it.
	Known, Remove bool
}

type eventChoice struct {
	Name, Title, What string
	Chosen            bool
}

type formatChoice struct {
	Name, Title string
	Chosen      bool
}

// hint is what there is to know about a product; empty without a name.
type hint struct{ Name, Text string }

// faults are what the API said about the form, by field; "" is about no field.
type faults map[string]string

// Any reports whether there is one.
func (f faults) Any() bool { return len(f) > 0 }

// faultsOf sorts what the API refused a form with. Anything else is no fault of a
// form.
func (v *visit) faultsOf(err error) (faults, bool) {
	refusal, ok := errors.AsType[*problem](err)
	if !ok || refusal.Status < 400 || refusal.Status >= 500 || slices.Contains([]int{
		http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusTooManyRequests,
	}, refusal.Status) {
		return nil, false
	}
	found := faults{}
	for _, one := range refusal.Errors {
		found[one.Field] = strings.TrimSpace(found[one.Field] + " " + one.Message)
	}
	if found["max_per_second"] != "" {
		found["max_per_second"] = v.t("form.rate.fault") // the API calls the field by its name
	}
	if len(found) == 0 || found["Idempotency-Key"] != "" {
		found = faults{"": refusal.Detail}
	}
	return found, true
}

func newPage(v *visit) error {
	if err := v.mayChange(); err != nil {
		return err
	}
	form := webhookForm{IsNew: true, FormID: rand.Text(), Secret: secret.Generate().Reveal(), Signing: true, Enabled: true}
	chosen := event.Types()
	if id := v.c.QueryParam("clone"); id != "" {
		list, err := v.api.elsewhere()
		if err != nil {
			return err
		}
		for _, w := range list {
			if w.ID == id {
				form.URL, form.Name, form.Format, chosen = w.URL, w.Name, w.Format, w.Events
			}
		}
	}
	v.choices(&form, chosen)
	return v.renderNew(http.StatusOK, form)
}

// mayChange refuses what the API would, before somebody fills in a form for nothing.
func (v *visit) mayChange() error {
	if v.project.CanChange {
		return nil
	}
	return &problem{Status: http.StatusForbidden, Detail: v.whyNot()}
}

// whyNot says why nothing can be changed; empty when it can.
func (v *visit) whyNot() string {
	if v.project.WhyNot == nil {
		return ""
	}
	return v.translated(*v.project.WhyNot)
}

func (v *visit) renderNew(status int, form webhookForm) error {
	form.Action, form.Cancel = v.base()+"/new", v.base()
	return v.renderForm(status, "new", v.t("form.new.title"), form)
}

func (v *visit) renderForm(status int, name, title string, form webhookForm) error {
	form.Product, form.Headers = v.hint(form.URL), withFreeRows(form.Headers)
	return v.render(status, name, title, form)
}

// hint says what there is to know about the product of a URL.
func (v *visit) hint(rawURL string) hint {
	found := productOf(rawURL)
	if found.Key == "" {
		return hint{}
	}
	return hint{Name: found.Name, Text: v.t("product." + found.Key)}
}

// choices lists events and formats, with those of the form chosen.
func (v *visit) choices(form *webhookForm, chosen []string) {
	for _, name := range event.Subscribable() {
		one := eventChoice{Name: name, Title: v.t("event." + name), What: v.t("event." + name + ".what"), Chosen: slices.Contains(chosen, name)}
		if slices.Contains(event.Types(), name) {
			form.Events = append(form.Events, one)
		} else {
			form.Own = append(form.Own, one)
		}
	}
	if form.IsNew {
		form.Formats = append(form.Formats, formatChoice{Title: v.t("format.auto"), Chosen: form.Format == ""})
	}
	for _, format := range chat.Formats() {
		form.Formats = append(form.Formats, formatChoice{
			Name: string(format), Title: v.t("format." + string(format)), Chosen: string(format) == form.Format,
		})
	}
}

// typed is the form as it came back.
func (v *visit) typed(isNew bool) webhookForm {
	form := webhookForm{
		IsNew: isNew, FormID: v.field("form"), URL: strings.TrimSpace(v.field("url")), Name: v.field("name"), Description: v.field("description"),
		Format: v.field("format"), PerSecond: strings.TrimSpace(v.field("max_per_second")),
		Signing: v.field("signing") == "true", Secret: v.field("secret"), Enabled: v.field("enabled") == "true",
	}
	v.choices(&form, v.fields("events"))
	removed, values := v.fields("header_remove"), v.fields("header_value")
	names := v.fields("header_name")
	for i, name := range names[:min(len(names), 2*maxHeaderRows)] { // enough to be told that there are too many
		row := headerRow{Name: strings.TrimSpace(name), Known: !isNew && slices.Contains(v.webhook.HeaderNames, name)}
		if i < len(values) {
			row.Value = values[i]
		}
		row.Remove = row.Known && slices.Contains(removed, name)
		if row.Name != "" || row.Value != "" {
			form.Headers = append(form.Headers, row)
		}
	}
	return form
}

// headersOf are the changes that the rows ask for, as the API takes them.
func headersOf(rows []headerRow) map[string]*string {
	headers := map[string]*string{}
	for _, row := range rows {
		switch {
		case row.Remove:
			headers[row.Name] = nil
		case row.Known && row.Value == "": // it stays
		default:
			headers[row.Name] = &row.Value
		}
	}
	return headers
}

// withFreeRows adds rows to type another header into, as far as there may be more.
func withFreeRows(rows []headerRow) []headerRow {
	const free = 2
	for range free {
		if len(rows) < maxHeaderRows {
			rows = append(rows, headerRow{})
		}
	}
	return rows
}

// asked is what the form asks the API for. What the API cannot be asked is a fault of
// ours, worded like its own.
func (v *visit) asked(form webhookForm) (map[string]any, faults) {
	events := v.fields("events")
	if events == nil {
		events = []string{}
	}
	fields := map[string]any{
		"url": form.URL, "name": form.Name, "description": form.Description, "format": form.Format, "events": events, "enabled": form.Enabled,
	}
	if headers := headersOf(form.Headers); len(headers) > 0 {
		fields["headers"] = headers
	}
	wrong := faults{}
	fields["max_per_second"] = 0
	if form.PerSecond != "" {
		limit, ok := typedNumber(v.in, form.PerSecond)
		if !ok {
			wrong["max_per_second"] = v.t("form.rate.fault")
		}
		fields["max_per_second"] = limit
	}
	return fields, wrong
}

func create(v *visit) error {
	form := v.typed(true)
	fields, wrong := v.asked(form)
	if form.Format == "" { // what fits the address
		fields["format"] = chat.JSON
		if fits := productOf(form.URL).Format; fits != "" {
			fields["format"] = fits
		}
	}
	if form.Signing {
		fields["secret"] = form.Secret
	}
	if wrong.Any() {
		form.Faults = wrong
		return v.renderNew(http.StatusUnprocessableEntity, form)
	}
	made, err := v.api.create(form.FormID, fields)
	if found, ok := v.faultsOf(err); ok {
		form.Faults = found
		return v.renderNew(http.StatusUnprocessableEntity, form)
	}
	if err != nil {
		return err
	}
	// No redirect: the secret is shown now or never, and must not be in an address.
	// Sending the form again makes nothing new, thanks to its id.
	v.webhook = &made
	return v.render(http.StatusOK, "created", v.t("created.title"), createdBody{Secret: secretOf(form), Product: v.hint(made.URL)})
}

// newAgain shows the form as it was sent.
func newAgain(v *visit) error {
	if err := v.mayChange(); err != nil {
		return err
	}
	return v.renderNew(http.StatusUnprocessableEntity, v.typed(true))
}

func editAgain(v *visit) error { return v.renderEdit(http.StatusUnprocessableEntity, v.typed(false)) }

// createdBody is what somebody is told about the webhook that they made.
type createdBody struct {
	Secret  string
	Product hint
}

func secretOf(form webhookForm) string {
	if form.Signing {
		return form.Secret
	}
	return ""
}

func editPage(v *visit) error {
	w := v.webhook
	form := webhookForm{URL: w.URL, Name: w.Name, Description: w.Description, Format: w.Format, Enabled: w.Enabled}
	for _, name := range w.HeaderNames {
		form.Headers = append(form.Headers, headerRow{Name: name, Known: true})
	}
	if w.MaxPerSecond != nil {
		form.PerSecond = decimal(v.in, *w.MaxPerSecond)
	}
	v.choices(&form, w.Events)
	return v.renderEdit(http.StatusOK, form)
}

func (v *visit) renderEdit(status int, form webhookForm) error {
	form.Action, form.Cancel, form.WhyNot = v.one()+"/edit", v.one(), v.whyNot()
	return v.renderForm(status, "edit", v.t("tab.settings"), form)
}

func edit(v *visit) error {
	form := v.typed(false)
	fields, wrong := v.asked(form)
	if !wrong.Any() {
		err := v.api.change(v.webhook.ID, fields)
		if err == nil {
			return v.done(v.one(), "saved")
		}
		var ok bool
		if wrong, ok = v.faultsOf(err); !ok {
			return err
		}
	}
	form.Faults = wrong
	return v.renderEdit(http.StatusUnprocessableEntity, form)
}

// suggest says what the URL of a form looks like while it is typed. It is a POST
// because a URL may hold a key, which belongs in no address.
func suggest(v *visit) error {
	found := productOf(v.field("url"))
	v.c.Response().Header().Set("Suggested-Format", string(found.Format))
	return v.fragment("new", "hint", v.hint(v.field("url")))
}

// cloneBody lists what can be cloned.
type cloneBody struct{ Webhooks []cloneChoice }

type cloneChoice struct {
	apiElsewhere

	Host, Project, Path string
}

func clonePage(v *visit) error {
	if err := v.mayChange(); err != nil {
		return err
	}
	list, err := v.api.elsewhere()
	if err != nil {
		return err
	}
	body := cloneBody{}
	for _, w := range list {
		one := cloneChoice{apiElsewhere: w, Host: apiWebhook{URL: w.URL}.Host(), Project: w.ProjectID}
		if w.ProjectName != nil {
			one.Project = visible(*w.ProjectName)
		}
		one.Path = v.base() + "/new?" + url.Values{"clone": {w.ID}}.Encode()
		body.Webhooks = append(body.Webhooks, one)
	}
	return v.render(http.StatusOK, "clone", v.t("clone.title"), body)
}
