package topology

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

const (
	// lookInterval is how late a stream that vanished is noticed.
	lookInterval = 2 * time.Second
	// lookTimeout bounds one look at everything.
	lookTimeout = 10 * time.Second
)

// Owner makes the streams and the buckets, changes them, and makes them again when
// they vanish while it runs. The api is the owner, in any number of replicas; a
// dispatcher only looks, with [Check].
type Owner struct {
	js       jetstream.JetStream
	settings Settings
	log      *zap.Logger

	mu    sync.Mutex
	fault error
	said  map[difference]bool
	// limits are the limits in bytes that streams had at earlier looks.
	limits map[string]int64
}

// NewOwner returns an owner that has not looked yet.
func NewOwner(js jetstream.JetStream, s Settings, log *zap.Logger) *Owner {
	return &Owner{js: js, settings: s, log: log, fault: errors.New("not set up yet"), said: map[difference]bool{}, limits: map[string]int64{}}
}

// Ensure looks at everything once: it makes what is missing and changes what the
// services need or the settings ask for more of. It never takes anything away:
// neither copies nor age nor bytes, nor what an operator has set beside ours.
// Where the settings say less, the log says what to do. A limit in bytes that
// somebody takes away while the owner runs is put back: dispatchers of before there
// were limits do that when they start. The error says in words what is wrong.
func (o *Owner) Ensure(ctx context.Context) error {
	if err := o.settings.Validate(); err != nil {
		return fmt.Errorf("check stream settings: %w", err)
	}
	o.mu.Lock()
	look := &ensuring{js: o.js, settings: o.settings, log: o.log, made: map[string]bool{}, limits: maps.Clone(o.limits)}
	o.mu.Unlock()
	err := CheckVersion(o.js.Conn().ConnectedServerVersion())
	if err == nil {
		err = look.all(ctx)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fault, o.limits = err, look.limits
	said := make(map[difference]bool, len(look.differences))
	for _, d := range look.differences {
		said[d] = true
		if !o.said[d] { // once, not with every look
			o.log.Warn("stream differs from the settings: it "+d.text, zap.String("stream", d.stream))
		}
	}
	if err == nil {
		o.said = said
	}
	return err
}

// Run looks every two seconds until ctx is done.
func (o *Owner) Run(ctx context.Context) error {
	ticker := time.NewTicker(lookInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		look, cancel := context.WithTimeout(ctx, lookTimeout)
		before := o.Err()
		err := o.Ensure(look)
		cancel()
		if err != nil && before == nil && ctx.Err() == nil {
			o.log.Warn("streams are not as they should be", zap.Error(err))
		}
	}
}

// Err is what was wrong at the last look, in words; nil when nothing was.
func (o *Owner) Err() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.fault
}

// Check returns nil when everything that a dispatcher needs is there, and else
// says in words what is missing. It changes nothing.
func Check(ctx context.Context, js jetstream.JetStream) error {
	if err := CheckVersion(js.Conn().ConnectedServerVersion()); err != nil {
		return err
	}
	for _, a := range assets(Settings{}) {
		stream, err := js.Stream(ctx, a.config.Name)
		switch {
		case a.optional:
		case errors.Is(err, jetstream.ErrStreamNotFound):
			return fmt.Errorf("stream %s is missing; an api of this version makes it", a.config.Name)
		case err != nil:
			return fmt.Errorf("look at stream %s: %w", a.config.Name, err)
		case a.config.AllowMsgSchedules && !stream.CachedInfo().Config.AllowMsgSchedules:
			return fmt.Errorf("stream %s does not allow message schedules; an api of this version changes that", a.config.Name)
		}
	}
	return nil
}

// Room returns in words that DELIVERIES or RANGES is nearly full, nil when it is
// not; err says that it could not be seen. JetStream would delete the oldest of
// what is owed to make room, so whoever writes there asks every second or two, and
// begins nothing meanwhile that can make it more.
func Room(ctx context.Context, js jetstream.JetStream, name string) (full, err error) {
	stream, err := js.Stream(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("look at stream %s: %w", name, err)
	}
	info := stream.CachedInfo()
	limit := info.Config.MaxBytes
	if limit > 0 && info.State.Bytes > uint64(limit-reserve(limit)) { //nolint:gosec // above 0
		return fmt.Errorf("stream %s is nearly full: %d of %d bytes; raise %s_MAX_BYTES of the api",
			name, info.State.Bytes, limit, name), nil
	}
	return nil, nil
}

// reserve is what stays free of a limit, for what is written until the next look.
func reserve(limit int64) int64 { return max(limit/10, min(64<<20, limit/2)) }

// CheckVersion refuses a server without message schedules.
func CheckVersion(version string) error {
	if version == "" {
		return errors.New("not connected to a NATS server")
	}
	major, rest, _ := strings.Cut(version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	x, errX := strconv.Atoi(major)
	y, errY := strconv.Atoi(minor)
	// A build of somebody's own may be named in another way; what it cannot do, it
	// will say.
	known := errX == nil && errY == nil
	if known && (x < 2 || x == 2 && y < 12) {
		return fmt.Errorf("the NATS server is version %s; 2.12 or newer is needed, for message schedules", version)
	}
	return nil
}
