// Package topology is everything the system owns in NATS, as values: subjects,
// streams, consumers and the bucket. [Ensure] creates or updates them.
//
// The services meet nowhere else. docs/flow.md shows the same table, and a test
// compares the two.
package topology

import (
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Names of the streams and of the bucket.
const (
	StreamEvents     = "EVENTS"
	StreamDeliveries = "DELIVERIES"
	StreamRanges     = "RANGES"
	StreamAttempts   = "ATTEMPTS"
	StreamRejected   = "REJECTED"
	BucketWebhooks   = "WEBHOOKS"
)

// Names of the durable consumers, besides those of [Intake]. Every replica of a
// service shares its service's consumers.
const (
	ConsumerDue    = "due"
	ConsumerRanges = "ranges"
	ConsumerRecord = "record"
)

// Partitions is the number of parts that the projects are spread over. Events of
// different parts are taken in side by side, so that a flood of one project's
// events is not ahead of everybody's. JetStream puts the part into the subject of
// what it stores, by a hash of the project; publishers know nothing of it. Fixed:
// with another number, events in the stream would belong to nobody. Six, because
// each part may have one event of [MaxEventBytes] on its way to a client for which
// a nats-server buffers 64 MiB before it cuts it off.
const Partitions = 6

// Fixed subjects.
const (
	// SubjectAttempts carries batches of attempt records.
	SubjectAttempts = "dembrane.attempts"
	// SubjectTest is the micro endpoint that makes one test delivery.
	SubjectTest = "dembrane.dispatcher.test"
	// SubjectOps is the prefix of operational events.
	SubjectOps = "dembrane.ops"
)

// KeyProjected is the key in [BucketWebhooks] whose presence says that every
// registration has been written to the bucket since it was created. Without it
// a missing key proves nothing, so a dispatcher does not take in events. It has
// no dot, so it is never a registration's key.
const KeyProjected = "projected"

// KeyContent is the key in [BucketWebhooks] that is written before the first
// registration and never again: a bucket that was emptied does not hold it any
// more, so [KeyProjected] is written only if it is still where it was.
const KeyContent = "content"

const (
	prefixEvents     = "dembrane.events."
	prefixDeliveries = "dembrane.deliveries."
	prefixScheduled  = "dembrane.scheduled."
	prefixRanges     = "dembrane.ranges."
	prefixRejected   = "dembrane.rejected."
)

// MaxEventBytes is the largest event body that is accepted anywhere: 8 MiB. The
// broker's max_payload must leave [HeaderAllowance] on top of it.
const MaxEventBytes = 8 << 20

// HeaderAllowance is the room, in bytes, that a message's headers may need
// beside a body of [MaxEventBytes].
const HeaderAllowance = 64 << 10

// SubjectEvent is where an event of the project is published.
func SubjectEvent(projectID, eventType string) string {
	return prefixEvents + projectID + "." + eventType
}

// PublishedSubject is the subject on which an event was published that is stored
// on this one: without the part.
func PublishedSubject(stored string) string {
	rest, ok := strings.CutPrefix(stored, prefixEvents)
	if !ok {
		return stored
	}
	_, rest, ok = strings.Cut(rest, ".")
	if !ok {
		return stored // too short to name a project and a type, so it has no part
	}
	return prefixEvents + rest
}

// SubjectStored matches the subjects on which events of the project are stored:
// with the part, whichever it is.
func SubjectStored(projectID, eventType string) string {
	return prefixEvents + "*." + projectID + "." + eventType
}

// ParseSubjectEvent takes the project and the event type out of the subject on
// which an event was published. It reports false for a subject that has another
// form.
func ParseSubjectEvent(subject string) (projectID, eventType string, ok bool) {
	rest, ok := strings.CutPrefix(subject, prefixEvents)
	if !ok {
		return "", "", false
	}
	projectID, eventType, ok = strings.Cut(rest, ".")
	if !ok || projectID == "" || strings.Count(eventType, ".") != 1 {
		return "", "", false
	}
	return projectID, eventType, true
}

// SubjectDelivery is where deliveries of the webhook appear when they are due.
func SubjectDelivery(webhookID string) string { return prefixDeliveries + webhookID }

// SubjectScheduled is where one delivery waits until it is due. Publishing to it
// again replaces what was there.
func SubjectScheduled(webhookID, deliveryID string) string {
	return prefixScheduled + webhookID + "." + deliveryID
}

// SubjectRange is where ranges of the webhook appear when they are due.
func SubjectRange(webhookID string) string { return prefixRanges + "due." + webhookID }

// SubjectScheduledRange is where one range waits until it is due.
func SubjectScheduledRange(webhookID, rangeID string) string {
	return prefixRanges + "later." + webhookID + "." + rangeID
}

// SubjectRejected is where the rejection of an event published to eventSubject
// is written.
func SubjectRejected(eventSubject string) string {
	return prefixRejected + strings.TrimPrefix(eventSubject, prefixEvents)
}

// KeyRegistration is the webhook's key in [BucketWebhooks].
func KeyRegistration(projectID, webhookID string) string { return projectID + "." + webhookID }

// Settings is what an operator chooses about the streams.
type Settings struct {
	// Replicas is the number of copies of every stream and of the bucket: 1 or 3.
	Replicas int
	// EventsMaxAge is how long events are retained, and so how far back a replay
	// can reach. A retry later than this is recorded as expired.
	EventsMaxAge time.Duration
	// EventsMaxBytes limits the stream EVENTS; publishing beyond it is refused,
	// never made room for. 0 means no limit of its own.
	EventsMaxBytes int64
	// DuplicateWindow is how long a repeated publish of the same event id is
	// stored once only.
	DuplicateWindow time.Duration
}

// Streams returns the configuration of every stream, in the order in which an
// event passes them.
func Streams(s Settings) []jetstream.StreamConfig {
	maxBytes := s.EventsMaxBytes
	if maxBytes == 0 {
		maxBytes = -1
	}
	return []jetstream.StreamConfig{
		{
			Name:        StreamEvents,
			Description: "What happened, as pipeline stages published it. The only place a payload is stored.",
			Subjects:    []string{prefixEvents + ">"},
			SubjectTransform: &jetstream.SubjectTransformConfig{
				Source:      prefixEvents + "*.>",
				Destination: fmt.Sprintf("%s{{partition(%d,1)}}.{{wildcard(1)}}.>", prefixEvents, Partitions),
			},
			Retention:   jetstream.LimitsPolicy,
			Discard:     jetstream.DiscardNew,
			MaxAge:      s.EventsMaxAge,
			MaxBytes:    maxBytes,
			Duplicates:  s.DuplicateWindow,
			AllowDirect: true,
			Storage:     jetstream.FileStorage,
			Replicas:    s.Replicas,
		},
		{
			Name:              StreamDeliveries,
			Description:       "What is owed later, one delivery a message: retries and resends. Ids only.",
			Subjects:          []string{prefixDeliveries + ">", prefixScheduled + ">"},
			Retention:         jetstream.WorkQueuePolicy,
			Discard:           jetstream.DiscardOld, // nothing is: there is no limit, and schedules ask for it
			AllowMsgSchedules: true,
			Storage:           jetstream.FileStorage,
			Replicas:          s.Replicas,
		},
		{
			// A stream of its own, so that a dispatcher that does not know ranges yet
			// is never given one: it would drop it as unreadable.
			Name:              StreamRanges,
			Description:       "What is owed later, many deliveries of one webhook a message: parked deliveries and replays. Ids only.",
			Subjects:          []string{prefixRanges + ">"},
			Retention:         jetstream.WorkQueuePolicy,
			Discard:           jetstream.DiscardOld, // nothing is: there is no limit, and schedules ask for it
			AllowMsgSchedules: true,
			Storage:           jetstream.FileStorage,
			Replicas:          s.Replicas,
		},
		{
			Name:        StreamAttempts,
			Description: "Outcome records on their way to MongoDB, many in one message.",
			Subjects:    []string{SubjectAttempts},
			Retention:   jetstream.WorkQueuePolicy,
			Discard:     jetstream.DiscardNew,
			Storage:     jetstream.FileStorage,
			Replicas:    s.Replicas,
		},
		{
			Name:        StreamRejected,
			Description: "Events that could not be read, with the reason. The payload stays in EVENTS.",
			Subjects:    []string{prefixRejected + ">"},
			Retention:   jetstream.LimitsPolicy,
			Discard:     jetstream.DiscardOld,
			MaxAge:      30 * 24 * time.Hour,
			MaxBytes:    1 << 30,
			Storage:     jetstream.FileStorage,
			Replicas:    s.Replicas,
		},
	}
}

// Bucket returns the configuration of the bucket of registrations.
func Bucket(s Settings) jetstream.KeyValueConfig {
	return jetstream.KeyValueConfig{
		Bucket:      BucketWebhooks,
		Description: "Projection of the registrations; secrets are encrypted.",
		History:     1,
		Storage:     jetstream.FileStorage,
		Replicas:    s.Replicas,
	}
}

// PullHeartbeat is how often a consumer says that it is there while it has nothing
// to give. Whoever hears nothing for twice as long asks again: the server that
// knew of the question may have died, and a client that is connected to another
// one would not notice for half a minute otherwise.
const PullHeartbeat = 2 * time.Second

// Consumption is what a service chooses about one of its consumers.
type Consumption struct {
	// AckWait is how long a message may stay unsettled before it is given to
	// another replica.
	AckWait time.Duration
	// MaxAckPending bounds the unsettled messages over all replicas. The consumers
	// of [Intake] have equal parts of it.
	MaxAckPending int
}

// Intake returns the dispatcher's consumers on EVENTS: one for each part of the
// projects, and last one for what was published on a subject too short to name a
// project and an event type, which is only rejected.
func Intake(c Consumption) []jetstream.ConsumerConfig {
	c.MaxAckPending = (c.MaxAckPending + Partitions - 1) / Partitions
	all := make([]jetstream.ConsumerConfig, 0, Partitions+1)
	for part := range Partitions {
		all = append(all, consumer(fmt.Sprintf("intake-%d", part),
			fmt.Sprintf("Events that dispatchers take in, part %d of %d of the projects.", part+1, Partitions),
			fmt.Sprintf("%s%d.>", prefixEvents, part), c))
	}
	return append(all, consumer("intake-malformed", "What was published on a subject that names no event type.", prefixEvents+"*", c))
}

// Due returns the dispatcher's consumer on DELIVERIES.
func Due(c Consumption) jetstream.ConsumerConfig {
	return consumer(ConsumerDue, "Deliveries whose time has come.", prefixDeliveries+">", c)
}

// Ranges returns the dispatcher's consumer on RANGES.
func Ranges(c Consumption) jetstream.ConsumerConfig {
	return consumer(ConsumerRanges, "Ranges whose time has come.", prefixRanges+"due.>", c)
}

// Record returns the api's consumer on ATTEMPTS.
func Record(c Consumption) jetstream.ConsumerConfig {
	return consumer(ConsumerRecord, "Records on their way to the delivery log.", "", c)
}

func consumer(name, description, filter string, c Consumption) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable:       name,
		Description:   description,
		FilterSubject: filter,
		DeliverPolicy: jetstream.DeliverAllPolicy,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       c.AckWait,
		MaxAckPending: c.MaxAckPending,
		MaxDeliver:    -1,
	}
}

// Validate reports every setting that cannot work.
func (s Settings) Validate() error {
	switch {
	case s.Replicas < 1 || s.Replicas > 5:
		return fmt.Errorf("replicas must be 1 to 5, not %d", s.Replicas)
	case s.EventsMaxAge < time.Hour:
		return fmt.Errorf("events must be retained for at least 1h, not %s", s.EventsMaxAge)
	case s.DuplicateWindow < time.Second || s.DuplicateWindow > s.EventsMaxAge:
		return fmt.Errorf("the duplicate window must be between 1s and the retention of events, not %s", s.DuplicateWindow)
	}
	return nil
}
