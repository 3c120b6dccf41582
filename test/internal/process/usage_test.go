package process

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestCPUTime(t *testing.T) {
	const stat = "4242 (a (strange) name) S 1 4242 4242 0 -1 4194560 100 0 0 0 1234 66 0 0 20 0 9 0 100 1 2"
	assert.Equal(t, 13*time.Second, cpuTime(stat))
	for _, broken := range []string{"", "1 (x) S 1", "1 (x) S 1 1 1 0 -1 0 0 0 0 0 a b 0"} {
		assert.Zero(t, cpuTime(broken), broken)
	}
}

func TestPeakMemory(t *testing.T) {
	assert.Equal(t, int64(2048<<10), peakMemory("VmPeak:\t 9999 kB\nVmHWM:\t    2048 kB\nVmRSS:\t 12 kB\n"))
	for _, broken := range []string{"", "VmHWM:", "VmHWM: much kB"} {
		assert.Zero(t, peakMemory(broken), broken)
	}
}

func TestUsageOfNobody(t *testing.T) {
	assert.Zero(t, UsageOf(-1))
	ForgetPeak(-1)
	ForgetPeak(os.Getpid())
}
