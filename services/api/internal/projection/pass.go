package projection

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/dembrane/webhooks/pkg/observe"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

const (
	// owedAtMost is how long a delivery may be owed after its event was dropped from
	// EVENTS: the longest retries, twice.
	owedAtMost = 7 * 24 * time.Hour
	// readWait is how long the next key of the bucket may take to come.
	readWait = 5 * time.Second
	// forgetAtMost bounds the tombstones that one pass takes out of the bucket, a
	// request each.
	forgetAtMost = 1000
)

// tombstoneAge is how long a deleted webhook is remembered: for as long as
// anything can be owed to it.
func (p *Projector) tombstoneAge() time.Duration { return p.settings.EventsMaxAge + owedAtMost }

// held is what a pass keeps of what the bucket holds under one key.
type held struct {
	digest   [sha256.Size]byte
	sequence uint64
	// buried is when a tombstone was written; zero for what is no tombstone.
	buried time.Time
}

// pass is one comparison of everything.
type pass struct {
	*Projector

	began               time.Time
	state               bucketState
	held                map[string]held // what has no document so far
	compared, corrected int
}

// compare corrects one webhook if the bucket has something else.
func (p *pass) compare(ctx context.Context, w store.Webhook) error {
	p.compared++
	data, err := encode(w.Registration())
	if err != nil {
		return err
	}
	key := topology.KeyRegistration(w.ProjectID, w.ID)
	found, there := p.held[key]
	delete(p.held, key)
	if there && found.digest == sha256.Sum256(data) && !w.Pending {
		return nil
	}
	done, err := p.project(ctx, w.ProjectID, w.ID, later)
	if err != nil && ctx.Err() == nil && len(w.Owed) > 0 {
		// What it misses is owed to it, whenever it is written: everybody else need not
		// wait for that.
		p.log.Warn("projection is late: it will be tried again", zap.String(observe.KeyWebhook, w.ID), zap.Error(err))
		return nil
	}
	if err != nil || !done.wrote {
		return err
	}
	p.corrected++
	if w.Pending {
		return nil // it was known to be late
	}
	return p.unmark(ctx, &p.state, "it lacked "+key)
}

// bury deals with what the bucket holds and the database does not: a webhook that
// was purged, or is from another database. A tombstone stays until nothing can be
// owed to its webhook any more.
func (p *pass) bury(ctx context.Context) error {
	stream, err := p.js.Stream(ctx, topology.StreamBucket)
	if err != nil {
		return fmt.Errorf("open the bucket's stream: %w", err)
	}
	forgotten := 0
	for key, h := range p.held {
		switch {
		case h.buried.IsZero():
			projectID, id, _ := strings.Cut(key, ".")
			if _, err := p.project(ctx, projectID, id, later); err != nil {
				return err
			}
		case p.began.Sub(h.buried) > p.tombstoneAge() && forgotten < forgetAtMost:
			forgotten++
			// Unlike a Purge of the key, this leaves no marker behind.
			if err := stream.Purge(ctx, jetstream.WithPurgeSubject(topology.SubjectKey(key)),
				jetstream.WithPurgeSequence(h.sequence+1)); err != nil {
				return fmt.Errorf("forget tombstone %s: %w", key, err)
			}
		}
	}
	return nil
}

// snapshot reads the whole bucket and keeps a little of each registration.
func (p *Projector) snapshot(ctx context.Context) (map[string]held, error) {
	kv, err := p.js.KeyValue(ctx, topology.BucketWebhooks)
	if err != nil {
		return nil, fmt.Errorf("open bucket: %w", err)
	}
	watcher, err := kv.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		return nil, fmt.Errorf("read bucket: %w", err)
	}
	defer func() {
		go func() { // until its goroutine has handed over what it holds
			for range watcher.Updates() {
			}
		}()
		_ = watcher.Stop() // the server notices by itself
	}()
	all := map[string]held{}
	silence := time.NewTimer(readWait)
	defer silence.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("read bucket: %w", context.Cause(ctx))
		case <-silence.C:
			return nil, errors.New("read bucket: it does not come")
		case update, open := <-watcher.Updates():
			if !open {
				return nil, errors.New("read bucket: the watch ended early")
			}
			silence.Reset(readWait)
			if update == nil { // all that was there has been seen
				return all, nil
			}
			if strings.Contains(update.Key(), ".") {
				all[update.Key()] = summarize(update)
			}
		}
	}
}

func summarize(update jetstream.KeyValueEntry) held {
	h := held{digest: sha256.Sum256(update.Value()), sequence: update.Revision()}
	value := &webhooksv1.Registration{}
	if proto.Unmarshal(update.Value(), value) == nil && value.GetDeleted() {
		h.buried = update.Created()
	}
	return h
}
