package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/dembrane/webhooks/test/internal/apiclient"
	"github.com/dembrane/webhooks/test/internal/run"
)

// past is a webhook that is made after many events of its project, and asks for
// them.
type past struct {
	// phase is that of the events.
	phase   string
	webhook apiclient.Webhook
	host    apiclient.Client
	since   time.Time

	started time.Time
	report  report
	// done is how long the replay took by its own account.
	done      time.Duration
	delivered int
}

// replay measures how long live events are under way to an endpoint, and to those of
// other projects, while the endpoint is sent all that was published before it was
// registered; and before that.
func (b *bench) replay(t run.T) {
	others := newLoad("other", "other projects", b.others)
	b.within(t, surroundings{name: replayScenario, warm: []*load{others}, settings: []string{"SHUTDOWN_GRACE=0s"}}, func(t run.T, s *system) {
		p := b.miss(t, s)
		groups := []*group{
			{key: "same", title: "the same endpoint", targets: b.replayed},
			{key: "other", title: fmt.Sprintf("%d other projects", len(b.others)), targets: b.others},
		}
		calm := b.watch(t, s, groups, b.calmCount(watchRate), nil)
		s.recorded(t)
		beside := b.watch(t, s, groups, int(watchAtMost.Seconds())*watchRate, func(t run.T, _ string) { b.sendAgain(t, s, p) })
		for i, g := range groups {
			g.calm, g.beside = calm[i], beside[i]
		}
		section := fmt.Sprintf("%d events replayed to one endpoint, %d/s to it and as many to others meanwhile", b.replayEvents, watchRate)
		b.noteWatched(t, section, replayScenario, groups)
		took := p.report.last().Sub(p.started.Round(0))
		rate := float64(p.report.Distinct) / took.Seconds()
		b.figures.add(section, "replay.rate", "replayed deliveries/s", rate)
		b.figures.add(section, "replay.took", "from the request to the last delivery, s", took.Seconds())
		b.figures.add(section, "replay.done", "until the replay says that it is done, s", p.done.Seconds())
		b.figures.add(section, "replay.duplicates", "received twice", float64(p.report.Duplicates))
		t.Logf("replayed %.0f/s, done after %s; %d lost, %d twice", rate, p.done.Round(time.Millisecond),
			b.replayEvents-p.report.Distinct, p.report.Duplicates)
	})
}

// miss publishes events that nobody wants, and then registers who would have wanted
// them.
func (b *bench) miss(t run.T, s *system) *past {
	p := &past{since: time.Now(), host: apiclient.Client{URL: s.at.API, Token: s.at.Token, Timeout: readyTimeout}}
	p.phase = b.receiver.begin(t, b.replayEvents)
	s.flood(t, p.phase, b.replayEvents, b.replayed)
	s.recorded(t)
	to := b.replayed[0]
	var err error
	p.webhook, err = p.host.Create(t.Context(), to.project, apiclient.Fields{"url": to.url, "events": []string{to.event}, "secret": secret})
	run.Must(t, err, "register who missed them")
	b.warmUp(t, s, newLoad("replayed", "who missed them", b.replayed))
	return p
}

// sendAgain replays what was missed, and returns when the replay is done.
func (b *bench) sendAgain(t run.T, s *system, p *past) {
	b.receiver.open(t, expectation{events: b.replayEvents, webhooks: 1, beside: true, again: p.phase})
	p.started = time.Now()
	id := p.ask(t)
	p.report = b.arrived(t, s, p.phase, b.replayEvents)
	b.lost += b.replayEvents - p.report.Distinct
	run.Until(t, recordTimeout, "the replay is done", func(ctx context.Context) error { return p.finished(ctx, id) })
	p.done = time.Since(p.started)
	// What came twice may have come after the first ones of all.
	p.report = b.receiver.report(t, p.phase, 0, 0)
	if p.delivered != b.replayEvents {
		run.Must(t, errLost, "the replay says that %d were delivered", p.delivered)
	}
}

// ask starts the replay and returns its id.
func (p *past) ask(t run.T) string {
	body, err := p.host.Call(t.Context(), http.MethodPost, p.webhook.Path()+"/replay",
		apiclient.Fields{"since": p.since, "until": time.Now(), "only": "missed"}, http.StatusAccepted)
	run.Must(t, err, "start the replay")
	var started struct {
		ID string `json:"id"`
	}
	run.Must(t, json.Unmarshal(body, &started), "read the replay")
	return started.ID
}

// finished fails while the replay runs.
func (p *past) finished(ctx context.Context, id string) error {
	body, err := p.host.Call(ctx, http.MethodGet, p.webhook.Path()+"/replays/"+id, nil, http.StatusOK)
	if err != nil {
		return err
	}
	var now struct {
		State     string `json:"state"`
		Delivered int    `json:"delivered"`
	}
	if err := json.Unmarshal(body, &now); err != nil {
		return fmt.Errorf("read the replay: %w", err)
	}
	p.delivered = now.Delivered
	if now.State != "done" {
		return fmt.Errorf("it is %s, %d delivered", now.State, now.Delivered)
	}
	return nil
}
