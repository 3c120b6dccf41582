package natstest

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Backup is a copy of a stream, as `nats stream backup` makes one.
type Backup struct {
	name   string
	config json.RawMessage
	state  json.RawMessage
	chunks [][]byte
}

// chunkSize is how much of a backup is in one message.
const chunkSize = 64 << 10

// TakeBackup copies a stream.
func TakeBackup(tb testing.TB, nc *nats.Conn, stream string) Backup {
	tb.Helper()
	b := Backup{name: stream}
	inbox := nats.NewInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		tb.Fatalf("back up stream %s: %v", stream, err)
	}
	defer func() { _ = sub.Unsubscribe() }() // the connection may be gone already
	var answer struct {
		Config json.RawMessage `json:"config"`
		State  json.RawMessage `json:"state"`
	}
	if err := call(nc, "STREAM.SNAPSHOT."+stream,
		map[string]any{"deliver_subject": inbox, "chunk_size": chunkSize}, &answer); err != nil {
		tb.Fatalf("back up stream %s: %v", stream, err)
	}
	b.config, b.state = answer.Config, answer.State
	for {
		chunk, err := sub.NextMsg(patience)
		if err != nil {
			tb.Fatalf("read the backup of stream %s: %v", stream, err)
		}
		if len(chunk.Data) == 0 {
			return b
		}
		b.chunks = append(b.chunks, chunk.Data)
		if chunk.Reply == "" {
			continue
		}
		if err := chunk.Respond(nil); err != nil {
			tb.Fatalf("read the backup of stream %s: %v", stream, err)
		}
	}
}

// Restore puts the stream back as it was; it must not exist.
func (b Backup) Restore(tb testing.TB, nc *nats.Conn) {
	tb.Helper()
	var answer struct {
		DeliverSubject string `json:"deliver_subject"`
	}
	if err := call(nc, "STREAM.RESTORE."+b.name, map[string]any{"config": b.config, "state": b.state}, &answer); err != nil {
		tb.Fatalf("restore stream %s: %v", b.name, err)
	}
	for _, chunk := range append(b.chunks, nil) {
		reply, err := nc.Request(answer.DeliverSubject, chunk, patience)
		if err == nil {
			err = refusal(reply.Data)
		}
		if err != nil {
			tb.Fatalf("restore stream %s: %v", b.name, err)
		}
	}
}

func call(nc *nats.Conn, subject string, request, answer any) error {
	data, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("encode request: %w", err)
	}
	reply, err := nc.Request(jetstream.DefaultAPIPrefix+subject, data, 5*time.Second)
	if err != nil {
		return fmt.Errorf("ask JetStream: %w", err)
	}
	if err := refusal(reply.Data); err != nil {
		return err
	}
	if err := json.Unmarshal(reply.Data, answer); err != nil {
		return fmt.Errorf("decode answer: %w", err)
	}
	return nil
}

func refusal(data []byte) error {
	var answer struct {
		Error *jetstream.APIError `json:"error"`
	}
	if len(data) == 0 {
		return nil
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return fmt.Errorf("decode answer: %w", err)
	}
	if answer.Error != nil {
		return errors.New(answer.Error.Description)
	}
	return nil
}
