package config_test

import (
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/settings"
	"github.com/dembrane/webhooks/services/api/internal/config"
)

func required() map[string]string {
	return map[string]string{
		"MONGODB_URI": "mongodb://one", "NATS_URL": "nats://one", "SECRETS_KEYSET_FILE": "keyset.json",
		"ADMIN_BASE_URL": "https://dashboard.example.org", "STATIC_TOKENS_FILE": "tokens.yaml",
	}
}

func TestDefaults(t *testing.T) {
	c, err := config.LoadFrom(required())
	require.NoError(t, err)
	assert.Equal(t, ":8080", c.HTTPAddr)
	assert.Equal(t, ":9090", c.OpsAddr)
	assert.Equal(t, "directus_session_token", c.SessionCookie)
	assert.Equal(t, 50, c.MaxWebhooksPerProject)
	assert.Equal(t, 720*time.Hour, c.AttemptsMaxAge)
	assert.InDelta(t, 20, c.RatePerSecond, 0)
	assert.Equal(t, 60, c.RateBurst)
	assert.Empty(t, c.AllowCIDRs)
	assert.Empty(t, c.CORSOrigins)
}

func TestEveryMistakeAtOnce(t *testing.T) {
	_, err := config.LoadFrom(map[string]string{
		"NATS_URL": "nats://one", "MAX_WEBHOOKS_PER_PROJECT": "many", "STREAM_REPLICAS": "9", "LOG_LEVEL": "loud",
		"ALLOW_CIDRS": "10.0.0.0/8,nonsense", "CORS_ORIGINS": "*", "IDENTITY_DRIVER": "magic", "ADMIN_BASE_URL": "dashboard",
	})
	for _, name := range []string{
		"MONGODB_URI is required", "SECRETS_KEYSET_FILE is required", "many", "replicas", "loud", "nonsense",
		"CORS_ORIGINS", "IDENTITY_DRIVER", "ADMIN_BASE_URL must be",
	} {
		require.ErrorContains(t, err, name)
	}
}

func TestOneMistakeEach(t *testing.T) {
	for name, value := range map[string]string{
		"STATIC_TOKENS_FILE":       "",
		"MAX_WEBHOOKS_PER_PROJECT": "0",
		"API_RATE_PER_SECOND":      "-1",
		"API_RATE_BURST":           "0",
		"API_TRUSTED_PROXIES":      "10.0.0.1",
		"ATTEMPTS_MAX_AGE":         "1s",
		"TEST_TIMEOUT":             "0s",
		"SHUTDOWN_GRACE":           "-1s",
		"SESSION_COOKIE":           "a b",
		"MONGODB_DATABASE":         "a.b",
		"EVENTS_MAX_AGE":           "1m",
		"CORS_ORIGINS":             "https://dashboard.example.org/path",
		"ADMIN_BASE_URL":           "ftp://example.org",
	} {
		environment := required()
		maps.Copy(environment, map[string]string{name: value})
		_, err := config.LoadFrom(environment)
		require.Error(t, err, name)
	}
}

func TestEverySettingIsDescribed(t *testing.T) {
	for _, s := range settings.Describe(config.Config{}) {
		assert.NotEmpty(t, s.Description, s.Name)
		assert.Equal(t, byte('.'), s.Description[len(s.Description)-1], s.Name)
	}
}
