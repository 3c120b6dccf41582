package portal

import (
	"cmp"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/dembrane/webhooks/services/api/internal/registration"
)

// faults are what is wrong with a form, by field; "" is about no field.
type faults map[string]string

// Any reports whether there is one.
func (f faults) Any() bool { return len(f) > 0 }

// listedFault is a fault in the list at the head of a form.
type listedFault struct{ Field, Message string }

// Listed are all of them, in the order of the fields.
func (f faults) Listed() []listedFault {
	order := []string{"", "url", "format", "name", "events", "secret", "headers", "header", "max_per_second", "description"}
	rank := func(field string) int {
		if strings.HasPrefix(field, "header-") {
			field = "header"
		}
		return slices.Index(order, field)
	}
	var list []listedFault
	for _, field := range slices.SortedFunc(maps.Keys(f), func(a, b string) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a[strings.LastIndex(a, "-")+1:], b[strings.LastIndex(b, "-")+1:]), cmp.Compare(a, b))
	}) {
		list = append(list, listedFault{Field: field, Message: f[field]})
	}
	return list
}

// Folded reports whether one is among what is folded away.
func (f faults) Folded() bool {
	for field := range f {
		if strings.HasPrefix(field, "header") || slices.Contains([]string{"secret", "max_per_second", "description"}, field) {
			return true
		}
	}
	return false
}

// faultsOf sorts what the API refused a form with. Anything else is no fault of a form.
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
	if found["events"] != "" && len(v.fields("events")) == 0 {
		found["events"] = v.t("form.events.fault") // the API lists them by their names
	}
	if len(found) == 0 {
		found = faults{"": refusal.Detail}
	}
	return found, true
}

// with is what the API said about a form, and in its place, what we know better.
func (f faults) with(known faults) faults {
	for field, message := range known {
		if strings.HasPrefix(field, "header-") {
			delete(f, "headers") // which says the same without saying where
		}
		f[field] = message
	}
	return f
}

// isSentBefore reports whether a form was refused because something was made of it
// before, of other values.
func isSentBefore(err error) bool {
	refusal, ok := errors.AsType[*problem](err)
	return ok && slices.ContainsFunc(refusal.Errors, func(one fieldError) bool { return one.Field == "Idempotency-Key" })
}

// asked is what the form asks the API for, and what we know to be wrong with it. Of
// that the API is asked for something that it certainly refuses, so that it says
// what else is wrong.
func (v *visit) asked(form webhookForm) (map[string]any, faults) {
	events := v.fields("events")
	if events == nil {
		events = []string{}
	}
	fields := map[string]any{
		"url": askedOf(form.URL, registration.MaxURLBytes), "name": askedOf(form.Name, registration.MaxNameRunes),
		"description": askedOf(form.Description, registration.MaxDescriptionRunes), "format": form.Format, "events": events, "enabled": form.Enabled,
	}
	wrong := v.headerFaults(form.Headers)
	if headers := headersOf(form.Headers); wrong.Any() {
		fields["headers"] = map[string]string{"": ""}
	} else if len(headers) > 0 {
		fields["headers"] = headers
	}
	fields["max_per_second"] = 0
	if form.PerSecond != "" {
		limit, ok := typedNumber(v.in, form.PerSecond)
		if fields["max_per_second"] = limit; !ok {
			wrong["max_per_second"], fields["max_per_second"] = v.t("form.rate.fault"), -1
		}
	}
	if found := productOf(form.URL); found.IsPage && (form.IsNew || form.URL != v.webhook.URL) {
		wrong["url"], fields["url"] = v.t("product.page", "name", found.Name)+" "+strings.ReplaceAll(v.t("product."+found.Key), "`", ""), ""
	}
	return fields, wrong
}

// askedOf is what the API is asked for in place of what was typed into a field that
// takes so many characters: it refuses a request as a whole that is too large, and says
// nothing of fields then. So of what is far too long it gets something that is too long.
func askedOf(typed string, most int) string {
	if len(typed) <= maxFieldBytes {
		return typed
	}
	return strings.Repeat("x", most+1)
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

// headerFaults says what is wrong with which field of which row. The API says it of
// all of them together, so its rules are asked row by row.
func (v *visit) headerFaults(rows []headerRow) faults {
	wrong, seen := faults{}, map[string]bool{}
	ask := func(name, value string) string {
		_, err := registration.Headers(map[string]*string{name: &value})
		if err == nil {
			return ""
		}
		return v.translated(err.Error())
	}
	for _, row := range rows {
		if row.Remove || row.Known && row.Value == "" {
			continue
		}
		lower := strings.ToLower(row.Name)
		switch refused := ask(row.Name, "x"); {
		case refused != "":
			wrong[row.NameID] = refused
		case seen[lower]:
			wrong[row.NameID] = v.t("form.headers.twice", "name", row.Name)
		case strings.TrimSpace(row.Value) == "":
			wrong[row.ValueID] = v.t("form.headers.value.missing", "name", row.Name)
		default:
			if refused := ask(row.Name, row.Value); refused != "" {
				wrong[row.ValueID] = refused
			}
		}
		seen[lower] = true
	}
	return wrong
}
