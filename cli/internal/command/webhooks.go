package command

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dembrane/webhooks/cli/internal/api"
	"github.com/dembrane/webhooks/cli/internal/config"
	"github.com/dembrane/webhooks/pkg/event"
)

func (p *program) webhooks() *cobra.Command {
	return group("webhooks", "The project's webhooks: list, create, test, switch on and off, rotate, delete",
		p.listWebhooks(), p.showWebhook(), p.createWebhook(), p.testWebhook(),
		p.enableWebhook("enable", "Switch a webhook on", true), p.enableWebhook("disable", "Switch a webhook off: nothing is sent to it", false),
		p.rotateWebhook(), p.deleteWebhook())
}

func (p *program) listWebhooks() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "The project's webhooks and how they are", Args: arguments(),
		Example: "  dembrane-webhooks webhooks list\n  dembrane-webhooks webhooks list --json | jq -r '.[].id'",
		RunE: p.withClient(func(c *cobra.Command, client *api.Client, _ []string) error {
			answer, err := client.List(c.Context())
			if err != nil {
				return fmt.Errorf("list webhooks: %w", err)
			}
			return p.show(c, answer.Raw, func(w io.Writer) {
				if len(answer.Value) == 0 {
					say(w, "There are none. Make one: dembrane-webhooks webhooks create URL --events conversation.summarized")
					return
				}
				var rows [][]string
				for _, hook := range answer.Value {
					rows = append(rows, []string{hook.ID, hook.Health.State, oneLine(hook.Name, 30), oneLine(hook.URL, 60), strings.Join(hook.Events, ",")})
				}
				table(w, []string{"ID", "STATE", "NAME", "URL", "EVENTS"}, rows)
			})
		}),
	}
}

func (p *program) showWebhook() *cobra.Command {
	return &cobra.Command{
		Use: "show WEBHOOK", Short: "One webhook", Args: arguments("WEBHOOK"),
		Example: "  dembrane-webhooks webhooks show 01JB8Z2V9N6Q4T7X3M5K1C8D0F",
		RunE: p.withClient(func(c *cobra.Command, client *api.Client, args []string) error {
			answer, err := client.Webhook(c.Context(), args[0])
			if err != nil {
				return fmt.Errorf("show webhook: %w", err)
			}
			return p.show(c, answer.Raw, func(w io.Writer) { describe(w, answer.Value) })
		}),
	}
}

func describe(w io.Writer, hook api.Webhook) {
	secret := "none: deliveries are not signed"
	if hook.HasSecret {
		secret = "set, and never shown; `webhooks rotate` makes another"
	}
	rows := [][]string{
		{"id", hook.ID},
		{"name", oneLine(hook.Name, 200)},
		{"url", oneLine(hook.URL, 2048)},
		{"events", strings.Join(hook.Events, ", ")},
		{"format", hook.Format},
		{"state", hook.Health.State},
		{"secret", secret},
	}
	if hook.Health.DisabledReason != nil {
		rows = append(rows, []string{"why", oneLine(*hook.Health.DisabledReason, 200)})
	}
	if !hook.InForce {
		rows = append(rows, []string{"in force", "not yet: it comes by itself"})
	}
	for _, row := range rows {
		say(w, "%-9s %s", row[0], row[1])
	}
}

func (p *program) createWebhook() *cobra.Command {
	var hook api.NewWebhook
	var secretFile, headersFile string
	c := &cobra.Command{
		Use: "create URL", Short: "Make a webhook", Args: arguments("URL"),
		Example: `  dembrane-webhooks webhooks create https://example.org/hook --events conversation.summarized,report.generated --secret-file secret.txt
  # without a secret file, rotate makes a secret and prints it once
  dembrane-webhooks webhooks create https://example.org/hook && dembrane-webhooks webhooks rotate WEBHOOK`,
		RunE: p.withClient(func(c *cobra.Command, client *api.Client, args []string) error {
			hook.URL = args[0]
			if secretFile != "" {
				var err error
				if hook.Secret, err = config.Secret(secretFile, p.In); err != nil {
					return usage("read --secret-file: %w", err)
				}
			}
			if headersFile != "" {
				var err error
				if hook.Headers, err = p.headers(headersFile); err != nil {
					return usage("read --headers-file: %w", err)
				}
			}
			answer, err := client.Create(c.Context(), hook)
			if err != nil {
				return fmt.Errorf("create webhook: %w", err)
			}
			return p.show(c, answer.Raw, func(w io.Writer) {
				describe(w, answer.Value)
				say(w, "\nTry it: dembrane-webhooks webhooks test %s", answer.Value.ID)
			})
		}),
	}
	c.Flags().StringSliceVarP(&hook.Events, "events", "e", event.Types(), "the events it gets")
	c.Flags().StringVar(&hook.Name, "name", "", "what it is called")
	c.Flags().StringVar(&hook.Format, "format", "", "json, or a chat: slack, teams, discord, mattermost, google_chat")
	c.Flags().StringVar(&secretFile, "secret-file", "", "the file with the secret to sign with; - is standard input")
	c.Flags().StringVar(&headersFile, "headers-file", "", "the file with extra request headers, one a line such as X-Api-Key: 123; - is standard input")
	c.Flags().Float64Var(&hook.MaxPerSecond, "max-per-second", 0, "at most so many deliveries a second; 0 is what suits the format")
	return c
}

// headers reads lines of a name, a colon and a value. Values are secrets, so they are
// in a file and not among the arguments, which every user of the machine can read.
func (p *program) headers(path string) (map[string]string, error) {
	data, err := config.File(path, p.In)
	if err != nil {
		return nil, err //nolint:wrapcheck // it says which file
	}
	headers := map[string]string{}
	for number, line := range strings.Split(string(data), "\n") {
		if strings.TrimSpace(line) == "" {
			continue
		}
		name, value, isHeader := strings.Cut(line, ":")
		if !isHeader {
			return nil, fmt.Errorf("line %d is not a name, a colon and a value", number+1)
		}
		headers[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	return headers, nil
}

func (p *program) testWebhook() *cobra.Command {
	return &cobra.Command{
		Use: "test WEBHOOK", Short: "Send a test delivery now, and say what became of it", Args: arguments("WEBHOOK"),
		Example: "  dembrane-webhooks webhooks test 01JB8Z2V9N6Q4T7X3M5K1C8D0F",
		RunE: p.withClient(func(c *cobra.Command, client *api.Client, args []string) error {
			answer, err := client.Test(c.Context(), args[0])
			if err != nil {
				return fmt.Errorf("test webhook: %w", err)
			}
			result := answer.Value
			if err := p.show(c, answer.Raw, func(w io.Writer) {
				mark := p.paint(green, "✓")
				if !result.Success {
					mark = p.paint(red, "✗")
				}
				say(w, "%s %s (%s)", mark, oneLine(result.Message, 400), took(result.DurationMS))
				if result.Advice != "" {
					say(w, "  %s", oneLine(result.Advice, 400))
				}
			}); err != nil {
				return err
			}
			if !result.Success {
				return &exitError{status: exitFailed}
			}
			return nil
		}),
	}
}

func (p *program) enableWebhook(use, short string, enabled bool) *cobra.Command {
	return &cobra.Command{
		Use: use + " WEBHOOK", Short: short, Args: arguments("WEBHOOK"),
		Example: "  dembrane-webhooks webhooks " + use + " 01JB8Z2V9N6Q4T7X3M5K1C8D0F",
		RunE: p.withClient(func(c *cobra.Command, client *api.Client, args []string) error {
			answer, err := client.Enable(c.Context(), args[0], enabled)
			if err != nil {
				return fmt.Errorf("%s webhook: %w", use, err)
			}
			return p.show(c, answer.Raw, func(w io.Writer) { describe(w, answer.Value) })
		}),
	}
}

func (p *program) rotateWebhook() *cobra.Command {
	var overlap time.Duration
	c := &cobra.Command{
		Use: "rotate WEBHOOK", Short: "Give a webhook another secret, and print it once", Args: arguments("WEBHOOK"),
		Long: `Give a webhook another secret, and print it: it is never shown again. Until the overlap
is over, webhook-signature carries a signature by each secret; X-Dembrane-Signature is
by the new one at once.`,
		Example: "  dembrane-webhooks webhooks rotate 01JB8Z2V9N6Q4T7X3M5K1C8D0F --overlap 1h",
		RunE: p.withClient(func(c *cobra.Command, client *api.Client, args []string) error {
			answer, err := client.Rotate(c.Context(), args[0], overlap)
			if err != nil {
				return fmt.Errorf("rotate secret: %w", err)
			}
			return p.show(c, answer.Raw, func(w io.Writer) {
				say(w, "%s", answer.Value.Secret)
				if until := answer.Value.PreviousValidUntil; until != nil {
					say(p.Err, "Put it into the receiver now. The one before signs beside it until %s.", stamp(*until))
				} else {
					say(p.Err, "Put it into the receiver now.")
				}
			})
		}),
	}
	c.Flags().DurationVar(&overlap, "overlap", 24*time.Hour, "how long the secret so far signs as well, up to 168h")
	return c
}

func (p *program) deleteWebhook() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use: "delete WEBHOOK", Short: "Delete a webhook: what is queued for it is not sent", Args: arguments("WEBHOOK"),
		Example: "  dembrane-webhooks webhooks delete 01JB8Z2V9N6Q4T7X3M5K1C8D0F --yes",
		RunE: p.withClient(func(c *cobra.Command, client *api.Client, args []string) error {
			if !yes {
				sure, err := p.confirm("Delete the webhook " + args[0] + "?")
				if err != nil || !sure {
					return err
				}
			}
			if err := client.Delete(c.Context(), args[0]); err != nil {
				return fmt.Errorf("delete webhook: %w", err)
			}
			return p.showValue(c, map[string]string{"deleted": args[0]}, func(w io.Writer) { say(w, "deleted %s", args[0]) })
		}),
	}
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return c
}

// confirm asks a person. Where there is none, the command line has to say it.
func (p *program) confirm(question string) (bool, error) {
	if !terminal(p.In) {
		return false, usage("nobody can be asked here: add --yes")
	}
	_, _ = fmt.Fprint(p.Err, question+" [y/N] ") // nobody is left to ask then
	line, err := bufio.NewReader(p.In).ReadString('\n')
	if err != nil {
		return false, fmt.Errorf("read the answer: %w", err)
	}
	answer := strings.ToLower(strings.TrimSpace(line))
	return answer == "y" || answer == "yes", nil
}
