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
	err := c.raw.Read(func(fd uintptr) bool {
		var buffer [1]byte
		n, err := syscall.Read(int(fd), buffer[:])
		quiet, stray = errors.Is(err, syscall.EAGAIN), n > 0
		return true
	})
	return err == nil && quiet, stray
}
