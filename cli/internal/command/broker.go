package command

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dembrane/webhooks/cli/internal/config"
)

// brokerTimeout bounds connecting, and each question.
const brokerTimeout = 5 * time.Second

// errBroker says that NATS does not answer.
var errBroker = errors.New("NATS cannot be reached")

// broker connects to NATS. Whoever calls it closes the connection.
func (p *program) broker() (*nats.Conn, jetstream.JetStream, error) {
	s, err := p.settings()
	if err != nil {
		return nil, nil, err
	}
	nc, err := connect(s)
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return nil, nil, fmt.Errorf("open JetStream: %w", err)
	}
	return nc, js, nil
}

func connect(s config.Settings) (*nats.Conn, error) {
	options := []nats.Option{nats.Name("dembrane-webhooks"), nats.Timeout(brokerTimeout), nats.MaxReconnects(-1)}
	if s.NATSCreds != "" {
		options = append(options, nats.UserCredentials(s.NATSCreds))
	}
	nc, err := nats.Connect(s.NATS, options...)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBroker, err)
	}
	return nc, nil
}

// asking bounds a question to NATS.
func asking(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, brokerTimeout, fmt.Errorf("%w: no answer within %s", errBroker, brokerTimeout))
}
