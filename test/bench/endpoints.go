package main

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/dembrane/webhooks/pkg/event"
)

const (
	// healthyEndpoints and hangingEndpoints are those of the scenario hanging: a
	// fifth of all hangs.
	healthyEndpoints = 100
	hangingEndpoints = 25
	// fanoutWebhooks is how many webhooks an event goes to: as many as a project
	// can have.
	fanoutWebhooks = 50
	// otherProjects is how many projects are watched while one is flooded.
	otherProjects = 16
	// largeEndpoints is over how many endpoints bodies of 1 MB are spread, and
	// largeBytes how long they are.
	largeEndpoints = 10
	largeBytes     = 1 << 20
)

// endpoints is everything that is delivered to.
type endpoints struct {
	one     []target
	many    []target
	hanging []target
	// flooded and neighbour belong to one project, and so do slow, which takes its
	// time to answer, and slowNeighbour; each of others belongs to its own.
	flooded       []target
	neighbour     []target
	slow          []target
	slowNeighbour []target
	others        []target
	// fanout are all webhooks of one project, for the same events.
	fanout []target
	// large are the first of many, with longer bodies.
	large []target
}

// manyHosts is how many endpoints the largest group has: as many as were asked for
// where that is measured, and what the other scenarios need elsewhere.
func (o plan) manyHosts() int {
	if o.wants(throughputScenario) {
		return o.hosts
	}
	return min(o.hosts, healthyEndpoints)
}

func (o plan) hangingHosts() int {
	return (min(o.manyHosts(), healthyEndpoints)*hangingEndpoints + healthyEndpoints - 1) / healthyEndpoints
}

// receiverHosts is how many hosts answer.
func (o plan) receiverHosts() int { return 1 + o.manyHosts() + 4 + otherProjects + fanoutWebhooks }

// supply makes targets of the receiver's hosts, one after the other.
type supply struct {
	urls     []string
	encoding string
	err      error // the first fault
}

func (s *supply) next(project, eventType string) target {
	return s.target(specification{project: project, url: s.url(), event: eventType, contentType: s.encoding, bodyBytes: bodyBytes})
}

func (s *supply) url() string {
	first := s.urls[0]
	s.urls = s.urls[1:]
	return first
}

func (s *supply) target(of specification) target {
	made, err := newTarget(of)
	if s.err == nil {
		s.err = err
	}
	return made
}

// newEndpoints gives every target a host of its own.
func newEndpoints(o plan, at introduction) (endpoints, error) {
	from := supply{urls: at.Targets, encoding: o.encoding}
	var e endpoints
	e.one = append(e.one, from.next("bench-00000", eventType))
	for i := range o.manyHosts() {
		e.many = append(e.many, from.next(fmt.Sprintf("bench-%05d", i+1), eventType))
	}
	e.flooded = append(e.flooded, from.next("flooded", eventType))
	e.neighbour = append(e.neighbour, from.next("flooded", event.ConversationSummarized))
	e.slow = append(e.slow, from.target(specification{
		project: "flooded-slow", url: from.url() + slowPath, event: eventType, contentType: o.encoding, bodyBytes: bodyBytes,
	}))
	e.slowNeighbour = append(e.slowNeighbour, from.next("flooded-slow", event.ConversationSummarized))
	for i := range otherProjects {
		e.others = append(e.others, from.next(fmt.Sprintf("other-%02d", i), eventType))
	}
	for i := range fanoutWebhooks {
		e.fanout = append(e.fanout, from.target(specification{
			project: "fanout", url: from.url() + "/" + strconv.Itoa(i), event: eventType, contentType: o.encoding, bodyBytes: bodyBytes,
		}))
	}
	for i, url := range at.Hanging {
		e.hanging = append(e.hanging, from.target(specification{
			project: fmt.Sprintf("hanging-%02d", i), url: url, event: eventType, contentType: o.encoding, bodyBytes: bodyBytes,
		}))
	}
	for _, t := range e.many[:min(largeEndpoints, len(e.many))] {
		e.large = append(e.large, from.target(specification{
			project: t.project, url: t.url, event: eventType, contentType: o.encoding, bodyBytes: largeBytes,
		}))
	}
	return e, from.err
}

// healthy are the endpoints that the hanging ones stand beside.
func (e endpoints) healthy() []target { return e.many[:min(healthyEndpoints, len(e.many))] }

// registered is what the scenarios need of all endpoints.
func (e endpoints) registered(o plan) []target {
	all := slices.Concat(e.one, e.many)
	if o.wants(hangingScenario) {
		all = append(all, e.hanging...)
	}
	if o.wants(floodScenario) {
		all = slices.Concat(all, e.flooded, e.neighbour, e.slow, e.slowNeighbour, e.others)
	}
	if o.wants(fanoutScenario) {
		all = append(all, e.fanout...)
	}
	return all
}
