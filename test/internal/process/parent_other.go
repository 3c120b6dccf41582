//go:build !linux

package process

import "syscall"

// bound is what only Linux can do: elsewhere a process outlives this one if this
// one is killed.
func bound() *syscall.SysProcAttr { return nil }
