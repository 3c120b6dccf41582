package portal

import (
	"net/http"
	"net/url"
	"time"
)

// apiReplay is a replay of the API.
type apiReplay struct {
	ID          string    `json:"id"`
	State       string    `json:"state"`
	Message     *string   `json:"message"`
	Since       time.Time `json:"since"`
	Only        string    `json:"only"`
	Total       *uint64   `json:"total"`
	Queued      uint64    `json:"queued"`
	Delivered   uint64    `json:"delivered"`
	Failed      uint64    `json:"failed"`
	CreatedBy   string    `json:"created_by"`
	DateCreated time.Time `json:"date_created"`
	// DateEnded is nil while it is under way.
	DateEnded *time.Time `json:"date_ended"`
}

// apiEstimate is what a replay would send.
type apiEstimate struct {
	Count            uint64     `json:"count"`
	Oldest           *time.Time `json:"oldest"`
	Newest           *time.Time `json:"newest"`
	EstimatedSeconds int64      `json:"estimated_seconds"`
	Pending          uint64     `json:"pending"`
	Complete         bool       `json:"complete"`
}

func (a client) replays(id string) ([]apiReplay, error) {
	return fetch[[]apiReplay](a, "/"+url.PathEscape(id)+"/replays")
}

func (a client) countReplay(id string, since time.Time, only string) (apiEstimate, error) {
	var found apiEstimate
	fields := map[string]any{"since": since.UTC().Format(time.RFC3339Nano), "only": only, "dry_run": true}
	err := a.send(http.MethodPost, "/"+url.PathEscape(id)+"/replay", fields, &found)
	return found, err
}

// startReplay starts one, once for each form.
func (a client) startReplay(id, formID string, fields map[string]any) error {
	return a.send(http.MethodPost, "/"+url.PathEscape(id)+"/replay", fields, nil, "Idempotency-Key", formID)
}

func (a client) cancelReplay(id, replay string) error {
	return a.send(http.MethodDelete, "/"+url.PathEscape(id)+"/replays/"+url.PathEscape(replay), nil, nil)
}
