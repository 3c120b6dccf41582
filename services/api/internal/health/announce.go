package health

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"go.uber.org/zap"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/observe"
	"github.com/dembrane/webhooks/pkg/words"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

const (
	// announceEvery is the least time between two events that say of one webhook that
	// it fails (contract, "Our own events").
	announceEvery = 15 * time.Minute
	// announceTimeout bounds the publishing of one.
	announceTimeout = 2 * time.Second
	// announceRest is how long none is tried after one could not be published:
	// records wait for it.
	announceRest = 30 * time.Second
)

// announcer publishes events of our own to EVENTS, where other webhooks of the
// project may have subscribed to them. Their ids follow from what they say, so that
// saying it again, after a crash or by another replica, is the same event.
type announcer struct {
	publish func(ctx context.Context, e *webhooksv1.Event) error

	mu     sync.Mutex
	resume time.Time
}

// errResting says that nothing was tried.
var errResting = errors.New("an event could not be published a moment ago")

func (a *announcer) say(ctx context.Context, e *webhooksv1.Event) error {
	if a.publish == nil {
		return nil
	}
	a.mu.Lock()
	resting := time.Now().Before(a.resume)
	a.mu.Unlock()
	if resting {
		return errResting
	}
	ctx, cancel := context.WithTimeout(ctx, announceTimeout)
	defer cancel()
	err := a.publish(ctx, e)
	if err != nil {
		a.mu.Lock()
		a.resume = time.Now().Add(announceRest)
		a.mu.Unlock()
	}
	return err
}

// announce says that a webhook began or ceased to fail, if that was not said
// already. What could not be published is said with one of the next attempts.
func (t *Tracker) announce(ctx context.Context, id string, last *webhooksv1.Attempt) error {
	now := time.Now()
	if told, failing := t.cache.told(id); due(told, failing, now) == "" {
		return nil
	}
	// Another replica may have said it meanwhile: what is stored decides.
	w, err := t.store.Load(ctx, id)
	if errors.Is(err, store.ErrNotFound) || err == nil && w.Deleted() {
		return nil
	}
	if err != nil {
		return fmt.Errorf("load webhook %s: %w", id, err)
	}
	what := due(w.Told, w.Health.FailingSince != nil, now)
	if what == "" {
		t.cache.tell(id, w.Told)
		return nil
	}
	e := ownEvent(w, what, last, w.Told.FailingAt.UnixMilli())
	told := store.Told{FailingAt: w.Told.FailingAt}
	if what == event.WebhookFailing {
		told = store.Told{Failing: true, FailingAt: now}
	}
	if err := t.own.say(ctx, e); err != nil {
		if !errors.Is(err, errResting) {
			t.log.Warn("event about a webhook is late: it was not published", zap.String("event", what),
				zap.String(observe.KeyWebhook, id), zap.Error(err))
		}
		return nil
	}
	if err := t.store.Tell(ctx, id, told); err != nil {
		return fmt.Errorf("remember what was said about webhook %s: %w", id, err)
	}
	t.cache.tell(id, told)
	return nil
}

// due is the event that is to be published now; empty for none.
func due(told store.Told, failing bool, now time.Time) string {
	switch {
	case failing && !told.Failing && now.Sub(told.FailingAt) >= announceEvery:
		return event.WebhookFailing
	case !failing && told.Failing:
		return event.WebhookRecovered
	default:
		return ""
	}
}

// announceDisabled says that a webhook was switched off at a revision. The webhook
// itself is the truth of it.
func (t *Tracker) announceDisabled(ctx context.Context, cause *webhooksv1.Attempt, revision int64, reason store.DisabledReason) {
	w, err := t.store.Load(ctx, cause.GetWebhookId())
	if err == nil {
		e := ownEvent(w, event.WebhookDisabled, cause, revision)
		e.GetWebhook().Reason = string(reason)
		err = t.own.say(ctx, e)
	}
	if err != nil {
		t.log.Warn("event about a webhook was not published", zap.String("event", event.WebhookDisabled),
			zap.String(observe.KeyWebhook, cause.GetWebhookId()), zap.Error(err))
	}
}

// ownEvent is an event about a webhook; number tells it from the others of its type.
func ownEvent(w store.Webhook, what string, last *webhooksv1.Attempt, number int64) *webhooksv1.Event {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%s/%d", w.ID, what, number))
	host := hostOf(w.URL)
	about := &webhooksv1.Webhook{
		Id: w.ID, Name: w.Name, Host: host, StatusCode: last.GetStatusCode(),
		State: map[string]string{
			event.WebhookFailing: "failing", event.WebhookDisabled: "disabled", event.WebhookRecovered: "ok",
		}[what],
		Message: ownMessage(what, host, last),
	}
	at := last.GetStartedAt()
	if what != event.WebhookRecovered {
		about.Reason = last.GetReason().Label()
		if since := w.Health.FailingSince; since != nil {
			about.FailingSince = timestamppb.New(*since)
		}
	}
	if what == event.WebhookFailing && about.GetFailingSince() != nil {
		at = about.GetFailingSince()
	}
	return &webhooksv1.Event{
		Id:   "evt_" + base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:15]),
		Type: what, OccurredAt: at,
		Project: &webhooksv1.Project{Id: w.ProjectID},
		Subject: &webhooksv1.Event_Webhook{Webhook: about},
	}
}

// ownMessage has the words of the table and nothing of what the receiver said, such as
// where a redirect leads: it may repeat the event, which can be erased, and this
// message stays.
func ownMessage(what, host string, last *webhooksv1.Attempt) string {
	why := words.Say(words.Fact{
		Outcome: last.GetOutcome(), Reason: last.GetReason(), Cause: last.GetCause(), Phase: last.GetTiming().GetEndedIn(),
		StatusCode: int(last.GetStatusCode()), Took: time.Duration(last.GetDurationUs()) * time.Microsecond,
		BodyBytes: last.GetRequest().GetBodyBytes(),
	}, words.English).Message
	switch what {
	case event.WebhookFailing:
		return "Deliveries to " + host + " fail. " + why
	case event.WebhookDisabled:
		return "The webhook to " + host + " was switched off, and gets nothing until it is enabled again. " + why
	default:
		return "Deliveries to " + host + " arrive again."
	}
}

// hostOf is the host of a URL, and nothing else of it: there may be secrets in the
// rest.
func hostOf(address string) string {
	parsed, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return parsed.Hostname()
}
