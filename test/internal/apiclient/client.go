// Package apiclient speaks with a running system as a host and as an operator do:
// over the management API, and over the listener of the dispatcher's metrics.
package apiclient

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Client is a host. The zero value of Timeout is no timeout.
type Client struct {
	// URL is where the api is, Token what the host shows.
	URL, Token string
	Timeout    time.Duration
}

// Fields is what a request says about a webhook.
type Fields map[string]any

// Webhook is a registration as the API shows it.
type Webhook struct {
	ID        string   `json:"id"`
	ProjectID string   `json:"project_id"`
	URL       string   `json:"url"`
	Events    []string `json:"events"`
	Enabled   bool     `json:"enabled"`
	HasSecret bool     `json:"has_secret"`
	Health    struct {
		State          string `json:"state"`
		DisabledReason string `json:"disabled_reason"`
	} `json:"health"`
}

// sessionCookie is where the api finds the token of a browser.
const sessionCookie = "directus_session_token"

// Webhooks is the path of a project's webhooks.
func Webhooks(project string) string { return "/api/projects/" + project + "/webhooks" }

// Path is where the webhook is.
func (w Webhook) Path() string { return Webhooks(w.ProjectID) + "/" + w.ID }

// Create registers a webhook.
func (c Client) Create(ctx context.Context, project string, f Fields) (Webhook, error) {
	return decoded[Webhook](c.Call(ctx, http.MethodPost, Webhooks(project), f, http.StatusCreated))
}

// List is the project's webhooks.
func (c Client) List(ctx context.Context, project string) ([]Webhook, error) {
	return decoded[[]Webhook](c.Call(ctx, http.MethodGet, Webhooks(project), nil, http.StatusOK))
}

// Get is the webhook as it is now.
func (c Client) Get(ctx context.Context, w Webhook) (Webhook, error) {
	return decoded[Webhook](c.Call(ctx, http.MethodGet, w.Path(), nil, http.StatusOK))
}

func decoded[T any](body []byte, err error) (value T, _ error) {
	if err == nil {
		err = json.Unmarshal(body, &value)
	}
	return value, err
}

// Call makes one request, with a body unless in is nil, wants this status, and returns
// the body of the answer.
func (c Client) Call(ctx context.Context, method, path string, in any, want int) ([]byte, error) {
	data, err := json.Marshal(in)
	if err != nil {
		return nil, fmt.Errorf("encode a request: %w", err)
	}
	if string(data) == "null" {
		data = nil
	}
	request, err := http.NewRequestWithContext(ctx, method, c.URL+path, bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+c.Token)
	return answer(request, c.Timeout, want)
}

// Page asks for a page as a browser does that is signed in.
func (c Client) Page(ctx context.Context, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL+path, nil)
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	request.AddCookie(&http.Cookie{Name: sessionCookie, Value: c.Token, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	return answer(request, c.Timeout, http.StatusOK)
}

// Get asks for a URL and wants 200.
func Get(ctx context.Context, url string, timeout time.Duration) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	return answer(request, timeout, http.StatusOK)
}

// answer makes the request on a connection of its own: whoever is asked may be dead
// the next time, and leaves nothing behind.
func answer(request *http.Request, timeout time.Duration, want int) ([]byte, error) {
	request.Close = true
	client := http.Client{Timeout: timeout, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask: %w", err)
	}
	defer func() { _ = response.Body.Close() }() // it is read to its end below
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, fmt.Errorf("ask %s %s: %w", request.Method, request.URL.Path, err)
	}
	if response.StatusCode != want {
		return nil, fmt.Errorf("ask %s %s: answered %d instead of %d: %s",
			request.Method, request.URL.Path, response.StatusCode, want, bytes.TrimSpace(body))
	}
	return body, nil
}
