package portal

import "net/http"

// overviewBody is what the overview shows.
type overviewBody struct {
	Items []item
	// CanAdd is false where the API would refuse another webhook; WhyNot says why.
	CanAdd bool
	WhyNot string
	// CanClone says that there is something to clone.
	CanClone bool
}

// item is a webhook as the overview and its own page show it.
type item struct {
	apiWebhook

	Path   string
	Health health
	Chart  chart
	// CanSwitch says that the switch would work.
	CanSwitch bool
}

func overview(v *visit) error {
	webhooks, err := v.api.webhooks()
	if err != nil {
		return err
	}
	lately, err := v.api.lately()
	if err != nil {
		return err
	}
	items := make([]item, len(webhooks))
	for i, w := range webhooks {
		of := lately[w.ID] // nothing for one that was made in between
		items[i] = v.item(w, of.Hours, of.LastFailure)
	}
	body := overviewBody{Items: items, CanAdd: v.project.CanChange, WhyNot: v.whyNot()}
	if body.CanAdd && len(items) >= v.project.MaxWebhooks {
		body.CanAdd, body.WhyNot = false, v.n("overview.full", uint64(len(items)))
	}
	if body.CanAdd && len(items) == 0 {
		elsewhere, err := v.api.elsewhere()
		if err != nil {
			return err
		}
		body.CanClone = len(elsewhere) > 0
	}
	return v.render(http.StatusOK, "overview", v.t("overview.title"), body)
}

// item is a webhook with what became of its attempts of late.
func (v *visit) item(w apiWebhook, hours []apiCounts, lastFailure *apiAttempt) item {
	one := item{
		apiWebhook: w, Path: v.base() + "/" + w.ID, CanSwitch: w.Enabled || v.project.CanChange,
		Chart: v.chart(hours), Health: v.health(w, lastFailure),
	}
	if w.Enabled && v.project.CanChange && (w.Health.State == "failing" || one.Chart.Other > 0) {
		one.Health.Missed = one.Path + "/replays?since=" + sinceFailing
	}
	return one
}

// summary is the page of one webhook.
func summary(v *visit) error {
	statistics, err := v.api.statistics(v.webhook.ID)
	if err != nil {
		return err
	}
	return v.render(http.StatusOK, "summary", v.t("tab.summary"), v.item(*v.webhook, statistics.Hours, statistics.LastFailure))
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
