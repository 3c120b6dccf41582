package deliver

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/dispatcher/internal/lane"
)

type metrics struct {
	attempts *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	parked   *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer, load func() lane.Load) *metrics {
	with := promauto.With(r)
	for _, gauge := range []struct {
		name, help string
		of         func(lane.Load) int
	}{
		{
			"webhooks_attempts_in_flight",
			"Attempts under way. Near MAX_IN_FLIGHT, deliveries are put on the schedule instead: add replicas.",
			func(l lane.Load) int { return l.InFlight },
		},
		{
			"webhooks_attempts_in_flight_limit",
			"Attempts that may be under way: MAX_IN_FLIGHT, or fewer since the processors could not follow. Near webhooks_attempts_in_flight and below MAX_IN_FLIGHT for long: more CPU or replicas.",
			func(l lane.Load) int { return l.Allowed },
		},
		{
			"webhooks_deliveries_waiting",
			"Deliveries that wait in memory for their turn at their endpoint, for about LANE_MAX_WAIT at most. Lasting thousands mean more is published than delivered: look at CPU, add replicas.",
			func(l lane.Load) int { return l.Waiting },
		},
		{
			"webhooks_lanes",
			"Endpoints of which something is known: busy in the last half minute, paused or failing.",
			func(l lane.Load) int { return l.Lanes },
		},
		{
			"webhooks_lanes_broken",
			"Endpoints whose attempts fail one after the other, so that only one now and then is made. Many at once: look for a fault on our side (DNS, egress network).",
			func(l lane.Load) int { return l.Broken },
		},
	} {
		with.NewGaugeFunc(prometheus.GaugeOpts{Name: gauge.name, Help: gauge.help}, func() float64 { return float64(gauge.of(load())) })
	}
	return &metrics{
		attempts: with.NewCounterVec(prometheus.CounterOpts{
			Name: "webhooks_attempts_total",
			Help: "Attempts by what became of them. A rise of reason internal or registration is a fault of ours; every other reason is a receiver's.",
		}, []string{"outcome", "reason", "trigger"}),
		seconds: with.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "webhooks_attempt_duration_seconds",
			Help:    "How long attempts last, from before the dial to the end of the response.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 15, 30},
		}, []string{"outcome"}),
		parked: with.NewCounterVec(prometheus.CounterOpts{
			Name: "webhooks_deliveries_parked_total",
			Help: "Deliveries put on the schedule because it was not their turn yet, by cause; none has used up an attempt. All causes but stopping are a receiver's.",
		}, []string{"cause"}),
	}
}

func (m *metrics) attempt(r *webhooksv1.Attempt) {
	outcome := r.GetOutcome().Label()
	m.attempts.WithLabelValues(outcome, r.GetReason().Label(), r.GetTrigger().Label()).Inc()
	if r.GetRequest() != nil {
		m.seconds.WithLabelValues(outcome).Observe((time.Duration(r.GetDurationUs()) * time.Microsecond).Seconds())
	}
}
