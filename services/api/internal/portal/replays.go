package portal

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/dembrane/webhooks/pkg/event"
)

// putRightBody is the page that sends what was missed.
type putRightBody struct {
	Periods []period
	Whats   []option
	From    string
	// Count says what would be sent; nil until somebody asks.
	Count *count
	// Running is the one that is under way, Ended the one that has just ended; there is
	// one at a time.
	Running, Ended *shownReplay
	Earlier        []shownReplay
	// Say is what became of them, for whoever does not see it change.
	Say string
	// Fault says why nothing was counted or sent, and Kept how far back there is
	// anything.
	Fault, Kept string
	// FromFault says what is wrong with the day that was chosen.
	FromFault string
	// WhyNot says why nothing can be sent now.
	WhyNot string
	// Fails says that the receiver does not take what is sent, and Tested what became of
	// the test that was sent from this page; either may be nil.
	Fails  *failing
	Tested *testResult
	// TestPath sends a test and comes back with what was chosen. It is a whole address:
	// a template would write the = of a query that stands alone as %3d.
	TestPath string
	FormID   string
	// Nothing says that nothing is missing.
	Nothing state
}

// failing is why a receiver takes nothing.
type failing struct{ Detail, Advice string }

// period is a span of time to choose, up to now.
type period struct {
	Value, Text string
	When        *moment
	Chosen      bool
}

// count is what a dry run found.
type count struct {
	N             uint64
	Between, Took string
	IsPartial     bool
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
	// Waiting is how many were tried and wait for their next try, of one that has ended.
	Waiting uint64
	// NotArrived leads to those that failed, and Why says why the newest of them did.
	NotArrived, Why string
}

// beforeFailing is how long before the first failed attempt its event may have been
// published: attempts take a while, and wait for their turn.
const beforeFailing = 15 * time.Minute

// justEnded is how long a replay that has ended is shown as the last one.
const justEnded = time.Hour

// What can be chosen besides the spans that have a name everywhere.
const (
	sinceFailing = "failing"
	sinceOwn     = "own"
)

func putRight(v *visit) error { return v.renderPutRight(http.StatusOK, "", nil) }

// renderPutRight shows the page, after a form with what came of it.
func (v *visit) renderPutRight(status int, fault string, tested *testResult) error {
	body := putRightBody{
		Fault: fault, Tested: tested, FormID: rand.Text(), From: v.c.QueryParam("from"),
		Nothing: state{Tone: "good", Icon: "check", Word: v.t("right.nothing")},
	}
	if err := v.listReplays(&body); err != nil {
		return err
	}
	if v.project.WhyNot != nil {
		body.WhyNot = v.translated(*v.project.WhyNot)
	}
	if body.WhyNot == "" {
		if err := v.offerTest(&body); err != nil {
			return err
		}
		if body.Running == nil {
			if err := v.chooseReplay(&body); err != nil {
				return err
			}
		}
	}
	return v.render(status, "replays", v.t("right.title"), body)
}

// offerTest says whether the receiver takes what is sent, and offers a test where it
// does not. What is being sent to it waits until then.
func (v *visit) offerTest(body *putRightBody) (err error) {
	body.TestPath = v.one() + "/replays/test"
	switch tested := body.Tested; {
	case tested == nil:
		if body.Fails, err = v.receiverFails(); err != nil {
			return err
		}
	case !tested.Works:
		body.Fails = &failing{Detail: tested.Message, Advice: tested.Advice}
	}
	if body.Running != nil && body.Fails != nil {
		body.Running.State = v.waiting()
		body.Say = body.Running.said()
	}
	return nil
}

// listReplays sorts the replays into the one that is under way or has just ended, and
// those before it.
func (v *visit) listReplays(body *putRightBody) error {
	list, err := v.api.replays(v.webhook.ID)
	if err != nil {
		return err
	}
	for i, r := range list {
		shown := v.shownReplay(r)
		switch {
		case i == 0 && r.DateEnded == nil:
			body.Running, body.Say = &shown, shown.said()
		case i == 0 && (shown.Waiting > 0 || v.now.Sub(*r.DateEnded) < justEnded):
			if shown.Why, err = v.whyFailed(r); err != nil {
				return err
			}
			body.Ended, body.Say = &shown, shown.State.Word+": "+v.n("right.arrived", r.Delivered)
		case len(body.Earlier) < 20:
			body.Earlier = append(body.Earlier, shown)
		}
	}
	return nil
}

// whyFailed is what the newest delivery of a replay that failed met; empty when all
// arrived.
func (v *visit) whyFailed(r apiReplay) (string, error) {
	if r.Failed == 0 {
		return "", nil
	}
	list, err := v.api.attempts(v.webhook.ID, url.Values{"replay_id": {r.ID}, "status": {"failed"}, "limit": {"1"}})
	if err != nil || len(list.Data) == 0 {
		return "", err
	}
	return list.Data[0].Message, nil
}

// lookedBack is how many attempts are looked at for one that says why a receiver fails.
const lookedBack = 20

// receiverFails finds out whether what is sent would arrive: the newest attempt did
// not, and it fails as far as anybody knows. What was given up without a request says
// nothing about the reason.
func (v *visit) receiverFails() (*failing, error) {
	if v.webhook.Health.State != "failing" && v.webhook.Health.DisabledReason == nil {
		return nil, nil //nolint:nilnil // it does not
	}
	list, err := v.api.attempts(v.webhook.ID, url.Values{"limit": {strconv.Itoa(lookedBack)}})
	if err != nil || len(list.Data) == 0 || list.Data[0].Status == "delivered" {
		return nil, err
	}
	made := max(0, slices.IndexFunc(list.Data, func(a apiAttempt) bool { return a.Reason != "receiver_failing" }))
	why := v.ofReceiver(list.Data[made])
	return &failing{Detail: why.Message, Advice: why.Advice}, nil
}

// chooseReplay offers spans of time and what to send of them, and counts what was
// chosen.
func (v *visit) chooseReplay(body *putRightBody) error {
	began, err := v.beganToFail()
	if err != nil {
		return err
	}
	chosen := v.offerPeriods(body, began)
	only := v.c.QueryParam("only")
	if only != "failed" && only != "all" {
		only = "missed"
	}
	for _, value := range []string{"missed", "failed", "all"} {
		body.Whats = append(body.Whats, option{Value: value, Text: v.t("right.only." + value), Chosen: value == only})
	}
	query := url.Values{"since": {chosen}, "only": {only}}
	if body.From != "" {
		query.Set("from", body.From)
	}
	body.TestPath += "?" + query.Encode()
	if v.c.QueryParam("since") == "" {
		return nil
	}
	choice := timespanChoice{Name: chosen, From: body.From, Kept: v.p.EventsKept}
	since, fault := v.timespan(choice)
	switch {
	case chosen == sinceFailing:
		since = timespan{Since: began.Add(-beforeFailing)}
	case fault == "" && since.Since.IsZero():
		fault = v.t("right.since.own.fault")
	}
	if fault != "" {
		body.FromFault = fault
		return nil
	}
	if since.IsCut {
		body.Kept = v.keptFor(v.p.EventsKept)
	}
	return v.count(body, since.Since, only)
}

// offerPeriods offers spans of time, and says which one is chosen.
func (v *visit) offerPeriods(body *putRightBody, began time.Time) (chosen string) {
	chosen = v.c.QueryParam("since")
	if chosen == "" || chosen == sinceFailing && began.IsZero() {
		chosen = spanDay
		if !began.IsZero() {
			chosen = sinceFailing
		}
	}
	if !began.IsZero() {
		when := v.moment(began)
		body.Periods = append(body.Periods, period{Value: sinceFailing, Text: v.t("right.since.failing"), When: &when})
	}
	for _, name := range []string{spanDay, spanWeek, spanMonth, sinceOwn} {
		body.Periods = append(body.Periods, period{Value: name, Text: v.t("right.since." + name)})
	}
	for i := range body.Periods {
		body.Periods[i].Chosen = body.Periods[i].Value == chosen
	}
	return chosen
}

// beganToFail is when the webhook began to fail, or of one that works again, the hour
// of the last week in which something first did not arrive; zero when all did.
func (v *visit) beganToFail() (time.Time, error) {
	if v.webhook.Health.FailingSince != nil {
		return *v.webhook.Health.FailingSince, nil
	}
	statistics, err := v.api.statistics(v.webhook.ID)
	if err != nil {
		return time.Time{}, err
	}
	for _, h := range statistics.Hours {
		if h.Failed > 0 || h.Ended > 0 {
			return h.Since, nil
		}
	}
	return time.Time{}, nil
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
		body.Count.Between = v.between(*found.Oldest, *found.Newest)
	}
	return nil
}

// testFirst sends a test and comes back to the page, with what was chosen: whoever
// mended a receiver sees whether it works before everything is sent.
func testFirst(v *visit) error {
	tested, err := v.api.test(v.webhook.ID, event.Test, v.webhook.Format)
	if refusal, isRefused := refusalOf(err); isRefused && refusal.Status != http.StatusUnauthorized &&
		refusal.Status != http.StatusForbidden && refusal.Status != http.StatusNotFound {
		return v.renderPutRight(refusal.Status, refusal.Detail, nil)
	}
	if err != nil {
		return err
	}
	return v.renderPutRight(http.StatusOK, "", v.testResult(tested))
}

// sendMissed starts what was counted. A webhook that is off is switched on for it,
// when the form says so.
func sendMissed(v *visit) error {
	if !v.webhook.Enabled && v.field("enable") == "true" {
		if err := v.api.change(v.webhook.ID, map[string]any{"enabled": true}); err != nil {
			return err
		}
		v.webhook.Enabled = true
	}
	fields := map[string]any{"since": v.field("since"), "only": v.field("only")}
	err := v.api.startReplay(v.webhook.ID, v.field("form"), fields)
	if refusal, isRefused := refusalOf(err); isRefused && (refusal.Status == http.StatusConflict || refusal.Status == http.StatusUnprocessableEntity) {
		return v.renderPutRight(refusal.Status, refusal.Detail, nil)
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
	if r.Failed > 0 {
		shown.NotArrived = v.one() + "/deliveries?" + url.Values{"replay_id": {r.ID}, "status": {"failed"}}.Encode()
	}
	if r.Message != nil && r.State != "cancelled" { // which its state says
		shown.Message = v.translated(*r.Message)
	}
	if r.Total != nil {
		shown.Total, shown.IsCounted = *r.Total, true
	}
	if r.State == "done" {
		shown.Waiting = r.Queued
	}
	switch {
	case shown.Waiting > 0:
		shown.State = v.waiting()
	case r.State == "done":
		shown.State = state{Tone: "good", Icon: "check", Word: v.t("right.state.done")}
	case r.State == "running":
		shown.State = state{Tone: "wait", Icon: "send", Word: v.t("right.state.running")}
	case r.State == "paused":
		shown.State = v.waiting()
	case r.State == "cancelled":
		shown.State = state{Tone: "off", Icon: "stop", Word: v.t("right.state.cancelled")}
	default:
		shown.State = state{Tone: "bad", Icon: "alert", Word: v.t("right.state.failed")}
	}
	return shown
}

// waiting is the state of one that sends nothing now, and goes on by itself.
func (v *visit) waiting() state {
	return state{Tone: "off", Icon: "pause", Word: v.t("right.state.paused")}
}

// said is how far it is, in quarters: it is read out whenever it changes.
func (r shownReplay) said() string {
	if !r.IsCounted || r.Total == 0 {
		return r.State.Word
	}
	const quarter = 25
	return fmt.Sprintf("%s: %d%%", r.State.Word, r.Settled*100/r.Total/quarter*quarter)
}
