// Package throttle holds back what can wait while other parts of this process
// wait for a CPU.
//
// The database that standalone embeds works on the CPUs that deliveries need. So
// the log of deliveries is written in a twentieth of the time as long as the CPU
// queue is not empty; deliveries go first, and their log follows.
package throttle

import (
	"context"
	"time"

	"github.com/dembrane/webhooks/pkg/observe"
)

const (
	// busyShare is the share of the time that may be worked while others wait for a
	// CPU.
	busyShare = 0.05
	// longestPause bounds a pause. How long a piece of work took says more about the
	// queue than about the work when it had to wait, too: a write that took three
	// seconds would keep the log from being written for a minute.
	longestPause = 5 * time.Second
	// sampleInterval is how often the CPU queue is looked at, and samples about how
	// many of those the average is over.
	sampleInterval = 10 * time.Millisecond
	samples        = 8
	// busyQueue is how many goroutines wait for each CPU, as far as a pause knows
	// when it begins, and idleQueue how few must for it to end: it lasts for a tenth
	// of a second at least.
	busyQueue = 4
	idleQueue = 1
)

// CPU is ready to use. It is safe for concurrent use.
type CPU struct {
	// share and queue are for tests: the share instead of busyShare, and how many
	// goroutines wait for each CPU instead of what the runtime says.
	share float64
	queue func() float64
}

// Wait pauses after a piece of work that took that long: until it is no more than
// its share of the time, for longestPause at most, until the CPU queue is empty on
// average, or until ctx is done.
func (c CPU) Wait(ctx context.Context, worked time.Duration) {
	share, queue := c.share, c.queue
	if share == 0 {
		share = busyShare
	}
	if queue == nil {
		queue = observe.NewCPUQueue().PerCPU
	}
	enough := time.NewTimer(min(time.Duration(float64(worked)*(1/share-1)), longestPause))
	defer enough.Stop()
	sample := time.NewTicker(sampleInterval)
	defer sample.Stop()
	for average := float64(busyQueue); average > idleQueue; {
		select {
		case <-ctx.Done():
			return
		case <-enough.C:
			return
		case <-sample.C:
			average += (min(queue(), 2*busyQueue) - average) / samples
		}
	}
}
