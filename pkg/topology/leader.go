package topology

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// fromLeader reads one message in the way that only the stream's leader answers.
// It returns [jetstream.ErrMsgNotFound] when the leader has none.
func fromLeader(ctx context.Context, js jetstream.JetStream, stream string, request []byte) (*jetstream.RawStreamMsg, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	reply, err := js.Conn().RequestWithContext(ctx, apiSubject(js, "STREAM.MSG.GET."+stream), request)
	if err != nil {
		return nil, fmt.Errorf("ask the leader of %s: %w", stream, err)
	}
	var answer struct {
		Error   *jetstream.APIError `json:"error"`
		Message *struct {
			Subject  string    `json:"subject"`
			Sequence uint64    `json:"seq"`
			Header   []byte    `json:"hdrs"`
			Data     []byte    `json:"data"`
			Time     time.Time `json:"time"`
		} `json:"message"`
	}
	if err := json.Unmarshal(reply.Data, &answer); err != nil {
		return nil, fmt.Errorf("read the answer of the leader of %s: %w", stream, err)
	}
	if answer.Error != nil {
		if answer.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound {
			return nil, jetstream.ErrMsgNotFound
		}
		return nil, fmt.Errorf("ask the leader of %s: %w", stream, answer.Error)
	}
	if answer.Message == nil {
		return nil, fmt.Errorf("ask the leader of %s: %w", stream, jetstream.ErrInvalidJetStreamResponse)
	}
	msg := &jetstream.RawStreamMsg{
		Subject: answer.Message.Subject, Sequence: answer.Message.Sequence,
		Data: answer.Message.Data, Time: answer.Message.Time,
	}
	if len(answer.Message.Header) > 0 {
		if msg.Header, err = nats.DecodeHeadersMsg(answer.Message.Header); err != nil {
			return nil, fmt.Errorf("read the headers of sequence %d of %s: %w", msg.Sequence, stream, err)
		}
	}
	return msg, nil
}

// apiSubject is where JetStream is asked.
func apiSubject(js jetstream.JetStream, what string) string {
	options := js.Options()
	prefix := "$JS.API."
	switch {
	case options.APIPrefix != "":
		prefix = strings.TrimSuffix(options.APIPrefix, ".") + "."
	case options.Domain != "":
		prefix = "$JS." + options.Domain + ".API."
	}
	return prefix + what
}
