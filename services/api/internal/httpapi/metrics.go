package httpapi

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts requests by route pattern, method and class of status.
type Metrics struct {
	total   *prometheus.CounterVec
	seconds *prometheus.HistogramVec
	// listeners are requests that go on until somebody ends them.
	listeners prometheus.Gauge
}

// NewMetrics registers the metrics of the API.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		total: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "webhooks_requests_total",
			Help: "Requests to the management API. Status 5xx: look at MongoDB and NATS; /readyz says what is away.",
		}, []string{"route", "method", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "webhooks_request_seconds",
			Help:    "Time to answer a request to the management API. Slow for all routes: look at MongoDB.",
			Buckets: []float64{.0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 15, 30},
		}, []string{"route", "method"}),
		listeners: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "webhooks_listeners",
			Help: "Programs that listen to the events of a project at this api.",
		}),
	}
	r.MustRegister(m.total, m.seconds, m.listeners)
	return m
}

func (m *Metrics) observe(route, method string, status int, took time.Duration) {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPatch, http.MethodDelete, http.MethodOptions:
	default:
		method = "other" // callers can make up methods
	}
	m.total.WithLabelValues(route, method, strconv.Itoa(status/100)+"xx").Inc()
	if route != routeListen { // it lasts as long as somebody listens
		m.seconds.WithLabelValues(route, method).Observe(took.Seconds())
	}
}
