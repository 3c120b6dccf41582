package replay

import (
	"context"
	"math/bits"

	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

// progress is what became of the deliveries of one replay so far, from the pages of
// outcomes that the recorder has written. Whatever comes twice counts once.
type progress struct {
	page int // the next one to read

	attempted, arrived, givenUp sequences
	// returned are those that came back because the webhook was disabled. They count
	// as not sent.
	returned sequences

	// delivered, failed and tried count deliveries.
	delivered, failed, tried int64
}

// progressOf reads all that is recorded of a replay.
func (s *Service) progressOf(ctx context.Context, r store.Replay) (*progress, error) {
	p := &progress{attempted: sequences{}, arrived: sequences{}, givenUp: sequences{}, returned: sequences{}}
	return p, s.follow(ctx, r.ID, p)
}

// follow adds what has been recorded since.
func (s *Service) follow(ctx context.Context, replayID string, p *progress) error {
	list, next, err := s.store.ReplayOutcomes(ctx, replayID, p.page)
	if err != nil {
		return err //nolint:wrapcheck // it says what it was
	}
	for _, outcome := range list {
		p.add(outcome)
	}
	p.page = next
	return nil
}

func (p *progress) add(o store.Outcome) {
	if o.Outcome == webhooksv1.Outcome_OUTCOME_DISABLED {
		if !p.attempted.has(o.Sequence) {
			p.returned.set(o.Sequence)
		}
		return
	}
	if p.attempted.set(o.Sequence) {
		p.tried++
		p.returned.unset(o.Sequence)
	}
	switch {
	case o.Outcome == webhooksv1.Outcome_OUTCOME_DELIVERED:
		if p.arrived.set(o.Sequence) {
			p.delivered++
			if p.givenUp.unset(o.Sequence) {
				p.failed--
			}
		}
	case o.Outcome == webhooksv1.Outcome_OUTCOME_RETRY: // there will be another attempt
	case !p.arrived.has(o.Sequence) && p.givenUp.set(o.Sequence):
		p.failed++
	}
}

// sequences is a set that takes about a bit for each of those that lie close
// together.
type sequences map[uint64]*[16]uint64

func (s sequences) has(sequence uint64) bool {
	block := s[sequence>>10]
	return block != nil && block[sequence>>6&15]&(1<<(sequence&63)) != 0
}

// set reports whether it was not in the set.
func (s sequences) set(sequence uint64) bool {
	block := s[sequence>>10]
	if block == nil {
		block = &[16]uint64{}
		s[sequence>>10] = block
	}
	word := &block[sequence>>6&15]
	was := *word
	*word |= 1 << (sequence & 63)
	return *word != was
}

// unset reports whether it was in the set.
func (s sequences) unset(sequence uint64) bool {
	if !s.has(sequence) {
		return false
	}
	s[sequence>>10][sequence>>6&15] &^= 1 << (sequence & 63)
	return true
}

// first is the lowest of a set; 0 when it is empty.
func (s sequences) first() uint64 {
	lowest := uint64(0)
	for number, block := range s {
		for i, word := range block {
			if word == 0 {
				continue
			}
			sequence := number<<10 | uint64(i)<<6 | uint64(bits.TrailingZeros64(word)) //nolint:gosec // 0 to 15, and 0 to 63
			if lowest == 0 || sequence < lowest {
				lowest = sequence
			}
			break
		}
	}
	return lowest
}

// count is how many there are.
func (s sequences) count() int {
	count := 0
	for _, block := range s {
		for _, word := range block {
			count += bits.OnesCount64(word)
		}
	}
	return count
}
