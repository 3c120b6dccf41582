package directus

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/dembrane/webhooks/pkg/secret"
	"github.com/dembrane/webhooks/services/api/internal/access"
)

const (
	// maxAnswerBytes bounds what is read of one answer: a page of a hundred rows
	// has some ten thousand.
	maxAnswerBytes = 1 << 20
	// maxConnections bounds what one replica does to Directus at once; the rest
	// waits, as long as its timeout lets it.
	maxConnections = 64
	maxReasonBytes = 200
)

// client asks Directus, and nothing else: no redirect is followed, no proxy of
// the environment used.
type client struct {
	base  *url.URL
	token secret.Text
	http  *http.Client
}

func newClient(base *url.URL, token secret.Text, roots *x509.CertPool) *client {
	transport := &http.Transport{
		DialContext:            (&net.Dialer{Timeout: 3 * time.Second}).DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		TLSHandshakeTimeout:    3 * time.Second,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true, // so that the bound on an answer is one on memory
		MaxResponseHeaderBytes: 64 << 10,
		MaxConnsPerHost:        maxConnections,
		MaxIdleConnsPerHost:    maxConnections,
		IdleConnTimeout:        time.Minute,
	}
	return &client{base: base, token: token, http: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// refused is an answer of Directus itself that is no success.
type refused struct {
	status       int
	code, reason string
}

func (r *refused) Error() string {
	told := fmt.Sprintf("%d %s", r.status, r.code)
	if r.reason != "" {
		told += ": " + r.reason
	}
	return told
}

// isAbsent: no such item. With a reason, the same answer means that the question
// itself was not allowed.
func (r *refused) isAbsent() bool {
	return r.status == http.StatusForbidden && r.code == "FORBIDDEN" && r.reason == ""
}

// isBadToken: Directus knows the token that was sent to be no good.
func (r *refused) isBadToken() bool {
	return r.status == http.StatusUnauthorized || r.status == http.StatusForbidden
}

// advice tells an operator what to do about an answer to one of our own
// questions.
func (r *refused) advice() string {
	switch r.status {
	case http.StatusUnauthorized:
		return "set DIRECTUS_TOKEN to the static token of an active user of Directus"
	case http.StatusForbidden:
		return "let the user of DIRECTUS_TOKEN read the collections and fields that docs/access.md lists"
	case http.StatusBadRequest:
		return "Directus does not take the question: is QUERY_LIMIT_MAX there below 100, or another version running?"
	case http.StatusNotFound:
		return "DIRECTUS_BASE_URL must be the address of Directus itself"
	case http.StatusTooManyRequests:
		return "raise the rate limit of Directus (RATE_LIMITER_POINTS) for this service"
	case http.StatusServiceUnavailable:
		return "Directus is overloaded or starting"
	default:
		return "see the log of Directus; its database may be down"
	}
}

// get asks for what is at a path and returns its data. Errors are [*refused], or
// wrap [access.ErrUnavailable] and say what to do; none has a token in it.
func (c *client) get(ctx context.Context, token secret.Text, query url.Values, path ...string) (json.RawMessage, error) {
	address := c.base.JoinPath(path...)
	address.RawQuery = query.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("%w: make request: %w", access.ErrUnavailable, err)
	}
	request.Header.Set("Authorization", "Bearer "+token.Reveal())
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "dembrane-webhooks-api")
	response, err := c.http.Do(request)
	if err != nil {
		return nil, unanswered(ctx, err)
	}
	defer func() { _ = response.Body.Close() }() // it was read as far as it matters
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes+1))
	if err != nil {
		return nil, unanswered(ctx, err)
	}
	if len(body) > maxAnswerBytes {
		return nil, fmt.Errorf("%w: the answer of Directus is larger than %d bytes", access.ErrUnavailable, maxAnswerBytes)
	}
	return open(response.StatusCode, body)
}

// open takes an answer out of its envelope.
func open(status int, body []byte) (json.RawMessage, error) {
	var envelope struct {
		Data   json.RawMessage `json:"data"`
		Errors []struct {
			Extensions struct {
				Code   string `json:"code"`
				Reason string `json:"reason"`
			} `json:"extensions"`
		} `json:"errors"`
	}
	err := json.Unmarshal(body, &envelope)
	switch {
	case status >= 300 && status < 400:
		return nil, fmt.Errorf("%w: Directus answers with a redirect (%d), which is not followed: "+
			"set DIRECTUS_BASE_URL to the address that it leads to", access.ErrUnavailable, status)
	case status == http.StatusOK && err == nil && len(envelope.Data) > 0 && string(envelope.Data) != "null":
		return envelope.Data, nil
	case status != http.StatusOK && err == nil && len(envelope.Errors) > 0 && envelope.Errors[0].Extensions.Code != "":
		extensions := envelope.Errors[0].Extensions
		return nil, &refused{status: status, code: clip(extensions.Code), reason: clip(extensions.Reason)}
	default:
		return nil, fmt.Errorf("%w: this is not an answer of Directus (%d): set DIRECTUS_BASE_URL to its address, "+
			"and see what stands between", access.ErrUnavailable, status)
	}
}

// unanswered explains a request that got no answer. The address stays out: it
// has ids in it.
func unanswered(ctx context.Context, err error) error {
	if wrapped, is := errors.AsType[*url.Error](err); is {
		err = wrapped.Err
	}
	var untrusted *tls.CertificateVerificationError
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w: is Directus up, and DIRECTUS_TIMEOUT long enough?", access.ErrUnavailable, context.Cause(ctx))
	case errors.As(err, &untrusted):
		return fmt.Errorf("%w: the certificate of Directus is not trusted: "+
			"SSL_CERT_FILE names the file with that of its authority: %w", access.ErrUnavailable, err)
	default:
		return fmt.Errorf("%w: Directus does not answer: is it up, and DIRECTUS_BASE_URL its address? %w", access.ErrUnavailable, err)
	}
}

// clip keeps an answer from filling the log.
func clip(told string) string {
	if len(told) > maxReasonBytes {
		return strings.ToValidUTF8(told[:maxReasonBytes], "") + "…"
	}
	return told
}
