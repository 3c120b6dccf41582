package app_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/natstest"
	"github.com/dembrane/webhooks/pkg/topology"
)

// users is what the documentation tells whoever runs NATS to begin with.
const users = "../../../deploy/nats/users.conf"

// forbidden is what a dispatcher has no need to publish on: it changes no
// registration, no stream, and publishes no event.
func forbidden() []string {
	return []string{
		"$KV.WEBHOOKS.>", "dembrane.events.>",
		"$JS.API.STREAM.CREATE.>", "$JS.API.STREAM.UPDATE.>", "$JS.API.STREAM.DELETE.>", "$JS.API.STREAM.PURGE.>",
		"$JS.API.STREAM.MSG.DELETE.>", "$JS.API.STREAM.RESTORE.>", "$JS.API.STREAM.SNAPSHOT.>",
		"$JS.API.STREAM.LEADER.STEPDOWN.>", "$JS.API.STREAM.PEER.REMOVE.>",
	}
}

// A dispatcher talks to strangers. What its NATS user may not do, nobody who takes it
// over can do; everything of its own work is done: what is published is delivered,
// tried again, and parked.
func TestA23ADispatcherHasNoNeedToWriteRegistrations(t *testing.T) {
	const user, password = "dispatcher", "of-the-dispatcher"
	t.Setenv("API_PASSWORD", "of-the-api")
	t.Setenv("DISPATCHER_PASSWORD", password)
	t.Setenv("PIPELINE_PASSWORD", "of-the-pipeline")
	s := begin(t, natstest.WithUsers(users))
	s.config.NATSURL = strings.Replace(s.server.URL(), "nats://", "nats://"+user+":"+password+"@", 1)
	again, paused := s.answers(http.StatusInternalServerError, http.StatusOK), s.handles(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	s.registers("again", again.URL)
	s.registers("paused", paused.URL)
	s.projected()
	s.dispatch()

	s.nc = s.server.Connect(t, nats.UserInfo("pipeline", "of-the-pipeline"))
	s.publishes(ids("e", 20)...)

	s.eventually(func() bool {
		pending, unacknowledged := s.intake()
		return pending == 0 && unacknowledged == 0 && len(again.deliveries()) == 20 && len(again.got()) > 20
	}, "everything is delivered or written down as due later")
	assert.Positive(t, s.messages(topology.StreamRanges))

	refused := make(chan error, 1)
	stranger := s.server.Connect(t, nats.UserInfo(user, password), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		refused <- err
	}))
	for _, subject := range forbidden() {
		require.NoError(t, stranger.Publish(strings.ReplaceAll(subject, ">", "x.y"), nil))
		select {
		case err := <-refused:
			require.ErrorIs(t, err, nats.ErrPermissionViolation, subject)
		case <-time.After(patience):
			require.Fail(t, "not refused", subject)
		}
	}
}
