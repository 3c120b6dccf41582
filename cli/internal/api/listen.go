package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// silence is after how long a stream counts as cut: three heartbeats.
	silence = 45 * time.Second
	// maxLineBytes is more than the largest event takes, with every letter escaped.
	maxLineBytes = 96 << 20
	// maxRefusalBytes bounds a refusal.
	maxRefusalBytes = 1 << 20
	// eventEnd is what the API says last.
	eventEnd = "listen.end"
)

// Delivery is an event as it would be delivered, unsigned.
type Delivery struct {
	// ID is where to go on from.
	ID      string            `json:"-"`
	Event   string            `json:"-"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
}

// ErrCut says that a stream ended without a word, and may be gone on with.
var ErrCut = errors.New("the connection was cut")

// Stream is an open connection of somebody who listens.
type Stream struct {
	// Last is the id to go on from.
	Last string

	response *http.Response
	scanner  *bufio.Scanner
	alive    *time.Timer
	cancel   context.CancelCauseFunc
}

// Listen connects. The query may have events and since; last is the id to go on
// from, or empty. Whoever gets a stream closes it.
func (c *Client) Listen(ctx context.Context, query url.Values, last string) (*Stream, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	request, err := c.request(ctx, http.MethodGet, c.path("listen")+"?"+query.Encode(), nil)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	request.Header.Set("Accept", "text/event-stream")
	if last != "" {
		request.Header.Set("Last-Event-ID", last)
	}
	alive := time.AfterFunc(silence, func() { cancel(errors.New("nothing came for " + silence.String())) })
	response, err := c.http.Do(request) //nolint:bodyclose // Stream.Close does
	if err != nil {
		alive.Stop()
		cancel(nil)
		return nil, unreachable(err)
	}
	s := &Stream{Last: last, response: response, scanner: bufio.NewScanner(response.Body), alive: alive, cancel: cancel}
	s.scanner.Buffer(nil, maxLineBytes)
	if response.StatusCode == http.StatusOK && strings.HasPrefix(response.Header.Get("Content-Type"), "text/event-stream") {
		return s, nil
	}
	defer s.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxRefusalBytes))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return nil, problem(response, body)
}

// Close ends the connection.
func (s *Stream) Close() {
	s.alive.Stop()
	s.cancel(nil)
	_ = s.response.Body.Close() // whatever was on its way comes again
}

// Next is the next event. The error is a [Problem] when the API ended the stream,
// and [ErrCut] when something else did.
func (s *Stream) Next() (Delivery, error) {
	var id, name, data string
	for s.scanner.Scan() {
		s.alive.Reset(silence)
		line := s.scanner.Text()
		if line != "" {
			field, value, _ := strings.Cut(line, ": ")
			switch field {
			case "id":
				id = value
			case "event":
				name = value
			case "data":
				data = value
			}
			continue
		}
		if id != "" {
			s.Last = id
		}
		switch {
		case data == "":
			name = ""
			continue
		case name == eventEnd:
			p := &Problem{}
			if err := json.Unmarshal([]byte(data), p); err != nil {
				return Delivery{}, fmt.Errorf("%w: %w", ErrCut, err)
			}
			return Delivery{}, p
		}
		d := Delivery{ID: id, Event: name}
		if err := json.Unmarshal([]byte(data), &d); err != nil {
			return d, fmt.Errorf("read an event: %w", err)
		}
		return d, nil
	}
	if err := s.scanner.Err(); err != nil {
		return Delivery{}, fmt.Errorf("%w: %w", ErrCut, err)
	}
	return Delivery{}, ErrCut
}
