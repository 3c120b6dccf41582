package httpapi

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/pkg/webhook"
	"github.com/dembrane/webhooks/services/api/internal/access"
	"github.com/dembrane/webhooks/services/api/internal/eventlog"
	"github.com/dembrane/webhooks/services/api/internal/registration"
)

const (
	// maxListenersPerProject is how many may listen to one project, and maxListeners
	// to all of them together, at each api.
	maxListenersPerProject, maxListeners = 5, 500
	// listenMemory bounds the events that are on their way to listeners.
	listenMemory = 64 << 20
	// eventEnd is the last event of a stream that does not end with its listener. It
	// is named like no event of a project.
	eventEnd = "listen.end"

	headerLastEventID = "Last-Event-ID"
	mimeEventStream   = "text/event-stream"
	routeListen       = "/api/projects/:pid/webhooks/listen"
)

// Listening is what a listener gets; zero is the usual.
type Listening struct {
	// Heartbeat is how often a listener hears that the connection is good: 15 s.
	Heartbeat time.Duration
	// Check is how soon it is noticed that somebody may not listen any more, besides
	// the time for which the identity service's answers are remembered: 5 s.
	Check time.Duration
	// Write is how long a listener may take for one event: 30 s, which is 8 MiB at
	// 2 MBit/s.
	Write time.Duration
}

func (l Listening) orUsual() Listening {
	return Listening{
		Heartbeat: cmp.Or(l.Heartbeat, 15*time.Second), Check: cmp.Or(l.Check, 5*time.Second), Write: cmp.Or(l.Write, 30*time.Second),
	}
}

// follower hands out events as they are stored. See [eventlog.Log].
type follower interface {
	Last(ctx context.Context) (uint64, error)
	Follow(ctx context.Context, q eventlog.Query, visit func(eventlog.Event) error) error
}

// listeners counts who listens. It is safe for concurrent use.
type listeners struct {
	memory *semaphore.Weighted
	// drained is closed when the api stops.
	drained chan struct{}

	mu  sync.Mutex
	all int
	of  map[string]int
}

func newListeners() *listeners {
	return &listeners{memory: semaphore.NewWeighted(listenMemory), drained: make(chan struct{}), of: map[string]int{}}
}

// enter takes a place, which leave gives back.
func (l *listeners) enter(project string) (leave func(), _ error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.of[project] >= maxListenersPerProject:
		p := answer(http.StatusTooManyRequests, fmt.Sprintf(
			"%d programs listen to this project, which is the most at once. Stop one of them first.", maxListenersPerProject))
		p.retryAfter = retrySoon
		return nil, p
	case l.all >= maxListeners:
		return nil, away("Too many programs listen at the moment. Try again later.")
	}
	l.all++
	l.of[project]++
	return sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.all--
		if l.of[project]--; l.of[project] == 0 {
			delete(l.of, project)
		}
	}), nil
}

// listen sends the project's events as they would be delivered, as server-sent
// events, until the caller goes away or may not listen any more. It needs what a
// webhook needs: whoever may not have one gets no events in this way either.
func (s *server) listen(c echo.Context, grant access.Grant) error {
	ctx := c.Request().Context()
	query, err := listenQuery(c)
	if err != nil {
		return err
	}
	query.ProjectID = grant.Project.ID
	if !event.ValidID(query.ProjectID) { // whoever let that in: it selects events
		return access.ErrProject
	}
	leave, err := s.listeners.enter(grant.Project.ID)
	if err != nil {
		return err
	}
	defer leave()
	s.Metrics.listeners.Inc()
	defer s.Metrics.listeners.Dec()
	last, err := s.Follower.Last(ctx)
	if err != nil {
		return queueProblem("listen", err)
	}
	if query.After > last || query.After == 0 && query.Since.IsZero() {
		query.After = last // of a stream that was made again; or from now on
	}
	header := c.Response().Header()
	header.Set(echo.HeaderContentType, mimeEventStream)
	header.Set("X-Accel-Buffering", "no") // nginx would keep events back
	if methodOf(c.Request()) == http.MethodHead {
		return c.NoContent(http.StatusOK)
	}
	stream := &eventStream{response: c.Response(), control: http.NewResponseController(c.Response()), timeout: s.Listening.Write}
	if err := stream.begin(query.After); err != nil {
		return nil // the caller is gone
	}
	return s.serveListener(ctx, c, stream, query)
}

// serveListener sends events until something ends it, and tells the listener what
// that was. The request has been answered, so nothing is returned.
func (s *server) serveListener(ctx context.Context, c echo.Context, stream *eventStream, query eventlog.Query) error {
	token, _ := c.Get(keyToken).(string) // it was let in
	parts, ctx := errgroup.WithContext(ctx)
	found := make(chan eventlog.Event)
	parts.Go(func() error {
		err := s.Follower.Follow(ctx, query, func(e eventlog.Event) error {
			select {
			case found <- e:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		})
		return queueProblem("listen", err)
	})
	parts.Go(func() error { return s.stillAllowed(ctx, token, query.ProjectID) })
	parts.Go(func() error { return s.forward(ctx, stream, query.ProjectID, found) })
	err := parts.Wait()
	if c.Request().Context().Err() == nil && !errors.Is(err, errListenerGone) {
		c.Set(keyError, err)
		stream.end(s.problemFrom(err))
	}
	return nil
}

// stillAllowed returns why somebody may not listen any more.
func (s *server) stillAllowed(ctx context.Context, token, project string) error {
	ticker := time.NewTicker(s.Listening.Check)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-s.listeners.drained:
			return away("This server is being restarted. Connect again: nothing is missed.")
		case <-ticker.C:
			if _, err := s.Access.Authorize(ctx, token, project, access.Change); err != nil {
				return fmt.Errorf("authorize: %w", err)
			}
		}
	}
}

// forward writes each event that is found, and heartbeats in between.
func (s *server) forward(ctx context.Context, stream *eventStream, project string, found <-chan eventlog.Event) error {
	heartbeat := time.NewTicker(s.Listening.Heartbeat)
	defer heartbeat.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-heartbeat.C:
			err = stream.write([]byte(": heartbeat\n\n"))
		case e := <-found:
			err = s.sendEvent(ctx, stream, project, e)
			heartbeat.Reset(s.Listening.Heartbeat)
		}
		if err != nil {
			return err
		}
	}
}

// sendEvent writes an event as it would be delivered. One that is gone by now, or
// that nobody can read, is left out, as it is from deliveries.
func (s *server) sendEvent(ctx context.Context, stream *eventStream, project string, found eventlog.Event) error {
	size := min(max(found.Bytes, 1)*bodyFactor, listenMemory)
	if err := s.listeners.memory.Acquire(ctx, size); err != nil {
		return context.Cause(ctx) //nolint:wrapcheck // what ended the stream
	}
	defer s.listeners.memory.Release(size)
	msg, err := s.Events.Event(ctx, project, found.Sequence)
	if errors.Is(err, topology.ErrEventGone) {
		return nil
	}
	if err != nil {
		return queueProblem("listen", err)
	}
	e, err := event.Decode(msg.Header.Get("Content-Type"), msg.Data)
	if err != nil || event.Validate(e) != nil ||
		topology.PublishedSubject(msg.Subject) != topology.SubjectEvent(project, e.GetType()) || e.GetProject().GetId() != project {
		return nil // it was rejected
	}
	if id := msg.Header.Get(nats.MsgIdHdr); id != "" && id != e.GetId() {
		return nil
	}
	sent := http.Header{}
	webhook.Attempt{EventType: e.GetType(), DeliveryID: webhook.DeliveryID(e.GetId(), "listen"), Number: 1}.SetHeaders(sent)
	one := listened{Headers: make(map[string]string, len(sent)), Body: string(s.Renderer.Append(nil, e))}
	for name := range sent {
		one.Headers[name] = sent.Get(name)
	}
	return stream.event(strconv.FormatUint(found.Sequence, 10), e.GetType(), one)
}

// listened is an event as it would be delivered, unsigned.
type listened struct {
	Headers map[string]string `json:"headers"`
	// Body is the exact bytes of the body, which are ASCII.
	Body string `json:"body"`
}

// listenQuery reads which events are asked for.
func listenQuery(c echo.Context) (q eventlog.Query, _ error) {
	var faults registration.Faults
	if text := c.QueryParam("events"); text != "" {
		list, err := registration.Events(strings.Split(text, ","))
		faults.Add(err)
		q.Types = list
	}
	if c.QueryParams().Has("since") {
		since, err := parseTime(c.QueryParam("since"))
		switch {
		case err != nil:
			faults.Add(missing("since", "since must be a time with its zone, such as 2026-01-20T12:00:00Z."))
		case since.After(time.Now()):
			faults.Add(missing("since", "since lies in the future."))
		}
		q.Since = since
	}
	if text := c.Request().Header.Get(headerLastEventID); text != "" {
		after, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			faults.Add(missing(headerLastEventID, headerLastEventID+" must be the id of an event of this stream."))
		}
		q.After = after
	}
	return q, faults.Err()
}

// errListenerGone says that nobody reads any more, or too slowly.
var errListenerGone = errors.New("the listener does not read")

// eventStream writes server-sent events. Only one goroutine uses it at a time.
type eventStream struct {
	response *echo.Response
	control  *http.ResponseController
	// timeout is for each write.
	timeout time.Duration
}

// begin answers the request. The id says where to go on before an event has come.
func (e *eventStream) begin(last uint64) error {
	// The limits of the server are for requests that end.
	if err := e.control.SetReadDeadline(time.Time{}); err != nil {
		return fmt.Errorf("let the listener wait: %w", err)
	}
	e.response.WriteHeader(http.StatusOK)
	if last == 0 {
		return e.write([]byte("retry: 2000\n\n"))
	}
	return e.write(fmt.Appendf(nil, "retry: 2000\nid: %d\n\n", last))
}

func (e *eventStream) event(id, name string, data any) error {
	var out bytes.Buffer
	if id != "" {
		out.WriteString("id: " + id + "\n")
	}
	out.WriteString("event: " + name + "\ndata: ")
	encoder := json.NewEncoder(&out) // one line, with a line break behind it
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(data); err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	out.WriteString("\n")
	return e.write(out.Bytes())
}

// end says why there is no more. Whoever is gone does not need to know.
func (e *eventStream) end(p *problem) { _ = e.event("", eventEnd, p) }

func (e *eventStream) write(data []byte) error {
	if err := e.control.SetWriteDeadline(time.Now().Add(e.timeout)); err != nil {
		return fmt.Errorf("%w: %w", errListenerGone, err)
	}
	if _, err := e.response.Write(data); err != nil {
		return fmt.Errorf("%w: %w", errListenerGone, err)
	}
	if err := e.control.Flush(); err != nil {
		return fmt.Errorf("%w: %w", errListenerGone, err)
	}
	return nil
}
