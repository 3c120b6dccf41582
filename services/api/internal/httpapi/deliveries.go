package httpapi

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/dembrane/webhooks/pkg/words"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/access"
	"github.com/dembrane/webhooks/services/api/internal/activity"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

const (
	// pagesPerRequest bounds how much of the log one request looks through, of which the
	// embedded database takes nearly a millisecond a page; a page for hosts asks twice. What a
	// filter leaves out costs as much as what it finds: the cursor goes on.
	pagesPerRequest = 40
	// headerLanguage says which language the words of an answer are in.
	headerLanguage = "Content-Language"
)

// attempted is an attempt as lists show it.
type attempted struct {
	ID            string     `json:"id"`
	DeliveryID    string     `json:"delivery_id"`
	EventID       string     `json:"event_id"`
	Event         string     `json:"event"`
	OccurredAt    *timestamp `json:"occurred_at"`
	Number        uint32     `json:"number"`
	Trigger       string     `json:"trigger"`
	ReplayID      *string    `json:"replay_id"`
	StartedAt     timestamp  `json:"started_at"`
	DurationMS    int64      `json:"duration_ms"`
	Status        string     `json:"status"`
	Outcome       string     `json:"outcome"`
	Reason        string     `json:"reason"`
	Phase         *string    `json:"phase"`
	StatusCode    *uint32    `json:"status_code"`
	Message       string     `json:"message"`
	Advice        string     `json:"advice"`
	NextAttemptAt *timestamp `json:"next_attempt_at"`
}

// attempts is one answer of the list. A null cursor says that there is no more.
type attempts struct {
	Data       []attempted `json:"data"`
	NextCursor *string     `json:"next_cursor"`
	// SearchedTo is null when nothing was looked at.
	SearchedTo *timestamp `json:"searched_to"`
}

// The states of an attempt, as the list can be filtered by them: what it meant for
// its delivery.
const (
	statusDelivered = "delivered"
	statusPending   = "pending"
	statusFailed    = "failed"
	statusEnded     = "ended"
)

func statusOf(outcome webhooksv1.Outcome) string {
	switch outcome {
	case webhooksv1.Outcome_OUTCOME_DELIVERED:
		return statusDelivered
	case webhooksv1.Outcome_OUTCOME_RETRY:
		return statusPending
	case webhooksv1.Outcome_OUTCOME_EXHAUSTED, webhooksv1.Outcome_OUTCOME_GONE:
		return statusFailed
	case webhooksv1.Outcome_OUTCOME_DELETED, webhooksv1.Outcome_OUTCOME_DISABLED,
		webhooksv1.Outcome_OUTCOME_EXPIRED, webhooksv1.Outcome_OUTCOME_ERASED, webhooksv1.Outcome_OUTCOME_UNSPECIFIED:
		return statusEnded
	}
	return statusEnded
}

// deliveries lists the attempts of a webhook: the order is that in which they were
// recorded, usually newest first, and within one answer that in which they began.
func (s *server) deliveries(c echo.Context, grant access.Grant) error {
	w, err := s.find(c, grant)
	if err != nil {
		return err
	}
	query, err := s.logQuery(c, w)
	if err != nil {
		return err
	}
	var found []*webhooksv1.LogEntry
	var last *webhooksv1.LogEntry
	next, err := s.Store.WalkLog(c.Request().Context(), w.ID, query.walk, func(_ uint64, e *webhooksv1.LogEntry) bool {
		last = e
		if query.wants(e) {
			found = append(found, e)
		}
		return len(found) < query.limit
	})
	if err != nil {
		return fmt.Errorf("list deliveries: %w", err)
	}
	slices.SortStableFunc(found, func(a, b *webhooksv1.LogEntry) int { return strings.Compare(string(b.GetId()), string(a.GetId())) })
	if query.walk.Oldest {
		slices.Reverse(found)
	}
	in := language(c)
	answer := attempts{Data: make([]attempted, len(found))}
	for i, e := range found {
		answer.Data[i] = showEntry(e, in)
	}
	if last != nil {
		answer.SearchedTo = moment(activity.StartedAt(last))
	}
	if next > 0 {
		cursor, err := s.cursor(w, query.cursorPrefix(), next)
		if err != nil {
			return err
		}
		answer.NextCursor = &cursor
	}
	return c.JSON(http.StatusOK, answer)
}

// language is the one that the caller reads, and says so in the answer.
func language(c echo.Context) words.Language {
	in := words.Choose(c.Request().Header.Get("Accept-Language"))
	c.Response().Header().Set(headerLanguage, in.Tag())
	return in
}

// showEntry takes the words from the table: a list keeps none.
func showEntry(e *webhooksv1.LogEntry, in words.Language) attempted {
	said := sayEntry(e, in)
	a := attempted{
		ID:         activity.ID(e),
		DeliveryID: e.GetDeliveryId(),
		EventID:    e.GetEventId(),
		Event:      e.GetEventType(),
		Number:     e.GetNumber(),
		Trigger:    e.GetTrigger().Label(),
		StartedAt:  timestamp(activity.StartedAt(e)),
		DurationMS: e.GetDurationUs() / 1000,
		Status:     statusOf(e.GetOutcome()),
		Outcome:    e.GetOutcome().Label(),
		Reason:     e.GetReason().Label(),
		Phase:      orNull(e.GetEndedIn().Label()),
		ReplayID:   orNull(e.GetReplayId()),
		Message:    said.Message,
		Advice:     said.Advice,
	}
	if code := e.GetStatusCode(); code != 0 {
		a.StatusCode = &code
	}
	if us := e.GetOccurredUs(); us != 0 {
		a.OccurredAt = moment(time.UnixMicro(us))
	}
	if ms := e.GetNextAttemptMs(); ms != 0 {
		a.NextAttemptAt = moment(time.UnixMilli(ms))
	}
	return a
}

// sayEntry says what became of an attempt.
func sayEntry(e *webhooksv1.LogEntry, in words.Language) words.Sentence {
	return words.Say(words.Fact{
		Outcome: e.GetOutcome(), Reason: e.GetReason(), Cause: e.GetCause(), Phase: e.GetEndedIn(),
		StatusCode: int(e.GetStatusCode()), Took: time.Duration(e.GetDurationUs()) * time.Microsecond,
		BodyBytes: e.GetBodyBytes(), Location: e.GetLocation(), Test: e.GetTrigger() == webhooksv1.Trigger_TRIGGER_TEST,
	}, in)
}

// orNull is null when there is none.
func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func moment(t time.Time) *timestamp { return optional(&t) }

// attemptNotFound answers for an attempt of another webhook as for none.
func attemptNotFound(err error) error {
	if errors.Is(err, store.ErrNoAttempt) {
		return answer(http.StatusNotFound, "Attempt not found")
	}
	return fmt.Errorf("load attempt: %w", err)
}
