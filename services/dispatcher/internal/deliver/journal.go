package deliver

import (
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// A batch is written when it is full, large, or old, whichever comes first.
const (
	batchRecords = 256
	batchBytes   = 512 << 10 // with one more record still far below any max_payload
	batchAge     = 5 * time.Millisecond
)

// fieldAttempts is the number of AttemptBatch.attempts.
const fieldAttempts protowire.Number = 1

// journal collects the records of attempts and writes them to ATTEMPTS, many in
// one message.
type journal struct {
	writer *writer

	rooms sync.Pool // of *[]byte, each to encode one record in

	mu    sync.Mutex
	batch []byte // an AttemptBatch, encoded
	done  []func(error)
	timer *time.Timer

	writing sync.Mutex // held while a batch is on its way to the writer
}

func newJournal(w *writer) *journal {
	j := &journal{writer: w, rooms: sync.Pool{New: func() any { return new([]byte) }}}
	j.timer = time.AfterFunc(time.Hour, j.flush)
	j.timer.Stop()
	return j
}

// add puts a record into the next batch. stored is called once the batch is
// durable, or with the error that says it is not. Each record is encoded by
// itself, so one that cannot be takes no other with it.
func (j *journal) add(record *webhooksv1.Attempt, stored func(error)) {
	room := j.rooms.Get().(*[]byte) //nolint:errcheck,forcetypeassert // nothing else is in there
	defer j.rooms.Put(room)
	data, err := proto.MarshalOptions{}.MarshalAppend((*room)[:0], record)
	*room = data
	if err != nil {
		stored(fmt.Errorf("encode record: %w", err))
		return
	}
	j.mu.Lock()
	j.batch = protowire.AppendTag(j.batch, fieldAttempts, protowire.BytesType)
	j.batch = protowire.AppendBytes(j.batch, data)
	j.done = append(j.done, stored)
	full := len(j.done) >= batchRecords || len(j.batch) >= batchBytes
	first := len(j.done) == 1
	j.mu.Unlock()
	switch {
	case full:
		j.flush()
	case first:
		j.timer.Reset(batchAge)
	}
}

// flush writes what has been collected. When it returns, nothing that was added
// before is left in the journal: it is with the writer.
func (j *journal) flush() {
	j.writing.Lock()
	defer j.writing.Unlock()
	j.mu.Lock()
	data, done := j.batch, j.done
	j.batch, j.done = make([]byte, 0, len(data)), make([]func(error), 0, len(done)) // the next one is about as large
	j.mu.Unlock()
	if len(done) == 0 {
		return
	}
	j.writer.write(&nats.Msg{Subject: topology.SubjectAttempts, Data: data}, func(err error) {
		for _, stored := range done {
			stored(err)
		}
	})
}

// close writes the last batch. Nothing may be added any more.
func (j *journal) close() {
	j.timer.Stop()
	j.flush()
}
