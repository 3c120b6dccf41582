// Package trial makes test deliveries: one attempt, now, for a host who waits for
// its result. It is a NATS micro service, so it is discoverable and has stats,
// and any replica may answer.
package trial

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/oklog/ulid/v2"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/observe"
	"github.com/dembrane/webhooks/pkg/payload"
	"github.com/dembrane/webhooks/pkg/secret"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/pkg/webhook"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/dispatcher/internal/deliver"
	"github.com/dembrane/webhooks/services/dispatcher/internal/registry"
)

// maxTests bounds the tests that one replica makes at once; one more is told to
// come again.
const maxTests = 64

// contractVersion is the version of TestRequest and TestReply. It is not the
// build's: that need not be a semantic version, which micro insists on.
const contractVersion = "1.0.0"

// Error codes of the micro endpoint.
const (
	codeUnreadable = "400"
	codeBusy       = "503"
	codeInternal   = "500"
)

// Try makes one attempt and returns its record, or nil when the process is
// stopping.
type Try func(ctx context.Context, x *deliver.Delivery, w *registry.Webhook, body []byte) *webhooksv1.Attempt

// Trial answers requests for test deliveries.
type Trial struct {
	try      Try
	box      *secret.Box
	renderer payload.Renderer
	log      *zap.Logger

	slots   chan struct{}
	running sync.WaitGroup
}

// New returns a trial that is not listening yet.
func New(try Try, box *secret.Box, renderer payload.Renderer, log *zap.Logger) *Trial {
	return &Trial{try: try, box: box, renderer: renderer, log: log, slots: make(chan struct{}, maxTests)}
}

// Run listens until ctx is done. Tests under way go on: see [Trial.Wait].
func (t *Trial) Run(ctx context.Context, nc *nats.Conn, build string) error {
	service, err := micro.AddService(nc, micro.Config{
		Name:        "dispatcher",
		Version:     contractVersion,
		Metadata:    map[string]string{"build": build},
		Description: "Makes test deliveries.",
		ErrorHandler: func(_ micro.Service, err *micro.NATSError) {
			t.log.Warn("test service reported an error", zap.String("subject", err.Subject), zap.String("error", err.Description))
		},
	})
	if err != nil {
		return fmt.Errorf("start test service: %w", err)
	}
	attempts := context.WithoutCancel(ctx) // a test that was begun is answered
	err = service.AddEndpoint("test", micro.HandlerFunc(func(r micro.Request) { t.handle(attempts, nc, r) }),
		micro.WithEndpointSubject(topology.SubjectTest))
	if err != nil {
		return errors.Join(fmt.Errorf("start test endpoint: %w", err), service.Stop())
	}
	<-ctx.Done()
	err = service.Stop()
	if err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		t.log.Warn("test service not stopped cleanly", zap.Error(err))
	}
	return nil
}

// Wait returns when every test has been answered.
func (t *Trial) Wait() { t.running.Wait() }

// handle refuses at once what it can. micro reads what a request was answered with
// as soon as this returns, so that nothing may use r after that.
func (t *Trial) handle(ctx context.Context, nc *nats.Conn, r micro.Request) {
	request := &webhooksv1.TestRequest{}
	if err := proto.Unmarshal(r.Data(), request); err != nil || request.GetRegistration().GetId() == "" {
		t.refuse(r, codeUnreadable, "the request is no TestRequest")
		return
	}
	select {
	case t.slots <- struct{}{}:
	default:
		t.refuse(r, codeBusy, "too many tests at once, try again")
		return
	}
	reply := nats.NewMsg(r.Reply())
	t.running.Go(func() {
		defer func() { <-t.slots }()
		t.answer(ctx, request, reply)
		if err := nc.PublishMsg(reply); err != nil {
			t.log.Warn("test not answered", zap.String(observe.KeyWebhook, request.GetRegistration().GetId()), zap.Error(err))
		}
	})
}

// answer makes the attempt and completes the reply.
func (t *Trial) answer(ctx context.Context, request *webhooksv1.TestRequest, reply *nats.Msg) {
	w := registry.New(request.GetRegistration(), t.box)
	e := payload.Sample(event.Test, project(request), "evt_"+ulid.Make().String(), time.Now())
	attempt := t.try(ctx, &deliver.Delivery{
		ID:        webhook.DeliveryID(e.GetId(), w.ID),
		EventID:   e.GetId(),
		EventType: event.Test,
		ProjectID: w.ProjectID,
		WebhookID: w.ID,
		Attempt:   1,
		Trigger:   webhooksv1.Trigger_TRIGGER_TEST,
	}, w, t.renderer.Append(nil, e))
	if attempt == nil {
		failed(reply, codeBusy, "the dispatcher is stopping, try again")
		return
	}
	data, err := proto.Marshal(&webhooksv1.TestReply{Attempt: attempt})
	if err != nil {
		failed(reply, codeInternal, "the result could not be encoded")
		return
	}
	reply.Data = data
}

func (t *Trial) refuse(r micro.Request, code, description string) {
	if err := r.Error(code, description, nil); err != nil {
		t.log.Warn("test not refused", zap.Error(err))
	}
}

// failed makes a reply the error that [micro.Request] would send.
func failed(reply *nats.Msg, code, description string) {
	reply.Header.Set(micro.ErrorHeader, description)
	reply.Header.Set(micro.ErrorCodeHeader, code)
}

func project(r *webhooksv1.TestRequest) *webhooksv1.Project {
	optional := func(s string) *string {
		if s == "" {
			return nil
		}
		return &s
	}
	return &webhooksv1.Project{
		Id:          r.GetRegistration().GetProjectId(),
		WorkspaceId: optional(r.GetWorkspaceId()),
		Name:        optional(r.GetProjectName()),
		Language:    optional(r.GetProjectLanguage()),
	}
}
