package topology

import (
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Settings is what an operator chooses about the streams. Limits in bytes: 0 means
// the default, made smaller where JetStream has less room when the stream is made;
// below 0 means no limit.
type Settings struct {
	// Replicas is the number of copies of every stream and bucket: 1 or 3.
	Replicas int
	// EventsMaxAge is how long events are retained, and so how far back a replay
	// can reach. A retry later than this is recorded as expired.
	EventsMaxAge time.Duration
	// DuplicateWindow is how long a repeated publish of the same event id is
	// stored once only.
	DuplicateWindow time.Duration
	// IntakeParts is how many parts projects are spread over; 0 means [Partitions].
	IntakeParts int

	// EventsMaxBytes limits the stream EVENTS; publishing beyond it is refused,
	// never made room for.
	EventsMaxBytes int64
	// DeliveriesMaxBytes and RangesMaxBytes limit what can be owed. JetStream would
	// delete the oldest beyond it, so [Room] says that there is no more before that.
	DeliveriesMaxBytes, RangesMaxBytes int64
	// AttemptsMaxBytes limits the records on their way to MongoDB.
	AttemptsMaxBytes int64
	// RejectedMaxBytes limits the rejections; the oldest go first.
	RejectedMaxBytes int64
	// WebhooksMaxBytes limits the bucket of registrations.
	WebhooksMaxBytes int64
}

// What streams are limited to unless the settings say otherwise. Their proportions
// stay the same where there is less room, so that a full EVENTS leaves the others
// theirs.
const (
	defaultEvents     = 16 << 30
	defaultDeliveries = 2 << 30
	defaultRanges     = 1 << 29
	defaultAttempts   = 2 << 30
	defaultRejected   = 1 << 29
	defaultWebhooks   = 1 << 30
	// smallestShare is the largest divisor of the defaults: a quarter of a GiB of
	// events, and a third of a GiB in all.
	smallestShare = 64
	// limitsBytes and checkpointsBytes are what the two small buckets may take.
	limitsBytes      = 16 << 20
	checkpointsBytes = 1 << 20
	// limitsAge is how long a hint is kept: longer than a receiver can ask us to
	// pause.
	limitsAge = 25 * time.Hour
	// smallestLimit is the smallest limit that can be set.
	smallestLimit = 1 << 20
)

// asset is one stream as it should be; a bucket is a stream as well.
type asset struct {
	config jetstream.StreamConfig
	// setting names what limits its bytes.
	setting string
	// fits says that the limit is a default, which is made smaller where there is
	// no room for it.
	fits bool
	// optional says that everything works without it.
	optional bool
}

// limited sets the limit in bytes.
func (a asset) limited(setting string, chosen, byDefault int64) asset {
	a.setting, a.fits, a.config.MaxBytes = setting, chosen == 0, chosen
	switch {
	case chosen == 0:
		a.config.MaxBytes = byDefault
	case chosen < 0:
		a.config.MaxBytes = -1
	}
	return a
}

// Streams returns the configuration of every stream, in the order in which an
// event passes them.
func Streams(s Settings) []jetstream.StreamConfig {
	var all []jetstream.StreamConfig
	for _, a := range streams(s) {
		all = append(all, a.config)
	}
	return all
}

func streams(s Settings) []asset {
	return []asset{
		events(s).limited("EVENTS_MAX_BYTES", s.EventsMaxBytes, defaultEvents),
		owed(s, StreamDeliveries, "What is owed later, one delivery a message: retries and resends. Ids only.",
			prefixDeliveries+">", prefixScheduled+">").
			limited("DELIVERIES_MAX_BYTES", s.DeliveriesMaxBytes, defaultDeliveries),
		// A stream of its own, so that a dispatcher that does not know ranges yet is
		// never given one: it would drop it as unreadable.
		owed(s, StreamRanges, "What is owed later, many deliveries of one webhook a message: parked deliveries and replays. Ids only.",
			prefixRanges+">").
			limited("RANGES_MAX_BYTES", s.RangesMaxBytes, defaultRanges),
		asset{config: jetstream.StreamConfig{
			Name:        StreamAttempts,
			Description: "Outcome records on their way to MongoDB, many in one message.",
			Subjects:    []string{SubjectAttempts},
			Retention:   jetstream.WorkQueuePolicy,
			Discard:     jetstream.DiscardNew,
			Storage:     jetstream.FileStorage,
			Replicas:    s.Replicas,
		}}.limited("ATTEMPTS_MAX_BYTES", s.AttemptsMaxBytes, defaultAttempts),
		asset{config: jetstream.StreamConfig{
			Name:        StreamRejected,
			Description: "Events that could not be read, with the reason. The payload stays in EVENTS.",
			Subjects:    []string{prefixRejected + ">"},
			Retention:   jetstream.LimitsPolicy,
			Discard:     jetstream.DiscardOld,
			MaxAge:      30 * 24 * time.Hour,
			Storage:     jetstream.FileStorage,
			Replicas:    s.Replicas,
		}}.limited("REJECTED_MAX_BYTES", s.RejectedMaxBytes, defaultRejected),
	}
}

func events(s Settings) asset {
	return asset{config: jetstream.StreamConfig{
		Name:             StreamEvents,
		Description:      "What happened, as pipeline stages published it. The only place a payload is stored.",
		Subjects:         []string{prefixEvents + ">"},
		SubjectTransform: transform(s.parts()),
		Retention:        jetstream.LimitsPolicy,
		Discard:          jetstream.DiscardNew,
		MaxAge:           s.EventsMaxAge,
		MaxMsgSize:       MaxEventBytes + HeaderAllowance,
		Duplicates:       s.DuplicateWindow,
		AllowDirect:      true,
		Storage:          jetstream.FileStorage,
		Replicas:         s.Replicas,
	}}
}

// owed is a stream of schedules. JetStream refuses schedules in a stream that
// discards new messages.
func owed(s Settings, name, description string, subjects ...string) asset {
	return asset{config: jetstream.StreamConfig{
		Name:              name,
		Description:       description,
		Subjects:          subjects,
		Retention:         jetstream.WorkQueuePolicy,
		Discard:           jetstream.DiscardOld, // see Room
		AllowMsgSchedules: true,
		Storage:           jetstream.FileStorage,
		Replicas:          s.Replicas,
	}}
}

// Bucket returns the configuration of the bucket of registrations.
func Bucket(s Settings) jetstream.KeyValueConfig {
	bucket := jetstream.KeyValueConfig{
		Bucket:      BucketWebhooks,
		Description: "Projection of the registrations; secrets are encrypted.",
		History:     1,
		MaxBytes:    s.WebhooksMaxBytes,
		Storage:     jetstream.FileStorage,
		Replicas:    s.Replicas,
	}
	if bucket.MaxBytes == 0 {
		bucket.MaxBytes = defaultWebhooks
	}
	return bucket
}

// Limits returns the configuration of the bucket of hints between dispatchers, by
// webhook: what a receiver asked for, whether its breaker is open. It may be lost
// at any time, and everything works without it.
func Limits(s Settings) jetstream.KeyValueConfig {
	return jetstream.KeyValueConfig{
		Bucket:      BucketLimits,
		Description: "Hints between dispatchers: which receivers asked for a pause. May be lost.",
		History:     1,
		TTL:         limitsAge,
		MaxBytes:    limitsBytes,
		Storage:     jetstream.MemoryStorage,
		Replicas:    s.Replicas,
	}
}

// Checkpoints returns the configuration of the bucket that says how far each
// consumer of EVENTS has settled; see [Consumer].
func Checkpoints(s Settings) jetstream.KeyValueConfig {
	return jetstream.KeyValueConfig{
		Bucket:      BucketCheckpoints,
		Description: "How far each consumer of EVENTS has settled, so that one that is lost goes on there.",
		History:     1,
		MaxBytes:    checkpointsBytes,
		Storage:     jetstream.FileStorage,
		Replicas:    s.Replicas,
	}
}

// assets is everything that an owner makes.
func assets(s Settings) []asset {
	hints := asset{config: bucketStream(Limits(s)), optional: true}
	return append(streams(s),
		asset{config: bucketStream(Bucket(s))}.limited("WEBHOOKS_MAX_BYTES", s.WebhooksMaxBytes, defaultWebhooks),
		asset{config: bucketStream(Checkpoints(s)), optional: true},
		hints,
	)
}

// bucketStream is the stream that a bucket is, as nats.go makes it.
func bucketStream(b jetstream.KeyValueConfig) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:              bucketPrefix + b.Bucket,
		Description:       b.Description,
		Subjects:          []string{"$KV." + b.Bucket + ".>"},
		MaxMsgsPerSubject: int64(b.History),
		MaxMsgs:           -1,
		MaxConsumers:      -1,
		MaxMsgSize:        -1,
		MaxBytes:          b.MaxBytes,
		MaxAge:            b.TTL,
		Discard:           jetstream.DiscardNew,
		Duplicates:        2 * time.Minute,
		AllowRollup:       true,
		DenyDelete:        true,
		AllowDirect:       true,
		Storage:           b.Storage,
		Replicas:          b.Replicas,
	}
}

func (s Settings) parts() int {
	if s.IntakeParts == 0 {
		return Partitions
	}
	return s.IntakeParts
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
	case s.IntakeParts < 0 || s.IntakeParts > MaxPartitions:
		return fmt.Errorf("the parts of intake must be 1 to %d, not %d", MaxPartitions, s.IntakeParts)
	}
	for _, a := range assets(s) {
		if a.config.MaxBytes > 0 && a.config.MaxBytes < smallestLimit {
			return fmt.Errorf("%s must be 0 for the default, -1 for no limit, or at least %d, not %d",
				a.setting, smallestLimit, a.config.MaxBytes)
		}
	}
	return nil
}
