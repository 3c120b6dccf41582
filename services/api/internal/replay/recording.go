package replay

import (
	"context"

	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// follower is what follows from attempts.
type follower interface {
	Update(ctx context.Context, list []*webhooksv1.Attempt) error
	Run(ctx context.Context)
}

// outcomes is where what attempts mean for their deliveries is written down.
type outcomes interface {
	AppendOutcomes(ctx context.Context, list []*webhooksv1.Attempt) error
}

// Recording has the outcomes of attempts written down before whatever else follows
// from them, and before they are acknowledged.
type Recording struct {
	Store outcomes
	Then  follower
}

// Update is given attempts that are in the delivery log. Its errors are worth another
// try, with the same attempts.
func (r Recording) Update(ctx context.Context, list []*webhooksv1.Attempt) error {
	if err := r.Store.AppendOutcomes(ctx, list); err != nil {
		return err //nolint:wrapcheck // it says what it was
	}
	return r.Then.Update(ctx, list) //nolint:wrapcheck // it says what it was
}

// Run does what Update puts off, until ctx is done.
func (r Recording) Run(ctx context.Context) { r.Then.Run(ctx) }
