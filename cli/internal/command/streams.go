package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/dembrane/webhooks/pkg/topology"
)

// streamState is how full a stream is.
type streamState struct {
	Name     string `json:"name"`
	Messages uint64 `json:"messages"`
	Bytes    uint64 `json:"bytes"`
	// MaxBytes is below 0 without a limit.
	MaxBytes int64  `json:"max_bytes"`
	Replicas int    `json:"replicas"`
	Leader   string `json:"leader,omitempty"`
	// Waiting is what consumers have not settled, Behind the replicas that are not up
	// to date.
	Waiting uint64 `json:"waiting"`
	Behind  int    `json:"behind"`

	cluster *jetstream.ClusterInfo
}

// full is the share of its limit.
func (s streamState) full() float64 {
	if s.MaxBytes <= 0 {
		return 0
	}
	return float64(s.Bytes) / float64(s.MaxBytes)
}

// streamNames are all streams, as in docs/flow.md.
func streamNames() []string {
	return []string{
		topology.StreamEvents, topology.StreamDeliveries, topology.StreamRanges, topology.StreamAttempts, topology.StreamRejected,
		"KV_" + topology.BucketWebhooks, "KV_" + topology.BucketCheckpoints, "KV_" + topology.BucketLimits,
	}
}

func (p *program) streams() *cobra.Command {
	return &cobra.Command{
		Use: "streams", Short: "How full the streams are, and what waits (for operators)", Args: arguments(),
		Long: `How full the streams in NATS are, and what waits in them. docs/flow.md says what each
is for, docs/operating.md what to do when one is full.`,
		Example: "  dembrane-webhooks streams --nats nats://nats.internal:4222 --nats-creds operator.creds",
		RunE: func(c *cobra.Command, _ []string) error {
			nc, js, err := p.broker()
			if err != nil {
				return err
			}
			defer nc.Close()
			var all []streamState
			for _, name := range streamNames() {
				state, err := stateOf(c.Context(), js, name)
				if errors.Is(err, jetstream.ErrStreamNotFound) {
					continue
				}
				if err != nil {
					return err
				}
				all = append(all, state)
			}
			return p.showValue(c, all, func(w io.Writer) {
				if len(all) == 0 {
					say(w, "There are none: the api makes them when it starts.")
					return
				}
				p.streamTable(w, all)
			})
		},
	}
}

func stateOf(ctx context.Context, js jetstream.JetStream, name string) (s streamState, _ error) {
	ctx, cancel := asking(ctx)
	defer cancel()
	stream, err := js.Stream(ctx, name)
	if err != nil {
		return s, fmt.Errorf("look at %s: %w", name, err)
	}
	info := stream.CachedInfo()
	s = streamState{
		Name: name, Messages: info.State.Msgs, Bytes: info.State.Bytes, MaxBytes: info.Config.MaxBytes,
		Replicas: info.Config.Replicas, cluster: info.Cluster,
	}
	if info.Cluster != nil {
		s.Leader = info.Cluster.Leader
		for _, replica := range info.Cluster.Replicas {
			if replica.Offline || !replica.Current {
				s.Behind++
			}
		}
	}
	consumers := stream.ListConsumers(ctx)
	for consumer := range consumers.Info() {
		if consumer.Config.Durable != "" { // the others only read
			s.Waiting += consumer.NumPending + uint64(max(consumer.NumAckPending, 0))
		}
	}
	if err := consumers.Err(); err != nil {
		return s, fmt.Errorf("look at the consumers of %s: %w", name, err)
	}
	return s, nil
}

func (p *program) streamTable(w io.Writer, all []streamState) {
	var rows [][]string
	for _, s := range all {
		limit, full := "no limit", "–"
		if s.MaxBytes > 0 {
			limit, full = size(uint64(s.MaxBytes)), fmt.Sprintf("%.0f %%", s.full()*100)
		}
		replicas := strconv.Itoa(s.Replicas)
		if s.Behind > 0 {
			replicas += fmt.Sprintf(" (%d behind)", s.Behind)
		}
		rows = append(rows, []string{s.Name, strconv.FormatUint(s.Messages, 10), size(s.Bytes), limit, full, strconv.FormatUint(s.Waiting, 10), replicas})
	}
	table(w, []string{"STREAM", "MESSAGES", "BYTES", "LIMIT", "FULL", "WAITING", "REPLICAS"}, rows)
}
