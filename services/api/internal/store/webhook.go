package store

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/registration"
)

// Webhook is a registration as it is stored.
type Webhook struct {
	ID          string              `bson:"_id"`
	ProjectID   string              `bson:"project_id"`
	Name        string              `bson:"name"`
	Description string              `bson:"description"`
	URL         string              `bson:"url"`
	Events      []string            `bson:"events"`
	Status      registration.Status `bson:"status"`
	// Secrets are those that sign, newest first, encrypted.
	Secrets []Secret `bson:"secrets"`
	// Headers are sent besides ours, in the order of their names, values encrypted.
	Headers []Header `bson:"headers,omitempty"`
	// Format is the shape of its bodies; empty for JSON, as in what earlier versions
	// made.
	Format string `bson:"format,omitempty"`
	// MaxPerSecond is the most attempts a second that the receiver is to get; 0 is
	// no limit.
	MaxPerSecond float64 `bson:"max_per_second"`
	// DisabledReason says why the system disabled it; empty when it did not.
	DisabledReason DisabledReason `bson:"disabled_reason"`

	// Revision grows with every change of the fields above.
	Revision int64 `bson:"revision"`
	// Pending marks a revision that is not known to be in the bucket.
	Pending bool `bson:"pending,omitempty"`
	// Owed are the types of which what is published before that is owed.
	Owed []Owed `bson:"owed,omitempty"`
	// WantedFrom is set for types that were owed for longer than a moment.
	WantedFrom []WantedFrom `bson:"wanted_from,omitempty"`
	// Slot is unique: `{project}/{number}` while the webhook lives, its id after.
	Slot string `bson:"slot"`

	// CreatedBy names who made it, as the identity driver does; empty in those that
	// earlier versions made.
	CreatedBy string     `bson:"created_by,omitempty"`
	CreatedAt time.Time  `bson:"created_at"`
	UpdatedAt time.Time  `bson:"updated_at"`
	DeletedAt *time.Time `bson:"deleted_at"`
	// EnabledAt is when it was last enabled again; nil when it never was off.
	EnabledAt *time.Time `bson:"enabled_at"`

	// Told is what was last said about it in an event of our own.
	Told Told `bson:"told,omitempty"`
	// Health is written by the recorder alone, and never raises the revision.
	Health Health `bson:"health"`
}

// Secret is one encrypted secret.
type Secret struct {
	Ciphertext []byte     `bson:"ciphertext"`
	ValidUntil *time.Time `bson:"valid_until"`
}

// Header is one request header with its encrypted value.
type Header struct {
	Name       string `bson:"name"`
	Ciphertext []byte `bson:"ciphertext"`
}

// DisabledReason is why the system disabled a webhook: a closed set.
type DisabledReason string

const (
	// DisabledGone says that the receiver answered 410.
	DisabledGone DisabledReason = "gone"
	// DisabledFailing says that nothing could be delivered for days.
	DisabledFailing DisabledReason = "failing"
)

// Health is what the attempts of late say about a webhook.
type Health struct {
	FailingSince   *time.Time `bson:"failing_since"`
	LastSuccessAt  *time.Time `bson:"last_success_at"`
	LastAttemptAt  *time.Time `bson:"last_attempt_at"`
	LastStatusCode int        `bson:"last_status_code"`
}

// Deleted reports whether this is a tombstone.
func (w Webhook) Deleted() bool { return w.DeletedAt != nil }

// Registration is the webhook as a dispatcher needs it.
func (w Webhook) Registration() *webhooksv1.Registration {
	r := &webhooksv1.Registration{
		Id:        w.ID,
		ProjectId: w.ProjectID,
		Revision:  uint64(w.Revision), //nolint:gosec // revisions start at 1 and grow
	}
	if w.Deleted() {
		r.Deleted = true
		return r
	}
	r.Url = w.URL
	r.Events = w.Events
	r.Enabled = w.Status.Enabled()
	r.Format = w.Format
	r.MaxPerSecond = w.MaxPerSecond
	r.WantedFrom = wantedFrom(w.WantedFrom)
	for _, secret := range w.Secrets {
		sealed := &webhooksv1.SealedSecret{Ciphertext: secret.Ciphertext}
		if secret.ValidUntil != nil {
			sealed.ValidUntil = timestamppb.New(*secret.ValidUntil)
		}
		r.Secrets = append(r.Secrets, sealed)
	}
	for _, header := range w.Headers {
		r.Headers = append(r.Headers, &webhooksv1.SealedHeader{Name: header.Name, Ciphertext: header.Ciphertext})
	}
	return r
}

// Disable switches the webhook off on behalf of the system.
func (w *Webhook) Disable(reason DisabledReason) {
	w.Status, w.DisabledReason = registration.Draft, reason
}
