package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// peakMemory is the most memory that a running process had resident since it began
// or since [forgetPeak], in MiB; 0 on systems without /proc.
func peakMemory(p *process) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	return peakIn(string(status))
}

// peakIn takes VmHWM out of /proc/PID/status.
func peakIn(status string) int64 {
	_, rest, _ := strings.Cut(status, "VmHWM:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	kib, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil {
		return 0
	}
	return kib >> 10
}

// forgetPeak makes the process's memory of now its peak.
func forgetPeak(p *process) {
	const resetPeak = "5"
	// Where this is not possible the peak is that of the process's whole life.
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.cmd.Process.Pid), []byte(resetPeak), 0o200)
}
