package account

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/eventlog"
	"github.com/dembrane/webhooks/services/api/internal/registration"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

const (
	delivered = webhooksv1.Outcome_OUTCOME_DELIVERED
	again     = webhooksv1.Outcome_OUTCOME_RETRY
	exhausted = webhooksv1.Outcome_OUTCOME_EXHAUSTED
	gone      = webhooksv1.Outcome_OUTCOME_GONE
	disabled  = webhooksv1.Outcome_OUTCOME_DISABLED
)

// pages plays the store, and counts how often it is asked.
type pages struct {
	list  []store.Outcome
	reads int
}

func (p *pages) BlockOutcomes(_ context.Context, _ string, block uint64) (found []store.Outcome, _ error) {
	p.reads++
	for _, outcome := range p.list {
		if store.OutcomeBlock(outcome.Sequence) == block {
			found = append(found, outcome)
		}
	}
	return found, nil
}

// recorded are outcomes of an event, one second apart.
func recorded(e eventlog.Event, outcomes ...webhooksv1.Outcome) (list []store.Outcome) {
	for i, outcome := range outcomes {
		list = append(list, store.Outcome{
			Sequence: e.Sequence, Event: store.EventMark(e.ID), Outcome: outcome,
			Attempt: ulid.MustNew(ulid.Timestamp(e.Stored.Add(time.Duration(i)*time.Second)), nil),
		})
	}
	return list
}

// anEvent is one, and aWebhook was made a day before it was stored.
func anEvent() eventlog.Event {
	return eventlog.Event{Sequence: 1024, ID: "evt_1", Part: "3", Stored: time.Date(2026, 1, 20, 12, 0, 0, 0, time.UTC)}
}

func aWebhook() store.Webhook {
	made := anEvent().Stored.Add(-24 * time.Hour)
	return store.Webhook{ID: "w", Status: registration.Published, CreatedAt: made, UpdatedAt: made}
}

// Every list of outcomes, whatever is on its way.
func TestWhatBecameOfAnEvent(t *testing.T) {
	e := anEvent()
	ways := map[string]*Way{
		"not looked at": nil,
		"settled":       {floors: map[string]uint64{"3": e.Sequence}},
		"parked":        {floors: map[string]uint64{"3": e.Sequence}, parked: []uint64{7, e.Sequence}},
		"unsettled":     {floors: map[string]uint64{"3": e.Sequence - 1, "4": e.Sequence}},
		"unknown part":  {floors: map[string]uint64{"4": e.Sequence}},
	}
	type row struct {
		outcomes []webhooksv1.Outcome
		state    State
		attempts int
		waits    bool          // for its next attempt
		after    time.Duration // when it was delivered first
	}
	rows := []row{
		{outcomes: nil, state: NotSent},
		{outcomes: []webhooksv1.Outcome{again}, state: Pending, attempts: 1, waits: true},
		{outcomes: []webhooksv1.Outcome{again, delivered}, state: Delivered, attempts: 2, after: time.Second},
		{outcomes: []webhooksv1.Outcome{again, exhausted}, state: Failed, attempts: 2},
		{outcomes: []webhooksv1.Outcome{again, disabled}, state: Failed, attempts: 1},
		{outcomes: []webhooksv1.Outcome{exhausted, again}, state: Pending, attempts: 2, waits: true},
		{outcomes: []webhooksv1.Outcome{gone, again, delivered}, state: Delivered, attempts: 3, after: 2 * time.Second},
		{outcomes: []webhooksv1.Outcome{again, delivered, again}, state: Delivered, attempts: 3, after: time.Second},
		{outcomes: []webhooksv1.Outcome{delivered, exhausted}, state: Delivered, attempts: 2},
		{outcomes: []webhooksv1.Outcome{delivered, delivered}, state: Delivered, attempts: 2},
	}
	posted := map[webhooksv1.Outcome]int{delivered: 1, again: 1, exhausted: 1, gone: 1}
	for number := range webhooksv1.Outcome_name { // each by itself
		outcome := webhooksv1.Outcome(number)
		if outcome == delivered || outcome == again {
			continue
		}
		rows = append(rows, row{outcomes: []webhooksv1.Outcome{outcome}, state: Failed, attempts: posted[outcome]})
	}
	rows = append(rows, row{outcomes: []webhooksv1.Outcome{delivered}, state: Delivered, attempts: 1})
	for _, row := range rows {
		for name, way := range ways {
			want := Entry{State: row.state, Attempts: row.attempts, Scheduled: row.waits}
			switch {
			case row.state == Delivered:
				want.FirstDeliveredAt = e.Stored.Add(row.after)
			case name == "parked": // it comes soon, without waiting for its next attempt
				want.State, want.Scheduled = Pending, false
			case row.state == NotSent && (name == "unsettled" || name == "unknown part"):
				want.State = Pending
			}
			got, err := New(&pages{list: recorded(e, row.outcomes...)}, aWebhook(), way).Of(t.Context(), e)
			require.NoError(t, err)
			assert.Equal(t, want, got, "%v, %s", row.outcomes, name)
		}
	}
}

// Nobody is at an event that the webhook was not there for.
func TestWhatIsNotSettledIsOnItsWayOnlyToAWebhookThatWasThere(t *testing.T) {
	e := anEvent()
	unsettled := &Way{floors: map[string]uint64{"3": e.Sequence - 1}}
	justBefore, longEnoughBefore := e.Stored.Add(-clockMargin), e.Stored.Add(-clockMargin-1)
	for name, row := range map[string]struct {
		change func(*store.Webhook)
		want   State
	}{
		"there":                  {func(*store.Webhook) {}, Pending},
		"made just before":       {func(w *store.Webhook) { w.CreatedAt = justBefore }, NotSent},
		"made before that":       {func(w *store.Webhook) { w.CreatedAt = longEnoughBefore }, Pending},
		"made afterwards":        {func(w *store.Webhook) { w.CreatedAt = e.Stored.Add(time.Hour) }, NotSent},
		"enabled just before":    {func(w *store.Webhook) { w.EnabledAt = &justBefore }, NotSent},
		"enabled before that":    {func(w *store.Webhook) { w.EnabledAt = &longEnoughBefore }, Pending},
		"changed just before":    {func(w *store.Webhook) { w.UpdatedAt = justBefore }, NotSent},
		"changed before that":    {func(w *store.Webhook) { w.UpdatedAt = longEnoughBefore }, Pending},
		"disabled":               {func(w *store.Webhook) { w.Status = registration.Draft }, NotSent},
		"disabled as a leftover": {func(w *store.Webhook) { w.Status = registration.Archived }, NotSent},
	} {
		w := aWebhook()
		row.change(&w)
		got, err := New(&pages{}, w, unsettled).Of(t.Context(), e)
		require.NoError(t, err)
		assert.Equal(t, row.want, got.State, name)
	}
}

// A stream that was made again has other events under the same sequences.
func TestOutcomesOfAnEarlierStreamCountForNothing(t *testing.T) {
	e, earlier := anEvent(), anEvent()
	earlier.ID = "evt_0"
	list := append(recorded(earlier, delivered), recorded(e, exhausted)...)
	got, err := New(&pages{list: list}, aWebhook(), &Way{}).Of(t.Context(), e)
	require.NoError(t, err)
	assert.Equal(t, Entry{State: Failed, Attempts: 1}, got)
}

func TestABlockIsReadOnceUntilItIsForgotten(t *testing.T) {
	s := &pages{}
	of := New(s, aWebhook(), nil)
	for sequence := uint64(1000); sequence < 1048; sequence++ { // the end of one and the start of the next
		_, err := of.Of(t.Context(), eventlog.Event{Sequence: sequence, ID: fmt.Sprint(sequence)})
		require.NoError(t, err)
	}
	assert.Equal(t, 2, s.reads)
	e := eventlog.Event{Sequence: 1047, ID: "1047", Stored: time.Now()}
	s.list = recorded(e, delivered)
	of.Forget()
	got, err := of.Of(t.Context(), e)
	require.NoError(t, err)
	assert.Equal(t, Delivered, got.State)
	assert.Equal(t, 3, s.reads)
}
