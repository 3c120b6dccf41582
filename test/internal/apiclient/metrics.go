package apiclient

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Names of the dispatcher's metrics that are looked at. Nobody else names them.
const (
	MetricInFlight  = "webhooks_attempts_in_flight"
	MetricEndpoints = "webhooks_endpoints"
	MetricWaiting   = "webhooks_deliveries_waiting"
	MetricParked    = "webhooks_deliveries_parked_total"
)

// metricsTimeout bounds one look.
const metricsTimeout = 10 * time.Second

// Metric is the sum of a metric of the dispatcher whose listener for operators is
// there, over all labels.
func Metric(ctx context.Context, ops, name string) (float64, error) {
	text, err := Get(ctx, ops+"/metrics", metricsTimeout)
	if err != nil {
		return 0, fmt.Errorf("look at the metric %s: %w", name, err)
	}
	sum, err := sumOf(string(text), name)
	if err != nil {
		return 0, fmt.Errorf("look at the metric %s: %w", name, err)
	}
	return sum, nil
}

// sumOf adds up the series of a metric. A counter with labels has none until it
// counts.
func sumOf(text, name string) (float64, error) {
	sum, found := 0.0, strings.HasSuffix(name, "_total")
	for line := range strings.Lines(text) {
		series, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if base, _, _ := strings.Cut(series, "{"); base != name {
			continue
		}
		number, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return 0, fmt.Errorf("read a value: %w", err)
		}
		sum, found = sum+number, true
	}
	if !found {
		return 0, errors.New("there is none of this name")
	}
	return sum, nil
}
