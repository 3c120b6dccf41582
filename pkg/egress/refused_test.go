package egress

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/dembrane/webhooks/proto/webhooksv1"
)

func TestCase16_HTTP2Refusals(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	reset := func(code http2.ErrCode) func(frames, uint32, int32) error {
		return func(f frames, stream uint32, _ int32) error { return f.WriteRSTStream(stream, code) }
	}
	firstly := func(refuse func(frames, uint32, int32) error) func(frames, uint32, int32) error {
		return func(f frames, stream uint32, n int32) error {
			if n == 1 {
				return refuse(f, stream, n)
			}
			return f.respond(stream)
		}
	}
	goAway := func(covered uint32) func(frames, uint32, int32) error {
		return func(f frames, _ uint32, _ int32) error { return f.WriteGoAway(covered, http2.ErrCodeNo, nil) }
	}
	tests := map[string]struct {
		request func(frames, uint32, int32) error
		reason  webhooksv1.Reason
		seen    int32
	}{
		"answered":              {firstly(frames.respondTo), 0, 1},
		"refused once":          {firstly(reset(http2.ErrCodeRefusedStream)), 0, 2},
		"refused always":        {reset(http2.ErrCodeRefusedStream), webhooksv1.Reason_REASON_CONNECTION_CLOSED, 2},
		"going away without it": {firstly(goAway(0)), 0, 2},
		"an error of theirs":    {firstly(reset(http2.ErrCodeInternal)), webhooksv1.Reason_REASON_CONNECTION_CLOSED, 1},
		"canceled by them":      {firstly(reset(http2.ErrCodeCancel)), webhooksv1.Reason_REASON_CONNECTION_CLOSED, 1},
		"told to slow down":     {firstly(reset(http2.ErrCodeEnhanceYourCalm)), webhooksv1.Reason_REASON_CONNECTION_CLOSED, 1},
		"a protocol error":      {firstly(reset(http2.ErrCodeProtocol)), webhooksv1.Reason_REASON_CONNECTION_CLOSED, 1},
		"going away, then the end": {firstly(func(f frames, stream uint32, _ int32) error {
			return errors.Join(f.WriteGoAway(stream, http2.ErrCodeNo, nil), io.EOF)
		}), webhooksv1.Reason_REASON_CONNECTION_CLOSED, 1},
		"going away with an error": {firstly(func(f frames, _ uint32, _ int32) error {
			return f.WriteGoAway(0, http2.ErrCodeEnhanceYourCalm, nil)
		}), 0, 2},
		"a response that is malformed": {firstly(func(f frames, stream uint32, _ int32) error {
			return f.headers(stream, hpack.HeaderField{Name: ":status", Value: "200"}, hpack.HeaderField{Name: "Upper", Value: "x"})
		}), webhooksv1.Reason_REASON_PROTOCOL, 1},
		"a frame of another stream": {firstly(func(f frames, stream uint32, _ int32) error {
			return f.WriteData(stream+100, true, nil)
		}), webhooksv1.Reason_REASON_PROTOCOL, 1},
		"the connection is ended": {firstly(func(frames, uint32, int32) error { return io.EOF }), webhooksv1.Reason_REASON_CONNECTION_CLOSED, 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var seen atomic.Int32
			server := http2Server(t, ca, func(f frames, stream uint32, n int32) error {
				seen.Store(n)
				return test.request(f, stream, n)
			})
			result := post(t, newClient(t, Options{RootCAs: ca.pool()}), server)
			if test.reason == 0 {
				wantStatus(t, http.StatusOK, result)
			} else {
				wantReason(t, test.reason, result)
			}
			assert.Equal(t, test.seen, seen.Load(), "how often the POST was sent")
		})
	}
}

// A receiver that is about to go away refuses all on a connection before it says so: the request is not offered there
// again.
func TestCase16_ARefusedRequestIsSentOverANewConnection(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	var conns atomic.Int32
	config := &tls.Config{Certificates: []tls.Certificate{ca.sign(t, nil)}, NextProtos: []string{"h2"}}
	plain := rawServer(t, func(n int, conn net.Conn) {
		conns.Store(int32(n))
		talkHTTP2(tls.Server(conn, config), func(f frames, stream uint32) error {
			if n == 1 && stream > 1 {
				return f.WriteRSTStream(stream, http2.ErrCodeRefusedStream)
			}
			return f.respond(stream)
		})
	})
	client := newClient(t, Options{RootCAs: ca.pool()})
	for n := range int32(3) {
		result := post(t, client, strings.Replace(plain, "http:", "https:", 1))
		wantStatus(t, http.StatusOK, result)
		assert.Equal(t, n > 0, result.Resent)
		assert.Equal(t, n+1, conns.Load())
	}
}

// respondTo is respond with the signature of a refusal.
func (f frames) respondTo(stream uint32, _ int32) error { return f.respond(stream) }

func TestCase16_GoAwayThatCoversTheRequest(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	server := http2Server(t, ca, func(f frames, stream uint32, _ int32) error {
		if err := f.WriteGoAway(stream, http2.ErrCodeNo, nil); err != nil {
			return err
		}
		return f.respond(stream)
	})
	client := newClient(t, Options{RootCAs: ca.pool()})
	for range 3 {
		wantStatus(t, http.StatusOK, post(t, client, server))
	}
}
