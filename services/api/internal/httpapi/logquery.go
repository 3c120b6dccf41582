package httpapi

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/secret"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/activity"
	"github.com/dembrane/webhooks/services/api/internal/registration"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

// The orders of a list of attempts.
const (
	orderNewest = "newest"
	orderOldest = "oldest"
)

const (
	defaultAttempts, maxAttempts = 50, 250
	// maxCursorBytes is more than any cursor of ours has.
	maxCursorBytes = 256
	// cursorNewest and cursorOldest say what the sealed text is, so that one order can be
	// told from the other, and a later form from both.
	cursorNewest = "log1:"
	cursorOldest = "log1-oldest:"
)

// logQuery is what a list of attempts is to have.
type logQuery struct {
	walk  store.LogWalk
	limit int

	status, event, eventID, deliveryID, replayID string

	outcome         webhooksv1.Outcome
	trigger         webhooksv1.Trigger
	lowest, highest uint32 // of the status code; 0 for whichever
	since, until    time.Time
}

// wants reports whether an attempt fits.
func (q *logQuery) wants(e *webhooksv1.LogEntry) bool {
	at, code := activity.StartedAt(e), e.GetStatusCode()
	return (q.status == "" || statusOf(e.GetOutcome()) == q.status) &&
		(q.outcome == 0 || e.GetOutcome() == q.outcome) &&
		(q.trigger == 0 || e.GetTrigger() == q.trigger) &&
		(q.event == "" || e.GetEventType() == q.event) &&
		(q.eventID == "" || e.GetEventId() == q.eventID) &&
		(q.deliveryID == "" || e.GetDeliveryId() == q.deliveryID) &&
		(q.replayID == "" || e.GetReplayId() == q.replayID) &&
		(q.highest == 0 || code >= q.lowest && code <= q.highest) &&
		!at.Before(q.since) && (q.until.IsZero() || at.Before(q.until))
}

// logQuery reads the query, or reports everything that is wrong with it.
func (s *server) logQuery(c echo.Context, w store.Webhook) (logQuery, error) {
	q := logQuery{limit: defaultAttempts, walk: store.LogWalk{Pages: pagesPerRequest}}
	var faults registration.Faults
	read := func(name string, parse func(value string) (ok bool), wanted string) {
		// A parameter without a value is a mistake of whoever asks, but for the cursor:
		// the first page has none.
		given := c.QueryParams().Has(name) && (name != "cursor" || c.QueryParam(name) != "")
		if given && !parse(c.QueryParam(name)) {
			faults.Add(missing(name, name+" must be "+wanted+"."))
		}
	}
	read("status", func(v string) bool {
		q.status = v
		return slices.Contains([]string{statusDelivered, statusFailed, statusPending, statusEnded}, v)
	}, "delivered, failed, pending or ended")
	read("outcome", func(v string) (ok bool) {
		q.outcome, ok = webhooksv1.ParseOutcome(v)
		return ok
	}, "one of the outcomes of an attempt: delivered, retry, exhausted, gone, deleted, disabled, expired or erased")
	read("trigger", func(v string) (ok bool) {
		q.trigger, ok = webhooksv1.ParseTrigger(v)
		return ok
	}, "event, test, resend or replay")
	read("event", func(v string) bool {
		q.event = v
		return event.Known(v) || v == event.Test
	}, "one of the events: "+strings.Join(append(event.Types(), event.Test), ", "))
	for _, id := range []struct {
		name, of string
		into     *string
	}{{"event_id", "an event", &q.eventID}, {"delivery_id", "a delivery", &q.deliveryID}, {"replay_id", "a replay", &q.replayID}} {
		read(id.name, func(v string) bool {
			*id.into = v
			return event.ValidID(v)
		}, "the id of "+id.of)
	}
	read("status_code", q.readCode, "a status such as 404, or a class such as 4xx")
	read("since", func(v string) (ok bool) {
		q.since, ok = readTime(v)
		q.walk.Since = q.since
		return ok
	}, "a time such as 2026-01-20T12:00:00Z")
	read("until", func(v string) (ok bool) {
		q.until, ok = readTime(v)
		return ok
	}, "a time such as 2026-01-20T12:00:00Z")
	read("order", func(v string) bool {
		q.walk.Oldest = v == orderOldest
		return v == orderOldest || v == orderNewest
	}, "newest or oldest")
	read("limit", func(v string) bool {
		n, err := strconv.Atoi(v)
		q.limit = n
		return err == nil && n >= 1 && n <= maxAttempts
	}, fmt.Sprintf("a number from 1 to %d", maxAttempts))
	read("cursor", func(v string) (ok bool) {
		q.walk.Past, ok = s.readCursor(w, q.cursorPrefix(), v)
		return ok
	}, "the next_cursor of an earlier answer for this webhook; leave it out to begin anew")
	return q, faults.Err()
}

func (q *logQuery) readCode(value string) bool {
	digits, isClass := strings.CutSuffix(strings.ToLower(value), "xx")
	n, err := strconv.ParseUint(digits, 10, 32)
	if err != nil {
		return false
	}
	if isClass {
		q.lowest, q.highest = uint32(n)*100, uint32(n)*100+99
		return n >= 1 && n <= 5 && len(digits) == 1
	}
	q.lowest, q.highest = uint32(n), uint32(n)
	return n >= 100 && n <= 999
}

func readTime(value string) (time.Time, bool) {
	at, err := time.Parse(time.RFC3339Nano, value)
	return at, err == nil
}

func (q *logQuery) cursorPrefix() string {
	if q.walk.Oldest {
		return cursorOldest
	}
	return cursorNewest
}

// cursor seals a position for one webhook and order. What comes back is this webhook's
// position in that order, or it is none.
func (s *server) cursor(w store.Webhook, prefix string, position uint64) (string, error) {
	sealed, err := s.Secrets.Seal(secret.New(prefix+strconv.FormatUint(position, 10)), w.ProjectID, cursorOf(w))
	if err != nil {
		return "", fmt.Errorf("seal cursor: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(sealed), nil
}

func (s *server) readCursor(w store.Webhook, prefix, cursor string) (position uint64, ok bool) {
	if len(cursor) > maxCursorBytes {
		return 0, false
	}
	// Strict, so that there is one spelling of each.
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil {
		return 0, false
	}
	opened, err := s.Secrets.Open(sealed, w.ProjectID, cursorOf(w))
	if err != nil {
		return 0, false
	}
	digits, ok := strings.CutPrefix(opened.Reveal(), prefix)
	if !ok {
		return 0, false
	}
	position, err = strconv.ParseUint(digits, 10, 64)
	return position, err == nil && position > 0
}

// cursorOf is what cursors of a webhook are bound to, besides its project. No
// webhook has an id with a slash, so none of its secrets opens as a cursor.
func cursorOf(w store.Webhook) string { return w.ID + "/log" }
