// Package observe is what an operator looks at: the logger, the health checks
// and the listener that serves them beside the metrics.
package observe

import (
	"fmt"
	"io"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Keys of log fields. Every service uses these and no synonyms.
const (
	KeyEvent      = "event_id"
	KeyDelivery   = "delivery_id"
	KeyWebhook    = "webhook_id"
	KeyProject    = "project_id"
	KeyAttempt    = "attempt"
	KeyTrigger    = "trigger"
	KeyOutcome    = "outcome"
	KeyReason     = "reason"
	KeyStatusCode = "status_code"
	KeyDurationMS = "duration_ms"
	KeyNextAt     = "next_at"
)

// NewLogger writes JSON lines to w, from the given level on: "debug", "info",
// "warn" or "error". Nothing is sampled: one line an attempt means every attempt.
// When there are many, they reach w some milliseconds late and together, but for
// warnings and errors; call Sync before the process ends.
func NewLogger(level string, w io.Writer) (*zap.Logger, error) {
	parsed, err := ParseLevel(level)
	if err != nil {
		return nil, err
	}
	encoding := zap.NewProductionEncoderConfig()
	encoding.TimeKey = "time"
	encoding.MessageKey = "message"
	encoding.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	encoding.EncodeDuration = zapcore.MillisDurationEncoder
	sink := newLines(w)
	urgent := zap.Hooks(func(line zapcore.Entry) error {
		if line.Level < zapcore.WarnLevel {
			return nil
		}
		return sink.Sync()
	})
	return zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(encoding), sink, parsed), zap.ErrorOutput(sink), urgent), nil
}

// ParseLevel reads "debug", "info", "warn" or "error".
func ParseLevel(level string) (zapcore.Level, error) {
	parsed, err := zapcore.ParseLevel(level)
	if err != nil || parsed > zapcore.ErrorLevel {
		return parsed, fmt.Errorf("log level %q is unknown: use debug, info, warn or error", level)
	}
	return parsed, nil
}
