package topology

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// Ensure creates what is missing of the streams and the bucket, and updates what
// differs; what is as it should be is left alone. Any number of services may do
// it at the same time. It returns an error when JetStream cannot be reached or
// refuses a configuration (for one, a server older than 2.12, which has no
// message schedules).
func Ensure(ctx context.Context, js jetstream.JetStream, s Settings) error {
	if err := s.Validate(); err != nil {
		return fmt.Errorf("check stream settings: %w", err)
	}
	for _, stream := range Streams(s) {
		_, err := js.CreateStream(ctx, stream)
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // with another configuration
			_, err = js.UpdateStream(ctx, stream)
		}
		if err != nil {
			return fmt.Errorf("ensure stream %s: %w", stream.Name, err)
		}
	}
	_, err := js.CreateKeyValue(ctx, Bucket(s))
	if errors.Is(err, jetstream.ErrBucketExists) {
		_, err = js.UpdateKeyValue(ctx, Bucket(s))
	}
	if err != nil {
		return fmt.Errorf("ensure bucket %s: %w", BucketWebhooks, err)
	}
	return nil
}
