//go:build !unix

package egress

// quiet cannot look at a socket here. A request on a connection that the receiver
// has closed fails, and is retried on schedule.
func (c *http1Conn) quiet() bool { return true }
