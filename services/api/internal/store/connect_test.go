package store_test

import (
	"context"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/bson"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/dembrane/webhooks/services/api/internal/mongotest"
	"github.com/dembrane/webhooks/services/api/internal/store"
	"github.com/dembrane/webhooks/services/api/mongotest/mongoproxy"
)

// openURI opens a store that is closed with the test.
func openURI(t *testing.T, uri, database string, log *zap.Logger) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), uri, database, log)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close(context.Background())) })
	return s
}

func wantHealed(t *testing.T, s *store.Store) {
	t.Helper()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		assert.NoError(c, s.Ping(t.Context()))
	}, 20*time.Second, 20*time.Millisecond)
}

// C5: a file that the URI names is mounted later.
func TestFileOfURIIsMissing(t *testing.T) {
	server := mongotest.StartEmbedded(t)
	proxy, authority := mongoproxy.StartTLS(t, server.URI())
	file := filepath.Join(t.TempDir(), "ca.pem")
	s := openURI(t, proxy.URI()+"?tls=true&tlsCAFile="+file, server.Database(), zaptest.NewLogger(t))

	_, err := s.List(t.Context(), "p1")
	require.ErrorIs(t, err, store.ErrUnavailable)
	require.ErrorContains(t, err, "MONGODB_URI")
	require.ErrorContains(t, err, file+": no such file")
	require.ErrorIs(t, s.Prepare(t.Context()), store.ErrUnavailable)

	require.NoError(t, os.WriteFile(file, authority, 0o600))
	wantHealed(t, s)
	require.NoError(t, s.Prepare(t.Context()))
	create(t, s, "p1")
}

// C5: a name that the URI needs resolves later.
func TestNameOfURIDoesNotResolve(t *testing.T) {
	names := startNames(t) // before anybody else dials
	server := mongotest.StartEmbedded(t)
	s := openURI(t, "mongodb+srv://user:hunter2@db.example.org/?tls=false&authSource=admin", server.Database(), zaptest.NewLogger(t))

	_, err := s.List(t.Context(), "p1")
	require.ErrorIs(t, err, store.ErrUnavailable)
	require.ErrorContains(t, err, "MONGODB_URI")
	require.ErrorContains(t, err, "_mongodb._tcp.db.example.org")
	require.ErrorContains(t, err, "no such host")
	assert.NotContains(t, err.Error(), "hunter2")

	at, err := url.Parse(server.URI())
	require.NoError(t, err)
	port, err := strconv.ParseUint(at.Port(), 10, 16)
	require.NoError(t, err)
	names.port.Store(uint32(port))
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		err := s.Ping(t.Context())
		if assert.Error(c, err, "the server knows no such user") {
			assert.NotContains(c, err.Error(), "no such host")
			assert.Contains(c, strings.ToLower(err.Error()), "auth")
		}
	}, 20*time.Second, 50*time.Millisecond)
}

// names is a name service that knows nothing as long as it has no port.
type names struct{ port atomic.Uint32 }

func startNames(t *testing.T) *names {
	t.Helper()
	conn, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	require.NoError(t, err)
	n := &names{}
	var serving sync.WaitGroup
	serving.Go(func() {
		buffer := make([]byte, 2048)
		for {
			size, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			if reply := n.reply(buffer[:size]); reply != nil {
				_, _ = conn.WriteTo(reply, from) // at worst it asks again
			}
		}
	})
	before := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
	t.Cleanup(func() {
		net.DefaultResolver = before
		assert.NoError(t, conn.Close())
		serving.Wait()
	})
	return n
}

func (n *names) reply(asked []byte) []byte {
	var message dnsmessage.Message
	if message.Unpack(asked) != nil || len(message.Questions) != 1 {
		return nil
	}
	message.Response, message.RCode, message.Additionals = true, dnsmessage.RCodeNameError, nil
	question := message.Questions[0]
	header := dnsmessage.ResourceHeader{Name: question.Name, Type: question.Type, Class: question.Class}
	if port := n.port.Load(); port != 0 {
		message.RCode = dnsmessage.RCodeSuccess
		var body dnsmessage.ResourceBody
		switch question.Type { //nolint:exhaustive // of others it has none
		case dnsmessage.TypeSRV:
			body = &dnsmessage.SRVResource{Target: dnsmessage.MustNewName("one.db.example.org."), Port: uint16(port)}
		case dnsmessage.TypeA:
			body = &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}}
		}
		if body != nil {
			message.Answers = []dnsmessage.Resource{{Header: header, Body: body}}
		}
	}
	packed, err := message.Pack()
	if err != nil {
		return nil
	}
	return packed
}

// C5: what can never work is said at once, in words, without the password.
func TestOpenRefusesWhatCanNeverWork(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "nonsense.pem")
	require.NoError(t, os.WriteFile(missing, []byte("nonsense"), 0o600))
	for uri, want := range map[string]string{
		"mongodb://user:hunter2@":                                    "must have at least 1 host",
		"nonsense://user:hunter2@one":                                `scheme must be "mongodb" or "mongodb+srv"`,
		"mongodb://user:hunter2%zz@one/":                             "must be percent-encoded",
		"mongodb://user:hunter2/@one/":                               "must be percent-encoded",
		"mongodb://user:hunter2@one:port/":                           "port must be an integer",
		"mongodb://user:hunter2@one/?readPreference=near":            "near",
		"mongodb://user:hunter2@one/?tls=true&tlsCAFile=" + missing:  "CA file does not contain any valid certificates",
		"mongodb://one/?tls=x&tlsCertificateKeyFilePassword=hunter2": "invalid value for",
	} {
		t.Run(uri, func(t *testing.T) {
			_, err := store.Open(t.Context(), uri, "db", zaptest.NewLogger(t))
			require.Error(t, err)
			require.ErrorContains(t, err, "MONGODB_URI")
			require.ErrorContains(t, err, want)
			assert.NotContains(t, err.Error(), "hunter2")
		})
	}
}

// C6: the URI may say what is safe; what is not is overridden, and said.
func TestOptionsOfURI(t *testing.T) {
	for options, row := range map[string]struct {
		ignored []any
		app     string
		wtime   int64
	}{
		"":              {nil, "webhooks-api", 0},
		"?appName=mine": {nil, "mine", 0},
		"?w=majority&journal=true&wtimeoutMS=123":              {nil, "webhooks-api", 123},
		"?w=1&journal=false&readPreference=secondaryPreferred": {[]any{"w", "journal", "readPreference"}, "webhooks-api", 0},
		"?w=0":               {[]any{"w"}, "webhooks-api", 0},
		"?timeoutMS=1":       {[]any{"timeoutMS"}, "webhooks-api", 0},
		"?retryWrites=false": {nil, "webhooks-api", 0},
		"?socketTimeoutMS=9000&connectTimeoutMS=900&serverSelectionTimeoutMS=900": {nil, "webhooks-api", 0},
	} {
		t.Run("with "+options, func(t *testing.T) {
			server := mongotest.StartEmbedded(t)
			proxy := mongoproxy.Start(t, server.URI())
			var mu sync.Mutex
			seen := map[string]bson.Raw{}
			for _, command := range []string{mongoproxy.Hello, "insert", "find"} {
				proxy.On(mongoproxy.Rule{Command: command, Times: 1}, func(call *mongoproxy.Call) (bson.Raw, error) {
					mu.Lock()
					defer mu.Unlock()
					seen[command] = call.Document
					return call.Forward()
				})
			}
			core, logs := observer.New(zap.WarnLevel)
			s := openURI(t, proxy.URI()+options, server.Database(), zap.New(core))
			require.NoError(t, s.Prepare(t.Context()))
			create(t, s, "p1")

			mu.Lock()
			defer mu.Unlock()
			var concern struct {
				W        string `bson:"w"`
				J        bool   `bson:"j"`
				WTimeout int64  `bson:"wtimeout"`
			}
			require.NoError(t, seen["insert"].Lookup("writeConcern").Unmarshal(&concern))
			assert.Equal(t, "majority", concern.W)
			assert.True(t, concern.J)
			assert.Equal(t, row.wtime, concern.WTimeout)
			mode, _ := seen["find"].Lookup("$readPreference", "mode").StringValueOK()
			assert.Contains(t, []string{"", "primary", "primaryPreferred"}, mode)
			assert.Equal(t, row.app, seen[mongoproxy.Hello].Lookup("client", "application", "name").StringValue())
			if row.ignored == nil {
				assert.Zero(t, logs.Len())
				return
			}
			require.Equal(t, 1, logs.Len())
			assert.Equal(t, row.ignored, logs.All()[0].ContextMap()["ignored"])
		})
	}
}

// Nobody waits for a server longer than the URI says.
func TestSelectionTimeoutOfURI(t *testing.T) {
	s := openURI(t, "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=50", "db", zaptest.NewLogger(t))
	began := time.Now()
	require.ErrorIs(t, s.Ping(t.Context()), store.ErrUnavailable)
	assert.Less(t, time.Since(began), 2*time.Second)
}
