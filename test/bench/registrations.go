package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/dembrane/webhooks/pkg/event"
	hidden "github.com/dembrane/webhooks/pkg/secret"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/standalone/embedded"
)

const (
	// fewWebhooks is what many are compared with.
	fewWebhooks = 100
	// webhooksEach is how many webhooks each project has.
	webhooksEach = 2
)

// registries are two brokers' folders with a bucket of registrations each, and
// what reads them.
type registries struct {
	keyset    string // path of the file
	few, many bucket
	matcher   string // path of the program that measures matching
}

// bucket is a broker's folder.
type bucket struct {
	folder   string
	webhooks int
}

// registry measures a dispatcher that starts with very many webhooks, and with few.
// The api and its database have no part in it: the registrations are in the bucket.
func (b *bench) registry(ctx context.Context) error {
	if b.registries == nil {
		made, err := b.newRegistries(ctx)
		if err != nil {
			return err
		}
		b.registries = made
	}
	var few, many loaded
	loadFew := func() (err error) {
		few, err = b.load(ctx, b.registries.few)
		return err
	}
	loadMany := func() (err error) {
		many, err = b.load(ctx, b.registries.many)
		return err
	}
	if err := inOrder(b.firstFirst(), loadFew, loadMany); err != nil {
		return err
	}
	matching, err := measureMatching(ctx, b.registries.matcher)
	if err != nil {
		return err
	}
	more := float64(b.webhooks - fewWebhooks)
	each := float64(many.Heap-few.Heap) / more
	section := fmt.Sprintf("a dispatcher with %d webhooks", b.webhooks)
	note := func(key, label string, value float64) { b.figures.add(section, "registry."+key, label, value) }
	note("load", "from the start of the process until ready, s", many.took.Seconds())
	note("load.few", fmt.Sprintf("the same with %d, s", fewWebhooks), few.took.Seconds())
	note("bytes", "memory in use for each webhook, bytes", each)
	note("resident", "peak memory for each webhook, bytes", float64(many.peak-few.peak)/more)
	note("memory", "peak memory, MB", float64(many.peak)/megabyte)
	note("cpu", "CPU s until ready", many.cpu.Seconds())
	note("match.ratio", "matching an event among 100,000 / among 100", matching.many/matching.few)
	note("match", "matching an event among 100,000, ns", matching.many)
	note("match.few", "the same among 100, ns", matching.few)
	b.say("%d webhooks: ready after %s, %.0f bytes each; matching among 100,000 takes %.0f ns, among 100 %.0f ns",
		b.webhooks, many.took.Round(time.Millisecond), each, matching.many, matching.few)
	return nil
}

func (b *bench) newRegistries(ctx context.Context) (*registries, error) {
	made := registries{
		keyset: filepath.Join(b.folder, "registry-keyset.json"),
		few:    bucket{folder: filepath.Join(b.folder, "registry-few"), webhooks: fewWebhooks},
		many:   bucket{folder: filepath.Join(b.folder, "registry-many"), webhooks: b.webhooks},
	}
	keyset, err := hidden.NewKeyset()
	if err != nil {
		return nil, fmt.Errorf("make a keyset: %w", err)
	}
	if err := os.WriteFile(made.keyset, keyset, 0o600); err != nil {
		return nil, fmt.Errorf("write the keyset: %w", err)
	}
	box, err := hidden.OpenKeyset(keyset)
	if err != nil {
		return nil, fmt.Errorf("open the keyset: %w", err)
	}
	for _, each := range []bucket{made.few, made.many} {
		if err := each.fill(ctx, box); err != nil {
			return nil, err
		}
	}
	b.say("registered %d webhooks in a bucket; building what measures matching", made.many.webhooks)
	made.matcher, err = buildMatcher(ctx, b.folder)
	return &made, err
}

// serve runs a broker on the folder.
func (k bucket) serve(ctx context.Context, do func(url string) error) error {
	broker, err := embedded.StartNATS(ctx, "127.0.0.1:0", k.folder, zap.NewNop())
	if err != nil {
		return err
	}
	defer broker.Stop()
	return do(broker.URL())
}

// fill writes the registrations as the api's projection does.
func (k bucket) fill(ctx context.Context, box *hidden.Box) error {
	return k.serve(ctx, func(url string) error {
		nc, err := nats.Connect(url, nats.Name("webhooks-bench"))
		if err != nil {
			return fmt.Errorf("connect to nats: %w", err)
		}
		defer nc.Close()
		to, err := newPublisher(nc, unacknowledged)
		if err != nil {
			return err
		}
		err = topology.Ensure(ctx, to.js, topology.Settings{Replicas: 1, EventsMaxAge: 24 * time.Hour, DuplicateWindow: time.Minute})
		if err != nil {
			return err
		}
		for i := range k.webhooks {
			r, err := registration(i, box)
			if err != nil {
				return err
			}
			if err := to.put(topology.KeyRegistration(r.GetProjectId(), r.GetId()), r); err != nil {
				return err
			}
		}
		if err := to.acknowledged(ctx); err != nil {
			return err
		}
		if err := to.put(topology.KeyProjected, &webhooksv1.Registration{}); err != nil {
			return err
		}
		return to.acknowledged(ctx)
	})
}

// registration is as long as registrations usually are.
func registration(number int, box *hidden.Box) (*webhooksv1.Registration, error) {
	r := &webhooksv1.Registration{
		Id:        fmt.Sprintf("01K0BENCH%017d", number),
		ProjectId: fmt.Sprintf("0b9e5f0c-7a43-4f59-8a1e-%012d", number/webhooksEach),
		Revision:  1,
		Url:       fmt.Sprintf("https://hooks.customer-%d.example.org/dembrane/incoming?token=%016d", number, number),
		Events:    []string{event.ConversationTranscribed, event.ConversationSummarized},
		Enabled:   true,
	}
	sealed, err := box.Seal(hidden.New(secret), r.GetProjectId(), r.GetId())
	if err != nil {
		return nil, fmt.Errorf("seal a secret: %w", err)
	}
	r.Secrets = []*webhooksv1.SealedSecret{{Ciphertext: sealed}}
	return r, nil
}

// put writes one value of the bucket, without waiting for its acknowledgement.
func (p *publisher) put(key string, r *webhooksv1.Registration) error {
	data, err := proto.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode a registration: %w", err)
	}
	if _, err := p.js.PublishAsync("$KV."+topology.BucketWebhooks+"."+key, data); err != nil {
		return fmt.Errorf("write a registration: %w", err)
	}
	return nil
}
