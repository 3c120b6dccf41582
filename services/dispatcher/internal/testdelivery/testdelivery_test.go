package testdelivery_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"
	"google.golang.org/protobuf/proto"

	"github.com/dembrane/webhooks/pkg/natstest"
	"github.com/dembrane/webhooks/pkg/payload"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/dispatcher/internal/deliver"
	"github.com/dembrane/webhooks/services/dispatcher/internal/registry"
	"github.com/dembrane/webhooks/services/dispatcher/internal/testdelivery"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

// test makes the one attempt.
type test = func(context.Context, deliver.Delivery, *registry.Webhook) (*webhooksv1.Attempt, error)

// asking runs the service until the test ends and returns how to ask it.
func asking(t *testing.T, try test) func(data []byte) *nats.Msg {
	t.Helper()
	server := natstest.Start(t, natstest.Embedded())
	tests := testdelivery.New(try, nil, payload.Renderer{}, zaptest.NewLogger(t))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	nc := server.Connect(t)
	go func() { ended <- tests.Run(ctx, nc, "test") }()
	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-ended)
		tests.Wait()
	})
	client := server.Connect(t)
	return func(data []byte) (reply *nats.Msg) {
		require.EventuallyWithT(t, func(c *assert.CollectT) {
			var err error
			reply, err = client.Request(topology.SubjectTest, data, patience)
			assert.NoError(c, err) // until it listens, nobody responds
		}, patience, time.Millisecond)
		return reply
	}
}

func request(t *testing.T) []byte {
	t.Helper()
	return requestOf(t, "p1")
}

func requestOf(t *testing.T, project string) []byte {
	t.Helper()
	data, err := proto.Marshal(&webhooksv1.TestRequest{Registration: &webhooksv1.Registration{
		Id: "w1", ProjectId: project, Url: "https://example.org/hook",
	}})
	require.NoError(t, err)
	return data
}

func TestAnAttemptIsAnswered(t *testing.T) {
	made := &webhooksv1.Attempt{WebhookId: "w1", StatusCode: 204}
	ask := asking(t, func(context.Context, deliver.Delivery, *registry.Webhook) (*webhooksv1.Attempt, error) {
		return made, nil
	})
	reply := ask(request(t))
	require.Empty(t, reply.Header.Get(micro.ErrorCodeHeader), reply.Header)
	var got webhooksv1.TestReply
	require.NoError(t, proto.Unmarshal(reply.Data, &got))
	assert.True(t, proto.Equal(made, got.GetAttempt()))
}

func TestWhatCannotBeTriedIsRefusedWithWhatToDo(t *testing.T) {
	stopping := func(context.Context, deliver.Delivery, *registry.Webhook) (*webhooksv1.Attempt, error) {
		return nil, deliver.ErrStopping
	}
	ask := asking(t, stopping)
	for _, row := range []struct {
		given     []byte
		code, why string
	}{
		{request(t), "503", "the dispatcher is stopping, try again"},
		{[]byte("\xff"), "400", "the request is no TestRequest"},
		{nil, "400", "the request is no TestRequest"},
	} {
		reply := ask(row.given)
		assert.Equal(t, row.code, reply.Header.Get(micro.ErrorCodeHeader))
		assert.Equal(t, row.why, reply.Header.Get(micro.ErrorHeader))
	}
}

func TestOneTooManyIsToldToComeAgain(t *testing.T) {
	const most, ofProject = 64, 8
	begun, goOn := make(chan struct{}, most), make(chan struct{})
	ask := asking(t, func(context.Context, deliver.Delivery, *registry.Webhook) (*webhooksv1.Attempt, error) {
		begun <- struct{}{}
		<-goOn
		return &webhooksv1.Attempt{}, nil
	})
	ask([]byte("\xff")) // it listens
	answers := make(chan *nats.Msg, most)
	for project := range most / ofProject {
		data := requestOf(t, "p"+strconv.Itoa(project))
		for range ofProject {
			go func() { answers <- ask(data) }()
		}
		for range ofProject {
			<-begun
		}
		if project == 0 {
			assert.Equal(t, "503", ask(data).Header.Get(micro.ErrorCodeHeader), "one project leaves room for the others")
		}
	}
	assert.Equal(t, "503", ask(requestOf(t, "another")).Header.Get(micro.ErrorCodeHeader))
	close(goOn)
	for range most {
		assert.Empty(t, (<-answers).Header)
	}
}

func TestAPauseThatTheReceiverAskedForHoldsForTests(t *testing.T) {
	until := time.Now().Add(time.Minute)
	ask := asking(t, func(context.Context, deliver.Delivery, *registry.Webhook) (*webhooksv1.Attempt, error) {
		return nil, &deliver.PausedError{Until: until}
	})
	reply := ask(request(t))
	assert.Equal(t, "429", reply.Header.Get(micro.ErrorCodeHeader))
	assert.Equal(t, until.UTC().Format(time.RFC3339), reply.Header.Get(micro.ErrorHeader))
}
