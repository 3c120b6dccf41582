package app_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/dembrane/webhooks/pkg/secret"
	"github.com/dembrane/webhooks/pkg/signature"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/standalone/app"
	"github.com/dembrane/webhooks/services/standalone/embedded"
)

const hostsSecret = "a secret of nobody's"

// registered runs a standalone in a folder until a webhook with a secret has got
// something, and stops it. while is called before that.
func registered(t *testing.T, while func(app.Config)) (c app.Config, arrivals <-chan arrival, id string) {
	t.Helper()
	folder := t.TempDir()
	c = settingsOf(t, folder, nil)
	url, arrivals := receive(t)
	running, stop := start(t, folder)
	defer stop()
	id = running.register(t, project, url, hostsSecret)
	wantSigned(t, running.deliver(t, project, arrivals))
	while(c)
	return c, arrivals, id
}

func wantSigned(t *testing.T, a arrival) {
	t.Helper()
	assert.True(t, signature.VerifyBody(hostsSecret, a.header.Get("X-Dembrane-Signature"), a.body))
}

// held is the ciphertext that the dispatcher would read.
func held(t *testing.T, c app.Config, id string) []byte {
	t.Helper()
	broker, err := embedded.StartNATS(t.Context(), "127.0.0.1:0", c.NATSStore(), zap.NewNop())
	require.NoError(t, err)
	defer broker.Stop()
	nc, err := nats.Connect(broker.URL())
	require.NoError(t, err)
	defer nc.Close()
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	bucket, err := js.KeyValue(t.Context(), topology.BucketWebhooks)
	require.NoError(t, err)
	entry, err := bucket.Get(t.Context(), topology.KeyRegistration(project, id))
	require.NoError(t, err)
	var registration webhooksv1.Registration
	require.NoError(t, proto.Unmarshal(entry.Value(), &registration))
	require.Len(t, registration.GetSecrets(), 1)
	return registration.GetSecrets()[0].GetCiphertext()
}

func keyset(t *testing.T, c app.Config) []byte {
	t.Helper()
	content, err := os.ReadFile(c.KeysetFile())
	require.NoError(t, err)
	return content
}

func opens(t *testing.T, keyset, ciphertext []byte, id string) error {
	t.Helper()
	box, err := secret.OpenKeyset(keyset)
	require.NoError(t, err)
	_, err = box.Open(ciphertext, project, id)
	return err //nolint:wrapcheck // it is what is asked about
}

func TestAKeysetIsRotatedInTheFolderOfData(t *testing.T) {
	c, arrivals, id := registered(t, func(c app.Config) {
		_, err := app.RotateKeyset(c)
		require.ErrorIs(t, err, app.ErrInUse)
		_, err = app.Reencrypt(t.Context(), c, zap.NewNop())
		require.ErrorIs(t, err, app.ErrInUse)
		_, _, err = app.RetireKeys(t.Context(), c, zap.NewNop())
		require.ErrorIs(t, err, app.ErrInUse)
	})
	old := keyset(t, c)
	require.NoError(t, opens(t, old, held(t, c, id), id))

	keys, err := app.RotateKeyset(c)
	require.NoError(t, err)
	assert.Equal(t, 2, keys)
	info, err := os.Stat(c.KeysetFile())
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	done, err := app.Reencrypt(t.Context(), c, zap.NewNop())
	require.NoError(t, err)
	assert.Equal(t, 1, done.Changed)
	require.ErrorIs(t, opens(t, old, held(t, c, id), id), secret.ErrUnreadable, "the bucket is done, too, before anything runs")
	done, err = app.Reencrypt(t.Context(), c, zap.NewNop())
	require.NoError(t, err)
	assert.Equal(t, [2]int{0, 1}, [2]int{done.Changed, done.Unchanged})

	_, retired, err := app.RetireKeys(t.Context(), c, zap.NewNop())
	require.NoError(t, err)
	assert.Equal(t, 1, retired)
	require.NoError(t, opens(t, keyset(t, c), held(t, c, id), id))

	for len(arrivals) > 0 {
		<-arrivals
	}
	running, stop := start(t, c.DataDir)
	defer stop()
	wantSigned(t, running.deliver(t, project, arrivals))
}

// Without the step in between, retiring takes it.
func TestRetiringKeysEncryptsAnewFirst(t *testing.T) {
	c, arrivals, _ := registered(t, func(app.Config) {})
	_, err := app.RotateKeyset(c)
	require.NoError(t, err)
	done, retired, err := app.RetireKeys(t.Context(), c, zap.NewNop())
	require.NoError(t, err)
	assert.Equal(t, 1, done.Changed)
	assert.Equal(t, 1, retired)

	for len(arrivals) > 0 {
		<-arrivals
	}
	running, stop := start(t, c.DataDir)
	defer stop()
	wantSigned(t, running.deliver(t, project, arrivals))
}

func TestNoKeyIsRetiredWhileASecretCannotBeRead(t *testing.T) {
	c, _, _ := registered(t, func(app.Config) {})
	another, err := secret.NewKeyset()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(c.KeysetFile(), another, 0o600))
	_, err = app.RotateKeyset(c)
	require.NoError(t, err)
	before := keyset(t, c)

	done, err := app.Reencrypt(t.Context(), c, zap.NewNop())
	require.ErrorIs(t, err, app.ErrUnreadable)
	assert.Equal(t, 1, done.Unreadable)
	_, _, err = app.RetireKeys(t.Context(), c, zap.NewNop())
	require.ErrorIs(t, err, app.ErrUnreadable)
	assert.Equal(t, before, keyset(t, c))
}

// A name that was mistyped must not look like a folder without secrets.
func TestUpkeepMakesNoFolder(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "dtaa")
	c := settingsOf(t, folder, nil)
	_, err := app.RotateKeyset(c)
	require.ErrorContains(t, err, "set DATA_DIR to the folder of a standalone that has run")
	_, err = app.Reencrypt(t.Context(), c, zap.NewNop())
	require.ErrorContains(t, err, "set DATA_DIR")
	_, _, err = app.RetireKeys(t.Context(), c, zap.NewNop())
	require.ErrorContains(t, err, "set DATA_DIR")
	assert.NoDirExists(t, folder)
}
