package app_test

import (
	"testing"

	"github.com/dembrane/webhooks/pkg/observe/observetest"
)

func TestOperatingPageHasTheMetrics(t *testing.T) {
	observetest.PageHasMetrics(t, "../../../docs/operating.md", "api", start(t).app.Metrics())
}
