package observe

import (
	"runtime"
	"runtime/metrics"
)

// CPUQueue tells how many goroutines of this process wait for a CPU. It belongs to
// one goroutine.
type CPUQueue struct{ sample [1]metrics.Sample }

// NewCPUQueue is ready to use.
func NewCPUQueue() *CPUQueue {
	return &CPUQueue{[1]metrics.Sample{{Name: "/sched/goroutines/runnable:goroutines"}}}
}

// PerCPU is how many goroutines wait for each CPU at this moment.
func (q *CPUQueue) PerCPU() float64 {
	metrics.Read(q.sample[:])
	return float64(q.sample[0].Value.Uint64()) / float64(runtime.GOMAXPROCS(0))
}
