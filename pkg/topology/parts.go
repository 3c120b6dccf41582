package topology

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// Partitions is how many parts the projects are spread over unless the api's
// INTAKE_PARTS says otherwise. Events of different parts are taken in side by
// side, so that a flood of one project's events is not ahead of everybody's.
// JetStream puts the part into the subject of what it stores, by a hash of the
// project; publishers know nothing of it. Sixteen: idle, ten parts more cost a
// standalone 0.1 % of a core, and three servers with three replicas 0.4 %; 64 parts
// would cost them 3 % more.
const Partitions = 16

// MaxPartitions is the largest number of parts that can be set.
const MaxPartitions = 256

const (
	// partsKey is where EVENTS says into how many parts it is to be split.
	partsKey = "dembrane_intake_parts"
	// intakePrefix begins the name of the consumer of each part.
	intakePrefix = "intake-"
	// intakeMalformed is the consumer of what was published on a subject too short
	// to name a project and an event type, which is only rejected.
	intakeMalformed = intakePrefix + "malformed"
)

// transform puts the part into the subject under which an event is stored.
func transform(parts int) *jetstream.SubjectTransformConfig {
	return &jetstream.SubjectTransformConfig{
		Source:      prefixEvents + "*.>",
		Destination: fmt.Sprintf("%s{{partition(%d,1)}}.{{wildcard(1)}}.>", prefixEvents, parts),
	}
}

// split is into how many parts a stream with this transform is split; 0 when
// nothing says so.
func split(t *jetstream.SubjectTransformConfig) int {
	if t == nil {
		return 0
	}
	var parts int
	if _, err := fmt.Sscanf(t.Destination, prefixEvents+"{{partition(%d,1)}}", &parts); err != nil {
		return 0
	}
	return parts
}

// Intake returns the dispatcher's consumers on EVENTS when it is split into
// [Partitions].
func Intake(c Consumption) []jetstream.ConsumerConfig { return intake(c, Partitions, Partitions) }

// IntakeConsumers returns the consumers on EVENTS that a dispatcher takes events
// in with: one for each part that the api asks for or that there ever was, so that
// events are taken in that were stored with another number. Their number can
// change at any time, so ask again now and then. None of them is ever deleted.
func IntakeConsumers(ctx context.Context, js jetstream.JetStream, c Consumption) ([]jetstream.ConsumerConfig, error) {
	stream, err := js.Stream(ctx, StreamEvents)
	if err != nil {
		return nil, fmt.Errorf("look at stream %s: %w", StreamEvents, err)
	}
	config := stream.CachedInfo().Config
	now := max(split(config.SubjectTransform), 1)
	if wanted, err := strconv.Atoi(config.Metadata[partsKey]); err == nil {
		now = max(wanted, 1)
	}
	all := max(now, split(config.SubjectTransform))
	names := stream.ConsumerNames(ctx)
	for name := range names.Name() {
		if part, ok := partOf(name); ok {
			all = max(all, part+1)
		}
	}
	if err := names.Err(); err != nil {
		return nil, fmt.Errorf("list the consumers of %s: %w", StreamEvents, err)
	}
	return intake(c, now, min(all, MaxPartitions)), nil
}

// partOf is the part that the consumer takes in.
func partOf(consumer string) (int, bool) {
	digits, ok := strings.CutPrefix(consumer, intakePrefix)
	if !ok {
		return 0, false
	}
	part, err := strconv.Atoi(digits)
	return part, err == nil && part >= 0
}

// intake returns a consumer for each of all parts, and last the one for malformed
// subjects. Each may have its share of what is unsettled, as one of now parts.
func intake(c Consumption, now, all int) []jetstream.ConsumerConfig {
	c.MaxAckPending = (c.MaxAckPending + now - 1) / now
	consumers := make([]jetstream.ConsumerConfig, 0, all+1)
	for part := range all {
		consumers = append(consumers, consumer(intakePrefix+strconv.Itoa(part),
			fmt.Sprintf("Events that dispatchers take in, part %d of the projects.", part),
			fmt.Sprintf("%s%d.>", prefixEvents, part), c))
	}
	return append(consumers, consumer(intakeMalformed, "What was published on a subject that names no event type.", prefixEvents+"*", c))
}

// taken returns nil when each of so many parts is taken in right now: before that,
// events with such a part would wait.
func taken(ctx context.Context, js jetstream.JetStream, parts int) error {
	for part := range parts {
		consumer, err := js.Consumer(ctx, StreamEvents, intakePrefix+strconv.Itoa(part))
		if err != nil {
			return fmt.Errorf("part %d is not taken in yet: %w", part, err)
		}
		if info := consumer.CachedInfo(); info.NumWaiting == 0 && info.NumAckPending == 0 {
			return fmt.Errorf("part %d is not taken in yet: no dispatcher asks for it", part)
		}
	}
	return nil
}
