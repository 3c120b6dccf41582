package browser_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/bson"
	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/secret"
	api "github.com/dembrane/webhooks/services/api/app"
	"github.com/dembrane/webhooks/services/api/directustest"
	"github.com/dembrane/webhooks/services/api/mongotest/mongoproxy"
	"github.com/dembrane/webhooks/services/standalone/embedded"
	"github.com/dembrane/webhooks/test/internal/apiclient"
	"github.com/dembrane/webhooks/test/internal/inside"
	"github.com/dembrane/webhooks/test/internal/run"
)

// awayProject is the project of the dashboard that the database has no time for.
const awayProject = directustest.Pilot

// dashboard is an api as the product runs it: a Directus knows who somebody is and what
// the tier of their workspace allows. Nothing delivers, so what it shows of the past is
// made up.
type dashboard struct {
	url      string
	directus *directustest.Server
	system   inside.System
}

// startDashboard starts one, with a database that fails for one project.
func startDashboard(t run.T, folder string) *dashboard {
	t.Helper()
	log := zap.NewNop()
	run.Must(t, os.MkdirAll(folder, 0o700), "make a folder")
	mongo, err := embedded.StartMongo(t.Context(), filepath.Join(folder, "mongo"), log)
	run.Must(t, err, "start the database")
	t.Cleanup(mongo.Stop)
	nats, err := embedded.StartNATS(t.Context(), "127.0.0.1:0", embedded.NATSStore{Dir: filepath.Join(folder, "nats")}, log)
	run.Must(t, err, "start the broker")
	t.Cleanup(nats.Stop)
	proxy := mongoproxy.Start(t, mongo.URI())
	proxy.On(mongoproxy.Rule{Match: about(awayProject)}, mongoproxy.Refuse(mongoproxy.RequestRateTooLarge))
	d := &dashboard{directus: directustest.Start(t, directustest.Product())}
	d.system, err = inside.Connect(t.Context(), inside.Address{NATS: nats.URL(), MongoDB: mongo.URI()})
	run.Must(t, err, "connect")
	t.Cleanup(d.system.Close)
	keyset, err := secret.NewKeyset()
	run.Must(t, err, "make a keyset")
	keysetFile := filepath.Join(folder, "keyset.json")
	run.Must(t, os.WriteFile(keysetFile, keyset, 0o600), "write the keyset")
	c, err := api.LoadConfigFrom(map[string]string{
		"HTTP_ADDR": "127.0.0.1:0", "OPS_ADDR": "none", "ADMIN_BASE_URL": "https://dashboard.example.org", "SHUTDOWN_GRACE": "2s",
		"MONGODB_URI": proxy.URI(), "NATS_URL": nats.URL(), "SECRETS_KEYSET_FILE": keysetFile, "ALLOW_CIDRS": "127.0.0.0/8",
		"IDENTITY_DRIVER": "directus", "DIRECTUS_BASE_URL": d.directus.URL().String(), "DIRECTUS_CACHE_TTL": "0s",
		"DIRECTUS_TOKEN": directustest.ReaderToken, "DIRECTUS_SECRET": directustest.Secret,
		// So that somebody can be told to wait.
		"API_RATE_PER_SECOND": "0.1", "API_RATE_BURST": "100",
	})
	run.Must(t, err, "configure the api")
	managing, err := api.New(c, log, api.WithOwnDatabase())
	run.Must(t, err, "set up the api")
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- managing.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("stop the api: %v", err)
		}
	})
	select {
	case <-managing.Ready():
	case <-time.After(patience):
		run.Must(t, errors.New("it is not ready"), "run the api")
	}
	d.url = managing.URL()
	return d
}

// token is a fresh session of a user.
func (*dashboard) token(user int) string { return session(user, time.Now().Add(time.Hour)) }

// session is one of a user until then, unlike any other.
func session(user int, until time.Time) string {
	return directustest.Sign(directustest.Secret,
		directustest.Claims(directustest.UserID(user), until, map[string]any{"session": ulid.Make().String()}))
}

// owner is an owner of every workspace, without a browser.
func (d *dashboard) owner() apiclient.Client {
	return apiclient.Client{URL: d.url, Token: d.token(directustest.Owner)}
}

// setTier changes the tier of the workspace that a project is in.
func (d *dashboard) setTier(project int, tier string) {
	d.directus.Change(func(w *directustest.World) { w.SetTier(project, tier) })
}

// hurry asks for the page that the tab is at until nobody answers any more.
func (b *tab) hurry() {
	b.t.Helper()
	path := b.path()
	for {
		request, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.as.at()+path, http.NoBody)
		require.NoError(b.t, err)
		request.AddCookie(&http.Cookie{Name: sessionCookie, Value: b.as.token()})
		response, err := http.DefaultClient.Do(request)
		require.NoError(b.t, err)
		body, err := io.ReadAll(response.Body)
		require.NoError(b.t, errors.Join(err, response.Body.Close()))
		if response.StatusCode == http.StatusTooManyRequests {
			http.DefaultClient.CloseIdleConnections()
			return
		}
		require.Equal(b.t, http.StatusOK, response.StatusCode, "%s", body)
	}
}

// about selects commands that name a project and no other.
func about(project int) func(bson.Raw) bool {
	id, every := []byte(directustest.ProjectID(project)), []byte("000000e1-")
	return func(document bson.Raw) bool {
		return bytes.Contains(document, id) && bytes.Count(document, every) == bytes.Count(document, id)
	}
}
