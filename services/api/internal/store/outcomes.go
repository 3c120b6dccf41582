package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"

	"github.com/dembrane/webhooks/pkg/retry"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/store/documents"
)

// What became of the events of a webhook, so that a replay and a ledger find it by
// the events' sequences, with look-ups by _id alone.
//
// The log of attempts cannot tell: in an embedded database it is read from end to
// end for such a question. So the recorder writes beside it, for each webhook and
// block of sequences, pages that are only ever inserted, with the next free number:
//
//	{webhook}/{block}/0, {webhook}/{block}/1, …
//
// All attempts of one batch at one webhook's events of one block are one page: a
// burst costs next to nothing (3 µs a delivery, beside 89 µs for the attempt itself,
// in the embedded database), and an attempt by itself one small document more (26 µs).
// Whoever reads a block reads its pages until there is none. A replay has pages of
// its own, `{replay}/0` and so on, from which its progress is counted.

const (
	// outcomeBlock is how many sequences of EVENTS share pages, as a power of two.
	outcomeBlock = 10
	// outcomeBytes is what an outcome takes in a page.
	outcomeBytes = 8 + 4 + 1 + 1 + 2 + 16
	// outcomePageOutcomes bounds a page.
	outcomePageOutcomes = 4000
	// outcomeTries is how often a page is tried that another replica was faster with.
	outcomeTries = 30
	// outcomeNumbers bounds the page numbers that are remembered.
	outcomeNumbers = 20_000
)

// Outcome is what an attempt meant for its delivery.
type Outcome struct {
	// Sequence is the event's place in EVENTS.
	Sequence uint64
	// Event tells the event from another one under the same sequence, should the
	// stream have been made again; see [EventMark].
	Event   uint32
	Outcome webhooksv1.Outcome
	Trigger webhooksv1.Trigger
	Number  uint16
	// Attempt is the id of the attempt, which begins with its time.
	Attempt ulid.ULID
}

// At is when the attempt was made.
func (o Outcome) At() time.Time { return ulid.Time(o.Attempt.Time()).UTC() }

// EventMark is a hash of an event's id.
func EventMark(eventID string) uint32 {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(eventID)) // it never fails
	return hash.Sum32()
}

// OutcomeBlock is the block of a sequence.
func OutcomeBlock(sequence uint64) uint64 { return sequence >> outcomeBlock }

// outcomePage is a document. It is written once.
type outcomePage struct {
	ID       string    `bson:"_id"`
	Outcomes []byte    `bson:"outcomes"`
	At       time.Time `bson:"at"`
}

// outcomeNumberCache remembers the next free number of series that are written to.
type outcomeNumberCache struct {
	mu   sync.Mutex
	next map[string]int
}

func (c *outcomeNumberCache) get(series string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.next[series]
}

func (c *outcomeNumberCache) set(series string, next int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next == nil || len(c.next) >= outcomeNumbers {
		c.next = map[string]int{} // all can be found again
	}
	c.next[series] = next
}

// AppendOutcomes writes down what attempts mean for their deliveries. After an
// error all of them are handed in again; that what was written is written twice
// does no harm.
func (s *Store) AppendOutcomes(ctx context.Context, attempts []*webhooksv1.Attempt) error {
	series := map[string][]byte{}
	for _, a := range attempts {
		id, err := ulid.ParseStrict(a.GetId())
		if a.GetEventSequence() == 0 || err != nil { // a test is of no event
			continue
		}
		encoded := encodeOutcome(a, id)
		block := blockSeries(a.GetWebhookId(), OutcomeBlock(a.GetEventSequence()))
		series[block] = append(series[block], encoded...)
		if replay := a.GetReplayId(); replay != "" {
			series[replay] = append(series[replay], encoded...)
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, 4*callTimeout, errors.New("mongodb took too long"))
	defer cancel()
	pages := map[string][]byte{}
	for len(series) > 0 {
		for name, outcomes := range series {
			count := min(len(outcomes), outcomePageOutcomes*outcomeBytes)
			pages[name] = outcomes[:count]
			if series[name] = outcomes[count:]; count == len(outcomes) {
				delete(series, name)
			}
		}
		if err := s.appendPages(ctx, pages); err != nil {
			return err
		}
		clear(pages)
	}
	return nil
}

func blockSeries(webhookID string, block uint64) string {
	return webhookID + "/" + strconv.FormatUint(block, 36)
}

func outcomesID(series string, number int) string { return series + "/" + strconv.Itoa(number) }

// appendPages inserts one page of each series, under the next free number.
func (s *Store) appendPages(ctx context.Context, pages map[string][]byte) error {
	at := now()
	names := make([]string, 0, len(pages))
	for name := range pages {
		names = append(names, name)
	}
	slices.Sort(names) // all writers take the same order
	for try := range outcomeTries {
		inserts := make([]any, len(names))
		numbers := make([]int, len(names))
		for i, name := range names {
			numbers[i] = s.outcomeNumbers.get(name)
			inserts[i] = outcomePage{ID: outcomesID(name, numbers[i]), Outcomes: pages[name], At: at}
		}
		taken, err := s.insertPages(ctx, inserts)
		if err != nil {
			return err
		}
		var again []string
		for i, name := range names {
			next := numbers[i] + 1
			if slices.Contains(taken, i) {
				again = append(again, name)
				if next, err = s.freePage(ctx, name, numbers[i]); err != nil {
					return err
				}
			}
			s.outcomeNumbers.set(name, next)
		}
		if names = again; len(names) == 0 {
			return nil
		}
		// Who has lost needs two steps to try again, and those who have won need one.
		retry.Pause(ctx, time.Duration(rand.Int64N(int64(try)*int64(changePause)+1))) //nolint:gosec // it only has to spread
	}
	return unavailable("insert outcomes", errors.New("others kept being faster"))
}

// insertPages inserts what is not there, and returns the places of those whose
// number was taken.
func (s *Store) insertPages(ctx context.Context, inserts []any) (taken []int, _ error) {
	_, err := s.outcomes.InsertMany(ctx, inserts, options.InsertMany().SetOrdered(false))
	if err == nil {
		return nil, nil
	}
	var bulk mongo.BulkWriteException
	if !errors.As(err, &bulk) || bulk.WriteConcernError != nil || len(bulk.WriteErrors) == 0 {
		return nil, unavailable("insert outcomes", err)
	}
	for _, fault := range bulk.WriteErrors {
		if fault.Index < 0 || fault.Index >= len(inserts) || !mongo.IsDuplicateKeyError(fault.WriteError) {
			return nil, unavailable("insert outcomes", err)
		}
		taken = append(taken, fault.Index)
	}
	return taken, nil
}

// freePage finds the next free number of a series of which a number is taken: in
// ever longer steps, and then in between.
func (s *Store) freePage(ctx context.Context, series string, taken int) (int, error) {
	free := taken + 1
	for step := 1; ; step *= 2 {
		there, err := s.hasPage(ctx, series, free)
		if err != nil {
			return 0, err
		}
		if !there {
			break
		}
		taken, free = free, free+step
	}
	for free-taken > 1 {
		between := taken + (free-taken)/2
		there, err := s.hasPage(ctx, series, between)
		if err != nil {
			return 0, err
		}
		if there {
			taken = between
		} else {
			free = between
		}
	}
	return free, nil
}

func (s *Store) hasPage(ctx context.Context, series string, number int) (bool, error) {
	err := s.outcomes.FindOne(ctx, bson.D{{Key: "_id", Value: outcomesID(series, number)}},
		options.FindOne().SetProjection(bson.D{{Key: "_id", Value: 1}})).Err()
	if errors.Is(err, mongo.ErrNoDocuments) {
		return false, nil
	}
	return err == nil, unavailable("look for outcomes", err)
}

// BlockOutcomes returns what became of the events of one block at a webhook, in the
// order of their attempts, each once.
func (s *Store) BlockOutcomes(ctx context.Context, webhookID string, block uint64) ([]Outcome, error) {
	list, _, err := s.readOutcomes(ctx, blockSeries(webhookID, block), 0)
	slices.SortStableFunc(list, func(a, b Outcome) int { return a.Attempt.Compare(b.Attempt) })
	return slices.CompactFunc(list, func(a, b Outcome) bool { return a.Attempt == b.Attempt }), err
}

// ReplayOutcomes returns what became of the deliveries of a replay, from a page on,
// and the page to go on with. The same outcome may come twice.
func (s *Store) ReplayOutcomes(ctx context.Context, replayID string, from int) ([]Outcome, int, error) {
	return s.readOutcomes(ctx, replayID, from)
}

func (s *Store) readOutcomes(ctx context.Context, series string, from int) (list []Outcome, next int, _ error) {
	for number := from; ; number++ {
		var page outcomePage
		err := s.readPage(ctx, outcomesID(series, number), &page)
		if errors.Is(err, mongo.ErrNoDocuments) {
			return list, number, nil
		}
		if err != nil {
			return nil, from, unavailable("read outcomes", err)
		}
		for encoded := range slices.Chunk(page.Outcomes, outcomeBytes) {
			if len(encoded) < outcomeBytes {
				return nil, from, fmt.Errorf("read outcomes: page %s is damaged", page.ID)
			}
			list = append(list, decodeOutcome(encoded))
		}
	}
}

func (s *Store) readPage(ctx context.Context, id string, page *outcomePage) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	return s.outcomes.FindOne(ctx, bson.D{{Key: "_id", Value: id}}).Decode(page) //nolint:wrapcheck // the caller says what for
}

func encodeOutcome(a *webhooksv1.Attempt, id ulid.ULID) []byte {
	encoded := make([]byte, 0, outcomeBytes)
	encoded = binary.BigEndian.AppendUint64(encoded, a.GetEventSequence())
	encoded = binary.BigEndian.AppendUint32(encoded, EventMark(a.GetEventId()))
	encoded = append(encoded, byte(a.GetOutcome()), byte(a.GetTrigger())) //nolint:gosec // a few values each
	encoded = binary.BigEndian.AppendUint16(encoded, uint16(min(a.GetNumber(), 1<<16-1)))
	return append(encoded, id[:]...)
}

func decodeOutcome(encoded []byte) Outcome {
	return Outcome{
		Sequence: binary.BigEndian.Uint64(encoded),
		Event:    binary.BigEndian.Uint32(encoded[8:]),
		Outcome:  webhooksv1.Outcome(encoded[12]),
		Trigger:  webhooksv1.Trigger(encoded[13]),
		Number:   binary.BigEndian.Uint16(encoded[14:]),
		Attempt:  ulid.ULID(encoded[16:outcomeBytes]),
	}
}

// BuildOutcomeIndexes lets the server find replays by their webhook, and expire
// outcomes where it can.
func (s *Store) BuildOutcomeIndexes(ctx context.Context, maxAge time.Duration) error {
	return errors.Join(
		s.createIndex(ctx, index{s.replays, "webhook", bson.D{ascending(keyOfHook), descending(keyID)}, options.Index()}),
		s.buildExpiry(ctx, s.outcomes, "at", maxAge),
	)
}

// ExpireOutcomes deletes pages that were written before the given time, at most
// limit of them, and returns how many. Servers that expire by themselves leave it
// nothing to do.
func (s *Store) ExpireOutcomes(ctx context.Context, before time.Time, limit int64) (int, error) {
	return expire(ctx, s.outcomes, "at", before, limit, s.outcomes.DeleteByID)
}

// expire has those documents deleted of which a time is before the given one, at most
// limit of them, and returns how many.
func expire(ctx context.Context, in documents.Collection, key string, before time.Time, limit int64,
	drop func(ctx context.Context, ids ...string) error,
) (int, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 6*callTimeout, errors.New("mongodb took too long"))
	defer cancel()
	ids, err := findIDs(ctx, in, bson.D{{Key: key, Value: bson.D{{Key: "$lt", Value: before}}}}, options.Find().SetLimit(limit))
	if err != nil {
		return 0, err
	}
	if err := drop(ctx, ids...); err != nil {
		return 0, err
	}
	return len(ids), nil
}
