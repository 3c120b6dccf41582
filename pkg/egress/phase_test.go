package egress

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/proto/webhooksv1"
)

func TestTimingSaysWhereTheTimeWent(t *testing.T) {
	t.Parallel()
	const slow = 60 * time.Millisecond
	ca := newAuthority(t)
	config := &tls.Config{Certificates: []tls.Certificate{ca.sign(t, nil)}}
	plain := rawServer(t, func(_ int, conn net.Conn) {
		<-time.After(slow)
		secured := tls.Server(conn, config)
		for r := bufio.NewReader(secured); readRequest(r); {
			<-time.After(slow)
			_, _ = io.WriteString(secured, ok)
		}
	})
	client := newClient(t, Options{RootCAs: ca.pool(), Resolver: nameServer(t, func(string, int) []string {
		time.Sleep(slow / 2) //nolint:forbidigo // a name server that is slow
		return []string{"127.0.0.1"}
	})})
	config.Certificates[0] = ca.sign(t, func(c *x509.Certificate) { c.DNSNames = []string{"receiver.example"} })
	target := strings.Replace(withHost(t, plain, "receiver.example"), "http:", "https:", 1)

	first := post(t, client, target)
	wantStatus(t, http.StatusOK, first)
	assert.GreaterOrEqual(t, first.Timing.DNS, slow/2)
	assert.Positive(t, first.Timing.Connect)
	assert.GreaterOrEqual(t, first.Timing.TLS, slow)
	assert.GreaterOrEqual(t, first.Timing.Wait, slow)
	assert.Equal(t, webhooksv1.Phase_PHASE_UNSPECIFIED, first.Timing.Ended)

	befriend(t, client, target)
	third := post(t, client, target)
	wantStatus(t, http.StatusOK, third)
	assert.Zero(t, third.Timing.DNS+third.Timing.Connect+third.Timing.TLS, "the connection was kept")
	assert.GreaterOrEqual(t, third.Timing.Wait, slow)
}

func TestTimeoutsSayInWhichPhase(t *testing.T) {
	t.Parallel()
	silent := func(_ int, conn net.Conn) { untilClosed(conn) }
	deaf := func(_ int, conn net.Conn) {
		_, _ = bufio.NewReaderSize(conn, 16).Peek(16)
		<-t.Context().Done()
	}
	socket := listenPacket(t)
	resolver := nameServer(t, func(string, int) []string { return nil })
	resolver.Dial = dialTo(t, socket.LocalAddr().String())
	for name, test := range map[string]struct {
		target string
		size   int
		phase  webhooksv1.Phase
		detail string
	}{
		"dns":  {"http://receiver.example/", 2, webhooksv1.Phase_PHASE_DNS, "looked up"},
		"tls":  {strings.Replace(rawServer(t, silent), "http:", "https:", 1), 2, webhooksv1.Phase_PHASE_TLS, "TLS handshake"},
		"send": {rawServer(t, deaf), 32 << 20, webhooksv1.Phase_PHASE_SEND, "take the whole request"},
		"wait": {rawServer(t, silent), 2, webhooksv1.Phase_PHASE_WAIT, "did not answer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := newClient(t, Options{AttemptTimeout: short, Resolver: resolver})
			result := client.Post(t.Context(), Call{URL: parse(t, test.target), Body: make([]byte, test.size)})
			wantReason(t, webhooksv1.Reason_REASON_TIMEOUT, result)
			assert.Equal(t, test.phase, result.Timing.Ended)
			wantNothingAfter(t, test.phase, result.Timing)
			assert.Equal(t, name, test.phase.Label())
			assert.Contains(t, result.Detail, test.detail)
			assert.Contains(t, result.Detail, "within "+short.String())
		})
	}
	t.Run("connect", func(t *testing.T) {
		t.Parallel()
		client := newClient(t, Options{AttemptTimeout: short})
		client.dialer.connect = func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}
		}
		result := post(t, client, "http://127.0.0.1:9/")
		wantReason(t, webhooksv1.Reason_REASON_TIMEOUT, result)
		assert.Equal(t, webhooksv1.Phase_PHASE_CONNECT, result.Timing.Ended)
		wantNothingAfter(t, webhooksv1.Phase_PHASE_CONNECT, result.Timing)
	})
}

// wantNothingAfter checks that no time is given to phases that did not take place.
func wantNothingAfter(t *testing.T, last webhooksv1.Phase, timing Timing) {
	t.Helper()
	for phase, spent := range map[webhooksv1.Phase]time.Duration{
		webhooksv1.Phase_PHASE_CONNECT: timing.Connect, webhooksv1.Phase_PHASE_TLS: timing.TLS, webhooksv1.Phase_PHASE_SEND: timing.Wait,
	} {
		if last < phase {
			assert.Zero(t, spent, phase)
		}
	}
}

func wantOurs(tb testing.TB, got Result) {
	tb.Helper()
	wantReason(tb, webhooksv1.Reason_REASON_INTERNAL, got)
	assert.True(tb, got.Ours)
}

func wantIPv6Only(tb testing.TB, got Result) {
	tb.Helper()
	wantReason(tb, webhooksv1.Reason_REASON_CONNECT, got)
	assert.False(tb, got.Ours)
	assert.Equal(tb, webhooksv1.Cause_CAUSE_IPV6_ONLY, got.Cause)
}

// reachable reports whether this machine has a route and an address of its own for an IPv6 address.
func reachable(address string) bool {
	conn, err := net.DialUDP("udp6", nil, &net.UDPAddr{IP: net.ParseIP(address), Port: 9})
	return err == nil && conn.Close() == nil
}

func TestCase44_WhatWeLackIsOurFault(t *testing.T) {
	t.Parallel()
	for _, lack := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ENETDOWN, syscall.EADDRNOTAVAIL} {
		t.Run(lack.Error(), func(t *testing.T) {
			t.Parallel()
			client := newClient(t, Options{Policy: NewPolicy(nil)})
			connect := client.dialer.connect
			client.dialer.connect = func(ctx context.Context, network, address string) (net.Conn, error) {
				addr, err := net.ResolveTCPAddr("tcp", address)
				if err != nil {
					return connect(ctx, network, address)
				}
				return nil, &net.OpError{Op: "dial", Addr: addr, Err: os.NewSyscallError("socket", lack)}
			}
			for _, scheme := range []string{"http", "https"} {
				wantOurs(t, post(t, client, scheme+"://8.8.8.8/"))
			}
			for _, address := range []string{"2606:4700:4700::1111", "::1"} {
				if errors.Is(lack, syscall.EADDRNOTAVAIL) && !reachable(address) { // that is what a machine without IPv6 says
					wantIPv6Only(t, post(t, client, "http://["+address+"]/"))
				} else {
					wantOurs(t, post(t, client, "http://["+address+"]/"))
				}
			}
		})
	}
	t.Run("not what a router on the way may say", func(t *testing.T) {
		t.Parallel()
		client := newClient(t, Options{})
		for _, away := range []error{syscall.ENETUNREACH, syscall.EHOSTUNREACH} {
			client.dialer.connect = func(_ context.Context, _, address string) (net.Conn, error) {
				addr := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(address))
				return nil, &net.OpError{Op: "dial", Addr: addr, Err: os.NewSyscallError("connect", away)}
			}
			result := post(t, client, "http://8.8.8.8/")
			wantReason(t, webhooksv1.Reason_REASON_CONNECT, result)
			assert.Contains(t, result.Detail, "could not be reached")
			result = post(t, client, "http://[2606:4700:4700::1111]/")
			if errors.Is(away, syscall.ENETUNREACH) && !reachable("2606:4700:4700::1111") {
				wantIPv6Only(t, result)
			} else {
				assert.Contains(t, result.Detail, "could not be reached")
			}
		}
	})
	t.Run("in a look-up", func(t *testing.T) {
		t.Parallel()
		client := newClient(t, Options{Resolver: &net.Resolver{Dial: func(context.Context, string, string) (net.Conn, error) {
			return nil, os.NewSyscallError("socket", syscall.EMFILE)
		}}})
		wantOurs(t, post(t, client, "http://receiver.example/"))
	})
	t.Run("not when only the name server is away", func(t *testing.T) {
		t.Parallel()
		client := newClient(t, Options{Resolver: &net.Resolver{Dial: func(context.Context, string, string) (net.Conn, error) {
			return nil, os.NewSyscallError("connect", syscall.ECONNREFUSED)
		}}})
		result := post(t, client, "http://receiver.example/")
		wantReason(t, webhooksv1.Reason_REASON_DNS, result)
		assert.False(t, result.Ours)
	})
}

// TestA11NoFileDescriptors takes all file descriptors of a process of its own.
func TestA11NoFileDescriptors(t *testing.T) {
	t.Parallel()
	command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestA11InAProcessOfItsOwn$", "-test.v")
	command.Env = append(os.Environ(), "EGRESS_FEW_FILES=1")
	out, err := command.CombinedOutput()
	require.NoError(t, err, "%s", out)
	assert.Contains(t, string(out), "every attempt was ours")
}

func TestA11InAProcessOfItsOwn(t *testing.T) {
	if os.Getenv("EGRESS_FEW_FILES") == "" {
		return // TestA11NoFileDescriptors starts it
	}
	healthy := rawServer(t, func(_ int, conn net.Conn) { answer(conn, ok) })
	client := newClient(t, Options{})
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 40, Max: 40}))
	for {
		file, err := os.Open(os.DevNull)
		if err != nil {
			break
		}
		defer func() { _ = file.Close() }()
	}
	for range 20 {
		wantOurs(t, post(t, client, healthy))
		wantOurs(t, post(t, client, "http://receiver.example/"))
	}
	_, _ = os.Stdout.WriteString("every attempt was ours\n")
}
