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
	l.note(eventID("p0001", 0), 10, time.Unix(1, 0)) // nothing has begun
	l.begin("p0001", events)
	var senders sync.WaitGroup
	for range 2 {
		senders.Go(func() {
			for i := range events {
				l.note(eventID("p0001", i), 10, time.Unix(2, int64(i)))
			}
		})
	}
	senders.Wait()
	for _, stray := range []string{eventID("p0000", 1), eventID("p0001", events), "p0001-x", "nonsense", ""} {
		l.note(stray, 10, time.Unix(3, 0))
	}

	<-l.current.Load().complete
	r := l.report()
	assert.Equal(t, events, r.Distinct)
	assert.Equal(t, events, r.Duplicates)
	assert.Equal(t, int64(20*events), r.Bytes)
	assert.Equal(t, 6, r.Strays)
	assert.Equal(t, time.Unix(2, events-1), r.last())
}

func TestEventIDsAreEquallyLong(t *testing.T) {
	assert.Equal(t, "p0007-00000042", eventID(phaseName(7), 42))
	assert.Len(t, eventID(phaseName(7), 99_999_999), len(eventID(phaseName(7), 0)))
}
