package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/payload"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/test/internal/ledger"
	"github.com/dembrane/webhooks/test/internal/run"
)

const (
	// bodyBytes is about how long a body is: half a minute of speech, as JSON.
	bodyBytes = 1200
	// unacknowledged bounds the publishes that JetStream has not answered.
	unacknowledged = 4096
	// stallTimeout is how long a publish waits for room among them.
	stallTimeout = time.Minute
	// dashboard is ADMIN_BASE_URL: bodies link into it.
	dashboard = "https://dashboard.example.org"
	// eventType is what is published and subscribed to, if nothing else is said.
	eventType = event.ConversationTranscribed
)

// load is what is published, or posted, as fast as possible: over which endpoints
// the events are spread.
type load struct {
	key     string
	title   string
	targets []target
	// webhooks is how many each event goes to.
	webhooks int
	// tried is which numbers of POSTs at once the raw loop is tried with, and
	// concurrency the one that is fastest.
	tried       []int
	concurrency int
	// unacknowledged bounds the publishes that JetStream has not answered: it
	// refuses more than it has memory for.
	unacknowledged int
}

// target is one endpoint: a webhook of a project.
type target struct {
	project string
	url     string
	event   string
	stencil stencil
}

// stencil makes events of one project, and the bodies that they are delivered
// with, by filling in the id. Publishing and posting then cost little more than
// themselves.
type stencil struct {
	subject     string
	contentType string
	message     gap
	body        gap
}

// gap is bytes around an id.
type gap struct{ before, after []byte }

func (g gap) fill(dst []byte, id string) []byte {
	return append(append(append(dst, g.before...), id...), g.after...)
}

// specification says what a target is to be.
type specification struct {
	project     string
	url         string
	event       string
	contentType string
	bodyBytes   int
}

func newTarget(of specification) (target, error) {
	blank := strings.Repeat("#", len(ledger.EventID(phaseName(0), 0)))
	at := time.Date(2026, time.January, 20, 12, 0, 0, 123456000, time.UTC)
	e := payload.Sample(of.event, &webhooksv1.Project{
		Id: of.project, WorkspaceId: new("bench"), Name: new("Benchmark"), Language: new("en"),
	}, blank, at)
	renderer := payload.Renderer{AdminBaseURL: dashboard}
	text := e.GetConversation().GetTranscript()
	missing := of.bodyBytes - len(renderer.Append(nil, e))
	e.GetConversation().Transcript = new(text + strings.Repeat(" and so on", max(0, missing)/10))
	message, err := event.Encode(of.contentType, e)
	if err != nil {
		return target{}, fmt.Errorf("encode an event: %w", err)
	}
	s := stencil{subject: topology.SubjectEvent(of.project, of.event), contentType: of.contentType}
	var inMessage, inBody bool
	s.message.before, s.message.after, inMessage = bytes.Cut(message, []byte(blank))
	s.body.before, s.body.after, inBody = bytes.Cut(renderer.Append(nil, e), []byte(blank))
	if !inMessage || !inBody {
		return target{}, errors.New("an event does not carry its id")
	}
	return target{project: of.project, url: of.url, event: of.event, stencil: s}, nil
}

// phaseName names a phase; all names are equally long.
func phaseName(number int) string { return fmt.Sprintf("p%04d", number) }

// publisher publishes as a pipeline stage in a hurry does: without waiting for
// one acknowledgement before the next publish, but for all of them in the end.
type publisher struct {
	js      jetstream.JetStream
	refused atomic.Int64
}

func newPublisher(t run.T, nc *nats.Conn, unacknowledged int) *publisher {
	p := new(publisher)
	var err error
	p.js, err = jetstream.New(nc,
		jetstream.WithPublishAsyncMaxPending(unacknowledged),
		jetstream.WithPublishAsyncTimeout(stallTimeout),
		jetstream.WithPublishAsyncErrHandler(func(jetstream.JetStream, *nats.Msg, error) { p.refused.Add(1) }))
	run.Must(t, err, "open jetstream")
	return p
}

// flood publishes events as fast as JetStream takes them, to one target after the
// other, and returns when all are acknowledged.
func (p *publisher) flood(t run.T, phase string, events int, targets []target) {
	t.Helper()
	for i := range events {
		run.Must(t, p.publish(targets[i%len(targets)].stencil, ledger.EventID(phase, i)), "publish")
	}
	run.Must(t, p.acknowledged(t.Context()), "publish")
}

// calm publishes a number of events a second, to one target after the other, and
// returns when it published each. It ends early, and well, when enough is closed.
func (p *publisher) calm(ctx context.Context, r rhythm, targets ...target) ([]int64, error) {
	var sent []int64
	err := pace(ctx, r, func(number int) error {
		id := ledger.EventID(r.phase, number)
		sent = append(sent, time.Now().UnixNano())
		return p.publish(targets[number%len(targets)].stencil, id)
	})
	if err != nil {
		return nil, err
	}
	return sent, p.acknowledged(ctx)
}

func (p *publisher) publish(s stencil, id string) error {
	size := len(s.message.before) + len(id) + len(s.message.after)
	message := &nats.Msg{
		Subject: s.subject,
		Header:  nats.Header{jetstream.MsgIDHeader: {id}, "Content-Type": {s.contentType}},
		Data:    s.message.fill(make([]byte, 0, size), id),
	}
	if _, err := p.js.PublishMsgAsync(message, jetstream.WithStallWait(stallTimeout)); err != nil {
		return fmt.Errorf("publish an event: %w", err)
	}
	return nil
}

func (p *publisher) acknowledged(ctx context.Context) error {
	select {
	case <-p.js.PublishAsyncComplete():
	case <-ctx.Done():
		return ctx.Err()
	}
	if n := p.refused.Swap(0); n > 0 {
		return fmt.Errorf("jetstream did not acknowledge %d events", n)
	}
	return nil
}

// rhythm is how many events of a phase are sent, and how many of them a second.
type rhythm struct {
	phase string
	count int
	rate  int
	// enough ends it before all have been sent; nil never does.
	enough <-chan struct{}
}

// pace calls do rate times a second, on time even after a call was late.
func pace(ctx context.Context, r rhythm, do func(number int) error) error {
	start := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i := range r.count {
		timer.Reset(time.Until(start.Add(time.Duration(i) * time.Second / time.Duration(r.rate))))
		select {
		case <-timer.C:
		case <-r.enough:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := do(i); err != nil {
			return err
		}
	}
	return nil
}
