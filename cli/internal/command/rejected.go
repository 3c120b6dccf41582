package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// readBatch is how many rejections are asked for at once.
const readBatch = 256

// rejection is one event that could not be read.
type rejection struct {
	// Sequence is in EVENTS, where the event itself is.
	Sequence   uint64    `json:"sequence"`
	Subject    string    `json:"subject"`
	Reason     string    `json:"reason"`
	RejectedAt time.Time `json:"rejected_at"`

	// in is the sequence in REJECTED.
	in uint64
}

func (p *program) rejected() *cobra.Command {
	return group("rejected", "Events that could not be read: list, requeue (for operators)", p.listRejected(), p.requeue())
}

func (p *program) listRejected() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "Events that could not be read, and why", Args: arguments(),
		Example: "  dembrane-webhooks rejected list",
		RunE: func(c *cobra.Command, _ []string) error {
			nc, js, err := p.broker()
			if err != nil {
				return err
			}
			defer nc.Close()
			all := []rejection{}
			if err := eachRejection(c.Context(), js, func(r rejection) error {
				all = append(all, r)
				return nil
			}); err != nil {
				return err
			}
			return p.showValue(c, all, func(w io.Writer) {
				if len(all) == 0 {
					say(w, "There are none.")
					return
				}
				var rows [][]string
				for _, r := range all {
					rows = append(rows, []string{strconv.FormatUint(r.Sequence, 10), stamp(r.RejectedAt), oneLine(r.Subject, 80), oneLine(r.Reason, 200)})
				}
				table(w, []string{"SEQUENCE", "REJECTED", "SUBJECT", "REASON"}, rows)
			})
		},
	}
}

// eachRejection visits every one, the oldest first. There are 512 MiB at most, of
// some hundred bytes each.
func eachRejection(ctx context.Context, js jetstream.JetStream, visit func(rejection) error) error {
	consumer, err := js.CreateConsumer(ctx, topology.StreamRejected, jetstream.ConsumerConfig{
		Description: "Somebody lists rejections.", AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, InactiveThreshold: time.Minute,
	})
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", topology.StreamRejected, err)
	}
	defer func() {
		_ = js.DeleteConsumer(context.WithoutCancel(ctx), topology.StreamRejected, consumer.CachedInfo().Name)
	}() // it ends by itself
	for pending := consumer.CachedInfo().NumPending; pending > 0; {
		batch, err := consumer.Fetch(int(min(pending, readBatch)), jetstream.FetchMaxWait(brokerTimeout))
		if err != nil {
			return fmt.Errorf("read %s: %w", topology.StreamRejected, err)
		}
		read := 0
		for msg := range batch.Messages() {
			meta, err := msg.Metadata()
			if err != nil {
				return fmt.Errorf("read a rejection: %w", err)
			}
			read++
			pending = meta.NumPending
			var r webhooksv1.Rejection
			if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(msg.Data(), &r); err != nil {
				continue // somebody else's message
			}
			if err := visit(rejection{r.GetEventSequence(), r.GetSubject(), r.GetReason(), r.GetRejectedAt().AsTime(), meta.Sequence.Stream}); err != nil {
				return err
			}
		}
		if err := batch.Error(); err != nil || read == 0 {
			return fmt.Errorf("%w: read %s: %w", errBroker, topology.StreamRejected, errors.Join(err, ctx.Err()))
		}
	}
	return nil
}

// requeued is what became of one.
type requeued struct {
	rejection

	State string `json:"state"`
	Why   string `json:"why,omitempty"`
}

// The states of a requeue.
const (
	stateRequeued = "requeued"
	stateStill    = "still_unreadable"
	stateGone     = "gone"
)

func (p *program) requeue() *cobra.Command {
	var all, force bool
	c := &cobra.Command{
		Use: "requeue [SEQUENCE...]", Short: "Take rejected events in again",
		Long: `Take rejected events in again, once what made them unreadable is mended: usually after
an upgrade that can read them. One that this version cannot read either is left where it
is, with the reason. What is taken in again leaves the list.`,
		Example: "  dembrane-webhooks rejected requeue 4711 4712\n  dembrane-webhooks rejected requeue --all",
		RunE: func(c *cobra.Command, args []string) error {
			wanted := map[uint64]bool{}
			for _, arg := range args {
				sequence, err := strconv.ParseUint(arg, 10, 64)
				if err != nil {
					return usage("%q is no sequence: take one from `dembrane-webhooks rejected list`", arg)
				}
				wanted[sequence] = true
			}
			if all == (len(wanted) > 0) {
				return usage("name sequences from `dembrane-webhooks rejected list`, or give --all")
			}
			nc, js, err := p.broker()
			if err != nil {
				return err
			}
			defer nc.Close()
			done := []requeued{}
			err = eachRejection(c.Context(), js, func(r rejection) error {
				if !all && !wanted[r.Sequence] {
					return nil
				}
				delete(wanted, r.Sequence)
				one, err := takeIn(c.Context(), js, r, force)
				done = append(done, one)
				return err
			})
			if err != nil {
				return err
			}
			for _, sequence := range sortedNumbers(wanted) {
				return usage("nothing was rejected with the sequence %d; the others were dealt with", sequence)
			}
			return p.requeueWords(c, done)
		},
	}
	c.Flags().BoolVar(&all, "all", false, "all of them")
	c.Flags().BoolVar(&force, "force", false, "also those that this version cannot read")
	return c
}

// takeIn publishes an event as it is once more, and takes its rejection off the list.
func takeIn(ctx context.Context, js jetstream.JetStream, r rejection, force bool) (requeued, error) { //nolint:revive // force is the person's
	ctx, cancel := asking(ctx)
	defer cancel()
	one := requeued{rejection: r, State: stateGone, Why: "the event is no longer kept"}
	events, err := js.Stream(ctx, topology.StreamEvents)
	if err != nil {
		return one, fmt.Errorf("open %s: %w", topology.StreamEvents, err)
	}
	stored, err := events.GetMsg(ctx, r.Sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return one, nil
	}
	if err != nil {
		return one, fmt.Errorf("read event %d: %w", r.Sequence, err)
	}
	if why := unreadable(stored); why != "" && !force {
		one.State, one.Why = stateStill, why
		return one, nil
	}
	msg := nats.NewMsg(topology.PublishedSubject(stored.Subject))
	msg.Data = stored.Data
	for name, values := range stored.Header {
		// With its id it would count as the one that is stored already.
		if name != nats.MsgIdHdr {
			msg.Header[name] = values
		}
	}
	if _, err := js.PublishMsg(ctx, msg); err != nil {
		return one, fmt.Errorf("publish event %d again: %w", r.Sequence, err)
	}
	one.State, one.Why = stateRequeued, ""
	rejected, err := js.Stream(ctx, topology.StreamRejected)
	if err == nil {
		err = rejected.DeleteMsg(ctx, r.in)
	}
	if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
		return one, fmt.Errorf("take event %d, which is taken in again, off the list: %w", r.Sequence, err)
	}
	return one, nil
}

// unreadable says why a dispatcher of this version would reject an event again.
func unreadable(stored *jetstream.RawStreamMsg) string {
	e, err := event.Decode(stored.Header.Get("Content-Type"), stored.Data)
	if err == nil {
		err = event.Validate(e)
	}
	if err != nil {
		return err.Error()
	}
	if want := topology.SubjectEvent(e.GetProject().GetId(), e.GetType()); topology.PublishedSubject(stored.Subject) != want {
		return "its subject and its body disagree: by the body it belongs on " + want
	}
	return ""
}

func (p *program) requeueWords(c *cobra.Command, done []requeued) error {
	raw, err := json.Marshal(done)
	if err != nil {
		return fmt.Errorf("print JSON: %w", err)
	}
	left := 0
	for _, one := range done {
		if one.State != stateRequeued {
			left++
		}
	}
	if err := p.show(c, raw, func(w io.Writer) {
		for _, one := range done {
			mark := p.paint(green, "✓")
			if one.State != stateRequeued {
				mark = p.paint(red, "✗")
			}
			say(w, "%s %d  %s  %s", mark, one.Sequence, one.State, oneLine(one.Why, 200))
		}
		say(w, "%d taken in again, %d left", len(done)-left, left)
	}); err != nil {
		return err
	}
	if left > 0 {
		return negative()
	}
	return nil
}
