package process

import "syscall"

// bound makes a process end with this one, however this one ends.
func bound() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
