package config

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/observe"
	"github.com/dembrane/webhooks/pkg/settings"
	"github.com/dembrane/webhooks/services/standalone/embedded"
)

func TestNothingIsRequired(t *testing.T) {
	c, err := load(map[string]string{})

	require.NoError(t, err)
	assert.Equal(t, "127.0.0.1:8080", c.APIAddr)
	assert.Equal(t, "127.0.0.1:4222", c.NATSAddr)
	assert.Equal(t, "./data", c.DataDir)
	assert.Equal(t, filepath.Join("data", "tokens.yaml"), c.TokensFile())
}

func TestLoopbackIsAllowedOnlyWhenNobodyDecided(t *testing.T) {
	tests := map[string]struct {
		environment map[string]string
		assumed     bool
		allowed     []netip.Prefix
	}{
		"not set":       {nil, true, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}},
		"set, but none": {map[string]string{"ALLOW_CIDRS": ""}, false, nil},
		"set": {
			map[string]string{"ALLOW_CIDRS": "10.0.0.0/8"},
			false,
			[]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			environment := map[string]string{}
			maps.Copy(environment, test.environment)
			c, err := load(environment)
			require.NoError(t, err)
			assert.Equal(t, test.assumed, c.LoopbackAssumed)
			toDispatcher, err := c.Dispatcher("nats://127.0.0.1:1")
			require.NoError(t, err)
			assert.ElementsMatch(t, test.allowed, toDispatcher.AllowCIDRs)
			toAPI, err := c.API("nats://127.0.0.1:1", "mongodb://127.0.0.1:2")
			require.NoError(t, err)
			assert.ElementsMatch(t, test.allowed, toAPI.AllowCIDRs)
		})
	}
}

func TestTheServicesGetTheirSettings(t *testing.T) {
	c, err := load(map[string]string{
		"DATA_DIR": "/somewhere", "API_ADDR": "127.0.0.1:0", "RETRY_FIRST": "1s", "MAX_WEBHOOKS_PER_PROJECT": "7",
		// What standalone brings along is not for others to choose.
		"NATS_URL": "nats://elsewhere:4222", "HTTP_ADDR": ":80", "STREAM_REPLICAS": "3",
	})
	require.NoError(t, err)

	toDispatcher, err := c.Dispatcher("nats://127.0.0.1:1")
	require.NoError(t, err)
	toAPI, err := c.API("nats://127.0.0.1:1", "mongodb://127.0.0.1:2")
	require.NoError(t, err)

	assert.Equal(t, time.Second, toDispatcher.RetryFirst)
	assert.Equal(t, "nats://127.0.0.1:1", toDispatcher.NATSURL)
	assert.Equal(t, "/somewhere/keyset.json", toDispatcher.SecretsKeysetFile)
	assert.Equal(t, observe.NoOps, toDispatcher.OpsAddr)
	assert.Equal(t, 1, toAPI.StreamReplicas)
	assert.Equal(t, 7, toAPI.MaxWebhooksPerProject)
	assert.Equal(t, "127.0.0.1:0", toAPI.HTTPAddr)
	assert.Equal(t, "mongodb://127.0.0.1:2", toAPI.MongoDBURI)
	assert.Equal(t, "/somewhere/tokens.yaml", toAPI.StaticTokensFile)
	assert.Empty(t, toAPI.OpsAddr)
}

func TestTheDispatcherHasTheListenerForOperators(t *testing.T) {
	c, err := load(map[string]string{"OPS_ADDR": "127.0.0.1:0"})
	require.NoError(t, err)
	toDispatcher, err := c.Dispatcher("nats://127.0.0.1:1")
	require.NoError(t, err)
	toAPI, err := c.API("nats://127.0.0.1:1", "mongodb://127.0.0.1:2")
	require.NoError(t, err)

	assert.Equal(t, "127.0.0.1:0", toDispatcher.OpsAddr)
	assert.Empty(t, toAPI.OpsAddr)
}

func TestTheBrokerSyncsEverySecondUnlessTold(t *testing.T) {
	c, err := load(map[string]string{"DATA_DIR": "/somewhere"})
	require.NoError(t, err)
	assert.Equal(t, embedded.NATSStore{Dir: "/somewhere/nats", Sync: embedded.SyncInterval(time.Second)}, c.NATSStore())

	c, err = load(map[string]string{"NATS_SYNC_INTERVAL": "always"})
	require.NoError(t, err)
	assert.Equal(t, embedded.SyncAlways, c.NATSStore().Sync)
}

func TestEveryMistakeIsReported(t *testing.T) {
	_, err := load(map[string]string{
		"API_ADDR": "8080", "NATS_ADDR": "nowhere", "OPS_ADDR": "9090", "ADMIN_BASE_URL": "dashboard", "LOG_LEVEL": "loud",
	})
	for _, name := range []string{"API_ADDR", "NATS_ADDR", "OPS_ADDR", "ADMIN_BASE_URL", "loud"} {
		require.ErrorContains(t, err, name)
	}

	_, err = load(map[string]string{"NATS_SYNC_INTERVAL": "sometimes"})
	require.ErrorContains(t, err, `"sometimes" must be always, or a duration`)

	_, err = load(map[string]string{"RETRY_ATTEMPTS": "0", "MAX_WEBHOOKS_PER_PROJECT": "0"})
	require.ErrorContains(t, err, "RETRY_ATTEMPTS")
	assert.ErrorContains(t, err, "MAX_WEBHOOKS_PER_PROJECT")
}

func TestAFlagWinsOverTheEnvironment(t *testing.T) {
	t.Setenv("DATA_DIR", "/from/the/environment")
	t.Setenv("NATS_ADDR", "127.0.0.1:1")

	c, err := Load(map[string]string{"DATA_DIR": "/from/a/flag"})

	require.NoError(t, err)
	assert.Equal(t, "/from/a/flag", c.DataDir)
	assert.Equal(t, "127.0.0.1:1", c.NATSAddr)
}

func TestTheDemoIsQuietUnlessALevelWasChosen(t *testing.T) {
	c, err := load(map[string]string{})
	require.NoError(t, err)
	assert.Equal(t, "warn", c.Quiet().LogLevel)

	c, err = load(map[string]string{"LOG_LEVEL": "debug"})
	require.NoError(t, err)
	assert.Equal(t, "debug", c.Quiet().LogLevel)
}

func TestEverySettingIsDescribedAndPrintedOnce(t *testing.T) {
	var described bytes.Buffer
	require.NoError(t, WriteJSON(&described))
	var list []settings.Setting
	require.NoError(t, json.Unmarshal(described.Bytes(), &list))
	c, err := load(map[string]string{"RETRY_FIRST": "42s"})
	require.NoError(t, err)
	var printed bytes.Buffer
	require.NoError(t, c.Print(&printed))

	var names []string
	for _, s := range list {
		names = append(names, s.Name)
		assert.NotEmpty(t, s.Description, s.Name)
		assert.False(t, s.Required, "%s: standalone needs nothing", s.Name)
	}
	var shown []string
	for line := range strings.Lines(printed.String()) {
		name, _, _ := strings.Cut(line, "=")
		shown = append(shown, name)
	}
	assert.Equal(t, names, shown)
	assert.Contains(t, printed.String(), "RETRY_FIRST=42s\n")
	for _, name := range decided() {
		assert.NotContains(t, names, name)
	}
}
