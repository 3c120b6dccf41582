// Package config is the dispatcher's settings: the only place that reads its
// environment.
package config

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"time"

	"github.com/caarlos0/env/v11"

	"github.com/dembrane/webhooks/pkg/observe"
	"github.com/dembrane/webhooks/pkg/topology"
)

// Config is every setting of the dispatcher. Durations are written as "15s".
type Config struct {
	NATSURL             string `env:"NATS_URL,required,notEmpty" secret:"url" desc:"NATS servers, separated by commas."`
	NATSCredentialsFile string `env:"NATS_CREDENTIALS_FILE" desc:"NATS .creds file; empty when the servers ask for none."`

	SecretsKeysetFile string `env:"SECRETS_KEYSET_FILE,required,notEmpty" desc:"Tink AEAD keyset (JSON) that signing secrets are encrypted with; the same file as the api's."`
	AdminBaseURL      string `env:"ADMIN_BASE_URL,required,notEmpty" desc:"Where the dashboard is; deliveries link into it."`

	AllowCIDRs []netip.Prefix `env:"ALLOW_CIDRS" desc:"Address ranges that may be delivered to although they are not public, separated by commas. Empty: public addresses only."`

	AttemptTimeout time.Duration `env:"ATTEMPT_TIMEOUT" envDefault:"15s" desc:"Deadline of one whole attempt, from the look-up of the name to the end of the response (1s to 30s)."`
	ConnectTimeout time.Duration `env:"CONNECT_TIMEOUT" envDefault:"5s" desc:"Deadline of the TCP connection within an attempt."`
	TLSTimeout     time.Duration `env:"TLS_TIMEOUT" envDefault:"5s" desc:"Deadline of the TLS handshake within an attempt."`

	RetryAttempts   int           `env:"RETRY_ATTEMPTS" envDefault:"10" desc:"Attempts before a delivery is exhausted (1 to 30)."`
	RetryFirst      time.Duration `env:"RETRY_FIRST" envDefault:"5s" desc:"Wait before the second attempt; each later wait is RETRY_MULTIPLIER times as long, and up to a fifth longer by chance."`
	RetryMultiplier float64       `env:"RETRY_MULTIPLIER" envDefault:"3.7" desc:"Growth of the wait between attempts. The defaults end after about three days."`

	LaneConcurrency  int           `env:"LANE_CONCURRENCY" envDefault:"32" desc:"Attempts under way at once to one endpoint (the URL of a webhook), per replica."`
	LaneMaxWait      time.Duration `env:"LANE_MAX_WAIT" envDefault:"2s" desc:"A delivery that is expected to wait longer than this in the line of its endpoint is parked instead: put on the schedule, uncounted (0s to 10s)."`
	MaxInFlight      int           `env:"MAX_IN_FLIGHT" envDefault:"2048" desc:"Attempts under way at once to all endpoints, per replica."`
	MaxInFlightBytes int64         `env:"MAX_IN_FLIGHT_BYTES" envDefault:"268435456" desc:"Bodies held in memory at once, in bytes, per replica."`
	MaxUnsettled     int           `env:"MAX_UNSETTLED" envDefault:"16384" desc:"Events, and as many due deliveries, that all replicas together may have taken and not settled; the events are divided by INTAKE_PARTS. Keep it well above MAX_IN_FLIGHT times the replicas, and raise it with INTAKE_PARTS."`

	OpsAddr       string        `env:"OPS_ADDR" envDefault:":9090" desc:"Listener of /livez, /readyz and /metrics; \"none\" for none."`
	LogLevel      string        `env:"LOG_LEVEL" envDefault:"info" desc:"debug, info, warn or error."`
	ShutdownGrace time.Duration `env:"SHUTDOWN_GRACE" envDefault:"20s" desc:"How long a stop waits for attempts under way; the rest is cut short and put on the schedule, uncounted."`
}

// Load reads the environment and reports every mistake at once.
func Load() (Config, error) { return load(env.Options{}) }

// LoadFrom is [Load] with these variables instead of the process's.
func LoadFrom(environment map[string]string) (Config, error) {
	return load(env.Options{Environment: environment})
}

func load(options env.Options) (Config, error) {
	c, err := env.ParseAsWithOptions[Config](options)
	if err := errors.Join(err, c.Validate()); err != nil {
		return Config{}, fmt.Errorf("read settings:\n%w", err)
	}
	return c, nil
}

// Validate reports every setting that cannot work.
func (c Config) Validate() error {
	var faults []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	base, err := url.Parse(c.AdminBaseURL)
	check(err == nil && base.Host != "" && (base.Scheme == "http" || base.Scheme == "https"),
		"ADMIN_BASE_URL must be an http(s) URL")
	check(c.AttemptTimeout >= time.Second && c.AttemptTimeout <= 30*time.Second,
		"ATTEMPT_TIMEOUT must be 1s to 30s, not %s", c.AttemptTimeout)
	check(c.ConnectTimeout > 0, "CONNECT_TIMEOUT must be more than 0")
	check(c.TLSTimeout > 0, "TLS_TIMEOUT must be more than 0")
	check(c.RetryAttempts >= 1 && c.RetryAttempts <= 30, "RETRY_ATTEMPTS must be 1 to 30, not %d", c.RetryAttempts)
	check(c.RetryFirst >= 10*time.Millisecond && c.RetryFirst <= 24*time.Hour, "RETRY_FIRST must be 10ms to 24h, not %s", c.RetryFirst)
	check(c.RetryMultiplier >= 1 && c.RetryMultiplier <= 10, "RETRY_MULTIPLIER must be 1 to 10, not %g", c.RetryMultiplier)
	check(c.LaneConcurrency >= 1, "LANE_CONCURRENCY must be at least 1")
	check(c.LaneMaxWait >= 0 && c.LaneMaxWait <= 10*time.Second, "LANE_MAX_WAIT must be 0s to 10s, not %s", c.LaneMaxWait)
	check(c.MaxInFlight >= 1, "MAX_IN_FLIGHT must be at least 1")
	check(c.MaxInFlightBytes >= topology.MaxEventBytes, "MAX_IN_FLIGHT_BYTES must be at least %d, one event", topology.MaxEventBytes)
	check(c.MaxUnsettled >= 1, "MAX_UNSETTLED must be at least 1")
	check(c.ShutdownGrace >= 0, "SHUTDOWN_GRACE must not be negative")
	if _, err := observe.ParseLevel(c.LogLevel); err != nil {
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// Consumption says how long and how many messages may be unsettled. The wait is
// well above the longest that a delivery can take: its wait in line, its attempt,
// its record and a slow disk. So nothing is given to another replica while this
// one is at work on it.
func (c Config) Consumption() topology.Consumption {
	return topology.Consumption{
		AckWait:       2*c.AttemptTimeout + c.LaneMaxWait + 28*time.Second,
		MaxAckPending: c.MaxUnsettled,
	}
}
