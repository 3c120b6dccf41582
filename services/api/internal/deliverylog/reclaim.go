package deliverylog

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/retry"
	"github.com/dembrane/webhooks/pkg/topology"
)

const (
	// reclaimAfter is how long a message may have been with another process when this
	// one begins, and reclaimMargin what JetStream takes to notice.
	reclaimAfter  = time.Second
	reclaimMargin = 500 * time.Millisecond
	// reclaimTimeout bounds the requests for it.
	reclaimTimeout = 5 * time.Second
)

// reclaim has JetStream give out again what a process held that was killed: a replay
// waits for these records, and the ack wait is a minute because a throttled recorder
// needs that. So it is a second for a moment; whoever consumes sets it again. Replicas
// that are alive may have records a second time, which does no harm.
func (r *Recorder) reclaim(ctx context.Context) {
	asking, cancel := context.WithTimeout(ctx, reclaimTimeout)
	defer cancel()
	consumer, err := r.js.Consumer(asking, topology.StreamAttempts, topology.ConsumerRecord)
	if err == nil {
		info := consumer.CachedInfo()
		if info.NumAckPending == 0 {
			return
		}
		short := info.Config
		short.AckWait = reclaimAfter
		if _, err = r.js.UpdateConsumer(asking, topology.StreamAttempts, short); err == nil {
			retry.Pause(ctx, reclaimAfter+reclaimMargin)
			return
		}
	}
	if ctx.Err() == nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		r.log.Info("what another process may have held is recorded after its ack wait", zap.Error(err))
	}
}
