package health

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts what becomes of webhooks.
type Metrics struct{ disabled prometheus.Counter }

// NewMetrics registers the metrics of health.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{disabled: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "webhooks_webhooks_disabled_total",
		Help: "Webhooks disabled because the receiver answered 410, or failed for days. Many at once: look for a fault on our side.",
	})}
	r.MustRegister(m.disabled)
	return m
}
