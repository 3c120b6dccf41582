package embedded

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"go.uber.org/zap"
)

// natsLog hands the nats-server's warnings and errors on. Its notices tell an
// operator of standalone nothing.
type natsLog struct {
	log *zap.Logger

	mu    sync.Mutex
	fatal string
	fault string
}

// Noticef implements server.Logger.
func (l *natsLog) Noticef(format string, args ...any) { l.log.Debug(fmt.Sprintf(format, args...)) }

// Debugf implements server.Logger; it is never switched on.
func (*natsLog) Debugf(string, ...any) {}

// Tracef implements server.Logger; it is never switched on.
func (*natsLog) Tracef(string, ...any) {}

// Warnf implements server.Logger.
func (l *natsLog) Warnf(format string, args ...any) {
	if strings.HasPrefix(format, "Maximum payloads over") {
		return // the limit is ours, on purpose
	}
	l.log.Warn(fmt.Sprintf(format, args...))
}

// Errorf implements server.Logger.
func (l *natsLog) Errorf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	l.mu.Lock()
	l.fault = text
	l.mu.Unlock()
	l.log.Error(text)
}

// Fatalf implements server.Logger. It does not end the process: whoever started
// the server learns of it.
func (l *natsLog) Fatalf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	l.mu.Lock()
	l.fatal = text
	l.mu.Unlock()
}

func (l *natsLog) lastFatal() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fatal
}

func (l *natsLog) lastFault() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fault
}

// mongoLog hands the database's errors on, and nothing else: below that it logs
// every request with everything in it, and connections that ended, which their
// owners report better.
type mongoLog struct {
	log *zap.Logger
	// with is rendered only when there is an error: the database gives every
	// statement's logger all that the statement holds.
	with []slog.Attr
}

// Enabled implements slog.Handler.
func (*mongoLog) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelError }

// Handle implements slog.Handler.
func (h *mongoLog) Handle(_ context.Context, record slog.Record) error {
	var fields []zap.Field
	for _, a := range h.with {
		fields = append(fields, field(a))
	}
	record.Attrs(func(a slog.Attr) bool {
		fields = append(fields, field(a))
		return true
	})
	h.log.Error(record.Message, fields...)
	return nil
}

// WithAttrs implements slog.Handler.
func (h *mongoLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &mongoLog{log: h.log, with: append(slices.Clone(h.with), attrs...)}
}

// WithGroup implements slog.Handler. The database's groups are of no interest.
func (h *mongoLog) WithGroup(string) slog.Handler { return h }

func field(a slog.Attr) zap.Field { return zap.String(a.Key, a.Value.String()) }
