package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/dembrane/webhooks/pkg/event"
)

// projects is how many there are, each with a webhook of every kind.
const projectCount = 4

// project is a project and what its webhooks point to.
type project struct {
	id    string
	hooks []*hook
}

// registration is a webhook as the API shows it.
type registration struct {
	ID  string `json:"id"`
	URL string `json:"url"`
}

// kinds are the kinds of which every project has one.
func kinds() []kind { return []kind{steady, flaky, slow} }

// postsPerEvent is how many POSTs an event takes at most when nothing is wrong
// with us.
func (s *stack) postsPerEvent() int {
	total := 0
	for _, k := range kinds() {
		total += k.attempts()
	}
	return total
}

// registerAll registers the webhooks of the load.
func (s *stack) registerAll(ctx context.Context) error {
	for i := range projectCount {
		p := project{id: "project-" + strconv.Itoa(i+1)}
		for _, k := range kinds() {
			h := s.ledger.hook(s.hookName(p.id, string(k)), k)
			if _, err := s.create(ctx, p.id, h); err != nil {
				return err
			}
			p.hooks = append(p.hooks, h)
		}
		s.projects = append(s.projects, p)
	}
	return nil
}

// hookName tells the hooks of two stacks apart.
func (s *stack) hookName(project, name string) string {
	return s.scene.name + "/" + project + "/" + name
}

// create registers a webhook.
func (s *stack) create(ctx context.Context, project string, h *hook) (registration, error) {
	var made registration
	err := s.call(ctx, http.MethodPost, webhooksPath(project), fields(s.ledger, h), http.StatusCreated, &made)
	return made, err
}

// list is the project's webhooks.
func (s *stack) list(ctx context.Context, project string) ([]registration, error) {
	var all []registration
	err := s.call(ctx, http.MethodGet, webhooksPath(project), nil, http.StatusOK, &all)
	return all, err
}

func webhooksPath(project string) string { return "/api/projects/" + project + "/webhooks" }

func fields(l *ledger, h *hook) map[string]any {
	return map[string]any{"url": l.url + h.path, "secret": h.secret, "events": []string{event.ConversationTranscribed}}
}

// call makes one request of a host, wants this status, and decodes the answer.
func (s *stack) call(ctx context.Context, method, path string, in any, want int, out any) error {
	data, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("encode a request: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, method, s.apiURL+path, bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("make a request: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+token)
	status, body, err := s.do(request)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if status != want {
		return fmt.Errorf("%s %s: wanted %d: %w", method, path, want, answer{status, body})
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("%s %s: read the answer: %w", method, path, err)
	}
	return nil
}

// answer is one that was not wanted.
type answer struct {
	status int
	body   []byte
}

// Error implements error.
func (a answer) Error() string {
	return fmt.Sprintf("answered %d: %s", a.status, bytes.TrimSpace(a.body))
}

func (s *stack) get(ctx context.Context, url string) (status int, body []byte, _ error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, fmt.Errorf("make a request: %w", err)
	}
	return s.do(request)
}

func (s *stack) do(request *http.Request) (status int, body []byte, err error) {
	response, err := s.web.Do(request) //nolint:gosec // our own processes
	if err != nil {
		return 0, nil, fmt.Errorf("ask: %w", err)
	}
	defer func() { _ = response.Body.Close() }() // it is read to its end below
	body, err = io.ReadAll(response.Body)
	if err != nil {
		return 0, nil, fmt.Errorf("ask: %w", err)
	}
	return response.StatusCode, body, nil
}
