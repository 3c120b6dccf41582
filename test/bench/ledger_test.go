package main

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestLedgerCountsWhatArrives(t *testing.T) {
	const events = 1000
	var l ledger
	l.note(eventID("p0001", 0), hookPath, 10, time.Unix(1, 0)) // nothing has begun
	l.begin("p0001", events, 1, false)
	var senders sync.WaitGroup
	for range 2 {
		senders.Go(func() {
			for i := range events {
				l.note(eventID("p0001", i), hookPath, 10, time.Unix(2, int64(i)))
			}
		})
	}
	senders.Wait()
	for _, stray := range []string{eventID("p0000", 1), eventID("p0001", events), "p0001-x", "nonsense", ""} {
		l.note(stray, hookPath, 10, time.Unix(3, 0))
	}

	l.find("p0001").await(t.Context(), events)
	r := l.report(l.find("p0001"))
	assert.Equal(t, events, r.Distinct)
	assert.Equal(t, events, r.Duplicates)
	assert.Equal(t, int64(20*events), r.Bytes)
	assert.Equal(t, 6, r.Strays)
	assert.Equal(t, time.Unix(2, events-1), r.last())
}

// An event that goes to several webhooks is expected at each of them.
func TestLedgerTellsWebhooksApart(t *testing.T) {
	var l ledger
	l.begin("p0001", 2, 3, false)
	for _, path := range []string{"/hook/0", "/hook/2", "/hook/2", "/hook/1"} {
		l.note(eventID("p0001", 1), path, 10, time.Unix(2, 0))
	}
	for _, stray := range []string{hookPath, "/hook/3", "/hook/-1", "/hook/x"} {
		l.note(eventID("p0001", 0), stray, 10, time.Unix(3, 0))
	}

	r := l.report(l.find("p0001"))
	assert.Equal(t, 3, r.Distinct)
	assert.Equal(t, 1, r.Duplicates)
	assert.Equal(t, 4, r.Strays)
	at := time.Unix(2, 0).UnixNano()
	assert.Equal(t, []int64{0, 0, 0, at, at, at}, r.Arrived)
}

func TestPhasesRunBesideEachOtherOrOneAfterTheOther(t *testing.T) {
	var l ledger
	l.begin("p0001", 1, 1, false)
	l.begin("p0002", 1, 1, true)
	l.note(eventID("p0001", 0), hookPath, 10, time.Unix(1, 0))
	l.note(eventID("p0002", 0), hookPath, 10, time.Unix(1, 0))
	assert.Equal(t, 1, l.report(l.find("p0001")).Distinct)
	assert.Equal(t, 1, l.report(l.find("p0002")).Distinct)

	l.begin("p0003", 1, 1, false)
	assert.Nil(t, l.find("p0001"))
	assert.Nil(t, l.find("p0002"))
}

func TestEventIDsAreEquallyLong(t *testing.T) {
	assert.Equal(t, "p0007-00000042", eventID(phaseName(7), 42))
	assert.Len(t, eventID(phaseName(7), 99_999_999), len(eventID(phaseName(7), 0)))
}
