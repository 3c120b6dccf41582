package app_test

import (
	"testing"

	"github.com/dembrane/webhooks/pkg/observe/observetest"
)

func TestOperatingPageHasTheMetrics(t *testing.T) {
	s := begin(t)
	s.projected()
	observetest.PageHasMetrics(t, "../../../docs/operating.md", "dispatcher", s.dispatch().Metrics())
}
