package topology

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// page is some sequences that are read together.
type page struct {
	sequences []uint64
	// span is how many sequences there are from the first to the last when they are
	// close together; 0 when each is read by itself.
	span int
}

// pages splits sequences. Batches are asked for without a filter by the project,
// although others' events are then sent as well: JetStream counts what is left for
// a filter, and for that it reads every block of the stream from the disk.
func pages(sequences []uint64) []page {
	var all []page
	for len(sequences) > 0 {
		count := dense(sequences)
		if count >= denseEvents {
			span := int(sequences[count-1]-sequences[0]) + 1 //nolint:gosec // at most twice pageEvents
			all = append(all, page{sequences: sequences[:count], span: span})
		} else {
			count = min(len(sequences), 4*denseEvents)
			all = append(all, page{sequences: sequences[:count]})
		}
		sequences = sequences[count:]
	}
	return all
}

// dense is how many of the first sequences lie so close together that at least
// half of what is between them is asked for.
func dense(sequences []uint64) int {
	found := 1
	for i := 1; i < min(len(sequences), pageEvents); i++ {
		if sequences[i] <= sequences[i-1] {
			break // not ascending, so not a batch
		}
		if sequences[i]-sequences[0]+1 <= 2*uint64(i+1) {
			found = i + 1
		}
	}
	return found
}

// fetch asks any replica, and hands what it has to take until that returns false.
// Nothing is known about what it does not hand on.
func (r *EventReader) fetch(ctx context.Context, p page, missing map[uint64]bool, take func(*jetstream.RawStreamMsg) bool) error {
	inbox := r.js.Conn().NewInbox()
	sub, err := r.js.Conn().SubscribeSync(inbox)
	if err != nil {
		return fmt.Errorf("subscribe to events read back: %w", err)
	}
	defer sub.Unsubscribe() //nolint:errcheck // fails only when the connection is closed, which ends it as well
	f := &fetching{reader: r, sub: sub, inbox: inbox, take: take}
	if p.span == 0 {
		return f.singles(ctx, p.sequences)
	}
	return f.batch(ctx, p, missing)
}

// fetching is one page on its way.
type fetching struct {
	reader *EventReader
	sub    *nats.Subscription
	inbox  string
	take   func(*jetstream.RawStreamMsg) bool
	// stopped is set when take wants no more.
	stopped bool
}

// batch asks for a whole page, again from where the limit on bytes ended it.
func (f *fetching) batch(ctx context.Context, p page, missing map[uint64]bool) error {
	first, last := p.sequences[0], p.sequences[len(p.sequences)-1]
	for {
		request, err := json.Marshal(struct {
			Sequence uint64 `json:"seq"`
			Batch    uint64 `json:"batch"`
			MaxBytes int    `json:"max_bytes"`
		}{first, last - first + 1, pageBytes})
		if err != nil {
			return fmt.Errorf("make request: %w", err)
		}
		reached, more, err := f.askBatch(ctx, request)
		if err != nil || !more || reached >= last {
			return err
		}
		next := last + 1
		for _, sequence := range p.sequences {
			if sequence > reached && missing[sequence] {
				next = sequence
				break
			}
		}
		if next > last {
			return nil
		}
		first = next
	}
}

func (f *fetching) askBatch(ctx context.Context, request []byte) (reached uint64, more bool, _ error) {
	if err := f.reader.acquire(ctx, batchWeight); err != nil {
		return 0, false, err
	}
	defer f.reader.onTheWay.Release(batchWeight)
	if err := f.ask(request); err != nil {
		return 0, false, err
	}
	return f.answers(ctx)
}

// answers takes the events of one batch up to its end: what is on its way comes,
// whether it is taken or not. It returns the last sequence that was sent, and
// whether there may be more.
func (f *fetching) answers(ctx context.Context) (reached uint64, more bool, _ error) {
	for {
		answer, err := f.next(ctx)
		if err != nil {
			return 0, false, err
		}
		msg, err := directAnswer(answer)
		switch {
		case errors.Is(err, errEndOfBatch):
			return reached, reached > 0 && !f.stopped, nil
		case err != nil: // there is none, or no replica reads directly: the leader is asked
			return 0, false, nil //nolint:nilerr // nothing was handed on, and that says what it means
		}
		reached = msg.Sequence
		if !f.stopped {
			f.stopped = !f.take(msg)
		}
	}
}

// singles asks for each event by itself, a few at once if others leave room for
// that. What was asked for comes, whether it is taken or not.
func (f *fetching) singles(ctx context.Context, sequences []uint64) error {
	asked, answered := 0, 0
	defer func() { f.reader.onTheWay.Release(int64(asked - answered)) }()
	for answered < len(sequences) && (!f.stopped || asked > answered) {
		for !f.stopped && asked < len(sequences) {
			if asked > answered && !f.reader.onTheWay.TryAcquire(1) {
				break
			}
			if asked == answered {
				if err := f.reader.acquire(ctx, 1); err != nil {
					return err
				}
			}
			asked++
			if err := f.ask(bySequence(sequences[asked-1])); err != nil {
				return err
			}
		}
		answer, err := f.next(ctx)
		if err != nil {
			return err
		}
		msg, err := directAnswer(answer)
		if err == nil && !f.stopped { // without an event, the leader is asked
			f.stopped = !f.take(msg)
		}
		f.reader.onTheWay.Release(1)
		answered++
	}
	return nil
}

func (f *fetching) ask(request []byte) error {
	if err := f.reader.js.Conn().PublishRequest(f.reader.subject("DIRECT.GET."), f.inbox, request); err != nil {
		return fmt.Errorf("ask for events: %w", err)
	}
	return nil
}

func (f *fetching) next(ctx context.Context) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	msg, err := f.sub.NextMsgWithContext(ctx)
	if err != nil && !errors.Is(err, nats.ErrNoResponders) {
		return nil, fmt.Errorf("wait for events read back: %w", err)
	}
	return msg, nil
}

var (
	errEndOfBatch  = errors.New("end of batch")
	errNotAnswered = errors.New("not answered with an event")
)

// added is a header that JetStream added to what it sent: the last one of that
// name, since a publisher may have set it before.
func added(msg *nats.Msg, name string) string {
	values := msg.Header.Values(name)
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}

// directAnswer reads the answer to a direct get.
func directAnswer(msg *nats.Msg) (*jetstream.RawStreamMsg, error) {
	if msg == nil { // nobody is there to answer
		return nil, errNotAnswered
	}
	if status := msg.Header.Get("Status"); status != "" && len(msg.Data) == 0 {
		if status == "204" {
			return nil, errEndOfBatch
		}
		return nil, errNotAnswered
	}
	sequence, err := strconv.ParseUint(added(msg, jetstream.SequenceHeader), 10, 64)
	if err != nil {
		return nil, errNotAnswered
	}
	at, err := time.Parse(time.RFC3339Nano, added(msg, jetstream.TimeStampHeaer))
	if err != nil {
		return nil, errNotAnswered
	}
	return &jetstream.RawStreamMsg{
		Subject: added(msg, jetstream.SubjectHeader), Sequence: sequence, Header: msg.Header, Data: msg.Data, Time: at,
	}, nil
}

func bySequence(sequence uint64) []byte {
	return fmt.Appendf(nil, `{"seq":%d}`, sequence)
}

// subject is where JetStream is asked about EVENTS.
func (r *EventReader) subject(what string) string { return apiSubject(r.js, what+StreamEvents) }
