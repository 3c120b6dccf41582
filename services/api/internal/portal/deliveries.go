package portal

import (
	"cmp"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/oklog/ulid/v2"

	"github.com/dembrane/webhooks/pkg/event"
)

// perPage is how many attempts a page of the log shows.
const perPage = 25

// maxTrail is how many pages of the log one can go back, one by one; from further
// down it is one step to the newest.
const maxTrail = 20

// deliveriesBody is what the page of the log shows.
type deliveriesBody struct {
	Rows     []logRow
	Filters  []filterField
	From, To string
	// ID is of an event, a delivery or an attempt, and Replay of what was put right.
	ID, Replay string
	// MoreOpen shows the rarer filters.
	MoreOpen bool
	// Chosen are the filters that leave some attempts out, in words.
	Chosen []chosenFilter
	// Clear leads to the log without filters.
	Clear string
	// IsFirst says that the newest are shown, so that they may change by themselves.
	IsFirst bool
	// Found says how many are shown.
	Found string
	// Newest, Newer and Older lead to other pages; each is empty where there is none.
	Newest, Newer, Older string
	// Fault says why nothing is shown, and Kept how far back there is anything.
	Fault, Kept string
}

// chosenFilter is a filter in words.
type chosenFilter struct{ Label, Text string }

// filterField is a list to choose from.
type filterField struct {
	Name, Label string
	Options     []option
	Rare        bool
}

type option struct {
	Value, Text string
	Chosen      bool
}

// deliveries is the log of a webhook.
func deliveries(v *visit) error {
	body := deliveriesBody{Filters: v.filters(), Clear: v.one() + "/deliveries"}
	if body.ID = v.searched(); body.ID != "" {
		found, err := v.attemptPath(body.ID)
		if err != nil {
			return err
		}
		if found != "" {
			return v.redirect(found)
		}
	}
	query := v.logQuery(&body)
	body.IsFirst = query.Get("cursor") == ""
	if body.Fault == "" {
		if err := v.fillLog(&body, query); err != nil {
			return err
		}
	}
	return v.render(http.StatusOK, "deliveries", v.t("tab.deliveries"), body)
}

// fillLog puts a page of the log into the body.
func (v *visit) fillLog(body *deliveriesBody, query url.Values) error {
	list, err := v.api.attempts(v.webhook.ID, query)
	if found, isFault := v.faultsOf(err); isFault {
		body.Fault = strings.Join(slices.Sorted(maps.Values(found)), " ")
		if found["cursor"] != "" {
			body.Fault, body.Newest = v.t("log.fault.page"), v.logPath("", nil)
		}
		return nil
	}
	if err != nil {
		return err
	}
	body.Rows = v.logRows(list.Data, body.IsFirst && !hidesNewer(query))
	body.Found = v.n("log.found", uint64(len(body.Rows)))
	v.turnPages(body, list.NextCursor)
	return nil
}

// searched is the id that is looked for. Links to the log name what it is of.
func (v *visit) searched() string {
	return strings.TrimSpace(cmp.Or(v.c.QueryParam("id"), v.c.QueryParam("delivery_id"), v.c.QueryParam("event_id")))
}

// attemptPath is the page of the attempt with this id; empty when there is none.
func (v *visit) attemptPath(id string) (string, error) {
	if _, err := ulid.ParseStrict(id); err != nil {
		return "", nil //nolint:nilerr // then it is of something else
	}
	a, err := v.api.attempt(v.webhook.ID, id)
	if isGone(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return v.one() + "/deliveries/" + url.PathEscape(a.ID), nil
}

// filters are the lists to choose from, as they are chosen. What they do not have is
// never sent on to the API.
func (v *visit) filters() []filterField {
	statuses := []string{"delivered", "pending", "failed", "ended"}
	codes := []string{"2xx", "3xx", "4xx", "5xx"}
	triggers := []string{"event", "test", "resend", "replay"}
	fields := []filterField{
		{Name: "status", Label: v.t("filter.status"), Options: v.options("status", statuses, func(s string) string { return v.t("filter.status." + s) })},
		{Name: "event", Label: v.t("filter.event"), Options: v.options("event", append(event.Subscribable(), event.Test), func(s string) string { return v.t("event." + s) })},
		{Name: "status_code", Label: v.t("filter.code"), Options: v.options("status_code", codes, func(s string) string { return v.t("code." + s) }), Rare: true},
		{Name: "trigger", Label: v.t("filter.trigger"), Options: v.options("trigger", triggers, func(s string) string { return v.t("trigger." + s) }), Rare: true},
	}
	for i, f := range fields {
		fields[i].Options = append([]option{{Text: v.t("filter.any")}}, f.Options...)
	}
	return fields
}

// options are the values of a filter, in words.
func (v *visit) options(name string, values []string, text func(string) string) []option {
	options := make([]option, len(values))
	for i, value := range values {
		options[i] = option{Value: value, Text: text(value), Chosen: v.c.QueryParam(name) == value}
	}
	return options
}

// logQuery is what the API is asked for. What the address has besides is left out.
func (v *visit) logQuery(body *deliveriesBody) url.Values {
	query := url.Values{"limit": {strconv.Itoa(perPage)}}
	choose := func(name, value, label, text string) {
		query.Set(name, value)
		body.Chosen = append(body.Chosen, chosenFilter{Label: label, Text: text})
	}
	for _, f := range body.Filters {
		for _, o := range f.Options {
			if o.Chosen && o.Value != "" {
				choose(f.Name, o.Value, f.Label, o.Text)
				body.MoreOpen = body.MoreOpen || f.Rare
			}
		}
	}
	switch {
	case body.ID == "":
	case !event.ValidID(body.ID):
		body.Fault = v.t("filter.id.fault")
	case strings.HasPrefix(body.ID, "dlv_"):
		choose("delivery_id", body.ID, v.t("filter.id"), body.ID)
	default:
		choose("event_id", body.ID, v.t("filter.id"), body.ID)
	}
	if body.Replay = v.c.QueryParam("replay_id"); event.ValidID(body.Replay) {
		choose("replay_id", body.Replay, v.t("filter.trigger"), v.t("trigger.replay"))
	}
	v.chooseDays(body, choose)
	if cursor := v.c.QueryParam("cursor"); cursor != "" {
		query.Set("cursor", cursor)
	}
	return query
}

// chooseDays reads the days of the filters.
func (v *visit) chooseDays(body *deliveriesBody, choose func(name, value, label, text string)) {
	body.From, body.To = v.c.QueryParam("from"), v.c.QueryParam("to")
	body.MoreOpen = body.MoreOpen || body.From != "" || body.To != ""
	days, fault := v.timespan(timespanChoice{From: body.From, To: body.To, Kept: v.p.AttemptsKept})
	if fault != "" {
		body.Fault = fault
		return
	}
	if days.IsCut {
		body.Kept = v.keptFor(v.p.AttemptsKept)
	}
	today := v.now.In(v.zone)
	if !days.Since.IsZero() {
		choose("since", isoTime(days.Since), v.t("filter.from"), v.date(days.Since.In(v.zone), today))
	}
	if !days.Until.IsZero() {
		choose("until", isoTime(days.Until), v.t("filter.to"), v.date(days.Until.AddDate(0, 0, -1), today))
	}
}

// hidesNewer reports whether a newer attempt at a delivery may be left out of what is
// asked for, though an older one is not.
func hidesNewer(query url.Values) bool {
	return slices.ContainsFunc([]string{"status", "status_code", "trigger", "until", "replay_id"}, query.Has)
}

// turnPages says where the other pages are. The API knows the way down only, so the
// address has the cursors of the pages between the newest and this one.
func (v *visit) turnPages(body *deliveriesBody, next *string) {
	trail := strings.FieldsFunc(v.c.QueryParam("trail"), func(r rune) bool { return r == '.' })
	trail = trail[max(0, len(trail)-maxTrail):]
	cursor := v.c.QueryParam("cursor")
	if cursor != "" {
		body.Newer = v.logPath("", nil)
		if n := len(trail); n > 0 {
			body.Newest, body.Newer = body.Newer, v.logPath(trail[n-1], trail[:n-1])
		}
		trail = append(trail, cursor)
	}
	if next != nil {
		body.Older = v.logPath(*next, trail)
	}
}

// logPath is this page with another cursor, and those of the pages above it.
func (v *visit) logPath(cursor string, trail []string) string {
	query := v.c.QueryParams()
	kept := url.Values{}
	for name := range query {
		if name != "cursor" && name != "trail" && name != "done" && query.Get(name) != "" {
			kept.Set(name, query.Get(name))
		}
	}
	if cursor != "" {
		kept.Set("cursor", cursor)
	}
	if len(trail) > 0 {
		kept.Set("trail", strings.Join(trail, "."))
	}
	path := v.one() + "/deliveries"
	if len(kept) > 0 {
		path += "?" + kept.Encode()
	}
	return path
}
