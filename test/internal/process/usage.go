package process

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// ticksPerSecond is the unit of the times in /proc/PID/stat, on every Linux.
const ticksPerSecond = 100

// Usage is what a process has used of the machine. The zero value stands for "not
// known", as on systems without /proc.
type Usage struct {
	CPU time.Duration
	// Peak is the most memory the process had resident, in bytes.
	Peak int64
}

// UsageOf reads what a process has used so far.
func UsageOf(pid int) Usage {
	folder := fmt.Sprintf("/proc/%d/", pid)
	stat, err := os.ReadFile(folder + "stat") //nolint:gosec // of a number
	if err != nil {
		return Usage{}
	}
	status, err := os.ReadFile(folder + "status") //nolint:gosec // of a number
	if err != nil {
		return Usage{}
	}
	return Usage{CPU: cpuTime(string(stat)), Peak: peakMemory(string(status))}
}

// ForgetPeak makes the process's memory of now its peak.
func ForgetPeak(pid int) {
	const resetPeak = "5"
	// Where this is not possible the peak is that of the process's whole life.
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte(resetPeak), 0o200)
}

// cpuTime takes utime and stime out of /proc/PID/stat: fields 14 and 15, of which
// the second is the program's name in parentheses and may have spaces.
func cpuTime(stat string) time.Duration {
	const utime, stime = 14 - 3, 15 - 3 // counted from the third field
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) <= stime {
		return 0
	}
	var ticks int64
	for _, field := range []string{fields[utime], fields[stime]} {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / ticksPerSecond
}

// peakMemory takes VmHWM out of /proc/PID/status.
func peakMemory(status string) int64 {
	_, rest, found := strings.Cut(status, "VmHWM:")
	fields := strings.Fields(rest)
	if !found || len(fields) == 0 {
		return 0
	}
	kib, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil {
		return 0
	}
	return kib << 10
}
