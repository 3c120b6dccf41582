package main

import (
	"io"
	"strconv"

	"github.com/dembrane/webhooks/test/internal/run"
)

// goal is what the median of a figure is wanted to be.
type goal struct {
	key    string // of the figure
	figure string
	bound  bound
}

// bound is a limit that a value should keep to.
type bound struct {
	atLeast bool // else at most
	value   float64
}

func atLeast(value float64) bound { return bound{atLeast: true, value: value} }
func atMost(value float64) bound  { return bound{value: value} }

func (b bound) met(value float64) bool {
	if b.atLeast {
		return value >= b.value
	}
	return value <= b.value
}

func (b bound) String() string {
	sign := "<= "
	if b.atLeast {
		sign = ">= "
	}
	return sign + strconv.FormatFloat(b.value, 'f', -1, 64)
}

// goals returns everything that is wanted, in the order of the summary.
func goals() []goal {
	return []goal{
		{"one.ratio", "deliveries/s, one endpoint, over the raw POST loop", atLeast(0.6)},
		{"many.ratio", "deliveries/s, many endpoints, over the raw POST loop", atLeast(0.6)},
		{"latency.p50", "publish to receive, p50, ms", atMost(3)},
		{"latency.p99", "publish to receive, p99, ms", atMost(15)},
		{"hanging.p99.ratio", "healthy p99 beside endpoints that hang, over without", atMost(1.5)},
		{"hanging.rate.ratio", "healthy deliveries/s beside such, over without", atLeast(0.8)},
		{"burst.cold.ratio", "deliveries/s, a burst on a system that just started, over the raw POST loop", atLeast(0.5)},
		{"burst.warm.ratio", "deliveries/s, the same again, over the raw POST loop", atLeast(0.5)},
		{"flood.other.p99.ratio", "p99 of projects of other parts during a flood, over before", atMost(2)},
		{"flood.other.p99", "p99 of projects of other parts during a flood, ms", atMost(25)},
		{"flood.part.p99", "p99 of other projects of the same part during a flood, ms", atMost(1000)},
		{"flood.same.p99.ratio", "p99 of the same project's other endpoint, over before", atMost(2)},
		{"flood.slow.other.p99.ratio", "p99 of projects of other parts while a slow endpoint is flooded, over before", atMost(2)},
		{"flood.slow.part.p99.ratio", "p99 of other projects of the same part while a slow endpoint is flooded, over before", atMost(2)},
		{"flood.slow.same.p99.ratio", "p99 of the same project's other endpoint, over before", atMost(2)},
		{"odd.ratio", "300 events at once to the slowest odd receiver, over a well-behaved one", atMost(3)},
		{"odd.failed", "failed attempts to odd receivers", atMost(0)},
		{"odd.extra", "POSTs to them that no attempt accounts for", atMost(0)},
		{"registry.load", "start with many webhooks until ready, s", atMost(5)},
		{"registry.bytes", "memory of a webhook, bytes", atMost(1024)},
		{"registry.match.ratio", "matching among many webhooks, over among 100", atMost(2)},
		{"fanout.ratio", "deliveries/s, one event to 50 webhooks, over one to one", atLeast(1)},
		{"log.first.p99", "the newest 50 attempts of a long log, p99, ms", atMost(100)},
		{"log.page.p99", "50 older ones, p99, ms", atMost(1000)},
		{"log.filter.p99", "a filter that finds little, p99, ms", atMost(1000)},
		{"log.one.p99", "one attempt, p99, ms", atMost(100)},
		{"log.pages.overview.p99", "the page of all webhooks, p99, ms", atMost(100)},
		{"log.pages.summary.p99", "the page of one, p99, ms", atMost(100)},
		{"log.pages.deliveries.p99", "the page of its deliveries, p99, ms", atMost(100)},
		{"log.pages.search.p99", "the search for an id that is not there, p99, ms", atMost(100)},
		{"log.pages.delivery.p99", "the page of one delivery, p99, ms", atMost(100)},
		{"log.pages.old_delivery.p99", "the page of the oldest delivery, p99, ms", atMost(100)},
		{"log.pages.statistics.p99", "the page of its statistics, p99, ms", atMost(100)},
		{"replay.same.p99.ratio", "p99 of live events to the endpoint of a replay, over before", atMost(2)},
		{"replay.other.p99.ratio", "p99 of other projects during a replay, over before", atMost(2)},
		{"replay.duplicates", "received twice of a replay", atMost(0)},
		{"large.megabytes.ratio", "MB/s with 1 MB bodies, over the raw POST loop", atLeast(0.5)},
	}
}

// verdict is a goal and what was measured.
type verdict struct {
	Figure string  `json:"figure"`
	Key    string  `json:"key"`
	Target string  `json:"target"`
	Min    float64 `json:"min"`
	Median float64 `json:"median"`
	Max    float64 `json:"max"`
	Met    bool    `json:"met"`
}

// summary holds what was measured of the goals.
func (f *figures) summary() []verdict {
	list := []verdict{}
	for _, wanted := range goals() {
		measured := f.find(wanted.key)
		if measured == nil {
			continue
		}
		list = append(list, verdict{
			Figure: wanted.figure, Key: wanted.key, Target: wanted.bound.String(),
			Min: measured.least(), Median: measured.median(), Max: measured.greatest(), Met: wanted.bound.met(measured.median()),
		})
	}
	return list
}

// writeSummary prints what was wanted beside what was measured.
func (f *figures) writeSummary(w io.Writer) error {
	list := f.summary()
	if len(list) == 0 {
		return nil
	}
	rows := [][]string{nil, {"figure", "target", "min", "median", "max", "met"}}
	for _, one := range list {
		met := "no"
		if one.Met {
			met = "yes"
		}
		rows = append(rows, []string{one.Figure + "  ", one.Target, number(one.Min), number(one.Median), number(one.Max), met})
	}
	return run.Table(w, rows)
}
