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
// by that. What it sends comes within the time that connections rest, because its host is not trusted.
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

func TestConnectionsRestUntilTheirHostIsTrusted(t *testing.T) {
	t.Parallel()
	transport, dials := newTransport(t)
	target := receiver(t, polite)
	exchanged(t, transport, target)
	exchanged(t, transport, target)
	assert.EqualValues(t, 2, dials.Load(), "the first one rests")
	pause(settle + 10*time.Millisecond)
	for range trustAfter {
		exchanged(t, transport, target)
	}
	assert.EqualValues(t, 3, dials.Load(), "both are used again, and rest")
	pause(settle + 10*time.Millisecond)
	for range 20 {
		exchanged(t, transport, target)
	}
	assert.EqualValues(t, 3, dials.Load(), "used again at once")
}

func TestTrustIsLostWithTheFirstStrayByte(t *testing.T) {
	t.Parallel()
	transport, dials := newTransport(t)
	var astray atomic.Bool
	target := receiver(t, func(conn net.Conn, r *bufio.Reader) {
		for readRequest(r) {
			_, _ = io.WriteString(conn, ok)
			if astray.Load() {
				_, _ = io.WriteString(conn, ok)
			}
		}
	})
	for range trustAfter + 2 {
		exchanged(t, transport, target)
		pause(settle + 10*time.Millisecond)
	}
	astray.Store(true)
	exchanged(t, transport, target)
	pause(10 * time.Millisecond)
	astray.Store(false)
	made := dials.Load()
	exchanged(t, transport, target)
	assert.Equal(t, made+1, dials.Load(), "the connection is not used again")
	exchanged(t, transport, target)
	assert.Equal(t, made+2, dials.Load(), "and the new one rests")
}

func TestFewConnectionsRest(t *testing.T) {
	t.Parallel()
	transport, _ := newTransport(t)
	target := receiver(t, polite)
	for range 3 * restingConns {
		exchanged(t, transport, target)
	}
	transport.idle.mu.Lock()
	defer transport.idle.mu.Unlock()
	assert.LessOrEqual(t, transport.idle.all.Len(), restingConns)
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
	exchanged(t, transport, target)
	pause(settle + 10*time.Millisecond)
	exchanged(t, transport, target)
	assert.EqualValues(t, 2, dials.Load())
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
