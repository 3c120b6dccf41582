package portal

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/dembrane/webhooks/pkg/event"
)

// perPage is how many attempts a page of the log shows.
const perPage = 25

// deliveriesBody is what the page of the log shows.
type deliveriesBody struct {
	Rows     []logRow
	Filters  []filterField
	From, To string
	// MoreOpen shows the rarer filters.
	MoreOpen bool
	// Filtered says that some attempts may be left out.
	Filtered bool
	// IsFirst says that the newest are shown, so that they may change by themselves.
	IsFirst bool
	// Found says how many are shown.
	Found string
	// Newest and Older lead to other pages; Older is empty on the last.
	Newest, Older string
	Fault         string
	CanTest       bool
}

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
	body := deliveriesBody{Filters: v.filters(), From: v.c.QueryParam("from"), To: v.c.QueryParam("to"), CanTest: v.project.CanChange}
	query := v.logQuery(&body)
	list, err := v.api.attempts(v.webhook.ID, query)
	if found, isFault := v.faultsOf(err); isFault {
		for _, message := range found {
			body.Fault += message + " "
		}
	} else if err != nil {
		return err
	}
	body.Found = v.n("log.found", uint64(len(body.Rows)))
	body.IsFirst = query.Get("cursor") == ""
	body.Rows = v.logRows(list.Data, body.IsFirst && !hidesNewer(query))
	body.Newest = v.logPath("")
	if list.NextCursor != nil {
		body.Older = v.logPath(*list.NextCursor)
	}
	return v.render(http.StatusOK, "deliveries", v.t("tab.deliveries"), body)
}

// filters are the lists to choose from, as they are chosen. What they do not have is
// never sent on to the API.
func (v *visit) filters() []filterField {
	statuses := []string{"delivered", "pending", "failed", "ended"}
	codes := []string{"2xx", "3xx", "4xx", "5xx"}
	triggers := []string{"event", "test", "resend", "replay"}
	fields := []filterField{
		{Name: "status", Label: v.t("filter.status"), Options: v.options("status", statuses, func(s string) string { return v.t("status." + s) })},
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
	for _, f := range body.Filters {
		value := v.c.QueryParam(f.Name)
		if value != "" && slices.ContainsFunc(f.Options, func(o option) bool { return o.Value == value }) {
			query.Set(f.Name, value)
			body.Filtered, body.MoreOpen = true, body.MoreOpen || f.Rare
		}
	}
	for _, id := range []string{"delivery_id", "event_id"} {
		if value := v.c.QueryParam(id); value != "" {
			query.Set(id, value)
			body.Filtered = true
		}
	}
	if from, ok := v.day(body.From); ok {
		query.Set("since", isoTime(from))
		body.Filtered, body.MoreOpen = true, true
	}
	if to, ok := v.day(body.To); ok {
		query.Set("until", isoTime(to.AddDate(0, 0, 1))) // the day itself is meant, too
		body.Filtered, body.MoreOpen = true, true
	}
	if cursor := v.c.QueryParam("cursor"); cursor != "" {
		query.Set("cursor", cursor)
	}
	return query
}

// day reads the date of a field, as a day of the reader.
func (v *visit) day(value string) (time.Time, bool) {
	day, err := time.ParseInLocation(time.DateOnly, value, v.zone)
	return day, err == nil
}

// hidesNewer reports whether a newer attempt at a delivery may be left out of what is
// asked for, though an older one is not.
func hidesNewer(query url.Values) bool {
	return slices.ContainsFunc([]string{"status", "status_code", "trigger", "until", "replay_id"}, query.Has)
}

// logPath is this page with another cursor.
func (v *visit) logPath(cursor string) string {
	query := v.c.QueryParams()
	kept := url.Values{}
	for name := range query {
		if name != "cursor" && name != "done" && query.Get(name) != "" {
			kept.Set(name, query.Get(name))
		}
	}
	if cursor != "" {
		kept.Set("cursor", cursor)
	}
	path := v.one() + "/deliveries"
	if len(kept) > 0 {
		path += "?" + kept.Encode()
	}
	return path
}
