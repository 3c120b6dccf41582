package health

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts what becomes of webhooks.
type Metrics struct{ disabled prometheus.Counter }

// NewMetrics registers the metrics of health.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{disabled: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "webhooks_webhooks_disabled_total",
		Help: "Webhooks disabled because their receiver is gone, or has failed for days.",
	})}
	r.MustRegister(m.disabled)
	return m
}
