package http1

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Case 43: a receiver sends something after its answer. The next request, which is made at once, must not be answered
// by that: its connections are watched, and not used again, because its host is not trusted.
func TestCase43_WhatBelongsToNoRequestAnswersNone(t *testing.T) {
	t.Parallel()
	for name, stray := range map[string]string{
		"the answer once more": "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray",
		"a body":               "stray",
		"a blank line":         "\r\n",
	} {
		for _, after := range []time.Duration{0, time.Millisecond, 20 * time.Millisecond} {
			t.Run(fmt.Sprintf("%s after %v", name, after), func(t *testing.T) {
				t.Parallel()
				transport, _ := newTransport(t)
				target := receiver(t, func(conn net.Conn, r *bufio.Reader) {
					for readRequest(r) {
						_, _ = io.WriteString(conn, ok)
						if after > 0 {
							pause(after)
						}
						_, _ = io.WriteString(conn, stray)
					}
				})
				for range 30 {
					require.Equal(t, "ok", exchanged(t, transport, target))
				}
			})
		}
	}
}

// befriend lets the transport find that a receiver is silent after its answers.
func befriend(tb testing.TB, transport *Transport, target string) {
	tb.Helper()
	for range trustAfter {
		exchanged(tb, transport, target)
		pause(settle + 10*time.Millisecond)
	}
}

func TestConnectionsAreOnlyWatchedUntilTheirHostIsTrusted(t *testing.T) {
	t.Parallel()
	transport, dials := newTransport(t)
	target := receiver(t, polite)
	exchanged(t, transport, target)
	exchanged(t, transport, target)
	assert.EqualValues(t, 2, dials.Load(), "the first one is watched")
	pause(settle + 10*time.Millisecond)
	exchanged(t, transport, target)
	assert.EqualValues(t, 3, dials.Load(), "it was found silent once")
	exchanged(t, transport, target)
	assert.EqualValues(t, 4, dials.Load(), "and the other at the same time, which does not count")
	pause(settle + 10*time.Millisecond)
	for range 20 {
		exchanged(t, transport, target)
	}
	assert.EqualValues(t, 4, dials.Load(), "used again at once")
}

func TestTrustIsLostWithTheFirstStrayByte(t *testing.T) {
	t.Parallel()
	for _, after := range []time.Duration{0, 5 * time.Millisecond} {
		transport, dials := newTransport(t)
		var astray atomic.Bool
		target := receiver(t, func(conn net.Conn, r *bufio.Reader) {
			for readRequest(r) {
				_, _ = io.WriteString(conn, ok)
				if astray.Load() {
					pause(after)
					_, _ = io.WriteString(conn, ok)
				}
			}
		})
		befriend(t, transport, target)
		astray.Store(true)
		exchanged(t, transport, target)
		pause(20 * time.Millisecond)
		astray.Store(false)
		exchanged(t, transport, target) // may be on another connection that is kept
		made := dials.Load()
		exchanged(t, transport, target)
		if dials.Load() == made {
			exchanged(t, transport, target)
		}
		assert.Equal(t, made+1, dials.Load(), "no connection is used again")
	}
}

func TestTrustIsNotLostWhenConnectionsEnd(t *testing.T) {
	t.Parallel()
	transport, dials := newTransport(t)
	conns := make(chan net.Conn, 10)
	target := receiver(t, func(conn net.Conn, r *bufio.Reader) {
		conns <- conn
		polite(conn, r)
	})
	befriend(t, transport, target)
	exchanged(t, transport, target)
	for range trustAfter {
		_ = (<-conns).Close()
	}
	pause(5 * time.Millisecond)
	exchanged(t, transport, target)
	made := dials.Load()
	assert.EqualValues(t, trustAfter+1, made)
	exchanged(t, transport, target)
	assert.Equal(t, made, dials.Load())
}

func TestFewConnectionsAreWatched(t *testing.T) {
	t.Parallel()
	transport, _ := newTransport(t)
	target := receiver(t, polite)
	for range 3 * watchedConns {
		exchanged(t, transport, target)
	}
	transport.idle.mu.Lock()
	defer transport.idle.mu.Unlock()
	assert.Equal(t, watchedConns, transport.idle.all.Len())
}

func TestNothingIsRememberedAfterAWhile(t *testing.T) {
	t.Parallel()
	transport, _ := newTransport(t)
	transport.IdleConnTimeout = 20 * time.Millisecond
	for range 3 {
		exchanged(t, transport, receiver(t, polite))
	}
	require.Eventually(t, func() bool {
		transport.idle.mu.Lock()
		defer transport.idle.mu.Unlock()
		return transport.idle.all.Len() == 0 && len(transport.idle.hosts) == 0 && transport.idle.sweep == nil
	}, 10*time.Second, time.Millisecond)
}

func TestNothingIsKeptWithoutLimits(t *testing.T) {
	t.Parallel()
	transport, dials := newTransport(t)
	transport.MaxIdleConns = 0
	target := receiver(t, polite)
	befriend(t, transport, target)
	exchanged(t, transport, target)
	assert.EqualValues(t, trustAfter+1, dials.Load())
}

// The status line is found however the bytes are cut into pieces, and what is salvaged are headers.
func TestStatusLineInPieces(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := response(t) + rapid.String().Draw(t, "more")
		whole := input{raw: []byte(text)}
		whole.line.feed([]byte(text))
		pieces := statusLine{}
		for rest := text; rest != ""; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "piece")
			pieces.feed([]byte(rest[:n]))
			rest = rest[n:]
		}
		require.Equal(t, whole.line, pieces)
		if whole.line.status == 0 {
			return
		}
		require.True(t, strings.HasSuffix(text[:whole.line.end], "\n"))
		for name, values := range whole.salvaged() {
			require.NotEmpty(t, name)
			require.NotContains(t, strings.Join(values, ""), "\n")
		}
	})
}
