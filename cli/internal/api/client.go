// Package api is a client of the management API. Each call returns what the API
// said, decoded and as it came.
package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// callTimeout is longer than the API takes for anything, a test delivery included.
	callTimeout = time.Minute
	// maxAnswerBytes bounds an answer: an attempt with its body is the largest.
	maxAnswerBytes = 64 << 20
)

// Client speaks for one project.
type Client struct {
	url, token, project string
	http                *http.Client
}

// New returns a client. It asks for nothing yet.
func New(address, token, project string) *Client {
	return &Client{url: address, token: token, project: project, http: &http.Client{
		// A token is for this host alone.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true},
	}}
}

// Close ends idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Problem is a refusal: the API's own words.
type Problem struct {
	Status    int    `json:"status"`
	Detail    string `json:"detail"`
	RequestID string `json:"request_id"`
	// RetryAfter is how long the API asks to wait, if it does.
	RetryAfter time.Duration `json:"-"`
}

// Error implements error.
func (p *Problem) Error() string { return fmt.Sprintf("%s (%d)", p.Detail, p.Status) }

// ErrUnreachable says that there was no answer at all.
var ErrUnreachable = errors.New("the API cannot be reached")

// unreachable leaves out the address, which whoever asks knows.
func unreachable(err error) error {
	if failed, ok := errors.AsType[*url.Error](err); ok {
		err = failed.Err
	}
	return fmt.Errorf("%w: %w", ErrUnreachable, err)
}

// Answer is what the API said.
type Answer[T any] struct {
	Value T
	Raw   json.RawMessage
	// Date is what the API's clock showed.
	Date time.Time
}

func (c *Client) path(parts ...string) string {
	escaped := []string{"/api/projects", url.PathEscape(c.project), "webhooks"}
	for _, part := range parts {
		escaped = append(escaped, url.PathEscape(part))
	}
	return strings.Join(escaped, "/")
}

// request makes a request of this client.
func (c *Client) request(ctx context.Context, method, path string, body []byte) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.url+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	request.Header.Set("User-Agent", "dembrane-webhooks")
	return request, nil
}

func call[T any](ctx context.Context, c *Client, method, path string, in any) (a Answer[T], _ error) {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return a, fmt.Errorf("encode request: %w", err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	request, err := c.request(ctx, method, path, body)
	if err != nil {
		return a, err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return a, unreachable(err)
	}
	defer func() { _ = response.Body.Close() }() // it is read to its end below
	if a.Raw, err = io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes)); err != nil {
		return a, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	a.Date, _ = http.ParseTime(response.Header.Get("Date")) // zero says that there is none
	if response.StatusCode >= http.StatusMultipleChoices {
		return a, problem(response, a.Raw)
	}
	if len(a.Raw) == 0 {
		return a, nil
	}
	if err := json.Unmarshal(a.Raw, &a.Value); err != nil {
		return a, fmt.Errorf("%w: what answers at %s is not the API", ErrUnreachable, c.url)
	}
	return a, nil
}

// problem reads a refusal. What is none of the API's own comes from something else.
func problem(response *http.Response, body []byte) error {
	p := &Problem{}
	if json.Unmarshal(body, p) != nil || p.Detail == "" {
		p.Detail = "What answered is not the API: is the address right, and is there a proxy between?"
	}
	p.Status = response.StatusCode
	if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil {
		p.RetryAfter = time.Duration(seconds) * time.Second
	}
	return p
}
