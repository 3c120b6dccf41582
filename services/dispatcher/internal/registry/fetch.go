package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/observe"
	"github.com/dembrane/webhooks/pkg/topology"
)

// fetchTimeout bounds one look-up in the bucket.
const fetchTimeout = 2 * time.Second

// errNotThere says that the leader of the bucket's stream has nothing under a key.
var errNotThere = errors.New("the bucket has no such key")

// fetch looks one webhook up in the bucket and applies what it finds.
func (r *Registry) fetch(ctx context.Context, projectID, id string) {
	r.mu.RLock()
	js := r.js
	r.mu.RUnlock()
	if js == nil {
		return
	}
	key := topology.KeyRegistration(projectID, id)
	value, err := fromLeader(ctx, js, key)
	if err != nil {
		r.log.Debug("webhook not found in the bucket", zap.String(observe.KeyWebhook, id), zap.Error(err))
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.live != nil {
		r.apply(r.live, key, value)
	}
}

// fromLeader reads a key where it cannot be behind. What the bucket's own Get
// asks is any replica, and one that is catching up says "not found" of a key that
// exists.
func fromLeader(ctx context.Context, js jetstream.JetStream, key string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	request, err := json.Marshal(struct {
		LastBySubject string `json:"last_by_subj"`
	}{bucketSubjects + key})
	if err != nil {
		return nil, fmt.Errorf("encode request: %w", err)
	}
	reply, err := js.Conn().RequestWithContext(ctx, jetstream.DefaultAPIPrefix+"STREAM.MSG.GET."+bucketStream, request)
	if err != nil {
		return nil, fmt.Errorf("ask the leader of the bucket's stream: %w", err)
	}
	var answer struct {
		Message *struct {
			Header []byte `json:"hdrs"`
			Data   []byte `json:"data"`
		} `json:"message"`
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(reply.Data, &answer); err != nil {
		return nil, fmt.Errorf("read the answer of the leader of the bucket's stream: %w", err)
	}
	switch {
	case answer.Error != nil && answer.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return nil, errNotThere
	case answer.Error != nil:
		return nil, fmt.Errorf("ask the leader of the bucket's stream: %w", answer.Error)
	case answer.Message == nil:
		return nil, errNotThere
	}
	header, err := nats.DecodeHeadersMsg(answer.Message.Header)
	if err == nil && header.Get("KV-Operation") != "" { // the key was removed by hand
		return nil, errNotThere
	}
	return answer.Message.Data, nil
}
