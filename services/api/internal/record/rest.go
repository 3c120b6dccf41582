package record

import (
	"context"
	"time"
)

const (
	// calmFor is how long nothing may wait for a processor for the work to go on.
	calmFor = 100 * time.Millisecond
	// calmEvery is how often that is looked at.
	calmEvery = 10 * time.Millisecond
	// calm is how many goroutines may wait for each processor then.
	calm = 1
	// yieldingBytes is about how many records are written before the next rest, in
	// bytes of the messages: a thousand.
	yieldingBytes = 512 << 10
)

// rest is what a recorder that gives way does between two batches. The database that
// standalone embeds works on the processors that deliveries need.
type rest struct {
	// share is the largest share of the time that may be worked while others wait
	// for a processor; 1 is without a rest.
	share float64
	// strain is how many goroutines wait for each processor.
	strain func() float64
}

// most is how much may be written in one go, in bytes of the messages.
func (r rest) most() int {
	if r.share >= 1 {
		return prefetchBytes
	}
	return yieldingBytes
}

// after rests from work: until it is no more than its share of the time, until
// nothing else has waited for a processor for a while, or until ctx is done.
func (r rest) after(ctx context.Context, worked time.Duration) {
	if r.share >= 1 {
		return
	}
	enough := time.NewTimer(time.Duration(float64(worked) * (1/r.share - 1)))
	defer enough.Stop()
	look := time.NewTicker(calmEvery)
	defer look.Stop()
	for quiet := time.Duration(0); quiet < calmFor; {
		select {
		case <-ctx.Done():
			return
		case <-enough.C:
			return
		case <-look.C:
			if quiet += calmEvery; r.strain() > calm {
				quiet = 0
			}
		}
	}
}
