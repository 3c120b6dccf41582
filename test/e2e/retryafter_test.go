package e2e_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/bson"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/test/internal/receiver"
)

// asking is a receiver that refuses its first delivery and asks for a pause.
type asking struct {
	name    string
	status  int
	header  func(now time.Time) string
	atLeast time.Duration // the pause that has to be kept; 0 for none
	never   bool          // it is longer than any test
	others  bool          // it holds for that delivery only
}

func askings() []asking {
	fixed := func(value string) func(time.Time) string { return func(time.Time) string { return value } }
	date := func(ahead time.Duration) func(time.Time) string {
		// A date has no fractions: one that is rounded up is never earlier than asked.
		return func(now time.Time) string { return now.Add(ahead + time.Second - 1).UTC().Format(http.TimeFormat) }
	}
	return []asking{
		{name: "seconds", status: 429, header: fixed("2"), atLeast: 2 * time.Second},
		{name: "seconds of a 503", status: 503, header: fixed("2"), atLeast: 2 * time.Second},
		{name: "a fraction", status: 429, header: fixed("1.5"), atLeast: 1500 * time.Millisecond},
		{name: "a date", status: 429, header: date(3 * time.Second), atLeast: 3 * time.Second},
		{name: "a date of a 503", status: 503, header: date(3 * time.Second), atLeast: 3 * time.Second},
		{name: "a past date", status: 429, header: date(-time.Hour), atLeast: time.Second},
		{name: "zero", status: 503, header: fixed("0"), atLeast: time.Second},
		{name: "a day", status: 429, header: fixed("86400"), never: true},
		{name: "three thousand years", status: 503, header: fixed("99999999999"), never: true},
		{name: "less than nothing", status: 429, header: fixed("-5")},
		{name: "a word", status: 503, header: fixed("tomorrow")},
		{name: "an exponent", status: 429, header: fixed("1e9")},
		{name: "hexadecimal", status: 429, header: fixed("0xffffff")},
		{name: "a date that is none", status: 503, header: fixed("Tue, 41 Nov 2099 25:00:00 GMT")},
		{name: "nothing", status: 429, header: fixed("")},
		// Elsewhere it holds for the delivery that was refused.
		{name: "a day of a 500", status: 500, header: fixed("86400"), never: true, others: true},
		{name: "a day of a 413", status: 413, header: fixed("86400"), never: true, others: true},
		{name: "a day of a redirect", status: 302, header: fixed("86400"), never: true, others: true},
		{name: "seconds of a 403", status: 403, header: fixed("3"), atLeast: 3 * time.Second, others: true},
	}
}

func TestCase18NothingIsSentEarlierThanAskedToTheWholeEndpoint(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	cases := askings()
	refused := make([]chan time.Time, len(cases))
	receivers := make([]*story, len(cases))
	for i, c := range cases {
		refused[i] = make(chan time.Time, 1)
		receivers[i] = receiverDoes(t, func(header http.Header, _ <-chan struct{}, _ receiver.Arrival) int {
			now := time.Now()
			if value := c.header(now); value != "" {
				header.Set("Retry-After", value)
			}
			refused[i] <- now
			return c.status
		})
		s.create(t, project, fields{"url": receivers[i].url, "events": event.Types()})
	}
	s.settle(t)

	first, second := started(), started()
	s.publish(t, first)
	at := make([]time.Time, len(cases))
	for i := range cases {
		assert.Equal(t, first.GetId(), receivers[i].next(t).Event)
		at[i] = <-refused[i]
	}
	// The dispatcher has read the answer when the attempt is in the log.
	s.wantLogged(t, len(cases))
	s.publish(t, second)

	for i, c := range cases {
		if c.never {
			if c.others {
				a := receivers[i].next(t)
				assert.Equal(t, second.GetId(), a.Event, c.name)
				assert.Equal(t, 1, a.Attempt, c.name)
			}
			continue
		}
		seen := map[string]int{}
		for range 2 { // on a slow machine the retry may come first
			a := receivers[i].next(t)
			seen[a.Event] = a.Attempt
			if !c.others || a.Event == first.GetId() {
				assert.GreaterOrEqual(t, a.At.Sub(at[i]), c.atLeast, "%s: attempt %d of %s", c.name, a.Attempt, a.Delivery)
			}
		}
		assert.Equal(t, map[string]int{first.GetId(): 2, second.GetId(): 1}, seen, c.name)
	}
	for i, c := range cases { // long after everybody else has both
		if c.never {
			receivers[i].wantNothingMore(t)
		}
	}
}

// wantLogged waits until the delivery log has as many attempts of the project.
func (s *system) wantLogged(t *testing.T, count int) {
	t.Helper()
	eventually(t, "the attempts are in the delivery log", func() bool {
		have, err := s.Attempts.CountDocuments(t.Context(), bson.M{"project_id": project})
		require.NoError(t, err)
		return have >= int64(count)
	})
}
