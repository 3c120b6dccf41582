package intake

import (
	"context"
	"sync/atomic"
)

// taken is an event whose deliveries are under way. The last one that is settled
// settles the event: acknowledged when all of them are durable, handed back when
// one is not.
type taken struct {
	body   []byte
	left   atomic.Int32
	failed atomic.Bool
	end    func(durable bool)
}

func newTaken(body []byte, deliveries int, end func(bool)) *taken {
	t := &taken{body: body, end: end}
	t.left.Store(int32(deliveries)) //nolint:gosec // as many as a project has webhooks
	return t
}

// Body implements deliver.Source.
func (t *taken) Body(context.Context) ([]byte, error) { return t.body, nil }

// Settle implements deliver.Source.
func (t *taken) Settle(durable bool) { //nolint:revive // the interface says why
	if !durable {
		t.failed.Store(true)
	}
	if t.left.Add(-1) == 0 {
		t.end(!t.failed.Load())
	}
}
