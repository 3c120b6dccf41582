package eventbody

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/semaphore"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/payload"
	"github.com/dembrane/webhooks/pkg/payload/chat"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

const memory = 1 << 20

func message(t *testing.T, name string) Message {
	t.Helper()
	e := payload.Sample(event.ConversationStarted, &webhooksv1.Project{Id: "p1"}, "evt_1", time.Now())
	e.GetConversation().ParticipantName = &name
	data, err := event.Encode(event.JSON, e)
	require.NoError(t, err)
	return Message{Subject: "dembrane.events.0.p1.conversation.started", Header: nats.Header{}, Data: data}
}

func renderer() *Renderer {
	return NewRenderer(payload.Renderer{AdminBaseURL: "https://dashboard.example.org"}, memory)
}

func wantAllMemory(t *testing.T, r *Renderer) {
	t.Helper()
	release, ok := r.Hold(memory)
	require.True(t, ok, "something was not given back")
	release()
}

func TestABodyHoldsItsMemoryUntilItIsReleased(t *testing.T) {
	r := renderer()
	body, err := r.Render(message(t, strings.Repeat("я", 50_000)), chat.JSON)
	require.NoError(t, err)
	assert.Equal(t, "evt_1", body.EventID)
	assert.Greater(t, len(body.Bytes), 300_000, "every letter is escaped")
	_, ok := r.Hold(memory - len(body.Bytes) + 1)
	assert.False(t, ok)
	body.Release()
	body.Release()
	wantAllMemory(t, r)
}

func TestABodyForWhichThereIsNoMemoryIsNotDecoded(t *testing.T) {
	r := renderer()
	release, ok := r.Hold(memory - 100)
	require.True(t, ok)
	_, err := r.Render(Message{Data: []byte("this is no event, but nobody gets to see that now" + strings.Repeat(" ", 100))}, chat.JSON)
	require.ErrorIs(t, err, ErrNoMemory)
	release()
	wantAllMemory(t, r)
}

func TestWhatCannotBeUsedSaysWhy(t *testing.T) {
	good := message(t, "Zoë")
	for name, m := range map[string]Message{
		"empty":              {Subject: good.Subject, Header: good.Header},
		"no event":           {Subject: good.Subject, Header: good.Header, Data: []byte("[]")},
		"invalid":            {Subject: good.Subject, Header: good.Header, Data: []byte("{}")},
		"of another project": {Subject: "dembrane.events.0.p2.conversation.started", Header: good.Header, Data: good.Data},
		"of another type":    {Subject: "dembrane.events.0.p1.report.generated", Header: good.Header, Data: good.Data},
		"of another id":      {Subject: good.Subject, Header: nats.Header{nats.MsgIdHdr: {"evt_2"}}, Data: good.Data},
		"of no known kind":   {Subject: good.Subject, Header: nats.Header{"Content-Type": {"text/plain"}}, Data: good.Data},
	} {
		r := renderer()
		_, err := r.Render(m, chat.JSON)
		unusable, ok := errors.AsType[*UnusableError](err)
		if assert.True(t, ok, name) {
			assert.NotEmpty(t, unusable.Reason, name)
		}
		wantAllMemory(t, r)
	}
}

// An event that makes us panic comes back with every redelivery: it has to leave
// the stream, with the reason.
func TestCase32AnEventThatPanicsIsUnusable(t *testing.T) {
	broken := &Renderer{memory: semaphore.NewWeighted(memory), most: memory}
	m := message(t, "Zoë")
	panics := func() (err error) {
		defer func() {
			if fault := recover(); fault != nil {
				err = errors.New("the panic came through")
			}
		}()
		_, err = broken.render(m, func(*webhooksv1.Event) []byte { panic("poison") })
		return err
	}
	unusable, ok := errors.AsType[*UnusableError](panics())
	require.True(t, ok)
	assert.Contains(t, unusable.Reason, "panic")
	wantAllMemory(t, broken)
}
