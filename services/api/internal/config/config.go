// Package config is the api's settings: the only place that reads its
// environment.
package config

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"

	"github.com/dembrane/webhooks/pkg/observe"
	"github.com/dembrane/webhooks/pkg/topology"
)

// The identity drivers: one reads tokens from a file, the other asks Directus.
const (
	IdentityStatic   = "static"
	IdentityDirectus = "directus"
)

// Config is every setting of the api. Durations are written as "15s".
type Config struct {
	HTTPAddr    string   `env:"HTTP_ADDR" envDefault:":8080" desc:"Listener of the management API."`
	CORSOrigins []string `env:"CORS_ORIGINS" desc:"Origins of the dashboard, such as https://dashboard.example.org, separated by commas: pages there may call the API with the user's cookie. Empty: none."`

	RatePerSecond  float64        `env:"API_RATE_PER_SECOND" envDefault:"20" desc:"Requests a second that one caller may make in the long run, per replica; 0: no limit. Callers are told apart by their token, and by their address until they were let in."`
	RateBurst      int            `env:"API_RATE_BURST" envDefault:"60" desc:"Requests that one caller may make at once (1 to 100000)."`
	TrustedProxies []netip.Prefix `env:"API_TRUSTED_PROXIES" desc:"Address ranges of proxies in front of the API, separated by commas: their X-Forwarded-For says where a request comes from. Empty: nobody's does."`

	MongoDBURI      string `env:"MONGODB_URI,required,notEmpty" secret:"url" desc:"Connection string of MongoDB; docs/operating.md says which of its options are honoured."`
	MongoDBDatabase string `env:"MONGODB_DATABASE" envDefault:"webhooks" desc:"Name of the database."`

	NATSURL             string `env:"NATS_URL,required,notEmpty" secret:"url" desc:"NATS servers, separated by commas."`
	NATSCredentialsFile string `env:"NATS_CREDENTIALS_FILE" desc:"NATS .creds file; empty when the servers ask for none."`

	SecretsKeysetFile string `env:"SECRETS_KEYSET_FILE,required,notEmpty" desc:"Tink AEAD keyset (JSON) that signing secrets are encrypted with; the same file as the dispatcher's."`
	AdminBaseURL      string `env:"ADMIN_BASE_URL,required,notEmpty" desc:"Where the dashboard is; deliveries link into it."`

	IdentityDriver    string        `env:"IDENTITY_DRIVER" envDefault:"static" desc:"Who knows tokens and projects: static reads them from STATIC_TOKENS_FILE, directus asks a Directus."`
	StaticTokensFile  string        `env:"STATIC_TOKENS_FILE" desc:"YAML file of token hashes and the projects they manage; needed by the static driver, reloaded when it changes."`
	DirectusBaseURL   string        `env:"DIRECTUS_BASE_URL" desc:"Where Directus is; needed by the directus driver."`
	DirectusToken     string        `env:"DIRECTUS_TOKEN" secret:"true" desc:"Static token of a Directus user who may read what docs/access.md lists; needed by the directus driver."`
	DirectusSecret    string        `env:"DIRECTUS_SECRET" secret:"true" desc:"The SECRET of Directus, which signs its sessions; needed by the directus driver."`
	DirectusTimeout   time.Duration `env:"DIRECTUS_TIMEOUT" envDefault:"5s" desc:"How long one decision may take, with all that is read for it (100ms to 10s)."`
	DirectusCacheTTL  time.Duration `env:"DIRECTUS_CACHE_TTL" envDefault:"30s" desc:"How long what Directus said is remembered, refusals as well, and so how late a change of rights can be noticed (0s to 10m; 0s remembers nothing)."`
	DirectusCacheSize int           `env:"DIRECTUS_CACHE_SIZE" envDefault:"10000" desc:"How many decisions, and how many static tokens, are remembered (1 to 1000000)."`
	SessionCookie     string        `env:"SESSION_COOKIE" envDefault:"directus_session_token" desc:"Cookie that holds the token; when it is there, it wins over the Authorization header."`

	AllowCIDRs            []netip.Prefix `env:"ALLOW_CIDRS" desc:"Address ranges that may be delivered to although they are not public, separated by commas. Empty: public addresses only."`
	RequireHTTPS          bool           `env:"REQUIRE_HTTPS" envDefault:"false" desc:"Refuse webhooks with http:// URLs."`
	MaxWebhooksPerProject int            `env:"MAX_WEBHOOKS_PER_PROJECT" envDefault:"50" desc:"How many webhooks a project can have (1 to 1000)."`
	AttemptsMaxAge        time.Duration  `env:"ATTEMPTS_MAX_AGE" envDefault:"720h" desc:"How long the delivery log keeps an attempt."`
	LogMaxBytes           int64          `env:"LOG_MAX_BYTES" envDefault:"0" desc:"About how many bytes the records of attempts may take; beyond it the oldest go first, but never the newest hundred of a webhook. 0: no limit besides ATTEMPTS_MAX_AGE."`
	TestTimeout           time.Duration  `env:"TEST_TIMEOUT" envDefault:"33s" desc:"How long a test delivery is waited for; more than the dispatcher's ATTEMPT_TIMEOUT can be."`

	StreamReplicas int           `env:"STREAM_REPLICAS" envDefault:"1" desc:"Copies of every stream and of the bucket: 1, or 3 on a cluster."`
	EventsMaxAge   time.Duration `env:"EVENTS_MAX_AGE" envDefault:"720h" desc:"How long events are retained, and so how far back a replay can reach."`
	IntakeParts    int           `env:"INTAKE_PARTS" envDefault:"0" desc:"Parts that the projects are spread over for intake: a flood of one project delays events of the projects in its own part only (1 to 256; 0: 16). It can be changed at any time; nothing is lost. With more than 16, raise the dispatchers' MAX_UNSETTLED in proportion."`

	EventsMaxBytes     int64 `env:"EVENTS_MAX_BYTES" envDefault:"0" desc:"Limit of the stream EVENTS in bytes; publishing beyond it is refused. 0: 16 GiB, or less where JetStream has no room for the limits of all streams when they are made; -1: no limit. The same for the limits below; a start raises a limit and never lowers one."`
	DeliveriesMaxBytes int64 `env:"DELIVERIES_MAX_BYTES" envDefault:"0" desc:"Limit of the stream DELIVERIES in bytes; 0: 2 GiB, some five million retries. When it is nearly full, no new events are taken in."`
	RangesMaxBytes     int64 `env:"RANGES_MAX_BYTES" envDefault:"0" desc:"Limit of the stream RANGES in bytes; 0: 512 MiB. When it is nearly full, no new events are taken in."`
	AttemptsMaxBytes   int64 `env:"ATTEMPTS_MAX_BYTES" envDefault:"0" desc:"Limit of the stream ATTEMPTS in bytes: of the records that wait for MongoDB; 0: 2 GiB. When it is full, no new attempts are made."`
	RejectedMaxBytes   int64 `env:"REJECTED_MAX_BYTES" envDefault:"0" desc:"Limit of the stream REJECTED in bytes; 0: 512 MiB. The oldest go first."`
	WebhooksMaxBytes   int64 `env:"WEBHOOKS_MAX_BYTES" envDefault:"0" desc:"Limit of the bucket WEBHOOKS in bytes; 0: 1 GiB."`

	DuplicateWindow time.Duration `env:"DUPLICATE_WINDOW" envDefault:"10m" desc:"How long a repeated publish of the same event id is stored once only."`

	OpsAddr       string        `env:"OPS_ADDR" envDefault:":9090" desc:"Listener of /livez, /readyz and /metrics; \"none\" for none."`
	LogLevel      string        `env:"LOG_LEVEL" envDefault:"info" desc:"debug, info, warn or error."`
	ShutdownGrace time.Duration `env:"SHUTDOWN_GRACE" envDefault:"20s" desc:"How long a stop waits for requests under way."`
}

// Load reads the environment and reports every mistake at once.
func Load() (Config, error) { return load(env.Options{}) }

// LoadFrom is [Load] with these variables instead of the process's.
func LoadFrom(environment map[string]string) (Config, error) {
	return load(env.Options{Environment: environment})
}

func load(options env.Options) (Config, error) {
	c, err := env.ParseAsWithOptions[Config](options)
	if err := errors.Join(sentences(err), c.Validate()); err != nil {
		return Config{}, fmt.Errorf("read settings:\n%w", err)
	}
	return c, nil
}

// sentences takes the parser's errors apart and its prefix off.
func sentences(err error) error {
	if err == nil {
		return nil
	}
	var all env.AggregateError
	if !errors.As(err, &all) {
		return fmt.Errorf("read settings: %w", err)
	}
	// A variable that is required and empty is reported for each of the two.
	seen := map[string]bool{}
	var list []error
	for _, one := range all.Errors {
		var missing env.VarIsNotSetError
		var empty env.EmptyVarError
		text := one.Error()
		switch {
		case errors.As(one, &missing):
			text = missing.Key + " is required"
		case errors.As(one, &empty):
			text = empty.Key + " must not be empty"
		}
		if !seen[text] {
			seen[text] = true
			list = append(list, errors.New(text))
		}
	}
	return errors.Join(list...)
}

// Validate reports every setting that cannot work.
func (c Config) Validate() error {
	var faults []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	check(c.AdminBaseURL == "" || isURL(c.AdminBaseURL),
		"ADMIN_BASE_URL must be an http(s) URL")
	for _, origin := range c.CORSOrigins {
		check(isOrigin(origin), "CORS_ORIGINS must list origins like https://dashboard.example.org, without a path or *")
	}
	faults = append(faults, c.identityFaults()...)
	check(c.SessionCookie != "" && !strings.ContainsAny(c.SessionCookie, " \t=;,\""), "SESSION_COOKIE must be the name of a cookie")
	check(c.MongoDBDatabase != "" && !strings.ContainsAny(c.MongoDBDatabase, `/\. "$`), "MONGODB_DATABASE must be the name of a database")
	check(c.MaxWebhooksPerProject >= 1 && c.MaxWebhooksPerProject <= 1000,
		"MAX_WEBHOOKS_PER_PROJECT must be 1 to 1000, not %d", c.MaxWebhooksPerProject)
	check(c.RatePerSecond == 0 || c.RatePerSecond >= 0.1 && c.RatePerSecond <= 100_000,
		"API_RATE_PER_SECOND must be 0.1 to 100000, or 0 for no limit, not %g", c.RatePerSecond)
	check(c.RateBurst >= 1 && c.RateBurst <= 100_000, "API_RATE_BURST must be 1 to 100000, not %d", c.RateBurst)
	check(c.AttemptsMaxAge >= time.Minute, "ATTEMPTS_MAX_AGE must be at least 1m, not %s", c.AttemptsMaxAge)
	check(c.LogMaxBytes == 0 || c.LogMaxBytes >= 1<<20, "LOG_MAX_BYTES must be at least 1048576, or 0 for no limit, not %d", c.LogMaxBytes)
	check(c.TestTimeout >= time.Second && c.TestTimeout <= 2*time.Minute, "TEST_TIMEOUT must be 1s to 2m, not %s", c.TestTimeout)
	check(c.ShutdownGrace >= 0, "SHUTDOWN_GRACE must not be negative")
	if err := c.Streams().Validate(); err != nil {
		faults = append(faults, err)
	}
	if _, err := observe.ParseLevel(c.LogLevel); err != nil {
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// Streams is the part that says how the streams are kept.
func (c Config) Streams() topology.Settings {
	return topology.Settings{
		Replicas:     c.StreamReplicas,
		EventsMaxAge: c.EventsMaxAge,
		IntakeParts:  c.IntakeParts,

		EventsMaxBytes:     c.EventsMaxBytes,
		DeliveriesMaxBytes: c.DeliveriesMaxBytes,
		RangesMaxBytes:     c.RangesMaxBytes,
		AttemptsMaxBytes:   c.AttemptsMaxBytes,
		RejectedMaxBytes:   c.RejectedMaxBytes,
		WebhooksMaxBytes:   c.WebhooksMaxBytes,

		DuplicateWindow: c.DuplicateWindow,
	}
}

func isURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil
}

func isOrigin(s string) bool {
	u, err := url.Parse(s)
	return err == nil && isURL(s) && u.Path == "" && u.RawQuery == "" && u.Fragment == "" && !strings.Contains(s, "*")
}
