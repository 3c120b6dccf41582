package app

import "github.com/prometheus/client_golang/prometheus"

// Metrics is what the dispatcher registers.
func (a *App) Metrics() *prometheus.Registry { return a.metrics }
