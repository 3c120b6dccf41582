package egress

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"

	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// read takes what is wanted of a response, and reports whether that was all of it.
func (c *Client) read(response *http.Response) (result Result, whole bool) {
	if response.StatusCode < http.StatusOK {
		return failure(webhooksv1.Reason_REASON_PROTOCOL,
			"The receiver answered "+strconv.Itoa(response.StatusCode)+", which does not answer a POST."), false
	}
	result = Result{StatusCode: response.StatusCode, Header: response.Header}
	if response.Body == http.NoBody {
		return result, true
	}
	buffer, ok := c.responses.Get().(*[MaxBody + 1]byte)
	if !ok {
		buffer = new([MaxBody + 1]byte)
	}
	defer c.responses.Put(buffer)
	n, whole := fill(buffer[:], response.Body)
	result.Truncated = !whole || n > MaxBody
	result.Body = slices.Clone(buffer[:min(n, MaxBody)])
	return result, whole
}

// fill reads until the buffer is full or the body ends, and reports whether it
// ended as it should. The buffer has room for a byte more than is wanted: that byte
// tells a body that just fits from a longer one, and having seen the end lets the
// connection be used again.
func fill(buffer []byte, body io.Reader) (n int, whole bool) {
	for n < len(buffer) {
		m, err := body.Read(buffer[n:])
		n += m
		if err != nil {
			return n, errors.Is(err, io.EOF)
		}
	}
	return n, false
}
