package deliver

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/dembrane/webhooks/proto/webhooksv1"
)

type metrics struct {
	attempts *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	parked   prometheus.Counter
}

func newMetrics(r prometheus.Registerer, inFlight, lanes func() int) *metrics {
	with := promauto.With(r)
	with.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "webhooks_attempts_in_flight",
		Help: "Attempts under way. Near MAX_IN_FLIGHT, deliveries are put on the schedule instead: add replicas.",
	}, func() float64 { return float64(inFlight()) })
	with.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "webhooks_lanes",
		Help: "Endpoints that something is under way to or waits for.",
	}, func() float64 { return float64(lanes()) })
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
		parked: with.NewCounter(prometheus.CounterOpts{
			Name: "webhooks_deliveries_parked_total",
			Help: "Deliveries put on the schedule because their endpoint had no room for them; none has used up an attempt.",
		}),
	}
}

func (m *metrics) attempt(r *webhooksv1.Attempt) {
	outcome := r.GetOutcome().Label()
	m.attempts.WithLabelValues(outcome, r.GetReason().Label(), r.GetTrigger().Label()).Inc()
	if r.GetRequest() != nil {
		m.seconds.WithLabelValues(outcome).Observe((time.Duration(r.GetDurationUs()) * time.Microsecond).Seconds())
	}
}
