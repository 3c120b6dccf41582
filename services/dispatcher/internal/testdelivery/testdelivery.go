// Package testdelivery makes test deliveries: one attempt, now, for a host who waits for
// its result. It is a NATS micro service, so it is discoverable and has stats,
// and any replica may answer.
package testdelivery

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
	"github.com/dembrane/webhooks/pkg/payload/chat"
	"github.com/dembrane/webhooks/pkg/secret"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/pkg/webhook"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/dispatcher/internal/deliver"
	"github.com/dembrane/webhooks/services/dispatcher/internal/eventbody"
	"github.com/dembrane/webhooks/services/dispatcher/internal/registry"
)

// maxTests bounds the tests that one replica makes at once; one more is told to
// come again.
const maxTests = 64

// maxProjectTests bounds those of one project, so that a receiver that hangs, or a
// host who asks often, leaves room for the tests of others.
const maxProjectTests = 8

// contractVersion is the version of TestRequest and TestReply. It is not the
// build's: that need not be a semantic version, which micro insists on.
const contractVersion = "1.0.0"

// Error codes of the micro endpoint.
const (
	codeUnreadable = "400"
	codePaused     = "429"
	codeBusy       = "503"
	codeInternal   = "500"
)

// test makes one attempt and returns its record, or [deliver.ErrStopping].
type test func(ctx context.Context, x deliver.Delivery, w *registry.Webhook) (*webhooksv1.Attempt, error)

// Service answers requests for test deliveries.
type Service struct {
	test     test
	box      *secret.Box
	renderer payload.Renderer
	log      *zap.Logger

	running sync.WaitGroup

	mu    sync.Mutex
	total int
	tests map[string]int // under way, by project
}

// New returns a service that is not listening yet.
func New(test test, box *secret.Box, renderer payload.Renderer, log *zap.Logger) *Service {
	return &Service{test: test, box: box, renderer: renderer, log: log, tests: map[string]int{}}
}

// Run listens until ctx is done. Tests under way go on: see [Service.Wait].
func (s *Service) Run(ctx context.Context, nc *nats.Conn, build string) error {
	service, err := micro.AddService(nc, micro.Config{
		Name:        "dispatcher",
		Version:     contractVersion,
		Metadata:    map[string]string{"build": build},
		Description: "Makes test deliveries.",
		ErrorHandler: func(_ micro.Service, err *micro.NATSError) {
			s.log.Warn("test service reported an error", zap.String("subject", err.Subject), zap.String("error", err.Description))
		},
	})
	if err != nil {
		return fmt.Errorf("start test service: %w", err)
	}
	attempts := context.WithoutCancel(ctx) // a test that was begun is answered
	err = service.AddEndpoint("test", micro.HandlerFunc(func(r micro.Request) { s.handle(attempts, nc, r) }),
		micro.WithEndpointSubject(topology.SubjectTest))
	if err != nil {
		return errors.Join(fmt.Errorf("start test endpoint: %w", err), service.Stop())
	}
	<-ctx.Done()
	err = service.Stop()
	if err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		s.log.Warn("test service not stopped cleanly", zap.Error(err))
	}
	return nil
}

// Wait returns when every test has been answered.
func (s *Service) Wait() { s.running.Wait() }

// handle refuses at once what it can. micro reads what a request was answered with
// as soon as this returns, so that nothing may use r after that.
func (s *Service) handle(ctx context.Context, nc *nats.Conn, r micro.Request) {
	request := &webhooksv1.TestRequest{}
	if err := proto.Unmarshal(r.Data(), request); err != nil || request.GetRegistration().GetId() == "" {
		s.refuse(r, codeUnreadable, "the request is no TestRequest")
		return
	}
	project := request.GetRegistration().GetProjectId()
	if !s.enter(project) {
		s.refuse(r, codeBusy, "too many tests at once, try again")
		return
	}
	reply := nats.NewMsg(r.Reply())
	s.running.Go(func() {
		defer s.leave(project)
		s.answer(ctx, request, reply)
		if err := nc.PublishMsg(reply); err != nil {
			s.log.Warn("test not answered", zap.String(observe.KeyWebhook, request.GetRegistration().GetId()), zap.Error(err))
		}
	})
}

// enter counts a test of a project, unless there are too many.
func (s *Service) enter(project string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.total >= maxTests || s.tests[project] >= maxProjectTests {
		return false
	}
	s.total++
	s.tests[project]++
	return true
}

func (s *Service) leave(project string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total--
	if s.tests[project]--; s.tests[project] == 0 {
		delete(s.tests, project)
	}
}

// answer makes the attempt and completes the reply.
func (s *Service) answer(ctx context.Context, request *webhooksv1.TestRequest, reply *nats.Msg) {
	w := registry.New(request.GetRegistration(), s.box)
	eventType := request.GetEventType()
	if eventType == "" {
		eventType = event.Test
	}
	e := payload.Sample(eventType, project(request), "evt_"+ulid.Make().String(), time.Now())
	attempt, err := s.test(ctx, deliver.Delivery{
		ID:        webhook.DeliveryID(e.GetId(), w.ID),
		EventID:   e.GetId(),
		EventType: eventType,
		ProjectID: w.ProjectID,
		WebhookID: w.ID,
		Attempt:   1,
		Trigger:   webhooksv1.Trigger_TRIGGER_TEST,
		Body: func(_ context.Context, format chat.Format) (*eventbody.Body, error) {
			return &eventbody.Body{Bytes: format.Append(nil, s.renderer, e), OccurredAt: e.GetOccurredAt().AsTime()}, nil
		},
	}, w)
	paused, isPaused := errors.AsType[*deliver.PausedError](err)
	switch {
	case isPaused:
		failed(reply, codePaused, paused.Until.UTC().Format(time.RFC3339))
		return
	case errors.Is(err, deliver.ErrStopping):
		failed(reply, codeBusy, "the dispatcher is stopping, try again")
		return
	case err != nil:
		s.log.Warn("test not made", zap.String(observe.KeyWebhook, w.ID), zap.Error(err))
		failed(reply, codeBusy, "the result cannot be stored at the moment, try again")
		return
	}
	data, err := proto.Marshal(&webhooksv1.TestReply{Attempt: attempt})
	if err != nil {
		failed(reply, codeInternal, "the result could not be encoded")
		return
	}
	reply.Data = data
}

func (s *Service) refuse(r micro.Request, code, description string) {
	if err := r.Error(code, description, nil); err != nil {
		s.log.Warn("test not refused", zap.Error(err))
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
