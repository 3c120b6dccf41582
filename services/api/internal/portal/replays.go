package portal

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"time"
)

// putRightBody is the page that sends what was missed.
type putRightBody struct {
	Periods []period
	Whats   []option
	From    string
	// Count says what would be sent; nil until somebody asks.
	Count *count
	// Running is the one that is under way; there is one at a time.
	Running *shownReplay
	Earlier []shownReplay
	Fault   string
	// WhyNot says why nothing can be sent now.
	WhyNot string
	FormID string
	// Nothing says that nothing is missing.
	Nothing state
}

// period is a span of time to choose, up to now.
type period struct {
	Value, Text string
	When        *moment
	Chosen      bool
}

// count is what a dry run found.
type count struct {
	N              uint64
	Oldest, Newest moment
	Took           string
	IsPartial      bool
	// Pending is how many are on their way already.
	Pending uint64
	// Since and Only are what was counted, for the form that sends it.
	Since, Only string
}

// shownReplay is a replay in words.
type shownReplay struct {
	ID        string
	State     state
	What      string
	Since     moment
	Began     moment
	By        string
	Message   string
	Total     uint64
	IsCounted bool
	Settled   uint64
	Delivered uint64
	Failed    uint64
}

// beforeFailing is how long before the first failed attempt its event may have been
// published: attempts take a while, and wait for their turn.
const beforeFailing = 15 * time.Minute

// The spans of time.
const (
	sinceFailing = "failing"
	sinceDay     = "day"
	sinceWeek    = "week"
	sinceMonth   = "month"
	sinceOwn     = "own"
)

func putRight(v *visit) error { return v.renderPutRight(http.StatusOK, "") }

func (v *visit) renderPutRight(status int, fault string) error {
	list, err := v.api.replays(v.webhook.ID)
	if err != nil {
		return err
	}
	body := putRightBody{Fault: fault, FormID: rand.Text(), From: v.c.QueryParam("from"), Nothing: state{Tone: "good", Icon: "check", Word: v.t("right.nothing")}}
	for i, r := range list {
		shown := v.shownReplay(r)
		if i == 0 && (r.State == "running" || r.State == "paused") {
			body.Running = &shown
		} else if len(body.Earlier) < 20 {
			body.Earlier = append(body.Earlier, shown)
		}
	}
	switch {
	case !v.webhook.Enabled:
		body.WhyNot = v.t("right.off")
	case v.project.WhyNot != nil:
		body.WhyNot = v.translated(*v.project.WhyNot)
	}
	if body.Running == nil && body.WhyNot == "" {
		if err := v.chooseReplay(&body); err != nil {
			return err
		}
	}
	return v.render(status, "replays", v.t("right.title"), body)
}

// chooseReplay offers spans of time and what to send of them, and counts what was
// chosen.
func (v *visit) chooseReplay(body *putRightBody) error {
	failing, err := v.beganToFail()
	if err != nil {
		return err
	}
	chosen := v.c.QueryParam("since")
	if chosen == "" || chosen == sinceFailing && failing.IsZero() {
		chosen = sinceDay
		if !failing.IsZero() {
			chosen = sinceFailing
		}
	}
	if !failing.IsZero() {
		when := v.moment(failing)
		body.Periods = append(body.Periods, period{Value: sinceFailing, Text: v.t("right.since.failing"), When: &when})
	}
	body.Periods = append(body.Periods,
		period{Value: sinceDay, Text: v.t("right.since.day")}, period{Value: sinceWeek, Text: v.t("right.since.week")},
		period{Value: sinceMonth, Text: v.t("right.since.month")}, period{Value: sinceOwn, Text: v.t("right.since.own")})
	for i := range body.Periods {
		body.Periods[i].Chosen = body.Periods[i].Value == chosen
	}
	only := v.c.QueryParam("only")
	if only != "failed" && only != "all" {
		only = "missed"
	}
	for _, value := range []string{"missed", "failed", "all"} {
		body.Whats = append(body.Whats, option{Value: value, Text: v.t("right.only." + value), Chosen: value == only})
	}
	if v.c.QueryParam("since") == "" {
		return nil
	}
	since, ok := v.replaySince(chosen, failing)
	if !ok {
		body.Fault = v.t("right.since.own.fault")
		return nil
	}
	return v.count(body, since, only)
}

// beganToFail is when the webhook began to fail, or of one that works again, the hour
// in which it first failed in the last week; zero when it did not.
func (v *visit) beganToFail() (time.Time, error) {
	if v.webhook.Health.FailingSince != nil {
		return *v.webhook.Health.FailingSince, nil
	}
	statistics, err := v.api.statistics(v.webhook.ID)
	if err != nil {
		return time.Time{}, err
	}
	for _, h := range statistics.Hours {
		if h.Failed > 0 {
			return h.Since, nil
		}
	}
	return time.Time{}, nil
}

func (v *visit) replaySince(chosen string, failing time.Time) (time.Time, bool) {
	switch chosen {
	case sinceFailing:
		return failing.Add(-beforeFailing), true
	case sinceDay:
		return v.now.Add(-24 * time.Hour), true
	case sinceWeek:
		return v.now.AddDate(0, 0, -7), true
	case sinceMonth:
		return v.now.AddDate(0, 0, -30), true
	default:
		from, ok := v.day(v.c.QueryParam("from"))
		return from, ok && from.Before(v.now)
	}
}

// count asks what would be sent.
func (v *visit) count(body *putRightBody, since time.Time, only string) error {
	found, err := v.api.countReplay(v.webhook.ID, since, only)
	if refusal, isRefused := refusalOf(err); isRefused && refusal.Status != http.StatusUnauthorized && refusal.Status != http.StatusNotFound {
		body.Fault = refusal.Detail
		return nil
	}
	if err != nil {
		return err
	}
	body.Count = &count{
		N: found.Count, Pending: found.Pending, IsPartial: !found.Complete, Since: since.UTC().Format(time.RFC3339Nano), Only: only,
		Took: v.remaining(v.now.Add(time.Duration(found.EstimatedSeconds) * time.Second)).Text,
	}
	if found.Oldest != nil && found.Newest != nil {
		body.Count.Oldest, body.Count.Newest = v.moment(*found.Oldest), v.moment(*found.Newest)
	}
	return nil
}

// sendMissed starts what was counted.
func sendMissed(v *visit) error {
	fields := map[string]any{"since": v.field("since"), "only": v.field("only")}
	err := v.api.startReplay(v.webhook.ID, v.field("form"), fields)
	if refusal, isRefused := refusalOf(err); isRefused && (refusal.Status == http.StatusConflict || refusal.Status == http.StatusUnprocessableEntity) {
		return v.renderPutRight(refusal.Status, refusal.Detail)
	}
	if err != nil {
		return err
	}
	return v.done(v.one()+"/replays", "replay")
}

// cancelReplay stops what has not been sent.
func cancelReplay(v *visit) error {
	if err := v.api.cancelReplay(v.webhook.ID, v.c.Param("replay")); err != nil && !isGone(err) {
		return err
	}
	return v.done(v.one()+"/replays", "cancelled")
}

func (v *visit) shownReplay(r apiReplay) shownReplay {
	shown := shownReplay{
		ID: r.ID, What: v.t("right.short." + r.Only), Since: v.moment(r.Since), Began: v.moment(r.DateCreated), By: r.CreatedBy,
		Delivered: r.Delivered, Failed: r.Failed, Settled: r.Delivered + r.Failed,
	}
	if r.Message != nil {
		shown.Message = v.translated(*r.Message)
	}
	if r.Total != nil {
		shown.Total, shown.IsCounted = *r.Total, true
	}
	switch r.State {
	case "done":
		shown.State = state{Tone: "good", Icon: "check", Word: v.t("right.state.done")}
	case "running":
		shown.State = state{Tone: "wait", Icon: "send", Word: v.t("right.state.running")}
	case "paused":
		shown.State = state{Tone: "off", Icon: "pause", Word: v.t("right.state.paused")}
	case "cancelled":
		shown.State = state{Tone: "off", Icon: "stop", Word: v.t("right.state.cancelled")}
	default:
		shown.State = state{Tone: "bad", Icon: "alert", Word: v.t("right.state.failed")}
	}
	return shown
}

// apiReplay is a replay of the API.
type apiReplay struct {
	ID          string    `json:"id"`
	State       string    `json:"state"`
	Message     *string   `json:"message"`
	Since       time.Time `json:"since"`
	Only        string    `json:"only"`
	Total       *uint64   `json:"total"`
	Delivered   uint64    `json:"delivered"`
	Failed      uint64    `json:"failed"`
	CreatedBy   string    `json:"created_by"`
	DateCreated time.Time `json:"date_created"`
}

// apiEstimate is what a replay would send.
type apiEstimate struct {
	Count            uint64     `json:"count"`
	Oldest           *time.Time `json:"oldest"`
	Newest           *time.Time `json:"newest"`
	EstimatedSeconds int64      `json:"estimated_seconds"`
	Pending          uint64     `json:"pending"`
	Complete         bool       `json:"complete"`
}

func (a client) replays(id string) ([]apiReplay, error) {
	return fetch[[]apiReplay](a, "/"+url.PathEscape(id)+"/replays")
}

func (a client) countReplay(id string, since time.Time, only string) (apiEstimate, error) {
	var found apiEstimate
	fields := map[string]any{"since": since.UTC().Format(time.RFC3339Nano), "only": only, "dry_run": true}
	err := a.send(http.MethodPost, "/"+url.PathEscape(id)+"/replay", fields, &found)
	return found, err
}

// startReplay starts one, once for each form.
func (a client) startReplay(id, formID string, fields map[string]any) error {
	return a.send(http.MethodPost, "/"+url.PathEscape(id)+"/replay", fields, nil, "Idempotency-Key", formID)
}

func (a client) cancelReplay(id, replay string) error {
	return a.send(http.MethodDelete, "/"+url.PathEscape(id)+"/replays/"+url.PathEscape(replay), nil, nil)
}
