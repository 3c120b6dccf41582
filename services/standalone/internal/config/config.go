// Package config is standalone's settings: the only place that reads its
// environment.
//
// Standalone has a handful of settings of its own. Every other setting of the api
// and of the dispatcher keeps its name and meaning, except for those that
// standalone decides itself because it brings the servers along.
package config

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/caarlos0/env/v11"

	"github.com/dembrane/webhooks/pkg/observe"
	api "github.com/dembrane/webhooks/services/api/app"
	dispatcher "github.com/dembrane/webhooks/services/dispatcher/app"
	"github.com/dembrane/webhooks/services/standalone/embedded"
)

// Loopback is what may be delivered to, besides public addresses, when
// ALLOW_CIDRS is not set at all.
const Loopback = "127.0.0.0/8,::1/128"

// logMaxBytes is how much the delivery log takes at most unless LOG_MAX_BYTES says
// otherwise.
const logMaxBytes = 1 << 30

const (
	allowCIDRs = "ALLOW_CIDRS"
	logLevel   = "LOG_LEVEL"
)

// Config is standalone's own settings. Make one with [Load].
type Config struct {
	APIAddr          string                `env:"API_ADDR" envDefault:"127.0.0.1:8080" desc:"Listener of the management API; port 0 takes a free one."`
	NATSAddr         string                `env:"NATS_ADDR" envDefault:"127.0.0.1:4222" desc:"Listener of the embedded NATS server, which asks nobody for credentials; port 0 takes a free one."`
	NATSSyncInterval embedded.SyncInterval `env:"NATS_SYNC_INTERVAL" envDefault:"1s" desc:"When the embedded NATS server forces what it stores onto the disk: always, before anything is acknowledged, so that it survives a power cut; or at intervals such as 1s, and a power cut loses what was acknowledged since the last one. A killed process loses nothing either way. What always costs: docs/operating.md."`
	OpsAddr          string                `env:"OPS_ADDR" envDefault:"none" desc:"Listener of the dispatcher's /livez, /readyz and /metrics; port 0 takes a free one, \"none\" is none."`
	DataDir          string                `env:"DATA_DIR" envDefault:"./data" desc:"Folder of everything that must survive a restart."`
	StaticTokensFile string                `env:"STATIC_TOKENS_FILE" desc:"YAML file of token hashes and the projects they manage. Empty: one is made in DATA_DIR, with a token for all projects."`
	AllowCIDRs       string                `env:"ALLOW_CIDRS" desc:"Address ranges that may be delivered to although they are not public, separated by commas. Not set at all: loopback. Set, but empty: none."`
	AdminBaseURL     string                `env:"ADMIN_BASE_URL" envDefault:"http://localhost:5173" desc:"Where the dashboard is; deliveries link into it."`
	LogLevel         string                `env:"LOG_LEVEL" envDefault:"info" desc:"debug, info, warn or error. The demo logs from warn on."`

	// LoopbackAssumed says that nobody has decided about ALLOW_CIDRS.
	LoopbackAssumed bool

	environment map[string]string
}

// Load takes settings from the environment; what given holds under the same
// names wins over it. It reports every mistake at once, those in settings of the
// api and the dispatcher included.
func Load(given map[string]string) (Config, error) {
	environment := env.ToMap(os.Environ())
	maps.Copy(environment, given)
	return load(environment)
}

func load(environment map[string]string) (Config, error) {
	_, decided := environment[allowCIDRs]
	if !decided {
		environment[allowCIDRs] = Loopback
	}
	c, err := env.ParseAsWithOptions[Config](env.Options{Environment: environment})
	if err != nil {
		return Config{}, fmt.Errorf("read settings: %w", err)
	}
	c.LoopbackAssumed = !decided
	c.environment = environment
	return c, c.validate()
}

// Quiet is the settings with the level warn, unless somebody chose a level.
func (c Config) Quiet() Config {
	if c.environment[logLevel] == "" {
		c.LogLevel = "warn"
	}
	return c
}

// Paths of what standalone keeps in DATA_DIR.

// KeysetFile holds the key that signing secrets are encrypted with.
func (c Config) KeysetFile() string { return filepath.Join(c.DataDir, "keyset.json") }

// TokenFile holds the token that standalone made, in the clear.
func (c Config) TokenFile() string { return filepath.Join(c.DataDir, "token") }

// TokensFile is the api's file of token hashes: the one that was given, or the
// one that standalone makes.
func (c Config) TokensFile() string {
	if c.StaticTokensFile != "" {
		return c.StaticTokensFile
	}
	return filepath.Join(c.DataDir, "tokens.yaml")
}

// LockFile says who uses the folder.
func (c Config) LockFile() string { return filepath.Join(c.DataDir, "lock") }

// NATSStore is the broker's folder, and when it syncs what is in it.
func (c Config) NATSStore() embedded.NATSStore {
	return embedded.NATSStore{Dir: filepath.Join(c.DataDir, "nats"), Sync: c.NATSSyncInterval}
}

// MongoDir is the database's folder.
func (c Config) MongoDir() string { return filepath.Join(c.DataDir, "mongo") }

// Dispatcher is the settings of the dispatcher beside a broker at natsURL.
func (c Config) Dispatcher(natsURL string) (dispatcher.Config, error) {
	config, err := dispatcher.LoadConfigFrom(c.with(natsURL, "unused"))
	if err != nil {
		return config, fmt.Errorf("configure the dispatcher: %w", err)
	}
	config.OpsAddr = c.OpsAddr
	return config, nil
}

// API is the settings of the api beside these servers.
func (c Config) API(natsURL, mongoDBURI string) (api.Config, error) {
	config, err := api.LoadConfigFrom(c.with(natsURL, mongoDBURI))
	if err != nil {
		return config, fmt.Errorf("configure the api: %w", err)
	}
	config.OpsAddr = "" // the dispatcher has the only one
	return config, nil
}

// with is the environment of the two services.
func (c Config) with(natsURL, mongoDBURI string) map[string]string {
	environment := maps.Clone(c.environment)
	if environment["ATTEMPTS_MAX_AGE"] == "" {
		// It shares a disk with everything else.
		environment["ATTEMPTS_MAX_AGE"] = "168h"
	}
	if environment["LOG_MAX_BYTES"] == "" {
		environment["LOG_MAX_BYTES"] = strconv.Itoa(logMaxBytes)
	}
	maps.Copy(environment, map[string]string{
		"NATS_URL":              natsURL,
		"NATS_CREDENTIALS_FILE": "",
		"MONGODB_URI":           mongoDBURI,
		"SECRETS_KEYSET_FILE":   c.KeysetFile(),
		"IDENTITY_DRIVER":       "static",
		"STATIC_TOKENS_FILE":    c.TokensFile(),
		"HTTP_ADDR":             c.APIAddr,
		"STREAM_REPLICAS":       "1",
		"ADMIN_BASE_URL":        c.AdminBaseURL,
		logLevel:                c.LogLevel,
	})
	return environment
}

func (c Config) validate() error {
	var faults []error
	listeners := map[string]string{"API_ADDR": c.APIAddr, "NATS_ADDR": c.NATSAddr}
	if c.OpsAddr != observe.NoOps {
		listeners["OPS_ADDR"] = c.OpsAddr
	}
	for name, addr := range listeners {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			faults = append(faults, fmt.Errorf("%s must be host:port: %w", name, err))
		}
	}
	if c.DataDir == "" {
		faults = append(faults, errors.New("DATA_DIR must not be empty"))
	}
	if u, err := url.Parse(c.AdminBaseURL); err != nil || !strings.HasPrefix(u.Scheme, "http") || u.Host == "" {
		faults = append(faults, errors.New("ADMIN_BASE_URL must be an http(s) URL"))
	}
	if _, err := observe.ParseLevel(c.LogLevel); err != nil {
		faults = append(faults, err)
	}
	if len(faults) > 0 {
		return fmt.Errorf("check settings: %w", errors.Join(faults...))
	}
	// What the servers will be called is not known yet; what else is wrong is.
	const later = "nats://127.0.0.1:4222"
	_, dispatcherFault := c.Dispatcher(later)
	_, apiFault := c.API(later, "mongodb://127.0.0.1:27017")
	return errors.Join(dispatcherFault, apiFault)
}
