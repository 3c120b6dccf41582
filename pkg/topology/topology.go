// Package topology is everything the system owns in NATS, as values: subjects,
// streams, consumers and the bucket. [Ensure] creates or updates them.
//
// The services meet nowhere else. docs/flow.md shows the same table, and a test
// compares the two.
package topology

import (
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dembrane/webhooks/pkg/event"
)

// Names of the streams and of the bucket.
const (
	StreamEvents     = event.Stream
	StreamDeliveries = "DELIVERIES"
	StreamRanges     = "RANGES"
	StreamAttempts   = "ATTEMPTS"
	StreamRejected   = "REJECTED"
	BucketWebhooks   = "WEBHOOKS"
	// BucketLimits holds hints between dispatchers, by webhook id.
	BucketLimits = "LIMITS"
	// BucketCheckpoints says how far consumers of EVENTS have settled.
	BucketCheckpoints = "CHECKPOINTS"

	// bucketPrefix begins the name of the stream that a bucket is.
	bucketPrefix = "KV_"
)

// Names of the durable consumers, besides those of [Intake]. Every replica of a
// service shares its service's consumers.
const (
	ConsumerDue    = "due"
	ConsumerRanges = "ranges"
	ConsumerRecord = "record"
)

// Fixed subjects.
const (
	// SubjectAttempts carries batches of attempt records.
	SubjectAttempts = "dembrane.attempts"
	// SubjectTest is the micro endpoint that makes one test delivery.
	SubjectTest = "dembrane.dispatcher.test"
	// SubjectOps is the prefix of operational events.
	SubjectOps = "dembrane.ops"
)

// HeaderAbout is a header of events of our own: the webhook that they are about.
const HeaderAbout = event.HeaderAbout

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
	prefixEvents     = event.SubjectPrefix
	prefixDeliveries = "dembrane.deliveries."
	prefixScheduled  = "dembrane.scheduled."
	prefixRanges     = "dembrane.ranges."
	prefixRejected   = "dembrane.rejected."
)

// MaxEventBytes is the largest event body that is accepted anywhere: 8 MiB. The
// broker's max_payload must leave [HeaderAllowance] on top of it.
const MaxEventBytes = event.MaxBytes

// HeaderAllowance is the room, in bytes, that a message's headers may need
// beside a body of [MaxEventBytes].
const HeaderAllowance = event.HeaderAllowance

// SubjectEvent is where an event of the project is published.
func SubjectEvent(projectID, eventType string) string {
	return event.Subject(projectID, eventType)
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

// Part is the part in the subject on which an event is stored.
func Part(stored string) string {
	part, _, _ := strings.Cut(strings.TrimPrefix(stored, prefixEvents), ".")
	return part
}

// ConsumerIntake is the name of the consumer that takes in a part.
func ConsumerIntake(part string) string { return intakePrefix + part }

// SubjectStored matches the subjects on which events of the project are stored:
// with the part, whichever it is.
func SubjectStored(projectID, eventType string) string {
	return prefixEvents + "*." + projectID + "." + eventType
}

// SubjectMalformed is where something of the project is stored that was published
// on a subject without an event type.
func SubjectMalformed(projectID string) string { return prefixEvents + projectID }

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

// SubjectReplayWriter is where whoever runs a replay says so. Its ranges are stored only
// as long as that is the last word on this subject.
func SubjectReplayWriter(webhookID, replayID string) string {
	return prefixRanges + "writer." + webhookID + "." + replayID
}

// SubjectRejected is where the rejection of an event published to eventSubject
// is written.
func SubjectRejected(eventSubject string) string {
	return prefixRejected + strings.TrimPrefix(eventSubject, prefixEvents)
}

// SubjectsRejected match the subjects on which rejections of a project's events are
// written.
func SubjectsRejected(projectID string) []string {
	return []string{prefixRejected + projectID + ".>", prefixRejected + projectID}
}

// KeyRegistration is the webhook's key in [BucketWebhooks].
func KeyRegistration(projectID, webhookID string) string { return projectID + "." + webhookID }

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
