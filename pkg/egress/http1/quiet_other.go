//go:build !unix

package http1

// quiet cannot look at a socket here. A request on a connection that the receiver
// has closed fails, and is retried on schedule.
func (c *conn) quiet() bool { return true }
