package deliver

import (
	"runtime"
	gometrics "runtime/metrics"
	"time"
)

// strainEvery is how often the lanes are told how busy the processors are.
const strainEvery = 10 * time.Millisecond

// strain tells how much of this process waits for a processor.
type strain [1]gometrics.Sample

func newStrain() *strain { return &strain{{Name: "/sched/goroutines/runnable:goroutines"}} }

// perProcessor is how many goroutines wait for each processor at this moment.
func (s *strain) perProcessor() float64 {
	gometrics.Read(s[:])
	return float64(s[0].Value.Uint64()) / float64(runtime.GOMAXPROCS(0))
}

// follow lets no more attempts begin than the processors can follow.
func (d *Deliverer) follow(s *strain) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.draining {
		return
	}
	for _, next := range d.lanes.Strained(s.perProcessor(), d.clock.now()) {
		d.leave(next)
	}
}
