package record

import (
	"context"
	"time"

	"github.com/dembrane/webhooks/pkg/observe"
)

const (
	// lookEvery is how often a rest looks whether anything waits for a processor.
	lookEvery = 10 * time.Millisecond
	// looks is over about how many of those it takes the average.
	looks = 8
	// strained is how many goroutines wait for each processor when a rest begins, as
	// far as it knows, and calm how many may for it to end: it lasts for a tenth of a
	// second at least.
	strained = 4
	calm     = 1
	// yieldingBytes is about how many records are written before the next rest, in
	// bytes of the messages: a thousand.
	yieldingBytes = 512 << 10
)

// rest is what a recorder that gives way does between two pieces of work. The
// database that standalone embeds works on the processors that deliveries need.
type rest struct {
	// share is the largest share of the time that may be worked while others wait
	// for a processor; 1 is without a rest.
	share float64
	// strain is how many goroutines wait for each processor. One goroutine asks it.
	strain func() float64
}

func newRest(share float64) rest {
	return rest{share: share, strain: observe.NewStrain().PerProcessor}
}

// most is how much may be written in one go, in bytes of the messages.
func (r rest) most() int {
	if r.share >= 1 {
		return prefetchBytes
	}
	return yieldingBytes
}

// after rests from work: until it is no more than its share of the time, until next
// to nothing waits for a processor any more, or until ctx is done.
func (r rest) after(ctx context.Context, worked time.Duration) {
	if r.share >= 1 {
		return
	}
	enough := time.NewTimer(time.Duration(float64(worked) * (1/r.share - 1)))
	defer enough.Stop()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for strain := float64(strained); strain > calm; {
		select {
		case <-ctx.Done():
			return
		case <-enough.C:
			return
		case <-look.C:
			strain += (min(r.strain(), 2*strained) - strain) / looks
		}
	}
}
