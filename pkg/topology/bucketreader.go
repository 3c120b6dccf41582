package topology

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// StreamBucket is the stream behind [BucketWebhooks].
const StreamBucket = "KV_" + BucketWebhooks

// SubjectKey is where the bucket's stream has what is under a key.
func SubjectKey(key string) string { return "$KV." + BucketWebhooks + "." + key }

// BucketEntry is what the bucket holds under one key.
type BucketEntry struct {
	// Sequence is what a write compares with: 0 when nothing was ever written.
	Sequence uint64
	// Value is nil when there is nothing, also when the key was removed by hand.
	Value []byte
	// Created is when it was written, by the server's clock.
	Created time.Time
}

// ReadBucket reads a key from the leader of the bucket's stream. What the bucket's
// own Get asks is any replica: one that is catching up answers with an old value,
// and says "not found" of a key that exists.
func ReadBucket(ctx context.Context, js jetstream.JetStream, key string) (BucketEntry, error) {
	request, err := json.Marshal(struct {
		LastBySubject string `json:"last_by_subj"`
	}{SubjectKey(key)})
	if err != nil {
		return BucketEntry{}, fmt.Errorf("make request: %w", err)
	}
	msg, err := fromLeader(ctx, js, StreamBucket, request)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return BucketEntry{}, nil
	}
	if err != nil {
		return BucketEntry{}, fmt.Errorf("read key %s: %w", key, err)
	}
	entry := BucketEntry{Sequence: msg.Sequence, Created: msg.Time}
	if msg.Header.Get("KV-Operation") == "" {
		entry.Value = append([]byte{}, msg.Data...)
	}
	return entry, nil
}
