package topology

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

// Ensure makes what is missing of the streams and the buckets, as an [Owner] does.
func Ensure(ctx context.Context, js jetstream.JetStream, s Settings) error {
	return NewOwner(js, s, zap.NewNop()).Ensure(ctx)
}

// ensuring is one look at everything, by an owner.
type ensuring struct {
	js       jetstream.JetStream
	settings Settings
	log      *zap.Logger
	// made are the streams that this look has made: they are empty, so their limits
	// may be lowered again.
	made map[string]bool
	// limits are the limits in bytes that streams had at earlier looks, and have now.
	limits map[string]int64
	// differences are what was left as it is although the settings say otherwise.
	differences []difference
}

// difference is something that a start leaves alone, and what to do about it.
type difference struct{ stream, text string }

// all makes what is missing, with smaller limits when JetStream has no room for
// the default ones.
func (e *ensuring) all(ctx context.Context) error {
	for divisor := int64(1); ; divisor *= 2 {
		err := e.pass(ctx, divisor)
		if !noRoom(err) || divisor == smallestShare {
			return err
		}
	}
}

func (e *ensuring) pass(ctx context.Context, divisor int64) error {
	e.differences = nil
	all := assets(e.settings)
	// EVENTS comes last: nobody can publish before the rest has its room, and so what
	// was made can be made smaller until all of it fits.
	all = append(all[1:], all[0])
	for i, a := range all {
		if a.fits && a.config.MaxBytes > 0 {
			all[i].config.MaxBytes /= divisor
		}
	}
	if divisor > 1 {
		if err := e.shrink(ctx, all); err != nil {
			return err
		}
	}
	for _, a := range all {
		err := e.one(ctx, a)
		if err != nil && a.optional && ctx.Err() == nil {
			e.differ(a, "is missing, and everything works without it: %v", err)
			continue
		}
		if noRoom(err) {
			return fmt.Errorf("make stream %s with a limit of %d bytes: JetStream has no room for that "+
				"(limits of all streams count, not what they hold); raise max_file_store or the account's limit, or set %s lower: %w",
				a.config.Name, a.config.MaxBytes, a.setting, err)
		}
		if err != nil {
			return fmt.Errorf("ensure stream %s: %w", a.config.Name, err)
		}
	}
	return nil
}

// shrink makes room: a look that was interrupted may have made one stream with the
// room of all. What was never used may be made smaller.
func (e *ensuring) shrink(ctx context.Context, all []asset) error {
	for _, a := range all {
		if !a.fits {
			continue
		}
		stream, err := e.js.Stream(ctx, a.config.Name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			continue
		}
		if err != nil {
			return fmt.Errorf("look at stream %s: %w", a.config.Name, err)
		}
		have := stream.CachedInfo()
		if have.State.LastSeq > 0 || have.Config.MaxBytes <= a.config.MaxBytes {
			continue
		}
		e.made[a.config.Name] = true
		have.Config.MaxBytes = a.config.MaxBytes
		if _, err := e.js.UpdateStream(ctx, have.Config); err != nil {
			return fmt.Errorf("make the limit of stream %s smaller: %w", a.config.Name, err)
		}
	}
	return nil
}

// one looks first: a server counts a stream that is "created" a second time as if
// it needed the room twice.
func (e *ensuring) one(ctx context.Context, a asset) error {
	stream, err := e.js.Stream(ctx, a.config.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if a.config.Name == StreamEvents {
			a.config.Metadata = map[string]string{partsKey: strconv.Itoa(e.settings.parts())}
		}
		_, err = e.js.CreateStream(ctx, a.config)
		if err == nil {
			e.made[a.config.Name] = true
			e.remember(a, a.config.MaxBytes)
			e.log.Info("stream made", zap.String("stream", a.config.Name), zap.Int64("max_bytes", a.config.MaxBytes))
			return nil
		}
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // by another api, a moment ago
			stream, err = e.js.Stream(ctx, a.config.Name)
		}
	}
	if err != nil {
		return err //nolint:wrapcheck // the caller names the stream
	}
	return e.mend(ctx, a, stream.CachedInfo())
}

// mend changes what the services need, and what the settings ask for more of.
// Nothing else: neither what an operator has set beside it, nor anything to less.
func (e *ensuring) mend(ctx context.Context, a asset, info *jetstream.StreamInfo) error {
	have := info.Config
	e.remember(a, have.MaxBytes)
	if have.Retention != a.config.Retention {
		return fmt.Errorf("its retention is %q and must be %q, which cannot be changed: make it again", have.Retention, a.config.Retention)
	}
	needed := e.needed(ctx, a, have)
	grown := e.grown(a, needed, info.State.Bytes)
	if reflect.DeepEqual(grown, have) {
		return nil
	}
	_, err := e.js.UpdateStream(ctx, grown)
	if err == nil {
		e.remember(a, grown.MaxBytes)
		e.log.Info("stream changed", zap.String("stream", have.Name), zap.Int64("max_bytes", grown.MaxBytes))
		return nil
	}
	if e.made[have.Name] {
		return err //nolint:wrapcheck // the caller names the stream
	}
	if !reflect.DeepEqual(grown, needed) {
		e.differ(a, "could not get more copies, age or bytes, as the settings say: %v", err)
	}
	if reflect.DeepEqual(needed, have) {
		return nil
	}
	_, err = e.js.UpdateStream(ctx, needed)
	return err //nolint:wrapcheck // the caller names the stream
}

// needed is the stream with what the services cannot do without.
func (e *ensuring) needed(ctx context.Context, a asset, have jetstream.StreamConfig) jetstream.StreamConfig {
	want, needed := a.config, have
	needed.Subjects = slices.Clone(have.Subjects)
	for _, subject := range want.Subjects {
		if !slices.Contains(needed.Subjects, subject) {
			needed.Subjects = append(needed.Subjects, subject)
		}
	}
	needed.Discard = want.Discard
	needed.AllowDirect = have.AllowDirect || want.AllowDirect
	needed.AllowMsgSchedules = have.AllowMsgSchedules || want.AllowMsgSchedules
	if want.Duplicates > 0 {
		needed.Duplicates = want.Duplicates
	}
	switch {
	case want.MaxMsgSize > 0 && have.MaxMsgSize <= 0:
		needed.MaxMsgSize = want.MaxMsgSize
	case have.MaxMsgSize > 0 && have.MaxMsgSize < want.MaxMsgSize:
		e.differ(a, "takes messages of %d bytes only; for the largest events: nats stream edit %s --max-msg-size %d",
			have.MaxMsgSize, have.Name, want.MaxMsgSize)
	}
	if want.SubjectTransform != nil {
		e.split(ctx, a, have, &needed)
	}
	return needed
}

// split changes the number of parts. More parts come into force when dispatchers
// take them in; until then the stream only says how many are wanted.
func (e *ensuring) split(ctx context.Context, a asset, have jetstream.StreamConfig, needed *jetstream.StreamConfig) {
	wanted := split(a.config.SubjectTransform)
	needed.Metadata = map[string]string{}
	for key, value := range have.Metadata {
		if !strings.HasPrefix(key, "_nats.") { // the server's own
			needed.Metadata[key] = value
		}
	}
	needed.Metadata[partsKey] = strconv.Itoa(wanted)
	if len(have.Metadata) > 0 && have.Metadata[partsKey] == needed.Metadata[partsKey] {
		needed.Metadata = have.Metadata
	}
	now := split(have.SubjectTransform)
	if now == wanted {
		return
	}
	if now != 0 && now < wanted {
		if err := taken(ctx, e.js, wanted); err != nil {
			e.differ(a, "stays split into %d parts until dispatchers take in all %d: %v", now, wanted, err)
			return
		}
	}
	needed.SubjectTransform = a.config.SubjectTransform
}

// remember keeps the limit of a stream for the looks to come. One that is gone is
// not forgotten: it may not have come back yet.
func (e *ensuring) remember(a asset, limit int64) {
	if a.config.MaxBytes <= 0 { // the settings want none
		delete(e.limits, a.config.Name)
	} else if limit > 0 {
		e.limits[a.config.Name] = limit
	}
}

// lost is the limit that a stream had at an earlier look and has no more.
func (e *ensuring) lost(stream jetstream.StreamConfig) (limit int64, ok bool) {
	limit, ok = e.limits[stream.Name]
	return limit, ok && stream.MaxBytes <= 0
}

// grown is the stream with more copies, age and bytes where the settings say so,
// and with the limit that it has lost, unless JetStream would delete for it.
func (e *ensuring) grown(a asset, needed jetstream.StreamConfig, stored uint64) jetstream.StreamConfig {
	want, grown := a.config, needed
	switch {
	case want.Replicas > needed.Replicas:
		grown.Replicas = want.Replicas
	case want.Replicas < needed.Replicas:
		e.differ(a, "keeps its %d copies although STREAM_REPLICAS is %d; for fewer: nats stream edit %s --replicas %d",
			needed.Replicas, want.Replicas, needed.Name, want.Replicas)
	}
	switch {
	case longer(want.MaxAge, needed.MaxAge):
		grown.MaxAge = want.MaxAge
	case longer(needed.MaxAge, want.MaxAge):
		e.differ(a, "keeps messages for %s although the settings say %s; for less, which deletes: nats stream edit %s --max-age %s",
			age(needed.MaxAge), age(want.MaxAge), needed.Name, age(want.MaxAge))
	}
	limit, lost := e.lost(needed)
	switch {
	case e.made[needed.Name]:
		grown.MaxBytes = want.MaxBytes
	case lost && stored <= uint64(limit-reserve(limit)): //nolint:gosec // above 0
		grown.MaxBytes = limit
	case lost:
		e.differ(a, "has lost its limit of %d bytes and holds too much for it to be put back; to set another: nats stream edit %s --max-bytes %d",
			limit, needed.Name, 2*limit)
	case a.fits && needed.MaxBytes <= 0:
		e.differ(a, "has no limit in bytes, so that it can fill the disk for the others; to set one: nats stream edit %s --max-bytes %d",
			needed.Name, want.MaxBytes)
	case a.fits || a.setting == "":
	case more(want.MaxBytes, needed.MaxBytes):
		grown.MaxBytes = want.MaxBytes
	case more(needed.MaxBytes, want.MaxBytes):
		e.differ(a, "may hold %d bytes although %s is %d; for less: nats stream edit %s --max-bytes %d",
			needed.MaxBytes, a.setting, want.MaxBytes, needed.Name, want.MaxBytes)
	}
	return grown
}

func (e *ensuring) differ(a asset, format string, values ...any) {
	e.differences = append(e.differences, difference{stream: a.config.Name, text: fmt.Sprintf(format, values...)})
}

// longer reports whether one age is beyond the other; 0 is for ever.
func longer(one, other time.Duration) bool {
	return other != 0 && (one == 0 || one > other)
}

func age(of time.Duration) string {
	if of == 0 {
		return "ever"
	}
	return of.String()
}

// more reports whether one limit is above the other; 0 and below is no limit.
func more(one, other int64) bool {
	return other > 0 && (one <= 0 || one > other)
}

// noRoom reports whether JetStream refused a stream for want of storage: of the
// server, of the account, or of every server of a cluster.
func noRoom(err error) bool {
	var refused *jetstream.APIError
	if !errors.As(err, &refused) {
		return false
	}
	const (
		ofAccount, memory, storage, ofOneStream = 10002, 10028, 10047, 10122
		noPeers                                 = 10005
	)
	return slices.Contains([]jetstream.ErrorCode{ofAccount, memory, storage, ofOneStream}, refused.ErrorCode) ||
		refused.ErrorCode == noPeers && strings.Contains(refused.Description, "insufficient storage")
}
