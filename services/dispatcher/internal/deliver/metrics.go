package deliver

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/dispatcher/internal/limiter"
)

type metrics struct {
	attempts *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	parked   *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer, load func() limiter.Load, refused func() int) *metrics {
	with := promauto.With(r)
	for _, gauge := range []struct {
		name, help string
		of         func() int
	}{
		{
			"webhooks_attempts_in_flight",
			"Attempts under way. Near MAX_IN_FLIGHT, deliveries are parked instead: add dispatchers.",
			func() int { return load().InFlight },
		},
		{
			"webhooks_deliveries_waiting",
			"Deliveries that wait in memory for their turn at their endpoint, for about LANE_MAX_WAIT at most. Lasting thousands mean more is published than delivered: look at CPU, add dispatchers.",
			func() int { return load().Waiting },
		},
		{
			"webhooks_endpoints",
			"Endpoints of which something is known: busy in the last half minute, paused or failing.",
			func() int { return load().Endpoints },
		},
		{
			"webhooks_endpoints_broken",
			"Endpoints whose attempts fail one after the other, so that only one now and then is made. Many at once: look for a fault on our side (DNS, egress network).",
			func() int { return load().Broken },
		},
		{
			"webhooks_dispatchers",
			"Dispatchers that this one hears of, itself included; each takes its share of a webhook's max_per_second. Fewer than there are: NATS does not carry messages between them.",
			func() int { return load().Replicas },
		},
		{
			"webhooks_messages_refused",
			"Messages that JetStream refuses to store and that are tried again. While there is one, no attempt begins: look at the disk, the limits and the leaders of the streams.",
			refused,
		},
	} {
		with.NewGaugeFunc(prometheus.GaugeOpts{Name: gauge.name, Help: gauge.help}, func() float64 { return float64(gauge.of()) })
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
			Help: "Deliveries written down as due later because it was not their turn yet, by cause; none has used up an attempt. All causes but stopping are a receiver's.",
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
