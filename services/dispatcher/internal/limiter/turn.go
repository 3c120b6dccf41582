package limiter

import "time"

// Request is a delivery that asks whether it may go.
type Request struct {
	// Endpoint names where it goes.
	Endpoint string
	// MaxPerSecond is how many attempts a second its webhook allows, all dispatchers
	// together; 0 for no limit.
	MaxPerSecond float64
	// Behind is how many messages wait in the queue that it comes from, as far as known.
	// They cannot be taken while it and others from there stand in line.
	Behind uint64
	// Bytes is what the delivery holds in memory until it is done, known or estimated.
	Bytes int64
	// Background says that it is part of a replay: it goes when no other delivery
	// waits at its endpoint.
	Background bool
}

// Result is what an attempt says about its endpoint.
type Result struct {
	// Took is how long it lasted.
	Took time.Duration
	// Failed says that the receiver did not take the delivery.
	Failed bool
	// PauseUntil is when the receiver wants to be called again; zero when it did not
	// say.
	PauseUntil time.Time
	// Ignore says that it tells nothing about the endpoint: nothing was sent, or the
	// fault was ours.
	Ignore bool
}

// Turn is the answer to a delivery: go, or not before a certain time.
type Turn struct {
	// NotBefore is when a delivery that may not go should ask again.
	NotBefore time.Time
	// Cause is why it may not go.
	Cause Cause

	endpoint *endpoint // nil unless it may go
	bytes    int64
	began    time.Time
}

// Go reports whether the delivery may go. [Limiter.Done] has to be called then.
func (t Turn) Go() bool { return t.endpoint != nil }

// Cause is why a delivery may not go.
type Cause int

// The causes.
const (
	// Busy: its turn would come too late, or there is no place in line.
	Busy Cause = iota + 1
	// RateLimited: its webhook's own limit holds it back.
	RateLimited
	// Paused: the receiver asked for a pause.
	Paused
	// Broken: the receiver fails, and this is not its probe.
	Broken
	// Stopping: this dispatcher stops.
	Stopping
)

// String is the cause as metrics write it.
func (c Cause) String() string {
	return [...]string{"", "busy", "rate_limited", "retry_after", "receiver_failing", "stopping"}[c]
}
