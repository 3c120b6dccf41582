package deliverylog

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/dembrane/webhooks/services/api/internal/store"
)

// Metrics counts what happens to records.
type Metrics struct {
	records *prometheus.CounterVec
	refused prometheus.Counter
	late    prometheus.Counter
	expired prometheus.Counter
	seconds prometheus.Histogram
}

// NewMetrics registers the metrics of the recorder.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		records: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "webhooks_records_total",
			Help: "Records of attempts, by result. duplicate: written before; harmless. refused: a fault on our side; the log says which.",
		}, []string{"result"}),
		late: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "webhooks_record_retries_total",
			Help: "Batches of records that had to wait for MongoDB. Rises: MongoDB is away or slow; the delivery log is late, nothing is lost.",
		}),
		expired: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "webhooks_records_expired_total",
			Help: "Records deleted because they are older than ATTEMPTS_MAX_AGE, or more than LOG_MAX_BYTES. For information.",
		}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "webhooks_record_batch_seconds",
			Help:    "Time to write one batch of records with all that follows from it. Above a second for minutes: look at MongoDB.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}),
	}
	m.records.WithLabelValues("written")
	m.records.WithLabelValues("duplicate")
	m.refused = m.records.WithLabelValues("refused")
	r.MustRegister(m.records, m.late, m.expired, m.seconds)
	return m
}

func (m *Metrics) recorded(r store.Recorded) {
	m.records.WithLabelValues("written").Add(float64(r.Inserted))
	m.records.WithLabelValues("duplicate").Add(float64(len(r.Known)))
	m.refused.Add(float64(len(r.Refused)))
}
