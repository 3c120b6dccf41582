package secret_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/dembrane/webhooks/pkg/secret"
)

const hidden = "hunter2-hunter2"

// holder is how a secret usually travels: inside something else.
type holder struct {
	Name   string
	Secret secret.Text
	inner  *secret.Text
}

func newHolder() holder {
	text := secret.New(hidden)
	return holder{Name: "w1", Secret: text, inner: &text}
}

func TestASecretIsNeverPrinted(t *testing.T) {
	text := secret.New(hidden)
	h := newHolder()
	for _, value := range []any{text, &text, h, &h, []secret.Text{text}, map[string]secret.Text{"s": text}, []any{text}, h.inner} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T %v"} {
			var out string
			if verb == "%T %v" {
				out = fmt.Sprint(value)
			} else {
				out = fmt.Sprintf(verb, value)
			}
			assertHidden(t, out, verb)
		}
		data, err := json.Marshal(value)
		require.NoError(t, err)
		assertHidden(t, string(data), "JSON")
	}
	keyed, err := json.Marshal(map[string]any{"secret": text})
	require.NoError(t, err)
	assert.JSONEq(t, `{"secret":"[redacted]"}`, string(keyed))
	assertHidden(t, fmt.Errorf("store %v: %w", text, errors.New("no")).Error(), "an error")
}

func TestASecretIsNeverLogged(t *testing.T) {
	text := secret.New(hidden)
	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&out, nil))
	log.Info("slog", "secret", text, "holder", newHolder(), slog.Any("any", &text))
	slog.New(slog.NewTextHandler(&out, nil)).Info("slog", "secret", text, "holder", newHolder())
	zapped := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(&out), zap.DebugLevel))
	zapped.Info("zap", zap.Any("secret", text), zap.Stringer("stringer", text), zap.Reflect("reflect", newHolder()), zap.Any("holder", newHolder()))
	zapped.Sugar().Infow("sugar", "secret", text, "holder", newHolder())
	zapped.Sugar().Infof("%+v", newHolder())

	assertHidden(t, out.String(), "a log")
	assert.Contains(t, out.String(), "[redacted]")
}

func assertHidden(t *testing.T, out, where string) {
	t.Helper()
	hex := fmt.Sprintf("%x", hidden)
	assert.NotContains(t, out, hidden, where)
	assert.NotContains(t, strings.ToLower(out), hex, where)
}

func TestAGeneratedSecretIsAStandardOne(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		encoded, isStandard := strings.CutPrefix(secret.Generate().Reveal(), "whsec_")
		require.True(t, isStandard)
		key, err := base64.StdEncoding.Strict().DecodeString(encoded)
		require.NoError(t, err)
		require.Len(t, key, 32)
		require.False(t, seen[encoded])
		seen[encoded] = true
	}
}

func TestASecretIsRevealedOnRequest(t *testing.T) {
	assert.Equal(t, hidden, secret.New(hidden).Reveal())
	assert.False(t, secret.New(hidden).IsEmpty())
	assert.True(t, secret.Text{}.IsEmpty())
	assert.True(t, secret.New("").IsEmpty())
	assert.Empty(t, secret.Text{}.Reveal())
}
