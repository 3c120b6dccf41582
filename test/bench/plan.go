package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dembrane/webhooks/pkg/event"
)

const (
	// maxEndpoints is more than anybody needs.
	maxEndpoints = 10_000
	// maxWebhooks is the same for the registrations.
	maxWebhooks = 1_000_000
)

// plan is what the command line says.
type plan struct {
	only        names
	events      int
	rounds      int
	hosts       int
	hanging     int
	rate        int
	calm        time.Duration
	attempt     time.Duration
	burstEvents int
	floodEvents int
	largeEvents int
	webhooks    int
	attempts    int
	// replayEvents is how many events are replayed.
	replayEvents int
	encoding     string
	program      string
	out          string
	profile      string
	timeout      time.Duration
	settings     settings
	keep         bool
	role         string
}

// quickDefaults is what -quick sets of the flags that were not given.
func quickDefaults() map[string]string {
	return map[string]string{
		"events": "4000", "rounds": "1", "endpoints": "100", "calm": "1s", "attempt-timeout": "1s",
		"burst": "4000", "flood": "10000", "large": "20", "webhooks": "10000", "attempts": "5000", "replay": "4000",
	}
}

// parse reads the command line; what is wrong with it has been said on stderr.
func parse(args []string, stderr io.Writer) (plan, error) {
	var o plan
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Var(&o.only, "only", "measure these scenarios only, separated by commas: "+strings.Join(scenarioNames(), ", "))
	flags.IntVar(&o.events, "events", 50_000, "events of a throughput measurement")
	flags.IntVar(&o.rounds, "rounds", 3, "rounds; the table shows their least, median and greatest")
	flags.IntVar(&o.hosts, "endpoints", 1000, "endpoints of the measurement with many")
	flags.IntVar(&o.rate, "rate", 200, "events a second of the latency measurement; endpoints that hang, or stand beside such, get twice as many")
	flags.DurationVar(&o.calm, "calm", 10*time.Second, "how long each latency measurement lasts")
	flags.DurationVar(&o.attempt, "attempt-timeout", 15*time.Second, "how long endpoints hang: ATTEMPT_TIMEOUT of the scenario hanging")
	flags.IntVar(&o.burstEvents, "burst", 30_000, "events of a burst")
	flags.IntVar(&o.floodEvents, "flood", 200_000, "events to the endpoint that is flooded")
	flags.IntVar(&o.largeEvents, "large", 500, "events of 1 MB")
	flags.IntVar(&o.webhooks, "webhooks", 100_000, "webhooks of the scenario registry")
	flags.IntVar(&o.attempts, "attempts", 100_000, "attempts of the scenario log")
	flags.IntVar(&o.replayEvents, "replay", 100_000, "events of the scenario replay")
	flags.StringVar(&o.encoding, "encoding", event.JSON, "content type in which events are published: "+event.JSON+" or "+event.Protobuf)
	flags.StringVar(&o.program, "standalone", "", "measure this program instead of building ./services/standalone")
	flags.StringVar(&o.out, "out", filepath.Join("bench", "out", "results.json"), "where the figures are written as JSON")
	flags.StringVar(&o.profile, "profile", "", "measure nothing: run the system in this process and write its profiles to this folder")
	flags.DurationVar(&o.timeout, "timeout", 60*time.Minute, "give up after this long")
	flags.Var(&o.settings, "set", "give the system another setting, NAME=value; may be repeated")
	flags.BoolVar(&o.keep, "keep", false, "leave the temporary folder with logs and data behind, and say where it is")
	flags.StringVar(&o.role, "role", "", "for the program's own use")
	flags.IntVar(&o.hanging, "hanging", 0, "for the program's own use")
	quick := flags.Bool("quick", false, "one short round of everything, to see that it works; other flags win")
	if err := flags.Parse(args); err != nil {
		return plan{}, err
	}
	if *quick {
		if err := hurry(flags); err != nil {
			return plan{}, err
		}
	}
	return o, o.check(stderr)
}

// hurry sets what -quick is about, unless it was given.
func hurry(flags *flag.FlagSet) error {
	values := quickDefaults()
	flags.Visit(func(given *flag.Flag) { delete(values, given.Name) })
	for name, value := range values {
		if err := flags.Set(name, value); err != nil {
			return fmt.Errorf("set -%s: %w", name, err)
		}
	}
	return nil
}

func (o plan) check(stderr io.Writer) error {
	var err error
	most := maxEndpoints
	if o.role != "" {
		most = maxHosts
	}
	switch {
	case o.events < 1 || o.rounds < 1 || o.rate < 1 || o.calm <= 0 || o.burstEvents < 1 || o.floodEvents < 1 || o.largeEvents < 1:
		err = errors.New("events, rounds, rate, calm, burst, flood and large must be more than 0")
	case o.hosts < 1 || o.hosts > most:
		err = fmt.Errorf("endpoints must be 1 to %d", most)
	case o.hanging < 0 || o.hosts+o.hanging > maxHosts:
		err = fmt.Errorf("hanging must be 0 to %d", maxHosts-o.hosts)
	case o.webhooks <= fewWebhooks || o.webhooks > maxWebhooks:
		err = fmt.Errorf("webhooks must be more than %d, and %d at most", fewWebhooks, maxWebhooks)
	case o.replayEvents < 1:
		err = errors.New("replay must be more than 0")
	case o.attempts < logWebhooks:
		err = fmt.Errorf("attempts must be at least %d", logWebhooks)
	case o.attempt < time.Second || o.attempt > 30*time.Second:
		err = errors.New("attempt-timeout must be 1s to 30s")
	case o.encoding != event.JSON && o.encoding != event.Protobuf:
		err = fmt.Errorf("encoding must be %s or %s", event.JSON, event.Protobuf)
	}
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "bench:", err) // nobody is left to tell
	}
	return err
}

// wants reports whether any of the scenarios is to be measured.
func (o plan) wants(scenarios ...string) bool {
	return len(o.only) == 0 || slices.ContainsFunc(scenarios, func(name string) bool { return slices.Contains(o.only, name) })
}

func (o plan) describe() map[string]any {
	return map[string]any{
		"scenarios": o.only.String(), "events": o.events, "rounds": o.rounds, "endpoints": o.hosts, "rate": o.rate,
		"calm": o.calm.String(), "attempt_timeout": o.attempt.String(), "burst": o.burstEvents, "flood": o.floodEvents, "large": o.largeEvents,
		"webhooks": o.webhooks, "attempts": o.attempts, "replay": o.replayEvents, "encoding": o.encoding, "settings": o.settings.String(), "body_bytes": bodyBytes,
	}
}

// names is scenarios, separated by commas.
type names []string

// String implements [flag.Value].
func (n *names) String() string { return strings.Join(*n, ",") }

// Set implements [flag.Value].
func (n *names) Set(text string) error {
	for name := range strings.SplitSeq(text, ",") {
		if !slices.Contains(scenarioNames(), name) {
			return fmt.Errorf("there is no scenario %s: use some of %s", strconv.Quote(name), strings.Join(scenarioNames(), ", "))
		}
		*n = append(*n, name)
	}
	return nil
}

// settings is what the system is told beside what the benchmark decides, each as
// NAME=value.
type settings []string

// String implements [flag.Value].
func (s *settings) String() string { return strings.Join(*s, " ") }

// Set implements [flag.Value].
func (s *settings) Set(text string) error {
	if name, _, found := strings.Cut(text, "="); !found || name == "" {
		return errors.New("must be NAME=value")
	}
	*s = append(*s, text)
	return nil
}

// environment is what the system is told, with its data in folder: to take
// loopback for the world, to listen on free ports, and to log as in production.
// A later value wins.
func (o plan) environment(folder string) []string {
	return append([]string{
		"API_ADDR=127.0.0.1:0", "API_RATE_PER_SECOND=0", "NATS_ADDR=127.0.0.1:0", "OPS_ADDR=127.0.0.1:0", "DATA_DIR=" + filepath.Join(folder, "data"),
		"ALLOW_CIDRS=127.0.0.0/8", "ADMIN_BASE_URL=" + dashboard, "LOG_LEVEL=info",
	}, o.settings...)
}
