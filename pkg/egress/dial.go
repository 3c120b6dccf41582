package egress

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unicode"

	"golang.org/x/net/idna"
)

// dialError is why there is no connection.
type dialError struct {
	err error
	// tls says that it was TLS that could not be agreed on.
	tls bool
	// limit is the stage's own time limit, when that is what ended it.
	limit time.Duration
	// ours says that we lacked something.
	ours bool
	// wanted says that the receiver asked for a certificate.
	wanted bool
	// version is the version of TLS that the receiver chose, or 0.
	version uint16
}

func (e *dialError) Error() string { return "dial: " + e.err.Error() }
func (e *dialError) Unwrap() error { return e.err }

// dialer makes connections. Every stage has a limit of its own, beside the
// attempt's: HTTP/2's transport does not end a dial with the request that asked
// for it, because another request may use the connection.
type dialer struct {
	connect    func(ctx context.Context, network, address string) (net.Conn, error)
	limit      time.Duration // of looking up and connecting
	lacked     atomic.Int64  // when a look-up last lacked something, in Unix nanoseconds
	tls        *tls.Config
	tlsTimeout time.Duration
	//nolint:containedctx // the dials' common end: none of them may outlive Close
	stopped context.Context
	stop    context.CancelFunc
}

func newDialer(o Options) *dialer {
	d := &dialer{
		limit: o.ConnectTimeout,
		tls: &tls.Config{
			MinVersion: tls.VersionTLS12,
			RootCAs:    o.RootCAs,
			// Spares receivers and us the expensive half of most handshakes.
			ClientSessionCache: tls.NewLRUClientSessionCache(o.MaxIdleConns),
		},
		tlsTimeout: o.TLSTimeout,
	}
	d.connect = (&net.Dialer{
		Timeout:  o.ConnectTimeout,
		Resolver: d.resolver(o.Resolver),
		Control:  o.Policy.control,
	}).DialContext
	d.stopped, d.stop = context.WithCancel(context.Background())
	return d
}

// resolver is the given one, which it remembers when it lacked something: a look-up does not tell.
func (d *dialer) resolver(given *net.Resolver) *net.Resolver {
	dial := given.Dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	return &net.Resolver{PreferGo: true, StrictErrors: given.StrictErrors, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if lacking(err) {
			d.lacked.Store(time.Now().UnixNano())
		}
		return conn, err
	}}
}

// onStop ends a dial when the client is closed; what it returns undoes that.
func (d *dialer) onStop(cancel context.CancelFunc) (forget func() bool) {
	return context.AfterFunc(d.stopped, cancel)
}

// dial makes a connection to a host and port. A name is looked up as it is written: a trailing dot keeps it from
// being tried under the system's search domains, where somebody else may answer for it.
func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	name, port, err := split(address)
	if err != nil {
		return nil, &dialError{err: err}
	}
	if _, err := netip.ParseAddr(name); err != nil && !strings.HasSuffix(name, ".") {
		name += "."
	}
	a, begun := attemptOf(ctx), time.Now()
	a.enter(PhaseConnect)
	ctx, cancel := context.WithCancel(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		DNSStart: func(httptrace.DNSStartInfo) { a.enter(PhaseDNS) },
		DNSDone:  func(httptrace.DNSDoneInfo) { a.enter(PhaseConnect) },
	}))
	defer cancel()
	forget := d.onStop(cancel)
	defer forget()
	conn, err := d.connect(ctx, network, net.JoinHostPort(name, port))
	if err != nil {
		failed := &dialError{err: err, ours: lacking(err)}
		if late, ok := errors.AsType[net.Error](err); ok && late.Timeout() {
			failed.limit = d.limit
		}
		if dns, ok := errors.AsType[*net.DNSError](err); ok {
			failed.ours = !dns.IsNotFound && d.lacked.Load() >= begun.UnixNano()
			a.enter(PhaseDNS)
		}
		return nil, failed
	}
	a.enter(PhaseWait)
	return conn, nil
}

// dialTLS makes a connection over which one of the protocols is spoken.
func (d *dialer) dialTLS(ctx context.Context, network, address string, protocols ...string) (*tls.Conn, error) {
	conn, err := d.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	s := &socket{Conn: conn}
	secured, err := d.handshake(ctx, s, address, protocols)
	if err != nil {
		_ = s.Close()
		return nil, err
	}
	return secured, nil
}

func (d *dialer) handshake(ctx context.Context, s *socket, address string, protocols []string) (*tls.Conn, error) {
	name, _, err := split(address)
	if err != nil {
		return nil, &dialError{tls: true, err: err}
	}
	failed := &dialError{tls: true}
	config := d.tls.Clone()
	config.ServerName = strings.TrimSuffix(name, ".")
	config.NextProtos = protocols
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		failed.wanted = true
		return &tls.Certificate{}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, d.tlsTimeout)
	defer cancel()
	forget := d.onStop(cancel)
	defer forget()
	a := attemptOf(ctx)
	a.enter(PhaseTLS)
	secured := tls.Client(s, config)
	if failed.err = secured.HandshakeContext(ctx); failed.err != nil {
		failed.ours, failed.version = lacking(failed.err), s.chosenVersion()
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			failed.limit = d.tlsTimeout
		}
		return nil, failed
	}
	a.enter(PhaseWait)
	return secured, nil
}

// address is what to dial for a host.
func address(h host) string {
	u := url.URL{Host: h.name}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[h.scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// split takes an address apart: its host, in the form that name servers know, and its port.
func split(address string) (name, port string, err error) {
	name, port, err = net.SplitHostPort(address)
	if err != nil {
		return "", "", err
	}
	if strings.ContainsFunc(name, func(r rune) bool { return r > unicode.MaxASCII }) {
		if encoded, err := idna.Lookup.ToASCII(name); err == nil {
			name = encoded
		} // else the look-up fails, which is reported
	}
	return name, port, nil
}

// lacking reports whether we ran out of what connections are made of.
func lacking(err error) bool {
	for _, lack := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, lack) {
			return true
		}
	}
	if !errors.Is(err, syscall.EADDRNOTAVAIL) {
		return false
	}
	// To IPv4, all ports are in use. To IPv6 it is what a machine without IPv6 says.
	failed, ok := errors.AsType[*net.OpError](err)
	if !ok {
		return true
	}
	to, ok := failed.Addr.(*net.TCPAddr)
	return !ok || to.IP.To4() != nil
}

// socket is what TLS is spoken over. It remembers what crypto/tls does not tell.
type socket struct {
	net.Conn

	first [11]byte // the beginning of what has come: a record's header and that of a ServerHello
	came  int      // how much of it
}

// NetConn returns what it wraps.
func (s *socket) NetConn() net.Conn { return s.Conn }

func (s *socket) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	if s.came < len(s.first) {
		s.came += copy(s.first[s.came:], p[:n])
	}
	return n, err
}

// chosenVersion is the version in the receiver's ServerHello, or 0.
func (s *socket) chosenVersion() uint16 {
	const handshake, serverHello = 22, 2
	if s.came < len(s.first) || s.first[0] != handshake || s.first[5] != serverHello {
		return 0
	}
	return uint16(s.first[9])<<8 | uint16(s.first[10])
}
