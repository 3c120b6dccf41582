package portal

import (
	"net/http"
	"net/url"
	"slices"
	"time"
)

const (
	// ledgerPage is how many events the API tells at once, and maxLedgerPages how many
	// times it is asked for one page.
	ledgerPage     = "250"
	maxLedgerPages = 20
	// maxMissing is how many missing events are named.
	maxMissing = 20
)

// apiLedger is a page of the ledger. The summary comes with the last.
type apiLedger struct {
	Data       []apiLedgerLine `json:"data"`
	NextCursor *string         `json:"next_cursor"`
	Summary    *apiLedgerSum   `json:"summary"`
}

type apiLedgerLine struct {
	EventID     string    `json:"event_id"`
	Event       string    `json:"event"`
	PublishedAt time.Time `json:"published_at"`
	State       string    `json:"state"`
}

type apiLedgerSum struct {
	Since           time.Time `json:"since"`
	Until           time.Time `json:"until"`
	Count           uint64    `json:"count"`
	Delivered       uint64    `json:"delivered"`
	Pending         uint64    `json:"pending"`
	Failed          uint64    `json:"failed"`
	NotSent         uint64    `json:"not_sent"`
	DigestDelivered string    `json:"digest_delivered"`
}

func (a client) ledger(id string, query url.Values) (apiLedger, error) {
	return fetch[apiLedger](a, "/"+url.PathEscape(id)+"/ledger?"+query.Encode())
}

// missingBody is the page that says whether everything arrived.
type missingBody struct {
	Since filterField
	// Sum is nil when there are too many events to look at.
	Sum         *apiLedgerSum
	State       state
	Missing     []missingEvent
	MoreMissing bool
	CanReplay   bool
	// Replay leads to where what is missing can be sent.
	Replay       string
	MissingCount uint64
	// Between is the span that was looked at, and Kept how far back there is anything.
	Between, Kept string
}

// missingEvent is one that did not arrive.
type missingEvent struct {
	Path, Event string
	When        moment
}

func missingPage(v *visit) error {
	names := []string{spanHour, spanDay, spanWeek}
	name := v.c.QueryParam("since")
	if !slices.Contains(names, name) {
		name = spanDay
	}
	body := missingBody{Since: filterField{Name: "since", Label: v.t("missing.since")}, CanReplay: v.project.CanChange && v.webhook.Enabled}
	body.Since.Options = v.options("since", names, func(s string) string { return v.t("missing.since." + s) })
	for i, o := range body.Since.Options {
		body.Since.Options[i].Chosen = o.Value == name
	}
	replay := name
	if replay == spanHour {
		replay = spanDay // the page that sends what is missing has no shorter one
	}
	body.Replay = v.one() + "/replays?" + url.Values{"since": {replay}, "only": {"missed"}}.Encode()
	chosen, _ := v.timespan(timespanChoice{Name: name, Kept: v.p.EventsKept})
	if chosen.IsCut {
		body.Kept = v.keptFor(v.p.EventsKept)
	}
	if err := v.account(&body, chosen.Since); err != nil {
		return err
	}
	return v.render(http.StatusOK, "missing", v.t("missing.title"), body)
}

// account goes through the ledger.
func (v *visit) account(body *missingBody, since time.Time) error {
	query := url.Values{"since": {isoTime(since)}, "limit": {ledgerPage}}
	for range maxLedgerPages {
		page, err := v.api.ledger(v.webhook.ID, query)
		if err != nil {
			return err
		}
		for _, line := range page.Data {
			if line.State == "failed" || line.State == "not_sent" {
				v.addMissing(body, line)
			}
		}
		if page.Summary != nil {
			v.sum(body, *page.Summary)
			return nil
		}
		if page.NextCursor == nil {
			return nil
		}
		query.Set("cursor", *page.NextCursor)
	}
	return nil
}

func (v *visit) addMissing(body *missingBody, line apiLedgerLine) {
	if len(body.Missing) == maxMissing {
		body.MoreMissing = true
		return
	}
	body.Missing = append(body.Missing, missingEvent{
		Path: v.one() + "/deliveries?event_id=" + url.QueryEscape(line.EventID), Event: v.t("event." + line.Event), When: v.moment(line.PublishedAt),
	})
}

func (v *visit) sum(body *missingBody, s apiLedgerSum) {
	body.Sum, body.Between = &s, v.between(s.Since, s.Until)
	body.MissingCount = s.Failed + s.NotSent
	switch {
	case body.MissingCount > 0:
		body.State = state{Tone: "bad", Icon: "alert", Word: v.n("missing.some", body.MissingCount)}
	case s.Pending > 0:
		body.State = state{Tone: "wait", Icon: "clock", Word: v.n("missing.pending", s.Pending)}
	case s.Count > 0:
		body.State = state{Tone: "good", Icon: "check", Word: v.n("missing.none", s.Count)}
	default:
		body.State = state{Tone: "idle", Icon: "clock", Word: v.t("missing.empty")}
	}
}
