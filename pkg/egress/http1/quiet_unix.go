//go:build unix

package http1

import (
	"errors"
	"syscall"
)

// quiet reports whether nothing waits to be read from the socket, not even its end, or else whether that is stray.
func (c *conn) quiet() (quiet, stray bool) {
	if c.raw == nil {
		return true, false
	}
	p := &c.peek
	if p.look == nil {
		p.look = func(fd uintptr) bool {
			p.n, p.err = syscall.Read(int(fd), p.buffer[:])
			return true
		}
	}
	err := c.raw.Read(p.look)
	return err == nil && errors.Is(p.err, syscall.EAGAIN), p.n > 0
}
