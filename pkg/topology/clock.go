package topology

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/retry"
)

const (
	// clockInterval is how often the clocks are compared.
	clockInterval = 10 * time.Second
	// clockSlack is the difference that is left alone: what is due a second later or
	// earlier harms nobody, and shorter differences cannot be told from a slow answer.
	clockSlack = time.Second
)

// Clock knows how far the clock of the server that fires schedules is ahead of
// ours. It is safe for concurrent use; the zero value knows of no difference.
type Clock struct {
	ahead atomic.Int64 // nanoseconds
	known atomic.Bool
}

// Server is what the server's clock shows when ours shows t. A schedule that is to
// fire at t is written with this time: a server whose clock is ahead would fire it
// early otherwise, and one whose clock is behind late.
func (c *Clock) Server(t time.Time) time.Time {
	return t.Add(time.Duration(c.ahead.Load()))
}

// Ahead is how far the server's clock is ahead of ours, and false before that was
// found out.
func (c *Clock) Ahead() (time.Duration, bool) {
	return time.Duration(c.ahead.Load()), c.known.Load()
}

// Compare asks the leader of DELIVERIES for the time once. It returns an error when
// it does not answer; what was known stays.
func (c *Clock) Compare(ctx context.Context, js jetstream.JetStream) error {
	asked := time.Now()
	stream, err := js.Stream(ctx, StreamDeliveries)
	if err != nil {
		return fmt.Errorf("ask the leader of %s for the time: %w", StreamDeliveries, err)
	}
	c.learn(asked, stream.CachedInfo().TimeStamp, time.Now())
	return nil
}

// Run compares the clocks now and then until ctx is done.
func (c *Clock) Run(ctx context.Context, js jetstream.JetStream, log *zap.Logger) error {
	for ctx.Err() == nil {
		before, _ := c.Ahead()
		asking, cancel := context.WithTimeout(ctx, lookTimeout)
		err := c.Compare(asking, js)
		cancel()
		switch ahead, _ := c.Ahead(); {
		case err != nil && ctx.Err() == nil:
			log.Debug("clocks not compared, trying again", zap.Error(err))
		case err == nil && (ahead-before).Abs() > clockSlack:
			log.Warn("the clocks of this machine and of the NATS servers differ; schedules follow the servers'",
				zap.Float64("ahead_seconds", ahead.Seconds()))
		}
		retry.Pause(ctx, clockInterval)
	}
	return nil
}

// learn takes the time that the server showed somewhere between two of ours. It
// believes no more of a difference than the two allow.
func (c *Clock) learn(asked, server, answered time.Time) {
	if server.IsZero() {
		return
	}
	c.known.Store(true)
	var ahead time.Duration
	switch {
	case server.After(answered.Add(clockSlack)):
		ahead = server.Sub(answered)
	case server.Before(asked.Add(-clockSlack)):
		ahead = server.Sub(asked)
	}
	c.ahead.Store(int64(ahead))
}
