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
			"Attempts under way. Near MAX_IN_FLIGHT for minutes: deliveries are parked instead; add dispatchers.",
			func() int { return load().InFlight },
		},
		{
			"webhooks_deliveries_waiting",
			"Deliveries that wait in memory in the line of their endpoint, each for twice LANE_MAX_WAIT at most. Thousands for minutes: more is published than delivered; look at CPU, add dispatchers.",
			func() int { return load().Waiting },
		},
		{
			"webhooks_endpoints",
			"Endpoints of which something is remembered: used in the last half minute, paused or failing. For information.",
			func() int { return load().Endpoints },
		},
		{
			"webhooks_endpoints_broken",
			"Endpoints whose breaker is not closed: their attempts failed, so only one is made now and then. Many at once: look for a fault on our side, such as DNS or the network to the outside.",
			func() int { return load().Broken },
		},
		{
			"webhooks_dispatchers",
			"Dispatchers that this one hears of, itself included; each takes its share of a webhook's max_per_second. Fewer than there are for more than a few seconds: NATS does not carry dembrane.dispatcher.presence.* between them; look at its routes and permissions.",
			func() int { return load().Replicas },
		},
		{
			"webhooks_messages_refused",
			"Messages that JetStream refuses to store and that are tried again. Above 0: no attempt begins; look at the disk, the limits and the leaders of DELIVERIES, RANGES and ATTEMPTS.",
			refused,
		},
	} {
		with.NewGaugeFunc(prometheus.GaugeOpts{Name: gauge.name, Help: gauge.help}, func() float64 { return float64(gauge.of()) })
	}
	return &metrics{
		attempts: with.NewCounterVec(prometheus.CounterOpts{
			Name: "webhooks_attempts_total",
			Help: "Attempts by what became of them. Reason internal or registration: a fault on our side; the log says which. Any other reason: a receiver's, and its host sees it.",
		}, []string{"outcome", "reason", "trigger"}),
		seconds: with.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "webhooks_attempt_duration_seconds",
			Help:    "How long attempts last, from before the dial to the end of the response. Slow for all: look at CPU, DNS and the network to the outside. Slow for some: those receivers', and the limiter keeps them apart.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 15, 30},
		}, []string{"outcome"}),
		parked: with.NewCounterVec(prometheus.CounterOpts{
			Name: "webhooks_deliveries_parked_total",
			Help: "Deliveries written down as due later because they may not go now, by cause; none has used up an attempt. busy: the endpoint is slow or flooded, or MAX_IN_FLIGHT, memory or file descriptors are used up here; rate_limited, retry_after, receiver_failing: the webhook's or its receiver's; stopping: a dispatcher stopped.",
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
