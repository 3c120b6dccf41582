package deliver

import (
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// A batch is written when it is full, large, or old, whichever comes first.
const (
	batchRecords = 256
	batchBytes   = 512 << 10
	batchAge     = 5 * time.Millisecond
)

// journal collects the records of attempts and writes them to ATTEMPTS, many in
// one message.
type journal struct {
	writer *writer

	mu    sync.Mutex
	batch webhooksv1.AttemptBatch
	done  []func(error)
	bytes int
	timer *time.Timer
}

func newJournal(w *writer) *journal {
	j := &journal{writer: w}
	j.timer = time.AfterFunc(time.Hour, j.flush)
	j.timer.Stop()
	return j
}

// add puts a record into the next batch. stored is called once the batch is
// durable, or with the error that says it is not.
func (j *journal) add(record *webhooksv1.Attempt, stored func(error)) {
	j.mu.Lock()
	j.batch.Attempts = append(j.batch.Attempts, record)
	j.done = append(j.done, stored)
	j.bytes += len(record.GetResponse().GetBody()) + 1024
	full := len(j.done) >= batchRecords || j.bytes >= batchBytes
	first := len(j.done) == 1
	j.mu.Unlock()
	switch {
	case full:
		j.flush()
	case first:
		j.timer.Reset(batchAge)
	}
}

// flush writes what has been collected.
func (j *journal) flush() {
	j.mu.Lock()
	batch := &webhooksv1.AttemptBatch{Attempts: j.batch.Attempts}
	done := j.done
	j.batch.Attempts, j.done, j.bytes = nil, nil, 0
	j.mu.Unlock()
	if len(done) == 0 {
		return
	}
	settle := func(err error) {
		for _, stored := range done {
			stored(err)
		}
	}
	data, err := proto.Marshal(batch)
	if err != nil {
		settle(fmt.Errorf("encode records: %w", err))
		return
	}
	j.writer.write(&nats.Msg{Subject: topology.SubjectAttempts, Data: data}, settle)
}

// close writes the last batch. Nothing may be added any more.
func (j *journal) close() {
	j.timer.Stop()
	j.flush()
}
