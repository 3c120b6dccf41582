package http1

import (
	"bytes"
	"net"
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"
)

const (
	// unlimited is how much of a body is read from a connection: what is enough is decided elsewhere.
	unlimited = -1
	// keptRaw is the largest buffer for headers, in bytes, that an exchange keeps for the next one.
	keptRaw = 8 << 10
)

// input remembers what net/http does not tell about a response: which final status line has arrived, which is the
// outcome even when the headers never end, and what the headers were, also when net/http refuses them.
type input struct {
	conn net.Conn
	left int // bytes of headers that are still read
	line statusLine
	raw  []byte // what was read until the headers ended
	any  bool   // something was read
	last byte   // the last byte that was read
	err  error  // reading has failed with it, so nothing more will come
}

func (i *input) reset(c net.Conn, limit int) {
	raw := i.raw[:0]
	if cap(raw) > keptRaw {
		raw = nil
	}
	*i = input{conn: c, left: limit, raw: raw}
}

func (i *input) headersEnded() { i.left = unlimited }

func (i *input) Read(p []byte) (int, error) {
	if i.left == 0 {
		return 0, errTooLarge
	}
	if i.left != unlimited {
		p = p[:min(len(p), i.left)]
	}
	n, err := i.conn.Read(p)
	if n > 0 {
		i.any, i.last = true, p[n-1]
		if i.left != unlimited {
			i.left -= n
			i.raw = append(i.raw, p[:n]...)
			i.line.feed(p[:n])
		}
	}
	i.err = err
	return n, err
}

// cutShort reports whether the connection ended in the middle of a line of what looked like HTTP. net/http takes such
// a line for a whole one and calls it malformed.
func (i *input) cutShort() bool {
	return i.err != nil && i.last != '\n' && i.line.plausible()
}

// salvaged is what can be read of the headers after the final status line, when net/http does not read them. Lines
// that are no header are left out.
func (i *input) salvaged() http.Header {
	header := http.Header{}
	rest := i.raw[i.line.end:]
	for {
		line, more, whole := bytes.Cut(rest, []byte{'\n'})
		line = bytes.TrimSuffix(line, []byte{'\r'})
		if !whole || len(line) == 0 {
			return header
		}
		rest = more
		name, value, ok := strings.Cut(string(line), ":")
		name, value = strings.TrimRight(name, " \t"), strings.TrimSpace(value)
		if ok && httpguts.ValidHeaderFieldName(name) && httpguts.ValidHeaderFieldValue(value) {
			header.Add(name, value)
		}
	}
}
