package topology

import (
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"
)

// ErrConnectionLost says that the NATS client has given up for good.
var ErrConnectionLost = errors.New("the connection to NATS is closed for good")

// Connection says how a service reaches NATS.
type Connection struct {
	// URL is one server or several, separated by commas.
	URL string
	// CredentialsFile is a NATS .creds file; empty when the server asks for none.
	CredentialsFile string
	// Name is shown by the server beside the connection.
	Name string
	// Lost is called once, with an [ErrConnectionLost], when the connection is
	// closed by anything but its owner. Nothing mends it, so the process has to end.
	// It may be nil.
	Lost func(error)
}

// Connect opens a connection that outlives any outage of the servers: it returns
// even when none can be reached yet, and reconnects for ever, also after refused
// credentials and failed TLS handshakes. What the client gives up for good all the
// same is an error of the protocol that the server reports, such as a subject that
// is too long: [Connection.Lost] tells of it. Connect fails only on settings that
// can never work. Whoever calls it closes the connection.
func Connect(c Connection, log *zap.Logger) (*nats.Conn, error) {
	options := []nats.Option{
		nats.Name(c.Name),
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		// Without it, the client gives up when a server refuses the same credentials
		// twice, though they may be refused for a moment only.
		nats.IgnoreAuthErrorAbort(),
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
		nats.ConnectHandler(func(nc *nats.Conn) { look(nc, log) }),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			log.Info("nats connected again", zap.String("server", nc.ConnectedUrlRedacted()))
			look(nc, log)
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			log.Warn("nats reported an error", zap.Error(err))
		}),
		// So that the handler below is not called when the owner closes it.
		nats.NoCallbacksAfterClientClose(),
		nats.ClosedHandler(func(nc *nats.Conn) {
			err := ErrConnectionLost
			if cause := nc.LastError(); cause != nil {
				err = fmt.Errorf("%w: %w", ErrConnectionLost, cause)
			}
			log.Error("nats connection lost for good", zap.Error(err))
			if c.Lost != nil {
				c.Lost(err)
			}
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

// look says what is wrong with the server that was reached.
func look(nc *nats.Conn, log *zap.Logger) {
	if nc.MaxPayload() < MaxEventBytes+HeaderAllowance {
		log.Warn("the NATS server takes smaller messages than the largest events; set its max_payload",
			zap.Int64("max_payload", nc.MaxPayload()), zap.Int64("needed", MaxEventBytes+HeaderAllowance))
	}
	if err := CheckVersion(nc.ConnectedServerVersion()); err != nil && nc.IsConnected() {
		log.Error("the NATS server cannot be used", zap.Error(err))
	}
}

// Connected returns nil while a server is reached, and else why not.
func Connected(nc *nats.Conn) error {
	switch {
	case nc.IsConnected():
		return nil
	case nc.LastError() != nil:
		return fmt.Errorf("not connected: %w", nc.LastError())
	}
	return errors.New("not connected")
}
