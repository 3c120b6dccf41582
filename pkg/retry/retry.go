// Package retry tries an operation until it succeeds or its context ends.
package retry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// Pace is how long is waited between tries: about First, then half as long again
// each time, and never more than Longest. Every wait is spread at random by half
// of it, so that many processes do not try at the same moment.
type Pace struct{ First, Longest time.Duration }

// Until calls op until it returns nil, until it returns a [Permanent] error, or
// until ctx ends; op is given ctx. Before each wait it calls notify, which may be
// nil, with what went wrong. An op that went on for longer than the longest wait
// counts as one that worked for a while: the waits begin with the first again. So
// Until also keeps something running that is meant to run for ever.
//
// When ctx ends, the error wraps its cause and what op returned last. A ctx that
// has ended before the first try is never tried.
func Until(ctx context.Context, pace Pace, notify func(err error, wait time.Duration), op func(context.Context) error) error {
	waits := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(pace.First),
		backoff.WithMaxInterval(pace.Longest),
		backoff.WithMaxElapsedTime(0), // ctx decides
	)
	var last error
	for ctx.Err() == nil {
		began := time.Now()
		last = op(ctx)
		if last == nil {
			return nil
		}
		if permanent, ok := errors.AsType[*backoff.PermanentError](last); ok {
			return permanent.Err
		}
		if ctx.Err() != nil {
			break
		}
		if time.Since(began) > pace.Longest {
			waits.Reset()
		}
		wait := waits.NextBackOff()
		if notify != nil {
			notify(last, wait)
		}
		Pause(ctx, wait)
	}
	if last == nil {
		return context.Cause(ctx) //nolint:wrapcheck // there is nothing to add to it
	}
	return fmt.Errorf("%w: %w", context.Cause(ctx), last)
}

// Permanent marks an error after which [Until] does not try again. Until returns
// err itself.
func Permanent(err error) error { return backoff.Permanent(err) }

// Pause waits for d or until ctx ends.
func Pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
