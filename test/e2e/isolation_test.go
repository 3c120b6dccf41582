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
	"github.com/dembrane/webhooks/test/internal/apiclient"
	"github.com/dembrane/webhooks/test/internal/receiver"
)

func TestCase33EndpointsThatHangDelayNobodyElse(t *testing.T) {
	const (
		projects, webhooks, events = 30, 10, 4
		hanging                    = projects * webhooks * events
		inFlight                   = 750 // more than there are endpoints
		timeout                    = 3 * time.Second
	)
	s := start(t, lasting(settings{"ATTEMPT_TIMEOUT": timeout.String(), "MAX_IN_FLIGHT": strconv.Itoa(inFlight), "LANE_MAX_WAIT": "500ms"}))
	mended := make(chan struct{})
	broken, healthy := crowdDoes(t, receiver.Hold(mended)), crowdDoes(t, receiver.Status(http.StatusOK))
	var hangs []book
	for i := range projects {
		hangs = append(hangs, broken.book("hangs-"+strconv.Itoa(i), webhooks))
		s.registerMany(t, hangs[i].project, broken.URL, webhooks)
	}
	s.registerWith(t, fields{"url": healthy.URL + "/hook", "events": event.Types()})

	for _, b := range hangs {
		for range events {
			require.NoError(t, s.publishTo(t.Context(), b))
		}
	}
	began := time.Now()
	endpoints, waiting, underWay := 0.0, 0.0, 0.0
	paced := healthy.book(project, 1)
	s.paced(t, func() bool {
		endpoints = max(endpoints, s.metric(t, apiclient.MetricEndpoints))
		waiting = max(waiting, s.metric(t, apiclient.MetricWaiting))
		underWay = max(underWay, s.metric(t, apiclient.MetricInFlight))
		return time.Since(began) > timeout+time.Second/2
	}, paced)
	eventually(t, "every event of the healthy one arrives", func() bool { return healthy.count() == paced.Sums().Published })

	assert.Less(t, paced.slowest(t), timeout/2, "it waited for those that hang")
	assert.GreaterOrEqual(t, broken.count(), projects*webhooks, "all of them hang")
	assert.LessOrEqual(t, broken.AtOnce(), inFlight)
	assert.LessOrEqual(t, underWay, float64(inFlight))
	assert.LessOrEqual(t, endpoints, float64(projects*webhooks+2), "one each, the healthy one's and the probe's")
	assert.LessOrEqual(t, waiting, float64(hanging))
	eventually(t, "what hangs does not wait in memory", func() bool { return s.metric(t, apiclient.MetricWaiting) == 0 })
	assert.Positive(t, s.metric(t, apiclient.MetricParked), "but on the schedule")

	close(mended)

	eventually(t, "everything that hung arrives", func() bool { return broken.count() == hanging })
	s.wantSettled(t)
	assert.Zero(t, s.metric(t, apiclient.MetricInFlight))
}

func TestCase34AFloodOfOneDelaysNobodyElse(t *testing.T) {
	const flood, others = 20_000, 5
	s := spawn(t, t.TempDir(), lasting(nil))
	flooded, calm := crowdDoes(t, receiver.Status(http.StatusOK)), crowdDoes(t, receiver.Status(http.StatusOK))
	one := flooded.book("flooded", 1)
	s.create(t, one.project, fields{"url": flooded.URL, "events": event.Types()})
	var calms []book
	for i := range others {
		calms = append(calms, calm.book("calm-"+strconv.Itoa(i), 1))
		s.create(t, calms[i].project, fields{"url": calm.URL, "events": event.Types()})
	}
	s.settle(t)

	began := time.Now()
	var flooding errgroup.Group
	flooding.Go(func() error { return s.floods(t.Context(), one, flood) })
	s.paced(t, func() bool { return flooded.count() == flood }, calms...)
	took := time.Since(began)
	require.NoError(t, flooding.Wait())

	eventually(t, "every event of the others arrives", func() bool { return calm.count() == others*calms[0].Sums().Published })
	for _, b := range calms {
		assert.Less(t, b.slowest(t), took/2, "%s waited for the flood", b.project)
	}
	s.wantSettled(t)
	assert.Equal(t, flood, flooded.posts(), "each once")
}
