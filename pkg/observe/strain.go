package observe

import (
	"runtime"
	"runtime/metrics"
)

// Strain tells how much of this process waits for a processor. It belongs to one
// goroutine.
type Strain struct{ sample [1]metrics.Sample }

// NewStrain is ready to use.
func NewStrain() *Strain {
	return &Strain{[1]metrics.Sample{{Name: "/sched/goroutines/runnable:goroutines"}}}
}

// PerProcessor is how many goroutines wait for each processor at this moment.
func (s *Strain) PerProcessor() float64 {
	metrics.Read(s.sample[:])
	return float64(s.sample[0].Value.Uint64()) / float64(runtime.GOMAXPROCS(0))
}
