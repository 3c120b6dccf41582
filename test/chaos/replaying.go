package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/payload"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/test/internal/apiclient"
	"github.com/dembrane/webhooks/test/internal/ledger"
	"github.com/dembrane/webhooks/test/internal/process"
	"github.com/dembrane/webhooks/test/internal/receiver"
	"github.com/dembrane/webhooks/test/internal/run"
)

const (
	// missedEvents is how many events a replay is of.
	missedEvents = 3000
	// mostRepeated is what a killed dispatcher may repeat: one range, and what stands in
	// line of the next one.
	mostRepeated = 256 + 64
	// replayedSlowly is how long the receiver of a replay thinks.
	replayedSlowly = 5 * time.Millisecond
	// leasePatience is how much longer it takes because nobody runs a replay until the
	// lease of a killed api has ended.
	leasePatience = 30 * time.Second
)

// replaying is a replay while it is harmed.
type replaying struct {
	*strike

	webhook apiclient.Webhook
	id      string
	numbers []int // of the events in the book
}

// killReplaying has a webhook that is new ask for what it missed, and kills the
// dispatcher and the api in the middle, one after the other.
func killReplaying(t run.T, x *strike) {
	r := &replaying{strike: x}
	since, name := time.Now(), x.nth()
	ids := r.miss(t, name)
	var err error
	r.webhook, err = x.Create(t.Context(), name, x.hook(name, 0, receiver.Thinks(replayedSlowly)))
	run.Must(t, err, "register who missed the events")
	for _, id := range ids {
		x.book.Owe(id, 0)
	}
	r.ask(t, since)
	for i, victim := range []*process.Process{x.dispatchers[0], x.api} {
		r.reached(t, (1+2*i)*missedEvents/5)
		x.count(t)
		x.kill(t, victim)
		run.Pause(t, x.moment(0, 500*time.Millisecond))
		x.start(t, victim)
	}
	x.patience, x.recovered, x.afterwards = leasePatience, r.done, r.compare
}

// miss publishes events that nobody wants.
func (r *replaying) miss(t run.T, project string) (ids []string) {
	group, publishing := errgroup.WithContext(t.Context())
	group.SetLimit(publishers)
	for range missedEvents {
		id := r.book.Begin()
		ids = append(ids, id)
		_, digits := ledger.CutLast(id, '-')
		number, err := strconv.Atoi(digits)
		run.Must(t, err, "number an event")
		r.numbers = append(r.numbers, number)
		e := payload.Sample(event.ConversationTranscribed, &webhooksv1.Project{Id: project}, id, time.Now())
		group.Go(func() error { return r.Publisher.Publish(publishing, e) })
	}
	run.Must(t, group.Wait(), "publish what is missed")
	return ids
}

// ask starts the replay.
func (r *replaying) ask(t run.T, since time.Time) {
	body, err := r.Call(t.Context(), http.MethodPost, r.webhook.Path()+"/replay", apiclient.Fields{"since": since}, http.StatusAccepted)
	run.Must(t, err, "start the replay")
	var started struct {
		ID string `json:"id"`
	}
	run.Must(t, json.Unmarshal(body, &started), "read the replay")
	r.id = started.ID
}

// sums are how many of the events arrived, and how many POSTs came on top.
func (r *replaying) sums() (arrived, repeated int) {
	lines := r.book.Lines()
	for _, number := range r.numbers {
		if posts := lines[number*mostHooks].Posts; posts > 0 {
			arrived++
			repeated += posts - 1
		}
	}
	return arrived, repeated
}

// reached waits until as many have arrived.
func (r *replaying) reached(t run.T, wanted int) {
	run.Until(t, r.plan.patience, "the replay is under way", func(context.Context) error {
		if arrived, _ := r.sums(); arrived < wanted {
			return fmt.Errorf("%d have arrived", arrived)
		}
		return nil
	})
}

// done fails while the replay runs. In the end its counts are right.
func (r *replaying) done(ctx context.Context) error {
	body, err := r.Call(ctx, http.MethodGet, r.webhook.Path()+"/replays/"+r.id, nil, http.StatusOK)
	if err != nil {
		return err
	}
	var now struct {
		State     string `json:"state"`
		Total     int    `json:"total"`
		Queued    int    `json:"queued"`
		Delivered int    `json:"delivered"`
		Failed    int    `json:"failed"`
	}
	if err := json.Unmarshal(body, &now); err != nil {
		return fmt.Errorf("read the replay: %w", err)
	}
	if now.State != "done" {
		return fmt.Errorf("the replay is %s: %s", now.State, body)
	}
	if now.Total != missedEvents || now.Delivered != missedEvents || now.Queued != 0 || now.Failed != 0 {
		return run.Final{Err: fmt.Errorf("%w: a replay of %d events says %s", errBroken, missedEvents, body)}
	}
	return nil
}

// compare holds what came twice against what may have.
func (r *replaying) compare(t run.T) {
	arrived, repeated := r.sums()
	t.Logf("%d of a replay arrived, %d came again", arrived, repeated)
	if repeated > mostRepeated {
		run.Must(t, errBroken, "%d deliveries of a replay came again", repeated)
	}
}
