package egress

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"
)

// stage is how far a connection got before it failed.
type stage int

const (
	stageConnect stage = iota // looking up the name and connecting
	stageTLS
)

// dialError is why there is no connection.
type dialError struct {
	stage stage
	// limit is the stage's own time limit, when that is what ended it.
	limit time.Duration
	err   error
}

func (e *dialError) Error() string { return "dial: " + e.err.Error() }
func (e *dialError) Unwrap() error { return e.err }

// dialer makes connections. Every stage has a limit of its own, beside the
// attempt's: HTTP/2's transport does not end a dial with the request that asked
// for it, because another request may use the connection.
type dialer struct {
	dial       func(ctx context.Context, network, address string) (net.Conn, error)
	limit      time.Duration // of looking up and connecting
	tls        *tls.Config
	tlsTimeout time.Duration
	//nolint:containedctx // the dials' common end: none of them may outlive Close
	stopped context.Context
	stop    context.CancelFunc
}

func newDialer(o Options) *dialer {
	d := &dialer{
		dial: (&net.Dialer{
			Timeout:  o.ConnectTimeout,
			Resolver: o.Resolver,
			Control:  o.Policy.control,
		}).DialContext,
		limit: o.ConnectTimeout,
		tls: &tls.Config{
			MinVersion: tls.VersionTLS12,
			RootCAs:    o.RootCAs,
			NextProtos: []string{"h2", "http/1.1"},
			// Spares receivers and us the expensive half of most handshakes.
			ClientSessionCache: tls.NewLRUClientSessionCache(o.MaxIdleConns),
		},
		tlsTimeout: o.TLSTimeout,
	}
	d.stopped, d.stop = context.WithCancel(context.Background())
	return d
}

// onStop ends a dial when the client is closed; what it returns undoes that.
func (d *dialer) onStop(cancel context.CancelFunc) (forget func() bool) {
	return context.AfterFunc(d.stopped, cancel)
}

// dialTLS connects and agrees on TLS. It returns what is spoken over it, and the
// socket below.
func (d *dialer) dialTLS(ctx context.Context, network, address string) (secured *tls.Conn, socket net.Conn, err error) {
	socket, err = d.connect(ctx, network, address)
	if err != nil {
		return nil, nil, err
	}
	secured, err = d.handshake(ctx, socket, address)
	if err != nil {
		_ = socket.Close()
		return nil, nil, err
	}
	return secured, socket, nil
}

func (d *dialer) connect(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	forget := d.onStop(cancel)
	defer forget()
	conn, err := d.dial(ctx, network, address)
	if err != nil {
		failed := &dialError{stage: stageConnect, err: err}
		if late, ok := errors.AsType[net.Error](err); ok && late.Timeout() {
			failed.limit = d.limit
		}
		return nil, failed
	}
	return conn, nil
}

func (d *dialer) handshake(ctx context.Context, conn net.Conn, address string) (*tls.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, &dialError{stage: stageTLS, err: err}
	}
	config := d.tls.Clone()
	config.ServerName = host
	ctx, cancel := context.WithTimeout(ctx, d.tlsTimeout)
	defer cancel()
	forget := d.onStop(cancel)
	defer forget()
	secured := tls.Client(conn, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		failed := &dialError{stage: stageTLS, err: err}
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			failed.limit = d.tlsTimeout
		}
		return nil, failed
	}
	return secured, nil
}
