package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/payload"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/test/internal/apiclient"
	"github.com/dembrane/webhooks/test/internal/process"
	"github.com/dembrane/webhooks/test/internal/receiver"
	"github.com/dembrane/webhooks/test/internal/run"
)

// What the manifests in deploy/base give the services: where Go's collector begins
// to work harder, and where the process is killed, in MiB. A test compares them.
const (
	dispatcherCollects, apiCollects = "800MiB", "200MiB"
	dispatcherMiB, apiMiB           = 1024, 256
)

const (
	// largeProjects have webhooks for the largest events, and each publishes
	// largeEvents of them; quickly, a quarter of the projects does.
	largeProjects, largeEvents = 12, 4
	// largeAtOnce is how many of them are published at once.
	largeAtOnce = 4
	// largeTrouble is for how long receivers hang, refuse, and ask for a pause.
	largeTrouble = 20 * time.Second
	// replyBytes is as much of a response as is recorded, and repliedEvents go to
	// three webhooks that answer with it.
	replyBytes, repliedEvents = 16 << 10, 2000
	// mostOfLimit is how much of what the manifests allow may be used, in percent.
	mostOfLimit = 90
)

// hookLate is of a webhook that is made when all was published, and gets it by a
// replay. Those before it take their events, hang, refuse, and ask for a pause.
const hookLate = 4

// large is a project with the largest events.
type large struct {
	project

	mu     sync.Mutex
	events []string // that were acknowledged
}

// fillMemory sends the largest events, in letters that become three times as many
// bytes, to receivers that take them, hang, refuse, and ask for a pause, all at
// once; then all of it once more to other webhooks, as replays; tests of those that
// hang; and records of the largest responses beside that.
func fillMemory(t run.T, x *strike) {
	count := largeProjects
	if x.plan.quick {
		count /= 4
	}
	x.patience = 5 * time.Minute
	began := time.Now()
	process.ForgetPeak(x.dispatchers[0].PID())
	process.ForgetPeak(x.api.PID())
	var projects []*large
	for i := range count {
		projects = append(projects, x.registerLarge(t, fmt.Sprintf("large-%d", i+1), began.Add(largeTrouble)))
	}
	replies := x.registerBlind(t, "replies", []byte(strings.Repeat("ж", replyBytes/2)), nil, nil, nil)
	run.Pause(t, time.Second) // then they are in force
	group, publishing := errgroup.WithContext(t.Context())
	group.SetLimit(largeAtOnce)
	for i := range count * largeEvents {
		group.Go(func() error { return x.publishLarge(publishing, projects[i%count]) })
		for range repliedEvents / (count * largeEvents) {
			group.Go(func() error { return x.publish(publishing, x.book, replies) })
		}
	}
	run.Must(t, group.Wait(), "publish the largest events")
	var tests sync.WaitGroup
	for _, p := range projects {
		x.replayLarge(t, p, began)
		x.test(t, p, &tests)
	}
	x.ended = time.Now()
	x.afterwards = func(t run.T) {
		tests.Wait()
		used := [2]int64{peak(x.dispatchers[0]), peak(x.api)}
		x.note = fmt.Sprintf("dispatcher %d of %d MiB, api %d of %d MiB", used[0], dispatcherMiB, used[1], apiMiB)
		t.Logf("%s", x.note)
		if used[0] > dispatcherMiB*mostOfLimit/100 || used[1] > apiMiB*mostOfLimit/100 {
			t.Errorf("too little is left of what the manifests allow: %s", x.note)
		}
	}
}

// registerLarge registers webhooks that are in trouble until then.
func (x *strike) registerLarge(t run.T, id string, until time.Time) *large {
	trouble := func(a receiver.Answer) receiver.Answer {
		return func(header http.Header, gone <-chan struct{}, p receiver.Arrival) int {
			if time.Now().Before(until) {
				return a(header, gone, p)
			}
			return http.StatusOK
		}
	}
	return &large{project: x.registerBlind(t, id, nil, nil, trouble(receiver.Silence),
		trouble(receiver.Status(http.StatusInternalServerError)), trouble(receiver.RetryAfter(http.StatusTooManyRequests, "5")))}
}

// registerBlind registers webhooks whose receivers cost little: what they are sent
// is too much to be verified beside.
func (x *strike) registerBlind(t run.T, id string, reply []byte, answers ...receiver.Answer) project {
	p := project{id: id}
	for i, answer := range answers {
		x.createBlind(t, id, i, reply, answer)
		p.hooks = append(p.hooks, i)
	}
	return p
}

func (x *strike) createBlind(t run.T, id string, hook int, reply []byte, answer receiver.Answer) apiclient.Webhook {
	h := receiver.Hook{
		Path:  fmt.Sprintf("/%s/%s/%d", x.scene.name, id, hook),
		Blind: true, Reply: reply, Answer: answer,
	}
	w, err := x.Create(t.Context(), id, apiclient.Fields{
		"url": x.receiver.Add(h), "secret": "the secret of " + id, "events": []string{event.ConversationTranscribed},
	})
	run.Must(t, err, "register a webhook")
	return w
}

// publishLarge publishes the largest event that there can be.
func (x *strike) publishLarge(ctx context.Context, p *large) error {
	const rest = 8 << 10
	id := x.book.Begin()
	e := payload.Sample(event.ConversationTranscribed, &webhooksv1.Project{Id: p.id}, id, time.Now())
	e.GetConversation().Transcript = new(strings.Repeat("ж", (topology.MaxEventBytes-rest)/2))
	if err := x.Publisher.Publish(ctx, e); err != nil {
		return err
	}
	x.book.Owe(id, p.hooks...)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.events = append(p.events, id)
	return nil
}

// replayLarge sends a new webhook what the project's others got.
func (x *strike) replayLarge(t run.T, p *large, since time.Time) {
	late := x.createBlind(t, p.id, hookLate, nil, nil)
	for _, id := range p.events {
		x.book.OweAlso(id, hookLate)
	}
	_, err := x.Call(t.Context(), http.MethodPost, late.Path()+"/replay", apiclient.Fields{"since": since}, http.StatusAccepted)
	run.Must(t, err, "ask for a replay")
}

// test tests all webhooks of a project at once. What comes of it says nothing about
// memory.
func (x *strike) test(t run.T, p *large, tests *sync.WaitGroup) {
	all, err := x.List(t.Context(), p.id)
	run.Must(t, err, "list webhooks")
	for _, w := range all {
		tests.Go(func() { _, _ = x.Call(t.Context(), http.MethodPost, w.Path()+"/test", nil, http.StatusOK) })
	}
}
