package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/dembrane/webhooks/cli/internal/api"
	"github.com/dembrane/webhooks/cli/internal/config"
	"github.com/dembrane/webhooks/pkg/topology"
)

const (
	// maxSkew is how far clocks may be apart before it matters: receivers take
	// deliveries up to five minutes old, and schedules count seconds.
	maxSkew = 2 * time.Second
	// maxFull is from when a stream's limit is worth a warning.
	maxFull = 0.8
	// gather is how long dispatchers have to answer.
	gather = 500 * time.Millisecond
)

// The states of a check.
const (
	stateOK   = "ok"
	stateWarn = "warning"
	stateBad  = "wrong"
	stateSkip = "skipped"
)

// checked is one thing that was looked at.
type checked struct {
	What    string `json:"what"`
	State   string `json:"state"`
	Message string `json:"message"`
	Advice  string `json:"advice,omitempty"`
}

type checks struct{ list []checked }

func (c *checks) add(what, state, message, advice string) {
	c.list = append(c.list, checked{what, state, message, advice})
}

func (p *program) check() *cobra.Command {
	return &cobra.Command{
		Use: "check", Short: "Look at settings, API, NATS, versions, limits and clocks, and say what is wrong", Args: arguments(),
		Long: `Look at everything that can be reached from here: settings, the API, token and project,
NATS, versions, limits, streams, dispatchers and clocks. Say what is wrong and what to do.
Who only writes a receiver needs no NATS: its lines then say "skipped" unless --nats is set.`,
		Example: "  dembrane-webhooks check\n  dembrane-webhooks check --json | jq '.[] | select(.state != \"ok\")'",
		RunE: func(c *cobra.Command, _ []string) error {
			settings, err := p.settings()
			if err != nil {
				return err
			}
			var all checks
			all.api(c.Context(), settings)
			asked := settings.NATS != config.DefaultNATS || c.Flags().Changed("nats")
			all.nats(c.Context(), settings, asked)
			if err := p.showValue(c, all.list, func(w io.Writer) { p.checkWords(w, all.list) }); err != nil {
				return err
			}
			for _, one := range all.list {
				if one.State == stateBad {
					return negative()
				}
			}
			return nil
		},
	}
}

func (c *checks) api(ctx context.Context, s config.Settings) {
	client := api.New(s.API, s.Token, s.Project)
	defer client.Close()
	began := time.Now()
	health, err := client.Health(ctx)
	if err != nil {
		c.add("api", stateBad, s.API+": "+err.Error(), "Check --api (DEMBRANE_API), and that the api is running.")
		return
	}
	c.add("api", stateOK, fmt.Sprintf("%s answers in %s", s.API, time.Since(began).Round(time.Millisecond)), "")
	if !health.Date.IsZero() {
		// Its clock is written in whole seconds.
		c.clock("clock of the api", health.Date.Add(500*time.Millisecond), began.Add(time.Since(began)/2), time.Second)
	}
	switch {
	case s.Token == "":
		c.add("token", stateBad, "there is none", "Set DEMBRANE_TOKEN, or DEMBRANE_TOKEN_FILE.")
	case s.Project == "":
		c.add("project", stateBad, "there is none", "Set --project, or DEMBRANE_PROJECT.")
	default:
		c.webhooks(ctx, client, s.Project)
	}
}

func (c *checks) webhooks(ctx context.Context, client *api.Client, project string) {
	list, err := client.List(ctx)
	if err != nil {
		status, advice := judge(err)
		what := "token"
		if status != exitForbidden {
			what = "webhooks"
		}
		c.add(what, stateBad, err.Error(), advice)
		return
	}
	c.add("token", stateOK, "it is good for the project "+project, "")
	for _, hook := range list.Value {
		what := "webhook " + hook.ID
		switch {
		case hook.Health.State == "failing":
			c.add(what, stateWarn, oneLine(hook.URL, 80)+" is failing", "See: dembrane-webhooks deliveries list "+hook.ID+" --status failed")
		case !hook.HasSecret:
			c.add(what, stateWarn, "it has no secret, so its receiver cannot tell who sends", "Make one: dembrane-webhooks webhooks rotate "+hook.ID)
		}
	}
	c.add("webhooks", stateOK, strconv.Itoa(len(list.Value))+" in the project", "")
}

// clock compares a clock with the one of this machine.
func (c *checks) clock(what string, there, here time.Time, resolution time.Duration) {
	skew := there.Sub(here)
	if skew.Abs() <= maxSkew+resolution {
		c.add(what, stateOK, "as here", "")
		return
	}
	direction := "ahead of"
	if skew < 0 {
		direction = "behind"
	}
	c.add(what, stateBad, fmt.Sprintf("%s %s the one of this machine", skew.Abs().Round(time.Second), direction),
		"Let both machines set their clocks by NTP: receivers refuse what seems old, and retries come too early or late.")
}

func (c *checks) nats(ctx context.Context, s config.Settings, asked bool) { //nolint:revive // whether it is wrong that nobody answers
	nc, err := connect(s)
	if err != nil {
		state := stateSkip
		if asked {
			state = stateBad
		}
		c.add("nats", state, s.NATS+" does not answer: "+err.Error(), "For operators and publishers: check --nats (DEMBRANE_NATS).")
		return
	}
	defer nc.Close()
	rtt, err := nc.RTT()
	if err != nil {
		c.add("nats", stateBad, err.Error(), "Look at the network between here and there.")
		return
	}
	c.add("nats", stateOK, fmt.Sprintf("%s answers in %s, version %s", nc.ConnectedUrlRedacted(), rtt.Round(10*time.Microsecond), nc.ConnectedServerVersion()), "")
	if err := topology.CheckVersion(nc.ConnectedServerVersion()); err != nil {
		c.add("nats version", stateBad, err.Error(), "Upgrade it.")
	}
	if limit := nc.MaxPayload(); limit < topology.MaxEventBytes+topology.HeaderAllowance {
		c.add("nats max_payload", stateBad, fmt.Sprintf("%d bytes, and the largest events need %d", limit, topology.MaxEventBytes+topology.HeaderAllowance),
			"Set max_payload in its configuration: deploy/nats has one.")
	}
	js, err := jetstream.New(nc)
	if err != nil {
		c.add("jetstream", stateBad, err.Error(), "")
		return
	}
	if c.streams(ctx, js) {
		c.dispatchers(ctx, nc)
	}
}

// streams looks at each stream, and reports whether JetStream answers.
func (c *checks) streams(ctx context.Context, js jetstream.JetStream) bool {
	for _, name := range streamNames() {
		s, err := stateOf(ctx, js, name)
		switch {
		case errors.Is(err, jetstream.ErrStreamNotFound):
			c.add(name, stateBad, "the stream is not there", "The api makes it when it starts: is it running, with the same NATS_URL?")
			return false
		case err != nil:
			c.add("jetstream", stateBad, err.Error(), "Is JetStream on there, and may this user use it? Only operators' credentials may.")
			return false
		case s.full() >= maxFull:
			c.add(name, stateBad, fmt.Sprintf("%.0f %% of its limit of %s", s.full()*100, size(uint64(max(s.MaxBytes, 0)))), "docs/operating.md says which setting raises it, and what happens when it is full.")
		case s.Behind > 0 || !topology.Led(s.cluster):
			c.add(name, stateBad, fmt.Sprintf("%d of its replicas are behind or away", s.Behind), "Look at the NATS servers.")
		default:
			c.add(name, stateOK, fmt.Sprintf("%d messages, %s, %d wait", s.Messages, size(s.Bytes), s.Waiting), "")
		}
	}
	c.brokerClock(ctx, js)
	c.waitingRejections(ctx, js)
	return true
}

func (c *checks) brokerClock(ctx context.Context, js jetstream.JetStream) {
	ctx, cancel := asking(ctx)
	defer cancel()
	began := time.Now()
	stream, err := js.Stream(ctx, topology.StreamEvents)
	if err == nil && !stream.CachedInfo().TimeStamp.IsZero() {
		c.clock("clock of nats", stream.CachedInfo().TimeStamp, began.Add(time.Since(began)/2), 0)
	}
}

func (c *checks) waitingRejections(ctx context.Context, js jetstream.JetStream) {
	if s, err := stateOf(ctx, js, topology.StreamRejected); err == nil && s.Messages > 0 {
		c.add("rejected events", stateWarn, strconv.FormatUint(s.Messages, 10)+" events could not be read", "See: dembrane-webhooks rejected list")
	}
}

// dispatchers asks who is there, as NATS's services do.
func (c *checks) dispatchers(ctx context.Context, nc *nats.Conn) {
	ctx, cancel := context.WithTimeout(ctx, gather)
	defer cancel()
	sub, err := nc.SubscribeSync(nc.NewInbox())
	if err != nil {
		c.add("dispatchers", stateBad, err.Error(), "")
		return
	}
	defer func() { _ = sub.Unsubscribe() }() // the connection is closed next
	if err := nc.PublishRequest("$SRV.INFO.dispatcher", sub.Subject, nil); err != nil {
		c.add("dispatchers", stateBad, err.Error(), "")
		return
	}
	builds := map[string]int{}
	for {
		msg, err := sub.NextMsgWithContext(ctx)
		if err != nil || msg.Header.Get("Status") == "503" {
			break
		}
		builds[buildOf(msg.Data)]++
	}
	if len(builds) == 0 {
		c.add("dispatchers", stateBad, "none answers", "Nothing is delivered without one: is it running, with the same NATS_URL?")
		return
	}
	var said []string
	for _, build := range sortedKeys(builds) {
		said = append(said, fmt.Sprintf("%d of %s", builds[build], build))
	}
	state, advice := stateOK, ""
	if len(builds) > 1 {
		state, advice = stateWarn, "They are of different versions: that is meant to last as long as an upgrade."
	}
	c.add("dispatchers", state, strings.Join(said, ", "), advice)
}

func (p *program) checkWords(w io.Writer, list []checked) {
	for _, one := range list {
		mark, c := "✓", green
		switch one.State {
		case stateWarn:
			mark, c = "!", yellow
		case stateBad:
			mark, c = "✗", red
		case stateSkip:
			mark, c = "–", dim
		}
		say(w, "%s %-22s %s", p.paint(c, mark), one.What, oneLine(one.Message, 300))
		if one.Advice != "" {
			say(w, "  %-22s → %s", "", one.Advice)
		}
	}
}
