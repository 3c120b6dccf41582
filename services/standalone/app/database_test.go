package app_test

import (
	"context"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/dembrane/webhooks/services/standalone/app"
)

// C8: a database of another name is as quick as ours.
func TestDatabaseOfAnotherName(t *testing.T) {
	folder := t.TempDir()
	core, logs := observer.New(zap.WarnLevel)
	standalone, err := app.New(settingsOf(t, folder, map[string]string{"MONGODB_DATABASE": "town"}), "0.0.0-test", zap.New(core))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- standalone.Run(ctx) }()
	select {
	case <-standalone.Ready():
	case <-time.After(patience):
		require.FailNow(t, "standalone was not ready in time")
	}
	assert.Zero(t, logs.FilterMessage("look-ups in the database stay slow").Len())
	assert.FileExists(t, filepath.Join(folder, "mongo", "town.sqlite"))
	cancel()
	require.NoError(t, <-ended)
	http.DefaultClient.CloseIdleConnections()
}
