package app

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dembrane/webhooks/services/api/internal/erase"
	"github.com/dembrane/webhooks/services/api/internal/replay"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

// eraseWait is how long a request waits for its erasure: shorter than what is between
// us and the caller waits for an answer.
const eraseWait = 10 * time.Second

// WithScrub has scrub called when something was erased in the database: it makes the
// database's files forget what was overwritten in them.
func WithScrub(scrub func(context.Context) error) Option { return func(a *App) { a.scrub = scrub } }

// erasures erases events. Outcomes and erasures are kept for as long: what comes late
// is recorded with both.
func (a *App) erasures(webhooks *store.Store, js jetstream.JetStream) *erase.Service {
	return erase.New(erase.Deps{Store: webhooks, JS: js, Kept: replay.Kept(a.config.EventsMaxAge), Scrub: a.scrub, Log: a.log})
}
