//go:build !unix

package http1

// quiet cannot look at a socket here. A request on a connection that the receiver has closed is sent once more.
func (c *conn) quiet() (quiet, stray bool) { return true, false }
