package command

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dembrane/webhooks/cli/internal/api"
	"github.com/dembrane/webhooks/pkg/retry"
)

const (
	// pollInterval is how often a replay is looked at.
	pollInterval = 500 * time.Millisecond
	// lineInterval is how often that makes a line where there is no terminal.
	lineInterval = 10 * time.Second
	// barWidth is in characters.
	barWidth = 30
	// leaveTimeout bounds the last request after Ctrl-C.
	leaveTimeout = 10 * time.Second
)

// What Ctrl-C does to a replay.
const (
	interruptAsk    = "ask"
	interruptCancel = "cancel"
	interruptLeave  = "leave"
)

type replaying struct {
	*program

	client                            *api.Client
	webhook, since, until, interrupts string
	request                           api.NewReplay
	detach                            bool
}

func (p *program) replay() *cobra.Command {
	r := &replaying{program: p}
	c := &cobra.Command{
		Use: "replay WEBHOOK", Short: "Send a span of time to a webhook again", Args: arguments("WEBHOOK"),
		Long: `Send a span of time to a webhook again, and show how far it is. Deliveries that happen
meanwhile go first. It goes on when this program ends; Ctrl-C asks whether to cancel it.`,
		Example: `  # how many would it be?
  dembrane-webhooks replay 01JB8Z2V9N6Q4T7X3M5K1C8D0F --since 24h --dry-run
  # what never arrived since yesterday, ten a second
  dembrane-webhooks replay 01JB8Z2V9N6Q4T7X3M5K1C8D0F --since 24h --max-per-second 10
  dembrane-webhooks replay list 01JB8Z2V9N6Q4T7X3M5K1C8D0F`,
		RunE: p.withClient(func(c *cobra.Command, client *api.Client, args []string) error {
			r.client, r.webhook = client, args[0]
			return r.run(c)
		}),
	}
	flags := c.Flags()
	flags.StringVar(&r.since, "since", "", "since when: a time, or how long ago (24h, 7d)")
	flags.StringVar(&r.until, "until", "", "until when (default now)")
	flags.StringVar(&r.request.Only, "only", "missed", "missed (never delivered), failed, or all")
	flags.StringSliceVarP(&r.request.Events, "events", "e", nil, "only these, separated by commas")
	flags.Float64Var(&r.request.MaxPerSecond, "max-per-second", 0, "how fast at most (default as fast as the webhook may)")
	flags.BoolVar(&r.request.DryRun, "dry-run", false, "say how many it would be, and do nothing")
	flags.BoolVar(&r.detach, "detach", false, "start it and do not wait")
	flags.StringVar(&r.interrupts, "on-interrupt", interruptAsk, "what Ctrl-C does to it: ask, cancel or leave")
	c.AddCommand(p.listReplays(), p.cancelReplay())
	return c
}

func (r *replaying) run(c *cobra.Command) error {
	now := time.Now()
	if r.since == "" {
		return usage("since when? Give --since, as in --since 24h")
	}
	if r.interrupts != interruptAsk && r.interrupts != interruptCancel && r.interrupts != interruptLeave {
		return usage("--on-interrupt must be ask, cancel or leave")
	}
	var err error
	if r.request.Since, err = moment(r.since, now); err != nil {
		return err
	}
	if r.until != "" {
		until, err := moment(r.until, now)
		if err != nil {
			return err
		}
		r.request.Until = &until
	}
	if r.request.DryRun {
		answer, err := r.client.Estimate(c.Context(), r.webhook, r.request)
		if err != nil {
			return fmt.Errorf("count for a replay: %w", err)
		}
		return r.show(c, answer.Raw, func(w io.Writer) { estimateWords(w, answer.Value) })
	}
	answer, err := r.client.StartReplay(c.Context(), r.webhook, r.request)
	if err != nil {
		return fmt.Errorf("start replay: %w", err)
	}
	if r.detach {
		return r.show(c, answer.Raw, func(w io.Writer) { say(w, "replay %s has begun", answer.Value.ID) })
	}
	return r.follow(c, answer)
}

func estimateWords(w io.Writer, e api.Estimate) {
	if e.Count == 0 || e.Oldest == nil || e.Newest == nil {
		say(w, "There is nothing to send again.")
		return
	}
	say(w, "%d events, from %s to %s; about %s.", e.Count, stamp(*e.Oldest), stamp(*e.Newest), time.Duration(e.EstimatedSeconds)*time.Second)
}

// follow shows how far the replay is until it has ended.
func (r *replaying) follow(c *cobra.Command, answer api.Answer[api.Replay]) error {
	ctx := c.Context()
	var lineAt time.Time
	for {
		now := answer.Value
		switch {
		case r.json:
		case terminal(r.Err):
			_, _ = fmt.Fprintf(r.Err, "\r\x1b[K%s", bar(now))
		case time.Since(lineAt) >= lineInterval:
			lineAt = time.Now()
			say(r.Err, "%s", bar(now))
		}
		if now.State != "running" && now.State != "paused" {
			return r.ended(c, answer)
		}
		retry.Pause(ctx, pollInterval)
		if ctx.Err() != nil {
			return r.interrupted(now.ID)
		}
		next, err := r.client.Replay(ctx, r.webhook, now.ID)
		switch p, refused := errors.AsType[*api.Problem](err); {
		case err == nil:
			answer = next
		case ctx.Err() != nil:
			return r.interrupted(now.ID)
		case refused && p.Status < 500 && p.Status != 429:
			return fmt.Errorf("look at the replay: %w", err)
		}
		// Nobody answers at the moment: it goes on all the same.
	}
}

// bar is how far a replay is, on one line.
func bar(r api.Replay) string {
	done := r.Delivered + r.Failed
	text := fmt.Sprintf("%d delivered, %d failed, %d on their way", r.Delivered, r.Failed, r.Queued)
	if r.State == "paused" && r.Message != nil {
		text += "  paused: " + oneLine(*r.Message, 80)
	}
	if r.Total == nil {
		return "counting  " + text
	}
	share := 1.0
	if *r.Total > 0 {
		share = min(float64(done)/float64(*r.Total), 1)
	}
	filled := int(share * barWidth)
	return fmt.Sprintf("[%s%s] %3.0f %%  %d of %d  %s", strings.Repeat("█", filled), strings.Repeat("·", barWidth-filled), share*100, done, *r.Total, text)
}

func (r *replaying) ended(c *cobra.Command, answer api.Answer[api.Replay]) error {
	now := answer.Value
	if !r.json && terminal(r.Err) {
		say(r.Err, "")
	}
	if err := r.show(c, answer.Raw, func(w io.Writer) {
		say(w, "%s: %d delivered, %d failed, %d to be tried again", now.State, now.Delivered, now.Failed, now.Queued)
		if now.Message != nil {
			say(w, "%s", oneLine(*now.Message, 400))
		}
	}); err != nil {
		return err
	}
	if now.State != "done" || now.Failed > 0 {
		return &exitError{status: exitFailed}
	}
	return nil
}

// interrupted cancels the replay, or leaves it running.
func (r *replaying) interrupted(id string) error {
	choice := r.interrupts
	if choice == interruptAsk {
		choice = interruptLeave
		if terminal(r.In) {
			_, _ = fmt.Fprint(r.Err, "\nCancel the replay as well? What was not sent is not sent then. [y/N] ")
			line, err := bufio.NewReader(r.In).ReadString('\n')
			if err == nil && strings.HasPrefix(strings.ToLower(strings.TrimSpace(line)), "y") {
				choice = interruptCancel
			}
		}
	}
	if choice == interruptLeave {
		say(r.Err, "It goes on. To cancel it: dembrane-webhooks replay cancel %s %s", r.webhook, id)
		return &exitError{status: exitFailed}
	}
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	if err := r.client.CancelReplay(ctx, r.webhook, id); err != nil {
		return fmt.Errorf("cancel replay %s: %w", id, err)
	}
	say(r.Err, "Cancelled.")
	return &exitError{status: exitFailed}
}

func (p *program) listReplays() *cobra.Command {
	return &cobra.Command{
		Use: "list WEBHOOK", Short: "The newest replays", Args: arguments("WEBHOOK"),
		Example: "  dembrane-webhooks replay list 01JB8Z2V9N6Q4T7X3M5K1C8D0F",
		RunE: p.withClient(func(c *cobra.Command, client *api.Client, args []string) error {
			answer, err := client.Replays(c.Context(), args[0])
			if err != nil {
				return fmt.Errorf("list replays: %w", err)
			}
			return p.show(c, answer.Raw, func(w io.Writer) {
				var rows [][]string
				for _, r := range answer.Value {
					total := "–"
					if r.Total != nil {
						total = strconv.FormatInt(*r.Total, 10)
					}
					rows = append(rows, []string{r.ID, stamp(r.DateCreated), r.State, r.Only, total, strconv.FormatInt(r.Delivered, 10), strconv.FormatInt(r.Failed, 10)})
				}
				table(w, []string{"REPLAY", "BEGUN", "STATE", "ONLY", "TOTAL", "DELIVERED", "FAILED"}, rows)
			})
		}),
	}
}

func (p *program) cancelReplay() *cobra.Command {
	return &cobra.Command{
		Use: "cancel WEBHOOK REPLAY", Short: "Cancel a replay: what was not sent is not sent", Args: arguments("WEBHOOK", "REPLAY"),
		Example: "  dembrane-webhooks replay cancel 01JB8Z2V9N6Q4T7X3M5K1C8D0F 01JB9A3W0P7R5V8Y4N6M2D9E1G",
		RunE: p.withClient(func(c *cobra.Command, client *api.Client, args []string) error {
			if err := client.CancelReplay(c.Context(), args[0], args[1]); err != nil {
				return fmt.Errorf("cancel replay: %w", err)
			}
			return p.showValue(c, map[string]string{"cancelled": args[1]}, func(w io.Writer) { say(w, "cancelled %s", args[1]) })
		}),
	}
}
