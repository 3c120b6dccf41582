package config_test

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/settings"
	"github.com/dembrane/webhooks/services/api/internal/config"
)

func withDirectus() map[string]string {
	environment := required()
	delete(environment, "STATIC_TOKENS_FILE")
	maps.Copy(environment, map[string]string{
		"IDENTITY_DRIVER": "directus", "DIRECTUS_BASE_URL": "https://directus.example.org/base",
		"DIRECTUS_TOKEN": "a-token-that-nobody-sees", "DIRECTUS_SECRET": "a-secret-that-nobody-sees",
	})
	return environment
}

func TestDirectusDefaults(t *testing.T) {
	c, err := config.LoadFrom(withDirectus())
	require.NoError(t, err)
	options := c.Directus(zap.NewNop())
	assert.Equal(t, "https://directus.example.org/base", options.BaseURL.String())
	assert.Equal(t, "a-token-that-nobody-sees", options.Token.Reveal())
	assert.Equal(t, "a-secret-that-nobody-sees", options.Secret.Reveal())
	assert.Equal(t, 5*time.Second, options.Timeout)
	assert.Equal(t, 30*time.Second, options.CacheTTL)
	assert.Equal(t, 10000, options.CacheSize)
}

func TestDirectusSecretsAreNotPrinted(t *testing.T) {
	c, err := config.LoadFrom(withDirectus())
	require.NoError(t, err)
	var out strings.Builder
	require.NoError(t, settings.Print(&out, c))
	assert.Contains(t, out.String(), "DIRECTUS_TOKEN=[redacted]\n")
	assert.Contains(t, out.String(), "DIRECTUS_SECRET=[redacted]\n")
	assert.NotContains(t, out.String(), "nobody-sees")
}

// Every mistake names the setting, and none of them its value where that is
// secret.
func TestDirectusMistakes(t *testing.T) {
	for _, row := range []struct{ name, value, want string }{
		{"DIRECTUS_BASE_URL", "", "DIRECTUS_BASE_URL is required with IDENTITY_DRIVER=directus"},
		{"DIRECTUS_BASE_URL", "directus:8055", "DIRECTUS_BASE_URL must be an http(s) URL"},
		{"DIRECTUS_BASE_URL", "https://user:pw@directus.example.org", "DIRECTUS_BASE_URL must be an http(s) URL"},
		{"DIRECTUS_BASE_URL", "https://directus.example.org/?x", "DIRECTUS_BASE_URL must be an http(s) URL"},
		{"DIRECTUS_BASE_URL", "https://directus.example.org/#x", "DIRECTUS_BASE_URL must be an http(s) URL"},
		{"DIRECTUS_TOKEN", "", "DIRECTUS_TOKEN is required with IDENTITY_DRIVER=directus"},
		{"DIRECTUS_TOKEN", "nobody-sees\n", "DIRECTUS_TOKEN begins or ends with white space"},
		{"DIRECTUS_TOKEN", "nobody\x00sees", "DIRECTUS_TOKEN must have printable ASCII characters only"},
		{"DIRECTUS_SECRET", "", "DIRECTUS_SECRET is required with IDENTITY_DRIVER=directus"},
		{"DIRECTUS_SECRET", " nobody-sees", "DIRECTUS_SECRET begins or ends with white space"},
		{"DIRECTUS_TIMEOUT", "99ms", "DIRECTUS_TIMEOUT must be 100ms to 10s"},
		{"DIRECTUS_TIMEOUT", "11s", "DIRECTUS_TIMEOUT must be 100ms to 10s"},
		{"DIRECTUS_CACHE_TTL", "-1s", "DIRECTUS_CACHE_TTL must be 0s to 10m"},
		{"DIRECTUS_CACHE_TTL", "11m", "DIRECTUS_CACHE_TTL must be 0s to 10m"},
		{"DIRECTUS_CACHE_SIZE", "0", "DIRECTUS_CACHE_SIZE must be 1 to 1000000"},
		{"IDENTITY_DRIVER", "Directus", "IDENTITY_DRIVER must be static or directus"},
	} {
		environment := withDirectus()
		environment[row.name] = row.value
		_, err := config.LoadFrom(environment)
		require.ErrorContains(t, err, row.want, row.value)
		assert.NotContains(t, err.Error(), "nobody-sees")
	}
}

// What the other driver would need is nobody's business.
func TestOnlyTheChosenDriverIsChecked(t *testing.T) {
	environment := required()
	environment["DIRECTUS_TIMEOUT"] = "1h"
	_, err := config.LoadFrom(environment)
	require.NoError(t, err)
}
