package command

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/dembrane/webhooks/cli/internal/api"
)

// maxPage is the largest page that the API gives.
const maxPage = 250

func (p *program) deliveries() *cobra.Command {
	return group("deliveries", "What was sent to a webhook and what became of it: list, show, resend",
		p.listDeliveries(), p.showDelivery(), p.resendDelivery())
}

func (p *program) listDeliveries() *cobra.Command {
	filters := map[string]*string{}
	var limit int
	c := &cobra.Command{
		Use: "list WEBHOOK", Short: "Attempts at a webhook, newest first", Args: arguments("WEBHOOK"),
		Example: `  dembrane-webhooks deliveries list 01JB8Z2V9N6Q4T7X3M5K1C8D0F --status failed --since 24h
  dembrane-webhooks deliveries list 01JB8Z2V9N6Q4T7X3M5K1C8D0F --limit 5000 --json`,
		RunE: p.withClient(func(c *cobra.Command, client *api.Client, args []string) error {
			query := url.Values{}
			for name, value := range filters {
				if *value == "" {
					continue
				}
				query.Set(name, *value)
				if name == "since" || name == "until" {
					at, err := moment(*value, time.Now())
					if err != nil {
						return err
					}
					query.Set(name, at.UTC().Format(time.RFC3339Nano))
				}
			}
			if limit < 1 {
				return usage("--limit must be 1 or more")
			}
			list, err := attempts(c, client, args[0], query, limit)
			if err != nil {
				return fmt.Errorf("list deliveries: %w", err)
			}
			raw, err := json.Marshal(list.raw)
			if err != nil {
				return fmt.Errorf("print JSON: %w", err)
			}
			return p.show(c, raw, func(w io.Writer) { p.attemptTable(w, list) })
		}),
	}
	for _, filter := range []struct{ name, help string }{
		{"status", "delivered, pending (will be tried again), failed or ended"},
		{"event", "one type"},
		{"event_id", "one event"},
		{"delivery_id", "one delivery"},
		{"status_code", "what the receiver answered: 404, or 4xx"},
		{"trigger", "event, test, resend or replay"},
		{"since", "a time, or how long ago"},
		{"until", "a time, or how long ago"},
	} {
		filters[filter.name] = c.Flags().String(dashed(filter.name), "", filter.help)
	}
	c.Flags().IntVar(&limit, "limit", 50, "how many at most")
	return c
}

type attemptList struct {
	list []api.Attempt
	raw  []json.RawMessage
	more bool
}

// attempts collects pages until there are enough.
func attempts(c *cobra.Command, client *api.Client, webhook string, query url.Values, limit int) (all attemptList, _ error) {
	for {
		query.Set("limit", strconv.Itoa(min(limit-len(all.list), maxPage)))
		page, err := client.Deliveries(c.Context(), webhook, query)
		if err != nil {
			return all, err //nolint:wrapcheck // its caller does
		}
		var raw api.Page[json.RawMessage]
		if err := json.Unmarshal(page.Raw, &raw); err != nil {
			return all, fmt.Errorf("read the answer: %w", err)
		}
		all.list, all.raw = append(all.list, page.Value.Data...), append(all.raw, raw.Data...)
		all.more = page.Value.NextCursor != nil
		if !all.more || len(all.list) >= limit {
			if all.raw == nil {
				all.raw = []json.RawMessage{}
			}
			return all, nil
		}
		query.Set("cursor", *page.Value.NextCursor)
	}
}

func (p *program) attemptTable(w io.Writer, all attemptList) {
	if len(all.list) == 0 {
		say(w, "There are none.")
		return
	}
	var rows [][]string
	for _, a := range all.list {
		rows = append(rows, []string{
			a.ID, stamp(a.StartedAt), a.Event, strconv.Itoa(a.Number), a.Status, statusCode(a.StatusCode), strconv.Itoa(a.DurationMS), oneLine(a.Message, 70),
		})
	}
	table(w, []string{"ATTEMPT", "AT", "EVENT", "NO.", "STATUS", "CODE", "MS", "WHAT HAPPENED"}, rows)
	if all.more {
		say(p.Err, "There are more: raise --limit, or narrow the filters.")
	}
}

func statusCode(code *int) string {
	if code == nil {
		return "–"
	}
	return strconv.Itoa(*code)
}

func (p *program) showDelivery() *cobra.Command {
	return &cobra.Command{
		Use: "show WEBHOOK ATTEMPT", Short: "One attempt: what was sent and what came back", Args: arguments("WEBHOOK", "ATTEMPT"),
		Example: "  dembrane-webhooks deliveries show 01JB8Z2V9N6Q4T7X3M5K1C8D0F 01JB9A3W0P7R5V8Y4N6M2D9E1G",
		RunE: p.withClient(func(c *cobra.Command, client *api.Client, args []string) error {
			answer, err := client.Delivery(c.Context(), args[0], args[1])
			if err != nil {
				return fmt.Errorf("show delivery: %w", err)
			}
			return p.show(c, answer.Raw, func(w io.Writer) { p.describeAttempt(w, answer.Value) })
		}),
	}
}

func (p *program) describeAttempt(w io.Writer, a api.AttemptDetail) {
	say(w, "%s", oneLine(a.Message, 1000))
	if a.Detail != "" {
		say(w, "%s", oneLine(a.Detail, 1000))
	}
	if a.Advice != "" {
		say(w, "→ %s", oneLine(a.Advice, 1000))
	}
	say(w, "\n%s of %s, attempt %d (%s), %s, %s", a.Event, a.EventID, a.Number, a.Trigger, stamp(a.StartedAt), took(a.DurationMS))
	if a.NextAttemptAt != nil {
		say(w, "next attempt %s", stamp(*a.NextAttemptAt))
	}
	if request := a.Request; request != nil {
		say(w, "\nPOST %s", oneLine(request.URL, 2048))
		p.headerLines(w, request.Headers)
		if request.Body != nil {
			say(w, "\n%s", readable([]byte(*request.Body)))
		} else {
			say(w, "\n(%s)", oneLine(request.BodyNote, 400))
		}
	}
	if response := a.Response; response != nil {
		say(w, "\nAnswer: %s", statusCode(a.StatusCode))
		p.headerLines(w, response.Headers)
		say(w, "\n%s", clean(response.Body))
	}
}

func (p *program) headerLines(w io.Writer, headers []api.HeaderLine) {
	for _, header := range headers {
		value := p.paint(dim, "(not shown)")
		if header.Value != nil {
			value = oneLine(*header.Value, 1000)
		}
		say(w, "  %s %s", p.paint(dim, clean(header.Name)+":"), value)
	}
}

func (p *program) resendDelivery() *cobra.Command {
	return &cobra.Command{
		Use: "resend WEBHOOK ATTEMPT", Short: "Send the event of an attempt again, at once", Args: arguments("WEBHOOK", "ATTEMPT"),
		Example: "  dembrane-webhooks deliveries resend 01JB8Z2V9N6Q4T7X3M5K1C8D0F 01JB9A3W0P7R5V8Y4N6M2D9E1G",
		RunE: p.withClient(func(c *cobra.Command, client *api.Client, args []string) error {
			answer, err := client.Resend(c.Context(), args[0], args[1])
			if err != nil {
				return fmt.Errorf("resend: %w", err)
			}
			return p.show(c, answer.Raw, func(w io.Writer) {
				say(w, "%s See: dembrane-webhooks deliveries list %s --event-id %s", answer.Value.Message, args[0], answer.Value.EventID)
			})
		}),
	}
}
