package embedded

import (
	"log/slog"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// statement counts how often it is rendered.
type statement struct{ rendered int }

func (s *statement) String() string {
	s.rendered++
	return "INSERT"
}

// The database makes a logger with all that it writes for every statement. That
// costs next to nothing as long as no error comes of it.
func TestWhatTheDatabaseWritesIsRenderedWithErrorsOnly(t *testing.T) {
	core, seen := observer.New(zapcore.DebugLevel)
	given := &statement{}
	log := slog.New(&mongoLog{log: zap.New(core)}).With("name", "webhooks").With("statement", given)
	log.Debug("done")
	log.Warn("slow")
	assert.Zero(t, given.rendered)
	assert.Zero(t, seen.Len())

	log.Error("failed", "error", "disk full")
	require.Equal(t, 1, seen.Len())
	assert.Equal(t, map[string]any{"name": "webhooks", "statement": "INSERT", "error": "disk full"}, seen.All()[0].ContextMap())
}
