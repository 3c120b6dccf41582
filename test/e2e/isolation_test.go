package e2e_test

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/dembrane/webhooks/pkg/event"
)

func TestCase33EndpointsThatHangDelayNobodyElse(t *testing.T) {
	const (
		projects, webhooks, events = 30, 10, 4
		hanging                    = projects * webhooks * events
		inFlight                   = 750 // more than there are endpoints
		timeout                    = 3 * time.Second
	)
	s := startServices(t, lasting(settings{"ATTEMPT_TIMEOUT": timeout.String(), "MAX_IN_FLIGHT": strconv.Itoa(inFlight), "LANE_MAX_WAIT": "500ms"}))
	mended := make(chan struct{})
	broken, healthy := crowdDoes(t, hold(mended)), crowdDoes(t, status(http.StatusOK))
	for i := range projects {
		s.registerMany(t, "hangs-"+strconv.Itoa(i), broken.url, webhooks)
	}
	s.registerWith(t, fields{"url": healthy.url + "/hook", "events": event.Types()})

	for i := range projects {
		for range events {
			s.publish(t, startedIn("hangs-"+strconv.Itoa(i)))
		}
	}
	began := time.Now()
	endpoints, waiting, underWay := 0.0, 0.0, 0.0
	published := s.paced(t, func() bool {
		endpoints = max(endpoints, s.metric(t, "webhooks_endpoints"))
		waiting = max(waiting, s.metric(t, "webhooks_deliveries_waiting"))
		underWay = max(underWay, s.metric(t, "webhooks_attempts_in_flight"))
		return time.Since(began) > timeout+time.Second/2
	}, project)[0]
	eventually(t, "every event of the healthy one arrives", func() bool { return healthy.count() == len(published) })

	assert.Less(t, healthy.slowest(t, "/hook", published), timeout/2, "it waited for those that hang")
	assert.GreaterOrEqual(t, broken.count(), projects*webhooks, "all of them hang")
	assert.LessOrEqual(t, broken.atOnce(), inFlight)
	assert.LessOrEqual(t, underWay, float64(inFlight))
	assert.LessOrEqual(t, endpoints, float64(projects*webhooks+2), "one each, the healthy one's and the probe's")
	assert.LessOrEqual(t, waiting, float64(hanging))
	eventually(t, "what hangs does not wait in memory", func() bool { return s.metric(t, "webhooks_deliveries_waiting") == 0 })
	assert.Positive(t, s.metric(t, "webhooks_deliveries_parked_total"), "but on the schedule")

	close(mended)

	eventually(t, "everything that hung arrives", func() bool { return broken.count() == hanging })
	s.wantSettled(t)
	assert.Zero(t, s.metric(t, "webhooks_attempts_in_flight"))
}

func TestCase34AFloodOfOneDelaysNobodyElse(t *testing.T) {
	const flood, others = 20_000, 5
	s := spawn(t, t.TempDir(), lasting(nil))
	flooded, calm := crowdDoes(t, status(http.StatusOK)), crowdDoes(t, status(http.StatusOK))
	s.create(t, "flooded", fields{"url": flooded.url, "events": event.Types()})
	var calms []string
	for i := range others {
		calms = append(calms, "calm-"+strconv.Itoa(i))
		s.create(t, calms[i], fields{"url": calm.url, "events": event.Types()})
	}
	s.settle(t)

	began := time.Now()
	var flooding errgroup.Group
	flooding.Go(func() error { return s.floods(t.Context(), "flooded", flood) })
	published := s.paced(t, func() bool { return flooded.count() == flood }, calms...)
	took := time.Since(began)
	require.NoError(t, flooding.Wait())

	eventually(t, "every event of the others arrives", func() bool { return calm.count() == others*len(published[0]) })
	for i, name := range calms {
		assert.Less(t, calm.slowest(t, "/", published[i]), took/2, "%s waited for the flood", name)
	}
	s.wantSettled(t)
	assert.Equal(t, flood, flooded.posts(), "each once")
}
