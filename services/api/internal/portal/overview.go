package portal

import (
	"cmp"
	"net/http"
	"slices"
	"time"
)

// screenful is how many webhooks are seen at once; of more, some can be chosen.
const screenful = 6

// overviewBody is what the overview shows.
type overviewBody struct {
	Items []item
	// Wrong is empty when nothing is.
	Wrong []wrong
	// Selections are which webhooks to see; empty where all are seen at once.
	Selections []selection
	// CanAdd is false where the API would refuse another webhook; WhyNot says why.
	CanAdd bool
	WhyNot string
	// CanClone says that there is something to clone.
	CanClone bool
	// IsEmpty says that the project has no webhook.
	IsEmpty bool
}

// wrong says how many webhooks something is wrong with. Path leads to them.
type wrong struct{ Path, Text string }

// selection shows some of the webhooks.
type selection struct {
	Path, Text string
	Count      uint64
	Current    bool
}

// item is a webhook as the overview and its own page show it.
type item struct {
	apiWebhook

	Path   string
	Health health
	Chart  chart
	// CanSwitch says that the switch would work, and IsChat that messages for a chat are sent.
	CanSwitch, IsChat bool
}

// What somebody may want to see of the overview.
const (
	showFailing = "failing"
	showOff     = "off"
)

func overview(v *visit) error {
	webhooks, err := v.api.webhooks()
	if err != nil {
		return err
	}
	lately, err := v.api.lately()
	if err != nil {
		return err
	}
	// What needs somebody goes first. The script keeps the places of those that are seen.
	slices.SortStableFunc(webhooks, func(a, b apiWebhook) int { return cmp.Compare(a.urgency(), b.urgency()) })
	body := overviewBody{
		CanAdd: v.project.CanChange, WhyNot: v.whyNot(), IsEmpty: len(webhooks) == 0,
		Selections: v.selections(webhooks),
	}
	body.Wrong = v.wrong(webhooks, body.Selections)
	show := v.c.QueryParam("show")
	for _, w := range webhooks {
		if w.isAmong(show) {
			// A path from here is short, and the page has many. Of one that was made in
			// between, nothing is known.
			body.Items = append(body.Items, v.item(w, "webhooks/"+w.ID, lately[w.ID]))
		}
	}
	if body.CanAdd && len(webhooks) >= v.project.MaxWebhooks {
		body.CanAdd, body.WhyNot = false, v.n("overview.full", uint64(len(webhooks)))
	}
	if body.CanAdd && body.IsEmpty {
		elsewhere, err := v.api.elsewhere()
		if err != nil {
			return err
		}
		body.CanClone = len(elsewhere) > 0
	}
	return v.render(http.StatusOK, "overview", v.t("overview.title"), body)
}

// urgency orders webhooks: those that need somebody go first.
func (w apiWebhook) urgency() int {
	switch {
	case w.isAmong(showFailing):
		return 0
	case w.isStopped():
		return 1
	default:
		return 2
	}
}

// isStopped reports whether it was switched off by us.
func (w apiWebhook) isStopped() bool {
	return w.Health.State == stateDisabled && w.Health.DisabledReason != nil
}

// isAmong reports whether it is one of those that somebody wants to see.
func (w apiWebhook) isAmong(show string) bool {
	switch show {
	case showFailing:
		return w.Health.State == stateFailing
	case showOff:
		return w.Health.State == stateDisabled
	default:
		return true
	}
}

// wrong says how many webhooks fail, and how many we have stopped. It leads to
// those alone where they can be selected, or to the first.
func (v *visit) wrong(webhooks []apiWebhook, selections []selection) []wrong {
	if len(webhooks) < 2 {
		return nil // it says so itself
	}
	var failing, stopped []apiWebhook
	for _, w := range webhooks {
		switch w.urgency() {
		case 0:
			failing = append(failing, w)
		case 1:
			stopped = append(stopped, w)
		}
	}
	path := func(show string, some []apiWebhook) string {
		if len(selections) > 0 {
			return v.base() + "?show=" + show
		}
		return "#w-" + some[0].ID
	}
	all := number(v.in, uint64(len(webhooks)))
	var list []wrong
	if n := uint64(len(failing)); n > 0 {
		list = append(list, wrong{path(showFailing, failing), v.n("overview.failing", n, "all", all)})
	}
	if n := uint64(len(stopped)); n > 0 && len(failing) > 0 {
		list = append(list, wrong{path(showOff, stopped), v.n("overview.stopped.too", n)})
	} else if n > 0 {
		list = append(list, wrong{path(showOff, stopped), v.n("overview.stopped", n, "all", all)})
	}
	return list
}

// selections are links to some of the webhooks, where there are too many to see and not
// all of them are well.
func (v *visit) selections(webhooks []apiWebhook) []selection {
	now := v.c.QueryParam("show")
	list := []selection{
		{Path: v.base(), Text: v.t("overview.all"), Current: now != showFailing && now != showOff},
		{Path: v.base() + "?show=" + showFailing, Text: v.t("health.failing"), Current: now == showFailing},
		{Path: v.base() + "?show=" + showOff, Text: v.t("health.off"), Current: now == showOff},
	}
	for _, w := range webhooks {
		for i, show := range []string{"", showFailing, showOff} {
			if w.isAmong(show) {
				list[i].Count++
			}
		}
	}
	if list[0].Current && (len(webhooks) <= screenful || list[1].Count+list[2].Count == 0) {
		return nil
	}
	return slices.DeleteFunc(list, func(s selection) bool { return s.Count == 0 && !s.Current })
}

// item is a webhook, whose pages are at path, with what became of its attempts of late.
func (v *visit) item(w apiWebhook, path string, of apiLately) item {
	one := item{
		apiWebhook: w, Path: path, CanSwitch: w.Enabled || v.project.CanChange, IsChat: isChat(w.Format),
		Chart: newChart(of.Hours), Health: v.health(w, of.LastFailure),
	}
	// One that we stopped is switched on by sending; one that somebody switched off stays
	// off until somebody wants it on.
	missed := w.isStopped() || w.Enabled && (w.Health.State == stateFailing || v.canBeSent(of.LastMissedAt))
	if missed && v.project.CanChange {
		one.Health.Missed = one.Path + "/replays?since=" + sinceFailing
	}
	return one
}

// canBeSent reports whether something is missed that is still kept.
func (v *visit) canBeSent(lastMissed *time.Time) bool {
	return lastMissed != nil && (v.p.EventsKept == 0 || v.now.Sub(*lastMissed) < v.p.EventsKept)
}

// summary is the page of one webhook.
func summary(v *visit) error {
	statistics, err := v.api.statistics(v.webhook.ID)
	if err != nil {
		return err
	}
	return v.render(http.StatusOK, "summary", v.t("tab.summary"), v.item(*v.webhook, v.one(), apiLately{
		Hours: statistics.Hours, LastFailure: statistics.LastFailure, LastMissedAt: statistics.LastMissedAt,
	}))
}

// setEnabled is the switch.
func setEnabled(v *visit) error {
	on := v.field("enabled") == "true"
	if err := v.api.change(v.webhook.ID, map[string]any{"enabled": on}); err != nil {
		return err
	}
	what := "off"
	if on {
		what = "on"
	}
	return v.done(local(v.field("back"), v.base()), what)
}
