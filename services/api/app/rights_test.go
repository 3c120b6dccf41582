package app_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/micro"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/protobuf/proto"

	"github.com/dembrane/webhooks/pkg/natstest"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/app"
	"github.com/dembrane/webhooks/services/api/internal/mongotest"
)

// What the documentation lets the api's NATS user do is enough for everything that
// the api does with NATS.
func TestA23TheApisNATSUserMayDoItsWork(t *testing.T) {
	t.Setenv("API_PASSWORD", "of-the-api")
	t.Setenv("DISPATCHER_PASSWORD", "of-the-dispatcher")
	t.Setenv("PIPELINE_PASSWORD", "of-the-pipeline")
	broker := natstest.Start(t, natstest.Embedded(), natstest.WithUsers("../../../deploy/nats/users.conf"))
	w := &world{t: t, mongo: mongotest.StartEmbedded(t), nats: broker}
	config := w.config()
	config.NATSURL = strings.Replace(broker.URL(), "nats://", "nats://api:of-the-api@", 1)
	core, logs := observer.New(zap.WarnLevel)
	made, err := app.New(config, zap.New(core))
	require.NoError(t, err)
	w.app = made
	w.run()
	w.wantReady()
	w.dispatcher(func(request micro.Request) {
		reply, err := proto.Marshal(&webhooksv1.TestReply{Attempt: &webhooksv1.Attempt{Outcome: webhooksv1.Outcome_OUTCOME_DELIVERED}})
		if err == nil {
			_ = request.Respond(reply) // the api would wait, and the test see it
		}
	})

	id := w.create()
	require.NotNil(t, w.held(w.jetstream(), id), "in force")
	hook := base + "/" + id
	for _, step := range []struct {
		method, path, body string
		want               int
	}{
		{"PATCH", hook, `{"name": "other"}`, http.StatusOK},
		{"POST", hook + "/test", "", http.StatusOK},
		{"POST", hook + "/replay", `{"only": "all", "since": "2026-01-01T00:00:00Z", "dry_run": true}`, http.StatusOK},
		{"POST", hook + "/replay", `{"only": "all", "since": "2026-01-01T00:00:00Z"}`, http.StatusAccepted},
		{"GET", hook + "/ledger", "", http.StatusOK},
		{"DELETE", strings.TrimSuffix(base, "/webhooks") + "/events", "", http.StatusNoContent},
		{"DELETE", hook, "", http.StatusNoContent},
	} {
		status, answer := w.send(step.method, step.path, step.body)
		assert.Equal(t, step.want, status, "%s %s: %v", step.method, step.path, answer)
	}
	for _, entry := range logs.All() {
		assert.Fail(t, entry.Message, "%v", entry.ContextMap())
	}
}
