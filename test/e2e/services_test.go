package e2e_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"
	"golang.org/x/sync/errgroup"

	"github.com/dembrane/webhooks/pkg/natstest"
	keysets "github.com/dembrane/webhooks/pkg/secret"
	apiapp "github.com/dembrane/webhooks/services/api/app"
	dispatcherapp "github.com/dembrane/webhooks/services/dispatcher/app"
	"github.com/dembrane/webhooks/services/standalone/app"
	"github.com/dembrane/webhooks/services/standalone/embedded"
	"github.com/dembrane/webhooks/test/internal/inside"
)

// services are the two services as they run in production.
type services struct {
	*system

	// Each has a network of its own, which can break.
	apiNATS, dispatcherNATS *natstest.Proxy
}

// startServices runs an api, a dispatcher, a broker and a database within this
// process until the test ends.
func startServices(t *testing.T, more settings) *services {
	t.Helper()
	const token = "the token of a host"
	folder := t.TempDir()
	keyset, err := keysets.NewKeyset()
	require.NoError(t, err)
	hash := sha256.Sum256([]byte(token))
	tokens := "tokens:\n  - name: host\n    sha256: " + hex.EncodeToString(hash[:]) + "\n    projects: [\"*\"]\n"
	require.NoError(t, os.WriteFile(filepath.Join(folder, "keyset.json"), keyset, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "tokens.yaml"), []byte(tokens), 0o600))
	c, err := app.LoadConfig(quick(folder, more))
	require.NoError(t, err)
	log := zaptest.NewLogger(t, zaptest.Level(zap.WarnLevel))

	hosts.Lock()
	defer hosts.Unlock()
	mongo, err := embedded.StartMongo(t.Context(), c.MongoDir(), log)
	require.NoError(t, err)
	t.Cleanup(mongo.Stop)
	broker, err := embedded.StartNATS(t.Context(), "127.0.0.1:0", c.NATSStore(), log)
	require.NoError(t, err)
	t.Cleanup(broker.Stop)
	apiNATS, dispatcherNATS := natstest.NewProxy(t, broker.URL()), natstest.NewProxy(t, broker.URL())
	managing, err := c.API(apiNATS.URL(), mongo.URI())
	require.NoError(t, err)
	dispatching, err := c.Dispatcher(dispatcherNATS.URL())
	require.NoError(t, err)
	api, err := apiapp.New(managing, log)
	require.NoError(t, err)
	dispatcher, err := dispatcherapp.New(dispatching, "0.0.0-e2e", log)
	require.NoError(t, err)

	ctx, cancel := context.WithCancel(context.Background())
	parts, ctx := errgroup.WithContext(ctx)
	parts.Go(func() error { return api.Run(ctx) })
	parts.Go(func() error { return dispatcher.Run(ctx) })
	s := &services{
		system: &system{folder: folder}, apiNATS: apiNATS, dispatcherNATS: dispatcherNATS,
	}
	t.Cleanup(func() {
		s.Close()
		cancel()
		require.NoError(t, parts.Wait())
	})
	for _, ready := range []<-chan struct{}{api.Ready(), dispatcher.Ready()} {
		select {
		case <-ready:
		case <-ctx.Done():
			require.NoError(t, parts.Wait())
		case <-time.After(patience):
			t.Fatal("the services were not ready in time")
		}
	}
	s.at = inside.Address{API: api.URL(), NATS: broker.URL(), MongoDB: mongo.URI(), Token: token}
	s.connect(t)
	return s
}
