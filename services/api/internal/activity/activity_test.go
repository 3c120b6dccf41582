package activity

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/dembrane/webhooks/proto/webhooksv1"
)

func noon() time.Time { return time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC) }

func at(when time.Time, change func(*webhooksv1.Attempt)) *webhooksv1.LogEntry {
	a := &webhooksv1.Attempt{
		WebhookId: "w1", ProjectId: "p1", StartedAt: timestamppb.New(when), Outcome: webhooksv1.Outcome_OUTCOME_DELIVERED,
		StatusCode: 200, Trigger: webhooksv1.Trigger_TRIGGER_EVENT, DurationUs: 10_000,
	}
	if change != nil {
		change(a)
	}
	return Entry(a, ulid.MustNew(ulid.Timestamp(when), ulid.DefaultEntropy()))
}

// Whatever is added, paged and expired in whatever order: every attempt keeps the
// position that it got, pages have what those positions were, and nothing is lost
// but what expired.
func TestPositionsStay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := &Activity{}
		want := map[uint64]string{}
		got := map[uint64]string{}
		now, next := noon(), uint64(1)
		for range rapid.IntRange(1, 12).Draw(t, "rounds") {
			now = now.Add(time.Hour)
			if rapid.Bool().Draw(t, "expire") {
				for _, e := range a.Expire(now.Add(-2 * time.Hour)) {
					for at, id := range want {
						if id == ID(e) {
							delete(want, at)
						}
					}
				}
			}
			for _, page := range a.TakePages() {
				for i, e := range page.Entries {
					require.Equal(t, page.Number, PageOf(page.Position(i)))
					got[page.Position(i)] = ID(e)
				}
			}
			var added []*webhooksv1.LogEntry
			for range rapid.IntRange(0, RoundMost).Draw(t, "attempts") {
				e := at(now, nil)
				added = append(added, e)
				want[next] = ID(e)
				next++
			}
			a.Add(added)
			require.Equal(t, next-1, a.Newest())
		}
		for i, e := range a.Tail {
			got[a.Position(i)] = ID(e)
		}
		require.Equal(t, want, got)
		require.GreaterOrEqual(t, uint64(len(a.Tail))+a.Cut+PageEntries, min(next-1, PageEntries))
	})
}

// The first page of a list of a hundred needs the activity alone.
func TestTheTailIsNeverShort(t *testing.T) {
	a := &Activity{}
	for range 1000 {
		a.TakePages()
		a.Add([]*webhooksv1.LogEntry{at(noon(), nil)})
		assert.GreaterOrEqual(t, uint64(len(a.Tail)), min(a.Newest(), PageEntries))
		assert.LessOrEqual(t, len(a.Tail), tailMost)
	}
}

// Not even the largest that there can be comes near what databases take, and it is
// written with every batch.
func TestAnActivityIsBounded(t *testing.T) {
	a := &Activity{}
	largest := func(x *webhooksv1.Attempt) {
		x.Outcome, x.Reason = webhooksv1.Outcome_OUTCOME_EXHAUSTED, webhooksv1.Reason_REASON_REDIRECT
		x.EventId, x.DeliveryId, x.ReplayId = strings.Repeat("e", 64), "dlv_"+strings.Repeat("d", 24), strings.Repeat("r", 26)
		x.EventType, x.EventSequence, x.Number = "conversation.transcribed", 1<<62, 30
		x.OccurredAt, x.NextAttemptAt = timestamppb.New(noon()), timestamppb.New(noon())
		x.Request = &webhooksv1.Request{BodyBytes: 1 << 30}
		x.Response = &webhooksv1.Response{Headers: []*webhooksv1.Header{{
			Name: "Location", Value: "https://example.org/" + strings.Repeat("l", longestLocation-len("https://example.org/")),
		}}}
		x.Timing = &webhooksv1.Timing{EndedIn: webhooksv1.Phase_PHASE_WAIT}
	}
	for number := range Hours {
		var added []*webhooksv1.LogEntry
		for i := range RoundMost {
			added = append(added, at(noon().Add(time.Duration(number)*time.Hour), func(x *webhooksv1.Attempt) {
				largest(x)
				x.DeliveryId = fmt.Sprintf("dlv_%024d", number*RoundMost+i)
				x.Reason = webhooksv1.Reason(i % 14)
				if i%14 != 13 {
					x.Reason = webhooksv1.Reason_REASON_REDIRECT
				}
				x.DurationUs = int64(1000 * (1 << (i % 16)) * (4 + i%4) / 4)
			}))
		}
		a.TakePages()
		a.Add(added)
	}
	tail, err := proto.Marshal(&webhooksv1.LogPage{Entries: a.Tail})
	require.NoError(t, err)
	counts, err := proto.Marshal(a.Counts)
	require.NoError(t, err)
	require.Len(t, a.Counts.GetHours(), Hours)
	t.Logf("%d attempts of %d bytes, counts of %d bytes", len(a.Tail), len(tail), len(counts))
	assert.Less(t, len(tail)+len(counts), 200<<10)
}

func TestStatistics(t *testing.T) {
	a := &Activity{}
	var list []*webhooksv1.LogEntry
	now := noon().Add(30 * time.Minute)
	for i := range 100 { // 1 to 100 ms
		list = append(list, at(now, func(x *webhooksv1.Attempt) { x.DurationUs = int64(i+1) * 1000 }))
	}
	failed := func(when time.Time, outcome webhooksv1.Outcome, reason webhooksv1.Reason) {
		list = append(list, at(when, func(x *webhooksv1.Attempt) { x.Outcome, x.Reason, x.StatusCode = outcome, reason, 0 }))
	}
	failed(now.Add(-time.Hour), webhooksv1.Outcome_OUTCOME_RETRY, webhooksv1.Reason_REASON_TIMEOUT)
	failed(now.Add(-23*time.Hour), webhooksv1.Outcome_OUTCOME_GONE, webhooksv1.Reason_REASON_STATUS)
	failed(now.Add(-24*time.Hour), webhooksv1.Outcome_OUTCOME_EXHAUSTED, webhooksv1.Reason_REASON_TIMEOUT)
	failed(now.Add(-24*time.Hour), webhooksv1.Outcome_OUTCOME_EXHAUSTED, webhooksv1.Reason_REASON_RECEIVER_FAILING)
	failed(now.Add(-24*time.Hour), webhooksv1.Outcome_OUTCOME_DISABLED, 0)
	failed(now.Add(-Hours*time.Hour), webhooksv1.Outcome_OUTCOME_RETRY, webhooksv1.Reason_REASON_DNS) // too old
	list = append(list, at(now, func(x *webhooksv1.Attempt) { x.Trigger = webhooksv1.Trigger_TRIGGER_TEST }))
	a.Add(list)

	s := a.Statistics(now)
	require.Len(t, s.ByHour, Hours)
	last := s.ByHour[Hours-1]
	assert.Equal(t, noon(), last.Since)
	assert.EqualValues(t, 100, last.Attempts)
	assert.EqualValues(t, 100, last.Delivered)
	for share, want := range map[float64]time.Duration{.5: 50 * time.Millisecond, .95: 95 * time.Millisecond, .99: 99 * time.Millisecond} {
		took, ok := last.Quantile(share)
		assert.True(t, ok)
		assert.InEpsilon(t, want, took, 0.1)
	}
	_, ok := s.ByHour[0].Quantile(.5)
	assert.False(t, ok)
	assert.EqualValues(t, 102, s.Day.Attempts)
	assert.Equal(t, map[string]uint64{"timeout": 1, "status": 1}, s.Day.Failed)
	assert.Equal(t, map[string]uint64{"timeout": 2, "status": 1}, s.Week.Failed)
	assert.EqualValues(t, 103, s.Week.Attempts)
	assert.EqualValues(t, 2, s.Week.Ended)
	assert.Zero(t, s.Day.Ended)
	assert.Equal(t, 2, a.ExhaustedSince(now.Add(-25*time.Hour)))
	assert.Zero(t, a.ExhaustedSince(now.Add(-23*time.Hour)))
	// A week later nothing of it counts.
	later := a.Statistics(now.Add(Hours * time.Hour))
	assert.Zero(t, later.Week.Attempts)
}

// Every class stands for its durations within a tenth.
func TestClasses(t *testing.T) {
	previous := uint32(0)
	for us := int64(1000); us < 60_000_000; us += us/50 + 1 {
		c := class(us)
		assert.GreaterOrEqual(t, c, previous)
		assert.InEpsilon(t, time.Duration(us)*time.Microsecond, duration(c), 0.1, us)
		previous = c
	}
	assert.EqualValues(t, lastClass, class(1<<60))
	assert.Zero(t, class(0))
	assert.Zero(t, class(-5))
}

func TestLocationHasNoQuery(t *testing.T) {
	for given, want := range map[string]string{
		"https://u:p@new.example/hook?token=x#y": "https://new.example/hook", "/elsewhere": "/elsewhere", "://": "",
		"https://x/" + strings.Repeat("a", 200): "", "": "", "mailto:someone\u202e": "", "javascript:alert(1)": "",
		"https://x/a\u202eb": "https://x/a%E2%80%AEb",
	} {
		a := &webhooksv1.Attempt{
			Reason:   webhooksv1.Reason_REASON_REDIRECT,
			Response: &webhooksv1.Response{Headers: []*webhooksv1.Header{{Name: "Location", Value: given}}},
		}
		assert.Equal(t, want, Location(a), given)
		a.Reason = webhooksv1.Reason_REASON_STATUS
		assert.Empty(t, Location(a))
	}
}

func TestEntryKeepsWhatListsShow(t *testing.T) {
	e := at(noon(), func(x *webhooksv1.Attempt) {
		x.OccurredAt, x.NextAttemptAt = timestamppb.New(noon().Add(time.Microsecond)), timestamppb.New(noon().Add(time.Millisecond))
	})
	assert.Equal(t, noon(), StartedAt(e))
	assert.Equal(t, noon().UnixMicro()+1, e.GetOccurredUs())
	assert.Equal(t, noon().UnixMilli()+1, e.GetNextAttemptMs())
	assert.Len(t, ID(e), ulid.EncodedSize)
	assert.False(t, slices.Equal(e.GetId(), at(noon(), nil).GetId()))
}
