package app_test

import (
	"bufio"
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// together starts dispatchers and waits until they know of each other.
func (s *story) together(count int) []*dispatcher {
	s.t.Helper()
	all := make([]*dispatcher, count)
	for i := range all {
		all[i] = s.dispatch()
	}
	for _, d := range all {
		s.eventually(func() bool { return metric(s.t, d.OpsAddr(), "webhooks_dispatchers") == float64(count) }, "they know of each other")
	}
	return all
}

// A receiver that asks for a pause is left alone by all dispatchers, also by one
// that is started later.
func TestAPauseHoldsForTheWebhookHoweverManyDispatchersThereAre(t *testing.T) {
	s := begin(t)
	receiver := s.handles(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "60")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	s.registers("w1", receiver.URL)
	s.projected()
	all := s.together(3)

	s.publishes(ids("evt_", 50)...)
	s.eventually(func() bool { return s.owedInRanges() >= 40 }, "the rest waits")
	all[0].stopped(t)
	s.dispatch()
	s.publishes(ids("late_", 20)...)
	s.eventually(func() bool { return s.owedInRanges() >= 60 }, "those wait as well")

	assert.LessOrEqual(t, len(receiver.got()), 8, "a handful of POSTs, and no one more for each dispatcher")
}

// max_per_second is what the receiver sees, however many dispatchers there are and
// while one of them is replaced.
func TestARateHoldsForTheWebhookHoweverManyDispatchersThereAre(t *testing.T) {
	const perSecond, seconds = 5, 8
	s := begin(t)
	var first atomic.Int64
	receiver := s.handles(func(w http.ResponseWriter, _ *http.Request) {
		first.CompareAndSwap(0, time.Now().UnixNano())
		w.WriteHeader(http.StatusOK)
	})
	s.registers("w1", receiver.URL, func(r *webhooksv1.Registration) { r.MaxPerSecond = perSecond })
	s.projected()
	all := s.together(3)

	s.publishes(ids("evt_", 100)...)
	s.eventually(func() bool { return len(receiver.got()) >= perSecond*seconds/2 }, "half of it")
	all[0].stopped(t)
	s.dispatch()
	s.eventually(func() bool { return len(receiver.got()) >= perSecond*seconds }, "all of it")

	took := time.Since(time.Unix(0, first.Load())).Seconds()
	rate := float64(len(receiver.got())) / took
	assert.Less(t, rate, perSecond*1.5, "%d in %.1f s", len(receiver.got()), took)
	for _, attempt := range receiver.got() {
		within := 0
		for _, other := range receiver.got() {
			if d := other.at.Sub(attempt.at); d >= 0 && d < time.Second {
				within++
			}
		}
		require.LessOrEqual(t, within, 2*perSecond, "in no second as much as three dispatchers' worth")
	}
}

// metric is a dispatcher's metric without labels; 0 when it shows none.
func metric(t *testing.T, addr, name string) float64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/metrics", nil)
	require.NoError(t, err)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	require.NoError(t, err)
	defer func() { require.NoError(t, response.Body.Close()) }()
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		if value, found := strings.CutPrefix(lines.Text(), name+" "); found {
			number, err := strconv.ParseFloat(value, 64)
			require.NoError(t, err)
			return number
		}
	}
	return 0
}

// owedInRanges is how many deliveries the ranges on the schedule hold.
func (s *story) owedInRanges() int {
	stream, err := s.js.Stream(s.t.Context(), topology.StreamRanges)
	if err != nil {
		return 0
	}
	total := 0
	state := stream.CachedInfo().State
	for sequence := state.FirstSeq; sequence <= state.LastSeq; sequence++ {
		msg, err := stream.GetMsg(s.t.Context(), sequence)
		if err != nil {
			continue // settled, or due meanwhile
		}
		total += len(readRange(s.t, msg).GetEventIds())
	}
	return total
}

func readRange(t *testing.T, msg *jetstream.RawStreamMsg) *webhooksv1.Range {
	t.Helper()
	r := &webhooksv1.Range{}
	require.NoError(t, proto.Unmarshal(msg.Data, r))
	return r
}
