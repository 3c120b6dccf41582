package config_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/settings"
	"github.com/dembrane/webhooks/services/dispatcher/internal/config"
)

// required is the least that has to be set.
func required() map[string]string {
	return map[string]string{
		"NATS_URL":            "nats://127.0.0.1:4222",
		"SECRETS_KEYSET_FILE": "keyset.json",
		"ADMIN_BASE_URL":      "https://dashboard.example.org",
	}
}

func with(name, value string) map[string]string {
	environment := required()
	environment[name] = value
	return environment
}

func TestDefaultsAreWhatTheContractSays(t *testing.T) {
	c, err := config.LoadFrom(required())

	require.NoError(t, err)
	assert.Equal(t, 15*time.Second, c.AttemptTimeout)
	assert.Equal(t, 5*time.Second, c.ConnectTimeout)
	assert.Equal(t, 5*time.Second, c.TLSTimeout)
	assert.Equal(t, 10, c.RetryAttempts)
	assert.Equal(t, 5*time.Second, c.RetryFirst)
	assert.Empty(t, c.AllowCIDRs, "public addresses only")
}

func TestTheAckWaitOutlastsAnAttemptAndItsTurn(t *testing.T) {
	for _, timeout := range []string{"1s", "15s", "30s"} {
		c, err := config.LoadFrom(with("ATTEMPT_TIMEOUT", timeout))
		require.NoError(t, err)
		// An attempt that hangs is waited for in line by one that hangs as well.
		assert.Greater(t, c.Consumption().AckWait, 2*c.AttemptTimeout+c.LaneMaxWait+10*time.Second)
		assert.Equal(t, c.MaxUnsettled, c.Consumption().MaxAckPending)
	}
}

func TestEveryMistakeIsReportedAtOnce(t *testing.T) {
	_, err := config.LoadFrom(map[string]string{
		"NATS_URL": "", "CONNECT_TIMEOUT": "soon", "ALLOW_CIDRS": "10.0.0.0/99", "RETRY_ATTEMPTS": "31",
		"ADMIN_BASE_URL": "ftp://x", "LOG_LEVEL": "loud",
	})

	require.Error(t, err)
	for _, mistake := range []string{
		"NATS_URL", "SECRETS_KEYSET_FILE", "soon", "10.0.0.0/99", "RETRY_ATTEMPTS", "ADMIN_BASE_URL", "loud",
	} {
		assert.ErrorContains(t, err, mistake)
	}
}

func TestWhatCannotWorkIsRefused(t *testing.T) {
	for name, values := range map[string][]string{
		"NATS_URL":            {""},
		"SECRETS_KEYSET_FILE": {""},
		"ADMIN_BASE_URL":      {"", "dashboard", "//dashboard", "ftp://dashboard", "https://", "https://%zz"},
		"ALLOW_CIDRS":         {"10.0.0.0", "10.0.0.0/33", "localhost/8"},
		"ATTEMPT_TIMEOUT":     {"0s", "999ms", "30001ms", "-1s", "15"},
		"CONNECT_TIMEOUT":     {"0s", "-1s"},
		"TLS_TIMEOUT":         {"0s", "-1s"},
		"RETRY_ATTEMPTS":      {"0", "31", "-1", "1.5"},
		"RETRY_FIRST":         {"0s", "9ms", "24h1s"},
		"RETRY_MULTIPLIER":    {"0.99", "10.1", "NaN", "Inf"},
		"LANE_CONCURRENCY":    {"0", "-1"},
		"LANE_MAX_WAIT":       {"-1s", "11s"},
		"MAX_IN_FLIGHT":       {"0"},
		"MAX_IN_FLIGHT_BYTES": {"0", "8388607"},
		"MAX_UNSETTLED":       {"0"},
		"LOG_LEVEL":           {"loud", "panic"},
		"SHUTDOWN_GRACE":      {"-1s"},
	} {
		for _, value := range values {
			_, err := config.LoadFrom(with(name, value))
			assert.Error(t, err, "%s=%s", name, value)
		}
	}
}

func TestTheBoundsThemselvesWork(t *testing.T) {
	for name, values := range map[string][]string{
		"ALLOW_CIDRS":         {"", "10.0.0.0/8,fd00::/8"},
		"ATTEMPT_TIMEOUT":     {"1s", "30s"},
		"RETRY_ATTEMPTS":      {"1", "30"},
		"RETRY_FIRST":         {"10ms", "24h"},
		"RETRY_MULTIPLIER":    {"1", "10"},
		"LANE_MAX_WAIT":       {"0s", "10s"},
		"MAX_IN_FLIGHT_BYTES": {"8388608"},
		"SHUTDOWN_GRACE":      {"0s"},
		"OPS_ADDR":            {"none", ":0"},
	} {
		for _, value := range values {
			_, err := config.LoadFrom(with(name, value))
			require.NoError(t, err, "%s=%s", name, value)
		}
	}
	c, err := config.LoadFrom(with("ALLOW_CIDRS", "10.0.0.0/8,fd00::/8"))
	require.NoError(t, err)
	assert.Equal(t, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}, c.AllowCIDRs)
}

func TestEverySettingIsDescribedAndNoPasswordIsPrinted(t *testing.T) {
	for _, setting := range settings.Describe(config.Config{}) {
		assert.True(t, strings.HasSuffix(setting.Description, ".") || strings.HasSuffix(setting.Description, ")."), setting.Name)
	}
	c, err := config.LoadFrom(with("NATS_URL", "nats://me:hunter2@127.0.0.1"))
	require.NoError(t, err)
	var out strings.Builder
	require.NoError(t, settings.Print(&out, c))
	assert.NotContains(t, out.String(), "hunter2")
	assert.Contains(t, out.String(), "RETRY_ATTEMPTS=10\n")
}
