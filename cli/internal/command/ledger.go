package command

import (
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dembrane/webhooks/cli/internal/api"
	"github.com/dembrane/webhooks/cli/internal/config"
)

// accounting is what --json prints of a ledger.
type accounting struct {
	Summary *api.LedgerSummary `json:"summary"`
	// Missing are events that the ledger has as delivered and the receiver has not;
	// Open are those that are not delivered yet, or never were.
	Missing []api.LedgerEntry `json:"missing"`
	Open    []api.LedgerEntry `json:"open"`
}

func (p *program) ledger() *cobra.Command {
	var since, until, have string
	c := &cobra.Command{
		Use: "ledger WEBHOOK", Short: "Prove that nothing is missing: what a webhook was owed and what became of it", Args: arguments("WEBHOOK"),
		Long: `Prove that nothing is missing: count every event that the webhook was owed, list those
that were not delivered, and with --have compare with the ids that the receiver has.`,
		Example: `  dembrane-webhooks ledger 01JB8Z2V9N6Q4T7X3M5K1C8D0F --since 7d
  # with the ids that my database has, one a line
  dembrane-webhooks ledger 01JB8Z2V9N6Q4T7X3M5K1C8D0F --since 7d --have ids.txt`,
		RunE: p.withClient(func(c *cobra.Command, client *api.Client, args []string) error {
			query := url.Values{"limit": {strconv.Itoa(maxPage)}}
			for name, text := range map[string]string{"since": since, "until": until} {
				if text == "" {
					continue
				}
				at, err := moment(text, time.Now())
				if err != nil {
					return err
				}
				query.Set(name, at.UTC().Format(time.RFC3339Nano))
			}
			var known []string
			if have != "" {
				text, err := config.LargeFile(have, p.In)
				if err != nil {
					return usage("read --have: %w", err)
				}
				known = strings.Fields(string(text))
				slices.Sort(known)
			}
			sums, err := account(c, client, args[0], query, func(id string) bool {
				_, found := slices.BinarySearch(known, id)
				return have == "" || found
			})
			if err != nil {
				return fmt.Errorf("read ledger: %w", err)
			}
			if err := p.showValue(c, sums, func(w io.Writer) { p.ledgerWords(w, sums, have != "") }); err != nil {
				return err
			}
			if len(sums.Missing) > 0 || len(sums.Open) > 0 {
				return negative()
			}
			return nil
		}),
	}
	c.Flags().StringVar(&since, "since", "", "since when: a time, or how long ago (default a day)")
	c.Flags().StringVar(&until, "until", "", "until when (default now)")
	c.Flags().StringVar(&have, "have", "", "the file with the event ids that the receiver has")
	return c
}

// account walks all pages.
func account(c *cobra.Command, client *api.Client, webhook string, query url.Values, has func(id string) bool) (accounting, error) {
	sums := accounting{Missing: []api.LedgerEntry{}, Open: []api.LedgerEntry{}}
	for {
		page, err := client.Ledger(c.Context(), webhook, query)
		if err != nil {
			return sums, err //nolint:wrapcheck // its caller does
		}
		for _, entry := range page.Value.Data {
			switch {
			case entry.State != "delivered":
				sums.Open = append(sums.Open, entry)
			case !has(entry.EventID):
				sums.Missing = append(sums.Missing, entry)
			}
		}
		if page.Value.NextCursor == nil {
			sums.Summary = page.Value.Summary
			return sums, nil
		}
		query = url.Values{"cursor": {*page.Value.NextCursor}, "limit": query["limit"]}
	}
}

func (p *program) ledgerWords(w io.Writer, sums accounting, compared bool) {
	var rows [][]string
	for _, part := range []struct {
		entries []api.LedgerEntry
		missing bool
	}{{sums.Open, false}, {sums.Missing, true}} {
		for _, entry := range part.entries {
			state := entry.State
			if part.missing {
				state = "missing at the receiver"
			}
			rows = append(rows, []string{entry.EventID, stamp(entry.PublishedAt), entry.Event, state, strconv.Itoa(entry.Attempts)})
		}
	}
	if len(rows) > 0 {
		table(w, []string{"EVENT ID", "PUBLISHED", "EVENT", "STATE", "ATTEMPTS"}, rows)
		say(w, "")
	}
	if s := sums.Summary; s != nil {
		say(w, "%s to %s: %d events, %d delivered, %d pending, %d failed, %d not sent", stamp(s.Since), stamp(s.Until), s.Count, s.Delivered, s.Pending, s.Failed, s.NotSent)
		say(w, "digest %s\nof those delivered %s", s.Digest, s.DigestDelivered)
	}
	switch {
	case len(rows) > 0:
		say(w, "%s", p.paint(red, fmt.Sprintf("%d events did not arrive (yet). `dembrane-webhooks replay` sends them again.", len(rows))))
	case compared:
		say(w, "%s", p.paint(green, "Nothing is missing."))
	default:
		say(w, "%s", p.paint(green, "Everything was delivered."))
	}
}
