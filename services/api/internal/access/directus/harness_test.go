package directus_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/secret"
	"github.com/dembrane/webhooks/services/api/directustest"
	"github.com/dembrane/webhooks/services/api/internal/access"
	"github.com/dembrane/webhooks/services/api/internal/access/directus"
	"github.com/dembrane/webhooks/services/api/internal/httpapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var _ httpapi.Authorizer = (*directus.Driver)(nil)

// world is a driver before a Directus of its own, both by the same clock.
type world struct {
	t      testing.TB
	server *directustest.Server
	driver *directus.Driver
	now    time.Time
}

func start(tb testing.TB, changes ...func(*directus.Options)) *world {
	tb.Helper()
	w := &world{t: tb, server: directustest.Start(tb, directustest.Product()), now: time.Now().UTC()}
	w.server.SetClock(w.clock)
	w.driver = w.connect(changes...)
	return w
}

// connect makes one more driver for the same Directus.
func (w *world) connect(changes ...func(*directus.Options)) *directus.Driver {
	w.t.Helper()
	return connectTo(w, w.server.URL(), changes...)
}

// connectTo makes a driver for any Directus, by the clock of the world.
func connectTo(w *world, base *url.URL, changes ...func(*directus.Options)) *directus.Driver {
	w.t.Helper()
	options := directus.Options{
		BaseURL: base, Token: secret.New(directustest.ReaderToken), Secret: secret.New(directustest.Secret),
		Timeout: 10 * time.Second, CacheTTL: 30 * time.Second, CacheSize: 1000, Now: w.clock, Log: zap.NewNop(),
	}
	for _, change := range changes {
		change(&options)
	}
	driver, err := directus.New(options)
	require.NoError(w.t, err)
	w.t.Cleanup(func() { directus.CloseConnections(driver) })
	return driver
}

func (w *world) clock() time.Time { return w.now }

// jwt is a token of the user that is good for a quarter of an hour.
func (w *world) jwt(user int) string { return w.jwtWith(user, nil) }

// jwtWith changes its claims.
func (w *world) jwtWith(user int, changes map[string]any) string {
	return directustest.Sign(directustest.Secret, directustest.Claims(directustest.UserID(user), w.now.Add(15*time.Minute), changes))
}

func (w *world) authorize(token string, project int, action access.Action) error {
	_, err := w.driver.Authorize(w.t.Context(), token, directustest.ProjectID(project), action)
	return err
}

// uncached makes every question go to Directus.
func uncached(o *directus.Options) { o.CacheTTL = 0 }
