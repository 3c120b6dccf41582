package projection

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/eventlog"
	"github.com/dembrane/webhooks/services/api/internal/ranges"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

// span is a time in which events of one type were missed, by the clock that stamps
// what is stored in EVENTS.
type span struct {
	event        string
	since, until time.Time
}

// catchUp writes what a webhook missed to RANGES, and returns how many events that
// was. Doing it twice within two minutes writes it once.
func (p *Projector) catchUp(ctx context.Context, w store.Webhook, spans []span) (int, error) {
	missed := missedRanges{writer: p.ranges, webhook: w, since: spans[0].since}
	query := eventlog.Query{ProjectID: w.ProjectID}
	for _, s := range spans {
		query.Types = append(query.Types, s.event)
		if s.since.Before(missed.since) {
			missed.since = s.since
		}
		if s.until.After(query.Until) {
			query.Until = s.until
		}
	}
	query.Since = missed.since
	err := p.events.Each(ctx, query, func(e eventlog.Event) error {
		if !slices.ContainsFunc(spans, func(s span) bool {
			return s.event == e.Type && !e.Stored.Before(s.since) && e.Stored.Before(s.until)
		}) || !w.Covers(e.Type, e.About) {
			return nil
		}
		return missed.add(ctx, e)
	})
	if err != nil {
		return 0, fmt.Errorf("read what it missed: %w", err)
	}
	return missed.count, missed.flush(ctx)
}

// missedRanges writes down what was missed, many deliveries in one message.
type missedRanges struct {
	writer  *ranges.Writer
	webhook store.Webhook
	since   time.Time
	list    []eventlog.Event
	count   int
	written int
}

func (r *missedRanges) add(ctx context.Context, missed eventlog.Event) error {
	r.list = append(r.list, missed)
	r.count++
	if len(r.list) < ranges.MaxDeliveries {
		return nil
	}
	return r.flush(ctx)
}

func (r *missedRanges) flush(ctx context.Context) error {
	if len(r.list) == 0 {
		return nil
	}
	err := r.writer.Write(ctx, ranges.Range{
		ProjectID: r.webhook.ProjectID, WebhookID: r.webhook.ID, Events: r.list,
		Trigger: webhooksv1.Trigger_TRIGGER_EVENT, OwedSince: r.since,
		MessageID: fmt.Sprintf("missed-%s-%d-%d", r.webhook.ID, r.webhook.Revision, r.written),
	})
	if err != nil {
		return err //nolint:wrapcheck // it says what it was
	}
	r.list, r.written = nil, r.written+1
	return nil
}
