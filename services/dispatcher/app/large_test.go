package app_test

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/payload"
	"github.com/dembrane/webhooks/pkg/publisher"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// The largest events go to receivers that do not even read them: what is behind
// them in the same part of the projects does not wait for those.
func TestA19LargeBodiesOfSlowReceiversHoldUpNobody(t *testing.T) {
	const large, least = 16, 8 << 20 * 9 / 10
	s := begin(t)
	released := make(chan struct{})
	for i := range large {
		hangs := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-released }))
		t.Cleanup(hangs.Close)
		s.registers("hangs-"+strconv.Itoa(i), hangs.URL, func(r *webhooksv1.Registration) { r.Events = []string{event.ConversationTranscribed} })
	}
	quick := s.answers(http.StatusOK)
	s.registers("quick", quick.URL, func(r *webhooksv1.Registration) { r.Events = []string{event.ConversationStarted} })
	s.projected()
	s.dispatch()
	p, err := publisher.New(s.nc)
	require.NoError(t, err)
	for i := range large {
		e := payload.Sample(event.ConversationTranscribed, &webhooksv1.Project{Id: project}, "large-"+strconv.Itoa(i), time.Now())
		e.GetConversation().Transcript = new(strings.Repeat("a", least))
		require.NoError(t, p.Publish(t.Context(), e))
	}

	began := time.Now()
	s.publishes(ids("e", 10)...)
	s.eventually(func() bool { return len(quick.got()) == 10 }, "what is small and quick arrives")

	assert.Less(t, time.Since(began), s.config.AttemptTimeout, "it waited for receivers of others, which hang that long")
	close(released)
}
