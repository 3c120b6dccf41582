package deliverylog

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"golang.org/x/sync/errgroup"

	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/activity"
)

const (
	// writesAtOnce is how many webhooks' activities are written at once: a database
	// that is a network away would be waited for in vain otherwise.
	writesAtOnce = 4
	// webhooksPerPiece is how many are written between two looks at the throttle.
	webhooksPerPiece = 32
	// pieceTime is how long is worked before the throttle is asked.
	pieceTime = 100 * time.Millisecond
)

// hook names a webhook.
type hook struct{ projectID, id string }

// follow brings the activity of each webhook up to date: one write a webhook,
// however many attempts it had. Known are the ids of attempts that had been
// recorded before. It may be repeated.
func (r *Recorder) follow(ctx context.Context, list []*webhooksv1.Attempt, known map[string]bool) error {
	byHook := map[hook][]*webhooksv1.LogEntry{}
	for _, a := range list {
		id, err := ulid.ParseStrict(a.GetId())
		if err != nil {
			return fmt.Errorf("read id of attempt %s: %w", a.GetId(), err)
		}
		of := hook{a.GetProjectId(), a.GetWebhookId()}
		byHook[of] = append(byHook[of], activity.Entry(a, id))
	}
	// In one order for all writers, so that they meet as seldom as possible.
	hooks := slices.SortedFunc(maps.Keys(byHook), func(a, b hook) int { return strings.Compare(a.id, b.id) })
	began := time.Now()
	for piece := range slices.Chunk(hooks, webhooksPerPiece) {
		writing, ctx := errgroup.WithContext(ctx)
		writing.SetLimit(writesAtOnce)
		for _, of := range piece {
			writing.Go(func() error {
				return r.store.AppendLog(ctx, of.projectID, of.id, byHook[of], func(id string) bool { return known[id] })
			})
		}
		if err := writing.Wait(); err != nil {
			return fmt.Errorf("update activity: %w", err)
		}
		if worked := time.Since(began); worked >= pieceTime && len(hooks) > webhooksPerPiece {
			r.throttle(ctx, worked)
			began = time.Now()
		}
	}
	return nil
}
