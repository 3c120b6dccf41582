// Clients uses the API by the client that oapi-codegen makes of its OpenAPI
// document. Make clients writes the package webhooks first; it is not kept.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"clients/webhooks"
)

const project = "clients-go"

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := use(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "the Go client:", err)
		os.Exit(1)
	}
	fmt.Println("the Go client: passed")
}

// use does what a host's program does. A call that does not say what it should ends
// it.
func use(ctx context.Context) (err error) {
	defer func() {
		if failed, ok := recover().(failure); ok {
			err = failed
		}
	}()
	received := make(chan *http.Request, 1)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { received <- r }))
	defer receiver.Close()
	api, err := connect()
	if err != nil {
		return err
	}

	made := must(api.CreateWebhookWithResponse(ctx, project, &webhooks.CreateWebhookParams{IdempotencyKey: new("once")},
		webhooks.NewWebhook{Url: receiver.URL + "/hook", Events: []webhooks.Event{webhooks.EventReportGenerated}, Secret: new("a secret of ours")})).JSON201
	check(made != nil && made.HasSecret && made.Health.State == webhooks.WebhookHealthStateOk, "create: %+v", made)
	all := must(api.ListWebhooksWithResponse(ctx, project, nil)).JSON200
	check(all != nil && len(*all) == 1 && (*all)[0].Id == made.Id, "list: %+v", all)
	changed := must(api.ChangeWebhookWithResponse(ctx, project, made.Id, nil, webhooks.WebhookChange{
		Name: new("Reports"), MaxPerSecond: new(2.5),
	})).JSON200
	check(changed != nil && changed.Name == "Reports" && *changed.MaxPerSecond == 2.5 && changed.Url == made.Url, "change: %+v", changed)

	tested := must(api.TestWebhookWithResponse(ctx, project, made.Id, nil, webhooks.TestWebhookJSONRequestBody{})).JSON200
	check(tested != nil && tested.Success && *tested.StatusCode == http.StatusOK, "test: %+v", tested)
	check((<-received).Header.Get("X-Dembrane-Event") == "webhook.test", "the receiver got something else")

	page := &webhooks.AttemptPage{}
	for len(page.Data) == 0 { // it is recorded within a second
		listed := must(api.ListDeliveriesWithResponse(ctx, project, made.Id, &webhooks.ListDeliveriesParams{
			Trigger: new(webhooks.TriggerTest), Limit: new(10),
		}))
		page = listed.JSON200
		check(page != nil, "deliveries: %d %s", listed.StatusCode(), listed.Body)
		time.Sleep(50 * time.Millisecond)
	}
	check(page.Data[0].Id == tested.AttemptId && page.Data[0].Outcome == webhooks.OutcomeDelivered &&
		page.Data[0].Status == webhooks.AttemptStatusDelivered && page.Data[0].Phase == nil && page.NextCursor == nil, "deliveries: %+v", page)
	one := must(api.GetDeliveryWithResponse(ctx, project, made.Id, tested.AttemptId, nil)).JSON200
	check(one != nil && one.Request.Url == made.Url && one.Timing.WaitMs > 0, "one delivery: %+v %+v", one.Request, one.Timing)

	estimate := must(api.StartReplayWithResponse(ctx, project, made.Id, nil, webhooks.NewReplay{
		Since: time.Now().Add(-time.Hour), Only: new(webhooks.ReplayOnlyAll), DryRun: new(true),
	})).JSON200
	check(estimate != nil && estimate.Count == 0 && estimate.Oldest == nil && estimate.Complete, "dry run: %+v", estimate)
	statistics := must(api.GetStatisticsWithResponse(ctx, project, made.Id, nil)).JSON200
	check(statistics != nil && len(statistics.Hours) == 168, "statistics: %+v", statistics)

	refused := must(api.CreateWebhookWithResponse(ctx, project, nil, webhooks.NewWebhook{
		Url: "ftp://example.org", Events: []webhooks.Event{webhooks.EventReportGenerated},
	})).ApplicationproblemJSON400
	check(refused != nil && refused.Detail != "" && len(*refused.Errors) == 1 && (*refused.Errors)[0].Field == "url", "refused: %+v", refused)
	missing := must(api.GetWebhookWithResponse(ctx, project, "unknown", nil)).ApplicationproblemJSON404
	check(missing != nil && missing.Detail == "Webhook not found" && missing.RequestId != "", "missing: %+v", missing)
	gone := must(api.DeleteWebhookWithResponse(ctx, project, made.Id))
	check(gone.StatusCode() == http.StatusNoContent, "delete: %d %s", gone.StatusCode(), gone.Body)
	return nil
}

// connect reads the line that a standalone prints when it is ready.
func connect() (*webhooks.ClientWithResponses, error) {
	line, err := bufio.NewReader(os.Stdin).ReadBytes('\n')
	var ready struct{ API, Token string }
	if err := errors.Join(err, json.Unmarshal(line, &ready)); err != nil {
		return nil, fmt.Errorf("read where the API is: %w", err)
	}
	return webhooks.NewClientWithResponses(ready.API, webhooks.WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+ready.Token)
		return nil
	}))
}

// failure ends the story.
type failure struct{ error }

func must[R any](response R, err error) R {
	if err != nil {
		panic(failure{err})
	}
	return response
}

func check(holds bool, format string, values ...any) {
	if !holds {
		panic(failure{fmt.Errorf(format, values...)})
	}
}
