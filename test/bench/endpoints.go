package main

import (
	"fmt"
	"hash/fnv"
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
	// otherProjects is how many projects are watched while one is flooded, and
	// partProjects how many of them belong to the same part of the intake at least.
	otherProjects, partProjects = 64, 8
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
	// replayed is not registered before the scenario replay does that.
	replayed []target
	// bursting each belong to a project.
	bursting []target
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
func (o plan) receiverHosts() int {
	return 1 + o.manyHosts() + 5 + burstEndpoints + otherProjects + fanoutWebhooks
}

// supply makes targets of the receiver's hosts, one after the other.
type supply struct {
	urls     []string
	encoding string
	err      error // the first fault
}

func (s *supply) next(project, eventType string) target {
	return s.target(specification{project: project, url: s.url() + hookPath, event: eventType, contentType: s.encoding, bodyBytes: bodyBytes})
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
	from := supply{urls: at.Hosts, encoding: o.encoding}
	var e endpoints
	e.one = append(e.one, from.next("bench-00000", eventType))
	for i := range o.manyHosts() {
		e.many = append(e.many, from.next(fmt.Sprintf("bench-%05d", i+1), eventType))
	}
	e.flooded = append(e.flooded, from.next(floodedProject, eventType))
	e.neighbour = append(e.neighbour, from.next(floodedProject, event.ConversationSummarized))
	slow := samePart("slow", 1)[0]
	e.slow = append(e.slow, from.target(specification{
		project: slow, url: from.url() + slowPath, event: eventType, contentType: o.encoding, bodyBytes: bodyBytes,
	}))
	e.slowNeighbour = append(e.slowNeighbour, from.next(slow, event.ConversationSummarized))
	for _, project := range otherNames() {
		e.others = append(e.others, from.next(project, eventType))
	}
	e.replayed = append(e.replayed, from.next("replayed", eventType))
	for i := range burstEndpoints {
		e.bursting = append(e.bursting, from.next(fmt.Sprintf("burst-%02d", i), eventType))
	}
	for i := range fanoutWebhooks {
		e.fanout = append(e.fanout, from.target(specification{
			project: "fanout", url: from.url() + hookPath + "/" + strconv.Itoa(i), event: eventType, contentType: o.encoding, bodyBytes: bodyBytes,
		}))
	}
	for i := range o.hangingHosts() {
		e.hanging = append(e.hanging, from.target(specification{
			project: fmt.Sprintf("hanging-%02d", i), url: from.url() + hangPath, event: eventType, contentType: o.encoding, bodyBytes: bodyBytes,
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
		all = slices.Concat(all, e.flooded, e.neighbour, e.slow, e.slowNeighbour)
	}
	if o.wants(floodScenario, replayScenario) {
		all = append(all, e.others...)
	}
	if o.wants(burstScenario) {
		all = append(all, e.bursting...)
	}
	if o.wants(fanoutScenario) {
		all = append(all, e.fanout...)
	}
	return all
}

const (
	floodedProject = "flooded"
	// moreThanParts is a multiple of every number of parts that there may be:
	// projects whose hashes agree modulo it are of the same part.
	moreThanParts = 64 * 9 * 5 * 7
)

// otherNames names the projects that are watched during a flood. At least
// [partProjects] of them are of the same part as the flooded ones, however many
// parts there are.
func otherNames() []string {
	all := samePart("other", partProjects)
	for i := 0; len(all) < otherProjects; i++ {
		all = append(all, fmt.Sprintf("other-%02d", i))
	}
	return all
}

// samePart names projects of the same part as the flooded one.
func samePart(prefix string, count int) (names []string) {
	for i := 0; len(names) < count; i++ {
		if name := fmt.Sprintf("%s-%06d", prefix, i); partHash(name)%moreThanParts == partHash(floodedProject)%moreThanParts {
			names = append(names, name)
		}
	}
	return names
}

// partHash is how JetStream chooses the part of a project.
func partHash(project string) uint32 {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(project)) // never fails
	return hash.Sum32()
}
