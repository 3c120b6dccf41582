package api

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// Webhook is a registration.
type Webhook struct {
	ID        string   `json:"id"`
	Name      string   `json:"name"`
	URL       string   `json:"url"`
	Events    []string `json:"events"`
	Format    string   `json:"format"`
	Enabled   bool     `json:"enabled"`
	HasSecret bool     `json:"has_secret"`
	InForce   bool     `json:"in_force"`
	Health    struct {
		State          string  `json:"state"`
		LastStatusCode *int    `json:"last_status_code"`
		DisabledReason *string `json:"disabled_reason"`
	} `json:"health"`
}

// NewWebhook is what a webhook is made of.
type NewWebhook struct {
	URL    string   `json:"url"`
	Events []string `json:"events"`
	Name   string   `json:"name,omitempty"`
	Secret string   `json:"secret,omitempty"`
	Format string   `json:"format,omitempty"`
	// Headers are extra request headers that the receiver wants; the values are secrets.
	Headers      map[string]string `json:"headers,omitempty"`
	MaxPerSecond float64           `json:"max_per_second,omitempty"`
}

// TestResult is what became of a test delivery.
type TestResult struct {
	Success    bool   `json:"success"`
	StatusCode *int   `json:"status_code"`
	Message    string `json:"message"`
	Advice     string `json:"advice"`
	DurationMS int    `json:"duration_ms"`
}

// Rotation is a new secret.
type Rotation struct {
	Secret             string     `json:"secret"`
	PreviousValidUntil *time.Time `json:"previous_valid_until"`
}

// Attempt is one POST, or the decision that there is none.
type Attempt struct {
	ID            string     `json:"id"`
	DeliveryID    string     `json:"delivery_id"`
	EventID       string     `json:"event_id"`
	Event         string     `json:"event"`
	Number        int        `json:"number"`
	Trigger       string     `json:"trigger"`
	StartedAt     time.Time  `json:"started_at"`
	DurationMS    int        `json:"duration_ms"`
	Status        string     `json:"status"`
	StatusCode    *int       `json:"status_code"`
	Message       string     `json:"message"`
	Advice        string     `json:"advice"`
	NextAttemptAt *time.Time `json:"next_attempt_at"`
}

// HeaderLine is a header; no value is one that is not shown.
type HeaderLine struct {
	Name  string  `json:"name"`
	Value *string `json:"value"`
}

// AttemptDetail is an attempt with what was sent and what came back.
type AttemptDetail struct {
	Attempt

	Detail string `json:"detail"`

	Request *struct {
		URL      string       `json:"url"`
		Headers  []HeaderLine `json:"headers"`
		Body     *string      `json:"body"`
		BodyNote string       `json:"body_note"`
	} `json:"request"`
	Response *struct {
		Headers []HeaderLine `json:"headers"`
		Body    string       `json:"body"`
	} `json:"response"`
}

// Page is a part of a list.
type Page[T any] struct {
	Data       []T     `json:"data"`
	NextCursor *string `json:"next_cursor"`
}

// Upcoming is what a resend says.
type Upcoming struct {
	EventID string `json:"event_id"`
	Message string `json:"message"`
}

// NewReplay is what a replay is of.
type NewReplay struct {
	Since        time.Time  `json:"since"`
	Until        *time.Time `json:"until,omitempty"`
	Only         string     `json:"only"`
	Events       []string   `json:"events,omitempty"`
	MaxPerSecond float64    `json:"max_per_second,omitempty"`
	DryRun       bool       `json:"dry_run,omitempty"`
}

// Estimate is what a replay would send.
type Estimate struct {
	Count            int64      `json:"count"`
	Oldest           *time.Time `json:"oldest"`
	Newest           *time.Time `json:"newest"`
	EstimatedSeconds int64      `json:"estimated_seconds"`
}

// Replay is a replay and how far it is.
type Replay struct {
	ID          string    `json:"id"`
	State       string    `json:"state"`
	Message     *string   `json:"message"`
	Only        string    `json:"only"`
	Total       *int64    `json:"total"`
	Queued      int64     `json:"queued"`
	Delivered   int64     `json:"delivered"`
	Failed      int64     `json:"failed"`
	DateCreated time.Time `json:"date_created"`
}

// LedgerEntry is an event that a webhook was owed.
type LedgerEntry struct {
	EventID     string    `json:"event_id"`
	Event       string    `json:"event"`
	PublishedAt time.Time `json:"published_at"`
	State       string    `json:"state"`
	Attempts    int       `json:"attempts"`
}

// LedgerSummary adds them up.
type LedgerSummary struct {
	Since           time.Time `json:"since"`
	Until           time.Time `json:"until"`
	Count           int64     `json:"count"`
	Delivered       int64     `json:"delivered"`
	Pending         int64     `json:"pending"`
	Failed          int64     `json:"failed"`
	NotSent         int64     `json:"not_sent"`
	Digest          string    `json:"digest"`
	DigestDelivered string    `json:"digest_delivered"`
}

// LedgerPage is a part of a ledger; the last one has the summary.
type LedgerPage struct {
	Page[LedgerEntry]

	Summary *LedgerSummary `json:"summary"`
}

// Health asks whether the API answers.
func (c *Client) Health(ctx context.Context) (Answer[map[string]string], error) {
	return call[map[string]string](ctx, c, http.MethodGet, "/api/health", nil)
}

// List is the project's webhooks.
func (c *Client) List(ctx context.Context) (Answer[[]Webhook], error) {
	return call[[]Webhook](ctx, c, http.MethodGet, c.path(), nil)
}

// Webhook is one of them.
func (c *Client) Webhook(ctx context.Context, id string) (Answer[Webhook], error) {
	return call[Webhook](ctx, c, http.MethodGet, c.path(id), nil)
}

// Create makes a webhook.
func (c *Client) Create(ctx context.Context, w NewWebhook) (Answer[Webhook], error) {
	return call[Webhook](ctx, c, http.MethodPost, c.path(), w)
}

// Enable switches a webhook on or off.
func (c *Client) Enable(ctx context.Context, id string, enabled bool) (Answer[Webhook], error) {
	return call[Webhook](ctx, c, http.MethodPatch, c.path(id), map[string]bool{"enabled": enabled})
}

// Delete removes a webhook.
func (c *Client) Delete(ctx context.Context, id string) error {
	_, err := call[any](ctx, c, http.MethodDelete, c.path(id), nil)
	return err
}

// Test makes a test delivery and says what became of it.
func (c *Client) Test(ctx context.Context, id string) (Answer[TestResult], error) {
	return call[TestResult](ctx, c, http.MethodPost, c.path(id, "test"), nil)
}

// Rotate gives a webhook another secret; the one so far is good for the overlap.
func (c *Client) Rotate(ctx context.Context, id string, overlap time.Duration) (Answer[Rotation], error) {
	return call[Rotation](ctx, c, http.MethodPost, c.path(id, "secret", "rotate"), map[string]int64{"overlap_seconds": int64(overlap / time.Second)})
}

// Deliveries is a page of a webhook's log.
func (c *Client) Deliveries(ctx context.Context, id string, filter url.Values) (Answer[Page[Attempt]], error) {
	return call[Page[Attempt]](ctx, c, http.MethodGet, c.path(id, "deliveries")+"?"+filter.Encode(), nil)
}

// Delivery is one attempt.
func (c *Client) Delivery(ctx context.Context, id, attempt string) (Answer[AttemptDetail], error) {
	return call[AttemptDetail](ctx, c, http.MethodGet, c.path(id, "deliveries", attempt), nil)
}

// Resend sends the event of an attempt again.
func (c *Client) Resend(ctx context.Context, id, attempt string) (Answer[Upcoming], error) {
	return call[Upcoming](ctx, c, http.MethodPost, c.path(id, "deliveries", attempt, "resend"), nil)
}

// Estimate says what a replay would send.
func (c *Client) Estimate(ctx context.Context, id string, r NewReplay) (Answer[Estimate], error) {
	r.DryRun = true
	return call[Estimate](ctx, c, http.MethodPost, c.path(id, "replay"), r)
}

// StartReplay begins a replay.
func (c *Client) StartReplay(ctx context.Context, id string, r NewReplay) (Answer[Replay], error) {
	return call[Replay](ctx, c, http.MethodPost, c.path(id, "replay"), r)
}

// Replays are the newest replays.
func (c *Client) Replays(ctx context.Context, id string) (Answer[[]Replay], error) {
	return call[[]Replay](ctx, c, http.MethodGet, c.path(id, "replays"), nil)
}

// Replay is one of them.
func (c *Client) Replay(ctx context.Context, id, replay string) (Answer[Replay], error) {
	return call[Replay](ctx, c, http.MethodGet, c.path(id, "replays", replay), nil)
}

// CancelReplay stops what has not been sent.
func (c *Client) CancelReplay(ctx context.Context, id, replay string) error {
	_, err := call[any](ctx, c, http.MethodDelete, c.path(id, "replays", replay), nil)
	return err
}

// Ledger is a page of what a webhook was owed.
func (c *Client) Ledger(ctx context.Context, id string, query url.Values) (Answer[LedgerPage], error) {
	return call[LedgerPage](ctx, c, http.MethodGet, c.path(id, "ledger")+"?"+query.Encode(), nil)
}
