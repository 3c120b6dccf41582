package egress

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"

	"github.com/dembrane/webhooks/pkg/egress/http1"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// read takes what is wanted of a response.
func (c *Client) read(a *attempt, response *http.Response) Result {
	a.enter(webhooksv1.Phase_PHASE_UNSPECIFIED)
	if response.StatusCode < http.StatusOK {
		return failure(webhooksv1.Reason_REASON_PROTOCOL,
			"The receiver answered "+strconv.Itoa(response.StatusCode)+", which does not answer a POST.")
	}
	result := Result{StatusCode: response.StatusCode, Header: response.Header}
	if response.Body == http.NoBody {
		return result
	}
	buffer, ok := c.responses.Get().(*[maxBody + 1]byte)
	if !ok {
		buffer = new([maxBody + 1]byte)
	}
	defer c.responses.Put(buffer)
	n, err := fill(buffer[:], response.Body)
	if errors.Is(err, http1.ErrMalformed) {
		a.notes = append(a.notes, "The headers of the response are not valid HTTP or are too large; its status counts.")
	}
	result.Truncated = err != nil || n > maxBody
	result.Body = slices.Clone(buffer[:min(n, maxBody)])
	return result
}

// fill reads until the buffer is full or the body ends, which is an error unless it ended as it should. The buffer has
// room for a byte more than is wanted: that byte tells a body that just fits from a longer one, and having seen the
// end lets the connection be used again.
func fill(buffer []byte, body io.Reader) (n int, err error) {
	for n < len(buffer) {
		m, err := body.Read(buffer[n:])
		n += m
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}
