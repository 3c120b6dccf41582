package static_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/dembrane/webhooks/services/api/internal/access"
	"github.com/dembrane/webhooks/services/api/internal/access/accesstest"
	"github.com/dembrane/webhooks/services/api/internal/access/static"
)

func TestConformance(t *testing.T) {
	accesstest.Run(t, func(t *testing.T) accesstest.Subject {
		t.Helper()
		path := file(t, example())
		d, err := static.Open(path, 5*time.Millisecond, zap.NewNop())
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- d.Run(ctx) }()
		t.Cleanup(func() {
			cancel()
			assert.NoError(t, <-ended)
		})
		return accesstest.Subject{
			Driver: d, Manager: "token-one", All: "token-all",
			Project: access.Project{ID: "p1", Name: "Town talks", Language: "nl", WorkspaceID: "w1"},
			Foreign: "p3",
			Revoke: func() {
				require.NoError(t, os.WriteFile(path, []byte("tokens:\n"+entry("all", "token-all", `["*"]`)), 0o600))
				require.Eventually(t, func() bool {
					_, err := d.Authorize(t.Context(), "token-one", "p1", access.Read)
					return errors.Is(err, access.ErrSession)
				}, 10*time.Second, 5*time.Millisecond)
			},
		}
	})
}
