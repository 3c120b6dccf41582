package projection

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts projections.
type Metrics struct {
	total   *prometheus.CounterVec
	seconds prometheus.Histogram
	pending prometheus.Gauge
	pass    prometheus.Gauge
	missed  prometheus.Counter
}

// NewMetrics registers the metrics of the projection.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		total: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "webhooks_projections_total",
			Help: "Registrations brought into the bucket, by result. late: the host was answered with in_force false, because NATS did not store it in time; look at NATS.",
		}, []string{"result"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "webhooks_projection_seconds",
			Help:    "Time from a change in MongoDB to its value in the bucket. Above a second: look at NATS.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2},
		}),
		pending: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "webhooks_projections_pending",
			Help: "Registrations that are not yet in the bucket; 500 means 500 or more. Above 0 for minutes: the api cannot write to NATS; /readyz says why.",
		}),
		pass: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "webhooks_projection_rebuild_seconds",
			Help: "How long the last comparison of all registrations with the bucket took. For information.",
		}),
	}
	m.missed = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "webhooks_events_missed_total",
		Help: "Events that webhooks missed while the bucket could not be written; they are owed to them since. Rises: the api was cut off from NATS.",
	})
	m.total.WithLabelValues("ok")
	m.total.WithLabelValues("late")
	r.MustRegister(m.total, m.seconds, m.pending, m.pass, m.missed)
	return m
}

func (m *Metrics) projected(err error, took time.Duration) {
	if err != nil {
		m.total.WithLabelValues("late").Inc()
		return
	}
	m.total.WithLabelValues("ok").Inc()
	m.seconds.Observe(took.Seconds())
}

func (m *Metrics) setPending(count int)       { m.pending.Set(float64(count)) }
func (m *Metrics) rebuilt(took time.Duration) { m.pass.Set(took.Seconds()) }
