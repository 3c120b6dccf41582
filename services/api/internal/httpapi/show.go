package httpapi

import (
	"time"

	"github.com/dembrane/webhooks/pkg/payload/chat"
	"github.com/dembrane/webhooks/pkg/words"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

// shown is a webhook as hosts see it. There is no secret in it, neither the one that
// signs nor a header's value, and nothing that one could be made of.
type shown struct {
	ID          string   `json:"id"`
	ProjectID   string   `json:"project_id"`
	Name        string   `json:"name"`
	Description string   `json:"description"`
	URL         string   `json:"url"`
	Events      []string `json:"events"`
	Enabled     bool     `json:"enabled"`
	Status      string   `json:"status"`
	HasSecret   bool     `json:"has_secret"`
	// PreviousSecretValidUntil is null unless a secret from before a rotation signs, too.
	PreviousSecretValidUntil *timestamp `json:"previous_secret_valid_until"`
	Format                   string     `json:"format"`
	// HeaderNames are those of the webhook's own headers; their values are secrets.
	HeaderNames []string `json:"header_names"`
	// MaxPerSecond is null when none was set: then the product of the format says how
	// many it takes, or there is no limit.
	MaxPerSecond *float64 `json:"max_per_second"`
	// InForce is false while deliveries still follow an earlier state.
	InForce bool        `json:"in_force"`
	Health  shownHealth `json:"health"`
	// CreatedBy is null for webhooks of which that was not written down.
	CreatedBy   *string   `json:"created_by"`
	DateCreated timestamp `json:"date_created"`
	DateUpdated timestamp `json:"date_updated"`
}

type shownHealth struct {
	State          string     `json:"state"`
	FailingSince   *timestamp `json:"failing_since"`
	LastSuccessAt  *timestamp `json:"last_success_at"`
	LastAttemptAt  *timestamp `json:"last_attempt_at"`
	LastStatusCode *int       `json:"last_status_code"`
	DisabledReason *string    `json:"disabled_reason"`
}

// timestamp is a time in the API: RFC 3339, UTC, milliseconds, Z.
type timestamp time.Time

// MarshalText implements [encoding.TextMarshaler].
func (t timestamp) MarshalText() ([]byte, error) {
	return time.Time(t).UTC().AppendFormat(nil, "2006-01-02T15:04:05.000Z"), nil
}

func show(w store.Webhook, in words.Language) shown {
	s := shown{
		ID:          w.ID,
		ProjectID:   w.ProjectID,
		Name:        w.Name,
		Description: w.Description,
		URL:         w.URL,
		Events:      w.Events,
		Enabled:     w.Status.Enabled(),
		Status:      string(w.Status),
		HasSecret:   len(w.Secrets) > 0,
		Format:      string(formatOf(w)),
		HeaderNames: w.HeaderNames(),
		Health:      showHealth(w, in),
		InForce:     !w.Pending,
		DateCreated: timestamp(w.CreatedAt),
		DateUpdated: timestamp(w.UpdatedAt),
	}
	if w.CreatedBy != "" {
		s.CreatedBy = &w.CreatedBy
	}
	for _, secret := range w.Secrets {
		if secret.ValidUntil != nil && secret.ValidUntil.After(time.Now()) {
			s.PreviousSecretValidUntil = optional(secret.ValidUntil)
			break // the newest of them ends last
		}
	}
	if w.MaxPerSecond != 0 {
		s.MaxPerSecond = &w.MaxPerSecond
	}
	return s
}

// formatOf is the format as hosts know it.
func formatOf(w store.Webhook) chat.Format {
	if w.Format == "" {
		return chat.JSON
	}
	return chat.Format(w.Format)
}

func showAll(list []store.Webhook, in words.Language) []shown {
	all := make([]shown, len(list))
	for i, w := range list {
		all[i] = show(w, in)
	}
	return all
}

func showHealth(w store.Webhook, in words.Language) shownHealth {
	h := shownHealth{
		State:         "ok",
		FailingSince:  optional(w.Health.FailingSince),
		LastSuccessAt: optional(w.Health.LastSuccessAt),
		LastAttemptAt: optional(w.Health.LastAttemptAt),
	}
	if code := w.Health.LastStatusCode; code != 0 {
		h.LastStatusCode = &code
	}
	switch {
	case !w.Status.Enabled():
		h.State = "disabled"
	case w.Health.FailingSince != nil:
		h.State = "failing"
	}
	if w.DisabledReason != "" {
		why := words.Disabled(string(w.DisabledReason), in)
		sentence := why.Message + " " + why.Advice
		h.DisabledReason = &sentence
	}
	return h
}

func optional(t *time.Time) *timestamp {
	if t == nil {
		return nil
	}
	shownTime := timestamp(*t)
	return &shownTime
}
