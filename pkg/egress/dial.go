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
	"syscall"
	"time"
	"unicode"

	"golang.org/x/net/idna"

	"github.com/dembrane/webhooks/proto/webhooksv1"
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
}

func (e *dialError) Error() string { return "dial: " + e.err.Error() }
func (e *dialError) Unwrap() error { return e.err }

// dialer makes connections for attempts. Every stage has a limit of its own,
// beside the attempt's.
type dialer struct {
	connect    func(ctx context.Context, network, address string) (net.Conn, error)
	limit      time.Duration // of looking up and connecting
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
		Resolver: &net.Resolver{PreferGo: true, StrictErrors: o.Resolver.StrictErrors, Dial: o.Resolver.Dial},
		Control:  o.Policy.control,
	}).DialContext
	d.stopped, d.stop = context.WithCancel(context.Background())
	return d
}

// begin returns the attempt that a dial is for, and a context that ends when the attempt does or the client is closed.
func (d *dialer) begin(ctx context.Context) (a *attempt, until context.Context, end func()) {
	a, _ = ctx.Value(attemptKey{}).(*attempt)
	until, cancel := context.WithCancel(ctx)
	forget := context.AfterFunc(d.stopped, cancel)
	return a, until, func() {
		forget()
		cancel()
	}
}

// dial makes a connection to a host and port.
func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	a, ctx, end := d.begin(ctx)
	defer end()
	return d.reach(ctx, a, network, address)
}

// dialTLS makes a connection over which one of the protocols is spoken.
func (d *dialer) dialTLS(ctx context.Context, network, address string, protocols ...string) (*tls.Conn, error) {
	a, ctx, end := d.begin(ctx)
	defer end()
	conn, err := d.reach(ctx, a, network, address)
	if err != nil {
		return nil, err
	}
	secured, err := d.handshake(ctx, a, conn, address, protocols)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return secured, nil
}

// reach looks up and connects. A name is looked up as it is written: a trailing dot keeps it from being tried under
// the system's search domains, where somebody else may answer for it.
func (d *dialer) reach(ctx context.Context, a *attempt, network, address string) (net.Conn, error) {
	name, port, err := split(address)
	if err != nil {
		return nil, &dialError{err: err}
	}
	if _, err := netip.ParseAddr(name); err != nil && !strings.HasSuffix(name, ".") {
		name += "."
	}
	a.enter(webhooksv1.Phase_PHASE_CONNECT)
	conn, err := d.connect(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		DNSStart: func(httptrace.DNSStartInfo) { a.enter(webhooksv1.Phase_PHASE_DNS) },
		DNSDone:  func(httptrace.DNSDoneInfo) { a.enter(webhooksv1.Phase_PHASE_CONNECT) },
	}), network, net.JoinHostPort(name, port))
	if err != nil {
		failed := &dialError{err: err, ours: lacking(err)}
		if late, ok := errors.AsType[net.Error](err); ok && late.Timeout() {
			failed.limit = d.limit
		}
		if _, ok := errors.AsType[*net.DNSError](err); ok {
			a.enter(webhooksv1.Phase_PHASE_DNS)
		}
		return nil, failed
	}
	a.enter(webhooksv1.Phase_PHASE_WAIT)
	return conn, nil
}

func (d *dialer) handshake(ctx context.Context, a *attempt, conn net.Conn, address string, protocols []string) (*tls.Conn, error) {
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
	a.enter(webhooksv1.Phase_PHASE_TLS)
	secured := tls.Client(conn, config)
	if failed.err = secured.HandshakeContext(ctx); failed.err != nil {
		failed.ours = lacking(failed.err)
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			failed.limit = d.tlsTimeout
		}
		return nil, failed
	}
	a.enter(webhooksv1.Phase_PHASE_WAIT)
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

// lacking reports whether we ran out of what connections are made of, or have no network. ENETUNREACH and EHOSTUNREACH
// are not taken for that: routers on the way to a receiver can bring them about, and whoever registers an address must
// not be able to make us believe that nobody can be reached.
func lacking(err error) bool {
	dns, _ := errors.AsType[*net.DNSError](err)
	for _, lack := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ENETDOWN} {
		// Of why a name server could not be asked, only the text is passed on.
		if errors.Is(err, lack) || (dns != nil && strings.HasSuffix(dns.Err, lack.Error())) {
			return true
		}
	}
	// All ports are in use, or, for IPv6, this machine has no address.
	return errors.Is(err, syscall.EADDRNOTAVAIL) && !withoutIPv6(err)
}

// withoutIPv6 reports whether a connection failed because this machine cannot send to the IPv6 address. Nothing is sent
// to find out: to connect over UDP is only to look up a route and an address of ours, and its ports are not TCP's.
func withoutIPv6(err error) bool {
	failed, ok := errors.AsType[*net.OpError](err)
	if !ok || !unrouted(err) {
		return false
	}
	to, ok := failed.Addr.(*net.TCPAddr)
	if !ok || to.IP.To4() != nil {
		return false
	}
	conn, err := net.DialUDP("udp6", nil, &net.UDPAddr{IP: to.IP, Port: to.Port, Zone: to.Zone})
	if err == nil {
		_ = conn.Close()
	}
	return unrouted(err)
}

func unrouted(err error) bool {
	return errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EAFNOSUPPORT)
}
