package main

import (
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
	"github.com/dembrane/webhooks/test/internal/run"
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
func (b *bench) registry(t run.T) {
	if b.registries == nil {
		b.registries = b.newRegistries(t)
	}
	var few, many loaded
	b.inOrder(func() { few = b.load(t, b.registries.few) }, func() { many = b.load(t, b.registries.many) })
	matching, err := measureMatching(t.Context(), b.registries.matcher)
	run.Must(t, err, "measure matching")
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
	t.Logf("%d webhooks: ready after %s, %.0f bytes each; matching among 100,000 takes %.0f ns, among 100 %.0f ns",
		b.webhooks, many.took.Round(time.Millisecond), each, matching.many, matching.few)
}

func (b *bench) newRegistries(t run.T) *registries {
	made := registries{
		keyset:  filepath.Join(b.folder, "registry-keyset.json"),
		few:     bucket{folder: filepath.Join(b.folder, "registry-few"), webhooks: fewWebhooks},
		many:    bucket{folder: filepath.Join(b.folder, "registry-many"), webhooks: b.webhooks},
		matcher: filepath.Join(b.folder, "registry.test"),
	}
	keyset, err := hidden.NewKeyset()
	run.Must(t, err, "make a keyset")
	run.Must(t, os.WriteFile(made.keyset, keyset, 0o600), "write the keyset")
	box, err := hidden.OpenKeyset(keyset)
	run.Must(t, err, "open the keyset")
	for _, each := range []bucket{made.few, made.many} {
		each.serve(t, func(t run.T, url string) { each.fill(t, url, box) })
	}
	t.Logf("registered %d webhooks in a bucket; building what measures matching", made.many.webhooks)
	run.Must(t, buildMatcher(t.Context(), made.matcher), "build what measures matching")
	return &made
}

// serve runs a broker on the folder.
func (k bucket) serve(t run.T, do func(t run.T, url string)) {
	run.Together(t, func(t run.T) {
		broker, err := embedded.StartNATS(t.Context(), "127.0.0.1:0", embedded.NATSStore{Dir: k.folder}, zap.NewNop())
		run.Must(t, err, "start a broker")
		t.Cleanup(broker.Stop)
		do(t, broker.URL())
	})
}

// fill writes the registrations as the api's projection does.
func (k bucket) fill(t run.T, url string, box *hidden.Box) {
	nc, err := nats.Connect(url, nats.Name("webhooks-bench"))
	run.Must(t, err, "connect to nats")
	t.Cleanup(nc.Close)
	to := newPublisher(t, nc, unacknowledged)
	run.Must(t, topology.Ensure(t.Context(), to.js, topology.Settings{
		Replicas: 1, EventsMaxAge: 24 * time.Hour, DuplicateWindow: time.Minute,
	}), "make the bucket")
	for i := range k.webhooks {
		r, err := registration(i, box)
		run.Must(t, err, "make a registration")
		run.Must(t, to.put(topology.KeyRegistration(r.GetProjectId(), r.GetId()), r), "register")
	}
	run.Must(t, to.acknowledged(t.Context()), "register")
	run.Must(t, to.put(topology.KeyProjected, &webhooksv1.Registration{}), "register")
	run.Must(t, to.acknowledged(t.Context()), "register")
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
