package portal

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/payload/chat"
	"github.com/dembrane/webhooks/pkg/secret"
	"github.com/dembrane/webhooks/services/api/internal/registration"
)

// freeRows is how many rows for another header a form has.
const freeRows = 2

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

	// Suggest is where the script asks about an address while it is typed. Fits is the
	// format that fits the one that is there, and Chat says that messages for a chat are
	// sent.
	Suggest, Fits string
	Chat          bool
	Product       hint
	Faults        faults
	// WhyNot says why the webhook cannot be changed now.
	WhyNot string
}

// headerRow is one header: Value is empty for one that is there already and stays.
type headerRow struct {
	Name, Value string
	// Known says that the webhook has it.
	Known, Remove bool
	// NameID and ValueID find the fields and what is wrong with them.
	NameID, ValueID string
}

// eventChoice is an event: What is what a program gets of it, and InChat what a chat
// does.
type eventChoice struct {
	Name, Title, What, InChat string
	Chosen                    bool
}

type formatChoice struct {
	Name, Title string
	Chosen      bool
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
	own := ""
	if !form.IsNew {
		own = v.webhook.ID
	}
	var err error
	if form.Product, err = v.hint(form.URL, own); err != nil {
		return err
	}
	if form.Product.IsWrong && form.Faults["url"] != "" {
		form.Product.Lead = "" // the fault says the same
	}
	form.Suggest, form.Fits = v.base()+"/suggest?"+url.Values{"webhook": {own}}.Encode(), string(productOf(form.URL).Format)
	form.Chat, form.Headers = isChat(form.format()), withFreeRows(form.Headers)
	return v.render(status, name, title, form)
}

// format is the chosen one, or what fits the address.
func (f webhookForm) format() string {
	if f.Format != "" {
		return f.Format
	}
	if fits := productOf(f.URL).Format; fits != "" {
		return string(fits)
	}
	return string(chat.JSON)
}

// choices lists events and formats, with those of the form chosen.
func (v *visit) choices(form *webhookForm, chosen []string) {
	for _, name := range event.Subscribable() {
		one := eventChoice{Name: name, Title: v.t("event." + name), What: v.t("event." + name + ".what"), Chosen: slices.Contains(chosen, name)}
		if slices.Contains(event.Types(), name) {
			one.InChat = v.t("event." + name + ".chat")
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
		IsNew: isNew, FormID: v.field("form"), URL: completeURL(v.field("url")), Name: v.field("name"), Description: v.field("description"),
		Format: v.field("format"), PerSecond: strings.TrimSpace(v.field("max_per_second")),
		Signing: v.field("signing") == "true", Secret: v.field("secret"), Enabled: v.field("enabled") == "true",
	}
	v.choices(&form, v.fields("events"))
	removed, values := v.fields("header_remove"), v.fields("header_value")
	names := v.fields("header_name")
	for i, name := range names[:min(len(names), 2*registration.MaxHeaders)] { // enough to be told that there are too many
		row := newRow(len(form.Headers))
		row.Name, row.Known = strings.TrimSpace(name), !isNew && slices.Contains(v.webhook.HeaderNames, name)
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

func create(v *visit) error {
	form := v.typed(true)
	fields, wrong := v.asked(form)
	format := form.format()
	fields["format"] = format
	isSigned := form.Signing && !isChat(format)
	if isSigned {
		fields["secret"] = askedOf(form.Secret, registration.MaxSecretBytes)
	}
	made, err := v.api.create(form.FormID, fields)
	if isSentBefore(err) {
		// Whoever comes back to the form and changes it may well want another webhook.
		form.FormID, form.Faults = rand.Text(), faults{"": v.t("form.sent")}
		return v.renderNew(http.StatusUnprocessableEntity, form)
	}
	if found, ok := v.faultsOf(err); ok {
		form.Faults = found.with(wrong)
		return v.renderNew(http.StatusUnprocessableEntity, form)
	}
	if err != nil {
		return err
	}
	v.webhook = &made
	if !isSigned {
		form.Secret = ""
	}
	return v.goToCreated(form.Secret)
}

// withFreeRows adds rows to type another header into, as far as there may be more.
func withFreeRows(rows []headerRow) []headerRow {
	for range freeRows {
		if len(rows) < registration.MaxHeaders {
			rows = append(rows, newRow(len(rows)))
		}
	}
	return rows
}

// newRow is the row at a place.
func newRow(at int) headerRow {
	return headerRow{NameID: fmt.Sprintf("header-name-%d", at), ValueID: fmt.Sprintf("header-value-%d", at)}
}

// newAgain shows the form as it was sent.
func newAgain(v *visit) error {
	if err := v.mayChange(); err != nil {
		return err
	}
	return v.renderNew(http.StatusUnprocessableEntity, v.typed(true))
}

func editAgain(v *visit) error { return v.renderEdit(http.StatusUnprocessableEntity, v.typed(false)) }

func editPage(v *visit) error {
	w := v.webhook
	form := webhookForm{URL: w.URL, Name: w.Name, Description: w.Description, Format: w.Format, Enabled: w.Enabled}
	for _, name := range w.HeaderNames {
		row := newRow(len(form.Headers))
		row.Name, row.Known = name, true
		form.Headers = append(form.Headers, row)
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
	err := v.api.change(v.webhook.ID, fields)
	if found, ok := v.faultsOf(err); ok {
		form.Faults = found.with(wrong)
		return v.renderEdit(http.StatusUnprocessableEntity, form)
	}
	if err != nil {
		return err
	}
	if isChat(v.webhook.Format) && !isChat(form.Format) && !v.webhook.HasSecret {
		return v.done(v.one(), "saved-data")
	}
	return v.done(v.one(), "saved")
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
