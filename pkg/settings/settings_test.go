package settings_test

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/settings"
)

type shared struct {
	LogLevel string `env:"LOG_LEVEL" envDefault:"info" desc:"How much is logged."`
}

type config struct {
	shared

	URL      string         `env:"STORE_URL,required" secret:"url" desc:"Where the store is."`
	Key      string         `env:"KEY,notEmpty" secret:"true" desc:"A key."`
	Grace    time.Duration  `env:"GRACE" envDefault:"10s" desc:"How long."`
	Allow    []netip.Prefix `env:"ALLOW" desc:"What is opened."`
	Limit    *int           `env:"LIMIT" desc:"How many."`
	Internal string
}

func example() config {
	limit := 7
	return config{
		shared: shared{LogLevel: "debug"},
		URL:    "mongodb://me:p/w@one,two/db?password=x",
		Key:    "very secret",
		Grace:  90 * time.Second,
		Allow:  []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")},
		Limit:  &limit,
	}
}

func TestDescribe(t *testing.T) {
	got := settings.Describe(&config{})

	require.Len(t, got, 6)
	assert.Equal(t, settings.Setting{Name: "LOG_LEVEL", Default: "info", Description: "How much is logged."}, got[0])
	assert.Equal(t, settings.Setting{Name: "STORE_URL", Required: true, Secret: true, Description: "Where the store is."}, got[1])
	assert.Equal(t, settings.Setting{Name: "KEY", Required: true, Secret: true, Description: "A key."}, got[2])
	assert.Equal(t, settings.Setting{Name: "GRACE", Default: "10s", Description: "How long."}, got[3])

	var out bytes.Buffer
	require.NoError(t, settings.WriteJSON(&out, config{}))
	var back []settings.Setting
	require.NoError(t, json.Unmarshal(out.Bytes(), &back))
	assert.Equal(t, got, back)
}

func TestPrintRedacts(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, settings.Print(&out, example()))

	assert.Equal(t, `LOG_LEVEL=debug
STORE_URL=mongodb://[redacted]@one,two/db?[redacted]
KEY=[redacted]
GRACE=1m30s
ALLOW=10.0.0.0/8,::1/128
LIMIT=7
`, out.String())
}

func TestPrintRedactsURLs(t *testing.T) {
	type one struct {
		URL string `env:"U" secret:"url" desc:"A URL."`
	}
	for given, want := range map[string]string{
		"":                                 "",
		"nats://127.0.0.1:4222":            "nats://127.0.0.1:4222",
		"nats://token@one":                 "nats://[redacted]@one",
		"nats://u:p@one,nats://u:p@two:1":  "nats://[redacted]@two:1",
		"mongodb://u:p?q@one":              "mongodb://[redacted]@one",
		"u:p@one":                          "[redacted]@one",
		"mongodb://u:a@b@one/?x=1":         "mongodb://[redacted]@one/?[redacted]",
		"mongodb+srv://u:p%40@one.example": "mongodb+srv://[redacted]@one.example",
	} {
		var out bytes.Buffer
		require.NoError(t, settings.Print(&out, one{URL: given}))
		assert.Equal(t, "U="+want+"\n", out.String(), given)
	}
}
