package embedded

import (
	"fmt"
	"time"
)

// SyncInterval says when what the server stores is forced onto the disk (fsync):
// before it is acknowledged, or at intervals. What was stored since the last time
// survives a process that is killed, and is lost with the power. 0 leaves it to
// nats-server, which takes two minutes.
type SyncInterval time.Duration

// SyncAlways forces everything onto the disk before it is acknowledged.
const SyncAlways SyncInterval = -1

const (
	alwaysText      = "always"
	minSyncInterval = SyncInterval(100 * time.Millisecond)
	maxSyncInterval = SyncInterval(time.Hour)
)

func (s SyncInterval) always() bool { return s == SyncAlways }

func (s SyncInterval) every() time.Duration { return time.Duration(max(s, 0)) }

// UnmarshalText reads "always", or a duration.
func (s *SyncInterval) UnmarshalText(text []byte) error {
	if string(text) == alwaysText {
		*s = SyncAlways
		return nil
	}
	d, err := time.ParseDuration(string(text))
	if interval := SyncInterval(d); err == nil && interval >= minSyncInterval && interval <= maxSyncInterval {
		*s = interval
		return nil
	}
	return fmt.Errorf("%q must be %s, or a duration from %s to %s such as 1s", text, alwaysText,
		time.Duration(minSyncInterval), time.Duration(maxSyncInterval))
}

// MarshalText writes what [SyncInterval.UnmarshalText] reads.
func (s SyncInterval) MarshalText() ([]byte, error) {
	if s.always() {
		return []byte(alwaysText), nil
	}
	return []byte(time.Duration(s).String()), nil
}
