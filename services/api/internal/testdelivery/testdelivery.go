// Package testdelivery asks a dispatcher for one test delivery and waits for it.
package testdelivery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"google.golang.org/protobuf/proto"

	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// Faults of our side. What the receiver did is never one of them.
var (
	// ErrNoDispatcher: none is running, or NATS is away.
	ErrNoDispatcher = errors.New("no dispatcher")
	// ErrTimeout: it took the request and did not answer in time.
	ErrTimeout = errors.New("dispatcher did not answer in time")
	// ErrRefused: it could not make the attempt.
	ErrRefused = errors.New("dispatcher refused")
)

// codePaused is the code with which a dispatcher says until when the receiver has
// asked to be left alone.
const codePaused = "429"

// PausedError says that no attempt was made, because the receiver has asked to be
// left alone until a time.
type PausedError struct{ Until time.Time }

func (e *PausedError) Error() string {
	return "the receiver asked for a pause until " + e.Until.UTC().Format(time.RFC3339)
}

// Client asks over one connection.
type Client struct {
	nc      *nats.Conn
	timeout time.Duration
}

// New makes a client. The timeout must be above the longest attempt.
func New(nc *nats.Conn, timeout time.Duration) *Client { return &Client{nc: nc, timeout: timeout} }

// Send makes one test delivery, whatever becomes of it. It returns a [PausedError]
// when there may be none now.
func (c *Client) Send(ctx context.Context, request *webhooksv1.TestRequest) (*webhooksv1.Attempt, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, ErrTimeout)
	defer cancel()
	data, err := proto.Marshal(request)
	if err != nil {
		return nil, fmt.Errorf("encode test request: %w", err)
	}
	answer, err := c.nc.RequestWithContext(ctx, topology.SubjectTest, data)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return nil, fmt.Errorf("ask dispatcher: %w", ErrTimeout)
	case err != nil:
		return nil, fmt.Errorf("ask dispatcher: %w: %w", ErrNoDispatcher, err)
	}
	code := answer.Header.Get(micro.ErrorCodeHeader)
	if until, err := time.Parse(time.RFC3339, answer.Header.Get(micro.ErrorHeader)); code == codePaused && err == nil {
		return nil, &PausedError{Until: until}
	}
	if code != "" {
		return nil, fmt.Errorf("%w: %s %s", ErrRefused, code, answer.Header.Get(micro.ErrorHeader))
	}
	reply := &webhooksv1.TestReply{}
	if err := proto.Unmarshal(answer.Data, reply); err != nil || reply.GetAttempt() == nil {
		return nil, fmt.Errorf("%w: its reply cannot be read", ErrRefused)
	}
	return reply.GetAttempt(), nil
}
