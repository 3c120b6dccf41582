package app

import (
	"context"
	"time"
)

// eraseWait is how long a request waits for its erasure: shorter than what is between
// us and the caller waits for an answer.
const eraseWait = 10 * time.Second

// WithScrub has scrub called when something was erased in the database: it makes the
// database's files forget what was overwritten in them.
func WithScrub(scrub func(context.Context) error) Option { return func(a *App) { a.scrub = scrub } }
