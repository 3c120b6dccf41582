package publisher_test

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/publisher"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

func Example() {
	publish := func(ctx context.Context) error {
		nc, err := nats.Connect("nats://127.0.0.1:4222", nats.MaxReconnects(-1))
		if err != nil {
			return err
		}
		defer nc.Close()
		p, err := publisher.New(nc)
		if err != nil {
			return err
		}
		return p.Publish(ctx, &webhooksv1.Event{
			Id:         "01JB8Z2V9N6Q4T7X3M5K1C8D0F", // unique, and the same whenever this event is published again
			Type:       event.ConversationStarted,
			OccurredAt: timestamppb.Now(),
			Project:    &webhooksv1.Project{Id: "5f1c3a52"},
			Subject:    &webhooksv1.Event_Conversation{Conversation: &webhooksv1.Conversation{Id: "c0ffee"}},
		})
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := publish(ctx); err != nil {
		fmt.Println("it may not be stored: try again later, with the same id:", err)
		return
	}
	fmt.Println("every webhook that wants it will be told")
}
