package registry

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dembrane/webhooks/pkg/topology"
)

var errCutOff = errors.New("the leader of the bucket's stream hears of too few replicas to be believed")

// view is what the leader of the bucket's stream says about it.
type view struct {
	asked time.Time
	// watched is how far the watch was when it was asked.
	watched uint64
	created time.Time
	last    uint64
	// complete says that the bucket is marked as complete.
	complete bool
	err      error
}

// look asks for the state of the bucket's stream, which only its leader answers, and
// believes it only while a majority of the replicas has heard of that leader lately.
func look(ctx context.Context, stream jetstream.Stream, watched uint64, timeout time.Duration) view {
	marker := topology.SubjectKey(topology.KeyProjected)
	v := view{asked: time.Now(), watched: watched}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(marker))
	if err != nil {
		v.err = fmt.Errorf("ask for the bucket's stream: %w", err)
		return v
	}
	if !topology.Led(info.Cluster) {
		v.err = errCutOff
		return v
	}
	v.created, v.last, v.complete = info.Created, info.State.LastSeq, info.State.Subjects[marker] > 0
	return v
}

// checker looks at the bucket in the background, once at a time.
type checker struct {
	stream  jetstream.Stream
	ctx     context.Context //nolint:containedctx // of the watch that it belongs to
	cancel  context.CancelFunc
	looking sync.WaitGroup
	busy    chan struct{}
	seen    chan view
}

func newChecker(ctx context.Context, stream jetstream.Stream) *checker {
	ctx, cancel := context.WithCancel(ctx)
	return &checker{stream: stream, ctx: ctx, cancel: cancel, busy: make(chan struct{}, 1), seen: make(chan view)}
}

// look begins a look, whose view will be in seen, unless one is under way.
func (c *checker) look(watched uint64) {
	select {
	case c.busy <- struct{}{}:
	default:
		return
	}
	c.looking.Go(func() {
		v := look(c.ctx, c.stream, watched, lookTimeout)
		<-c.busy
		select {
		case c.seen <- v:
		case <-c.ctx.Done():
		}
	})
}

// close ends what is under way.
func (c *checker) close() {
	c.cancel()
	c.looking.Wait()
}
