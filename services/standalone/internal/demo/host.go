package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/dembrane/webhooks/pkg/event"
)

const (
	webhookName = "Demo receiver"
	callTimeout = 10 * time.Second
)

// host uses the API as a host's program would.
type host struct{ place Place }

type registered struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// register makes the demo's webhook, or points the one of an earlier run to this
// receiver, and returns its id.
func (h host) register(ctx context.Context, url, secret string) (string, error) {
	wanted := map[string]any{
		"name": webhookName, "url": url, "secret": secret, "events": event.Types(), "enabled": true,
	}
	var known []registered
	if err := h.call(ctx, http.MethodGet, "", nil, &known); err != nil {
		return "", fmt.Errorf("list webhooks: %w", err)
	}
	var result registered
	for _, w := range known {
		if w.Name == webhookName {
			if err := h.call(ctx, http.MethodPatch, "/"+w.ID, wanted, &result); err != nil {
				return "", fmt.Errorf("change webhook: %w", err)
			}
			return result.ID, nil
		}
	}
	if err := h.call(ctx, http.MethodPost, "", wanted, &result); err != nil {
		return "", fmt.Errorf("create webhook: %w", err)
	}
	return result.ID, nil
}

// call makes one request below the project's webhooks. An error holds what the
// API said.
func (h host) call(ctx context.Context, method, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encode request: %w", err)
		}
		body = bytes.NewReader(data)
	}
	request, err := http.NewRequestWithContext(ctx, method, h.place.webhooks()+path, body)
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	request.Header.Set("Authorization", "Bearer "+h.place.Token)
	request.Header.Set("Content-Type", "application/json")
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	if err != nil {
		return fmt.Errorf("send request: %w", err)
	}
	defer response.Body.Close() //nolint:errcheck // read as far as needed
	if response.StatusCode >= http.StatusMultipleChoices {
		var problem struct {
			Detail string `json:"detail"`
		}
		_ = json.NewDecoder(response.Body).Decode(&problem) // the status says enough
		return errors.New(response.Status + ": " + problem.Detail)
	}
	if err := json.NewDecoder(response.Body).Decode(out); err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	return nil
}

func (p Place) webhooks() string { return p.API + "/api/projects/" + projectID + "/webhooks" }
