package portal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/dembrane/webhooks/pkg/words"
	"github.com/dembrane/webhooks/services/api/internal/httpapi"
)

// client calls the API for one visit. Its errors are *[problem] for whatever the API
// refused, with its words in the reader's language.
type client struct {
	c    echo.Context
	call httpapi.Call
	in   words.Language
	// say puts a sentence of the API into words for the reader.
	say func(sentence string) string
	// base is the path of the project's webhooks.
	base string
}

// problem is a refusal of the API, or one of our own.
type problem struct {
	Status    int          `json:"status"`
	Detail    string       `json:"detail"`
	Errors    []fieldError `json:"errors"`
	RequestID string       `json:"request_id"`
}

type fieldError struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

// Error implements error.
func (p *problem) Error() string { return fmt.Sprintf("%d %s", p.Status, p.Detail) }

// apiProject is what the caller may do in a project.
type apiProject struct {
	ID          string  `json:"id"`
	Name        string  `json:"name"`
	CanChange   bool    `json:"can_change"`
	WhyNot      *string `json:"why_not"`
	MaxWebhooks int     `json:"max_webhooks"`
}

// Called is what a person calls it.
func (p apiProject) Called() string {
	if p.Name != "" {
		return visible(p.Name)
	}
	return p.ID
}

type apiWebhook struct {
	ID          string   `json:"id"`
	Name        string   `json:"name"`
	Description string   `json:"description"`
	URL         string   `json:"url"`
	Events      []string `json:"events"`
	Enabled     bool     `json:"enabled"`
	HasSecret   bool     `json:"has_secret"`
	// PreviousUntil is until when the secret before a rotation goes on signing.
	PreviousUntil *time.Time `json:"previous_secret_valid_until"`
	Format        string     `json:"format"`
	MaxPerSecond  *float64   `json:"max_per_second"`
	HeaderNames   []string   `json:"header_names"`
	InForce       bool       `json:"in_force"`
	Health        apiHealth  `json:"health"`
	DateCreated   time.Time  `json:"date_created"`
}

// Host is where its deliveries go, without what may be a key.
func (w apiWebhook) Host() string {
	u, err := url.Parse(w.URL)
	if err != nil {
		return ""
	}
	return u.Host
}

type apiHealth struct {
	State          string     `json:"state"`
	FailingSince   *time.Time `json:"failing_since"`
	LastSuccessAt  *time.Time `json:"last_success_at"`
	LastAttemptAt  *time.Time `json:"last_attempt_at"`
	DisabledReason *string    `json:"disabled_reason"`
}

type apiStatistics struct {
	Hours   []apiCounts `json:"hours"`
	Last24h apiCounts   `json:"last_24_hours"`
	Last7d  apiCounts   `json:"last_7_days"`
	// LastFailure is nil unless the newest request failed.
	LastFailure  *apiAttempt `json:"last_failure"`
	LastMissedAt *time.Time  `json:"last_missed_at"`
}

// apiLately is what became of a webhook's attempts in the last 24 hours.
type apiLately struct {
	WebhookID string      `json:"webhook_id"`
	Hours     []apiCounts `json:"hours"`
	// LastFailure is nil unless the newest request failed.
	LastFailure *apiAttempt `json:"last_failure"`
	// LastMissedAt is when the newest delivery was given up that has not arrived since;
	// nil when there is none.
	LastMissedAt *time.Time `json:"last_missed_at"`
}

// apiTest is what became of a test.
type apiTest struct {
	Success           bool       `json:"success"`
	StatusCode        *int       `json:"status_code"`
	Message           string     `json:"message"`
	Advice            string     `json:"advice"`
	Reason            string     `json:"reason"`
	Detail            string     `json:"detail"`
	DurationMS        int64      `json:"duration_ms"`
	Timing            *apiTiming `json:"timing"`
	ResponseBody      string     `json:"response_body"`
	ResponseTruncated bool       `json:"response_truncated"`
	StartedAt         time.Time  `json:"started_at"`
}

// apiTiming is in milliseconds.
type apiTiming struct {
	DNS     float64 `json:"dns_ms"`
	Connect float64 `json:"connect_ms"`
	TLS     float64 `json:"tls_ms"`
	Wait    float64 `json:"wait_ms"`
}

type apiElsewhere struct {
	ID          string   `json:"id"`
	Name        string   `json:"name"`
	URL         string   `json:"url"`
	Events      []string `json:"events"`
	Format      string   `json:"format"`
	ProjectID   string   `json:"project_id"`
	ProjectName *string  `json:"project_name"`
}

func (a client) project() (apiProject, error) { return fetch[apiProject](a, "/project") }

func (a client) webhooks() ([]apiWebhook, error) { return fetch[[]apiWebhook](a, "") }

func (a client) webhook(id string) (apiWebhook, error) {
	return fetch[apiWebhook](a, "/"+url.PathEscape(id))
}

// elsewhere are the caller's webhooks in other projects.
func (a client) elsewhere() ([]apiElsewhere, error) {
	return fetch[[]apiElsewhere](a, "/copyable?limit=250")
}

func (a client) statistics(id string) (apiStatistics, error) {
	return fetch[apiStatistics](a, "/"+url.PathEscape(id)+"/statistics")
}

// lately is what became of the attempts of all webhooks in the last 24 hours, by
// their ids.
func (a client) lately() (map[string]apiLately, error) {
	found, err := fetch[struct {
		Webhooks []apiLately `json:"webhooks"`
	}](a, "/statistics")
	byID := make(map[string]apiLately, len(found.Webhooks))
	for _, one := range found.Webhooks {
		byID[one.WebhookID] = one
	}
	return byID, err
}

// create makes a webhook once, however often the same form is sent.
func (a client) create(formID string, fields map[string]any) (apiWebhook, error) {
	var made apiWebhook
	err := a.send(http.MethodPost, "", fields, &made, "Idempotency-Key", formID)
	return made, err
}

// test sends a sample of an event in a format, and waits for what becomes of it.
func (a client) test(id, eventType, format string) (apiTest, error) {
	var tested apiTest
	err := a.send(http.MethodPost, "/"+url.PathEscape(id)+"/test", map[string]any{"event": eventType, "format": format}, &tested)
	return tested, err
}

func (a client) rotate(id, secret string, overlap time.Duration) error {
	return a.send(http.MethodPost, "/"+url.PathEscape(id)+"/secret/rotate",
		map[string]any{"secret": secret, "overlap_seconds": int(overlap / time.Second)}, nil)
}

func (a client) endOverlap(id string) error {
	return a.send(http.MethodDelete, "/"+url.PathEscape(id)+"/secret/previous", nil, nil)
}

func (a client) remove(id string) error {
	return a.send(http.MethodDelete, "/"+url.PathEscape(id), nil, nil)
}

// fetch reads what is at a path below the project's webhooks.
func fetch[T any](a client, path string) (T, error) {
	var found T
	err := a.send(http.MethodGet, path, nil, &found)
	return found, err
}

func (a client) change(id string, fields map[string]any) error {
	return a.send(http.MethodPatch, "/"+url.PathEscape(id), fields, nil)
}

// send makes one request below the project's webhooks. Headers are given as name and
// value in turn. into may be nil.
func (a client) send(method, path string, in, into any, headers ...string) error {
	var body io.Reader = http.NoBody
	if in != nil {
		encoded, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encode request: %w", err)
		}
		body = bytes.NewReader(encoded)
	}
	came := a.c.Request()
	request, err := http.NewRequestWithContext(came.Context(), method, a.base+path, body)
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	request.Host, request.RemoteAddr = came.Host, came.RemoteAddr
	// The cookie says who calls, the others where from. An Authorization header is
	// left out: no page of a browser sends one by itself.
	for _, name := range []string{"Cookie", "Origin", "Sec-Fetch-Site", "X-Forwarded-For"} {
		if values := came.Header.Values(name); len(values) > 0 {
			request.Header[name] = values
		}
	}
	request.Header.Set("Accept-Language", a.in.Tag())
	request.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	return a.read(a.call(a.c, request), into)
}

func (a client) read(answer httpapi.Answer, into any) error {
	if answer.Status >= http.StatusMultipleChoices {
		refusal := &problem{}
		if err := json.Unmarshal(answer.Body, refusal); err != nil {
			return fmt.Errorf("read refusal of the API: %w", err)
		}
		refusal.Detail = a.say(refusal.Detail)
		for i := range refusal.Errors {
			refusal.Errors[i].Message = a.say(refusal.Errors[i].Message)
		}
		return refusal
	}
	if into == nil || len(answer.Body) == 0 {
		return nil
	}
	if err := json.Unmarshal(answer.Body, into); err != nil {
		return fmt.Errorf("read answer of the API: %w", err)
	}
	return nil
}
