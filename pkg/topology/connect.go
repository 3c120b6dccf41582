package topology

import (
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"
)

// Connection says how a service reaches NATS.
type Connection struct {
	// URL is one server or several, separated by commas.
	URL string
	// CredentialsFile is a NATS .creds file; empty when the server asks for none.
	CredentialsFile string
	// Name is shown by the server beside the connection.
	Name string
}

// Connect opens a connection that outlives any outage of the servers: it returns
// even when none can be reached yet, and reconnects for ever. It fails only on
// settings that can never work. Whoever calls it closes the connection.
func Connect(c Connection, log *zap.Logger) (*nats.Conn, error) {
	options := []nats.Option{
		nats.Name(c.Name),
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(250 * time.Millisecond),
		nats.ReconnectJitter(250*time.Millisecond, time.Second),
		nats.Timeout(5 * time.Second),
		nats.PingInterval(10 * time.Second),
		nats.MaxPingsOutstanding(3),
		// What is published while disconnected fails at once instead of being
		// kept in memory: every publish here waits for JetStream and retries.
		nats.ReconnectBufSize(-1),
		nats.DisconnectErrHandler(func(nc *nats.Conn, err error) {
			if !nc.IsClosed() { // by its owner
				log.Warn("nats disconnected", zap.Error(err))
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			log.Info("nats connected again", zap.String("server", nc.ConnectedUrlRedacted()))
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			log.Warn("nats reported an error", zap.Error(err))
		}),
	}
	if c.CredentialsFile != "" {
		options = append(options, nats.UserCredentials(c.CredentialsFile))
	}
	nc, err := nats.Connect(c.URL, options...)
	if err != nil {
		return nil, fmt.Errorf("connect to nats: %w", err)
	}
	return nc, nil
}
