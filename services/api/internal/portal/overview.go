package portal

import (
	"context"
	"net/http"

	"golang.org/x/sync/errgroup"
)

// atOnce is how many webhooks are looked up at the same time.
const atOnce = 8

// lookBack is among how many of the newest attempts the reason of a failure is looked
// for: those that were given up without another try do not tell it.
const lookBack = 50

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
	items := make([]item, len(webhooks))
	group, _ := errgroup.WithContext(context.WithoutCancel(v.c.Request().Context()))
	group.SetLimit(atOnce)
	for i, w := range webhooks {
		group.Go(func() (err error) {
			items[i], err = v.item(w)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err //nolint:wrapcheck // a problem of the API, as it is
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

// item looks up what the list does not say. Somebody may delete the webhook meanwhile:
// then it is shown for the last time.
func (v *visit) item(w apiWebhook) (item, error) {
	one := item{apiWebhook: w, Path: v.base() + "/" + w.ID, CanSwitch: w.Enabled || v.project.CanChange}
	var statistics apiStatistics
	var err error
	if w.Health.LastAttemptAt != nil { // else there are none
		if statistics, err = v.api.statistics(w.ID); err != nil && !isGone(err) {
			return item{}, err
		}
	}
	one.Chart = v.chart(statistics)
	var newest []apiAttempt
	if w.Health.State == "failing" {
		if newest, err = v.api.newest(w.ID, lookBack); err != nil && !isGone(err) {
			return item{}, err
		}
	}
	one.Health = v.health(w, newest)
	if w.Enabled && v.project.CanChange && (w.Health.State == "failing" || one.Chart.Other > 0) {
		one.Health.Missed = one.Path + "/replays?since=" + sinceFailing
	}
	return one, nil
}

// summary is the page of one webhook.
func summary(v *visit) error {
	one, err := v.item(*v.webhook)
	if err != nil {
		return err
	}
	return v.render(http.StatusOK, "summary", v.webhook.Name, one)
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
