package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/payload"
	"github.com/dembrane/webhooks/pkg/publisher"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/standalone/app"
	"github.com/dembrane/webhooks/services/standalone/internal/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	// patience is how long is waited for anything; nothing takes nearly as long.
	patience = 60 * time.Second
	often    = 20 * time.Millisecond
	project  = "town-talks"
)

// settingsOf are those of a standalone in the folder, on free ports.
func settingsOf(t *testing.T, folder string, more map[string]string) app.Config {
	t.Helper()
	all := map[string]string{
		"DATA_DIR": folder, "API_ADDR": "127.0.0.1:0", "NATS_ADDR": "127.0.0.1:0", "LOG_LEVEL": "warn", "SHUTDOWN_GRACE": "5s",
	}
	maps.Copy(all, more)
	c, err := config.Load(all)
	require.NoError(t, err)
	return c
}

// system is where hosts and publishers find what runs.
type system struct{ api, nats, token string }

// start runs a standalone in the folder until stop is called.
func start(t *testing.T, folder string) (running system, stop func()) {
	t.Helper()
	standalone, err := app.New(settingsOf(t, folder, nil), "0.0.0-test", zaptest.NewLogger(t, zaptest.Level(zap.WarnLevel)))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- standalone.Run(ctx) }()
	select {
	case at := <-standalone.Ready():
		return system{api: at.API, nats: at.NATS, token: at.Token}, func() {
			cancel()
			require.NoError(t, <-ended)
		}
	case err := <-ended:
		cancel()
		require.FailNow(t, "standalone ended by itself", "%v", err)
	case <-time.After(patience):
		cancel()
		require.FailNow(t, "standalone was not ready in time", "%v", <-ended)
	}
	return system{}, nil
}

// call makes one request of a host.
func (s system) call(t *testing.T, method, path string, in map[string]any) (status int, out map[string]any) {
	t.Helper()
	data, err := json.Marshal(in)
	require.NoError(t, err)
	if in == nil {
		data = nil
	}
	request, err := http.NewRequestWithContext(t.Context(), method, s.api+path, bytes.NewReader(data))
	require.NoError(t, err)
	request.Header.Set("Authorization", "Bearer "+s.token)
	request.Header.Set("Content-Type", "application/json")
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.NoError(t, json.Unmarshal(body, &out), "%s", body)
	return response.StatusCode, out
}

// register makes a webhook of the project and returns its id.
func (s system) register(t *testing.T, project, url, secret string) string {
	t.Helper()
	status, made := s.call(t, http.MethodPost, "/api/projects/"+project+"/webhooks", map[string]any{
		"url": url, "secret": secret, "events": event.Types(),
	})
	require.Equal(t, http.StatusCreated, status, "%v", made)
	id, _ := made["id"].(string)
	return id
}

// arrival is a delivery as a receiver saw it.
type arrival struct {
	header http.Header
	body   []byte
}

// receive starts a receiver that takes everything; what its channel has no room
// for is taken and forgotten.
func receive(t *testing.T) (url string, arrivals <-chan arrival) {
	t.Helper()
	channel := make(chan arrival, 10)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		select {
		case channel <- arrival{r.Header, body}:
		default:
		}
	}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server.URL, channel
}

// deliver publishes fresh events of the project until one arrives: a change of a
// webhook may take a moment to be in force.
func (s system) deliver(t *testing.T, project string, arrivals <-chan arrival) arrival {
	t.Helper()
	nc, err := nats.Connect(s.nats)
	require.NoError(t, err)
	defer nc.Close()
	p, err := publisher.New(nc)
	require.NoError(t, err)
	ticker := time.NewTicker(often)
	defer ticker.Stop()
	deadline := time.After(patience)
	for {
		require.NoError(t, p.Publish(t.Context(), sample(project)))
		select {
		case one := <-arrivals:
			return one
		case <-ticker.C:
		case <-deadline:
			require.FailNow(t, "nothing arrived")
		}
	}
}

func sample(project string) *webhooksv1.Event {
	return payload.Sample(event.ConversationTranscribed, &webhooksv1.Project{Id: project}, "evt_"+ulid.Make().String(), time.Now())
}
