package deliver

import (
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// A batch of records is written when it is full, large, or old, whichever comes
// first.
const (
	journalRecords = 256
	journalBytes   = 512 << 10 // with one more record still far below any max_payload
	journalAge     = 5 * time.Millisecond
)

// journal writes the records of attempts to ATTEMPTS, many in one message.
type journal struct {
	storage *storage
	batches batches[struct{}, *webhooksv1.Attempt]
}

func newJournal(s *storage) *journal {
	j := &journal{storage: s}
	j.batches = batches[struct{}, *webhooksv1.Attempt]{
		maxItems: journalRecords, maxBytes: journalBytes, maxAge: journalAge, write: j.write,
	}
	return j
}

// Append returns when the record is stored, or with the error that says it is not.
func (j *journal) Append(record *webhooksv1.Attempt) error {
	return j.batches.Add(struct{}{}, record, proto.Size(record))
}

func (j *journal) write(_ struct{}, records []*webhooksv1.Attempt) error {
	data, err := proto.Marshal(&webhooksv1.AttemptBatch{Attempts: records})
	if err != nil {
		return fmt.Errorf("encode records: %w", err)
	}
	return j.storage.Store(&nats.Msg{Subject: topology.SubjectAttempts, Data: data})
}
