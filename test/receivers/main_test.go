// Package receivers_test holds the receivers of docs/receivers and the official
// libraries of Standard Webhooks against what the system delivers.
package receivers_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/payload"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/test/internal/apiclient"
	"github.com/dembrane/webhooks/test/internal/inside"
	"github.com/dembrane/webhooks/test/internal/run"
)

// patience is how long anything is waited for. Nothing takes nearly as long.
const patience = 60 * time.Second

// The two kinds of secret: any text, and what Standard Webhooks generates.
const (
	rawSecret      = "geheim – not even ASCII"
	standardSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// system is a running standalone.
type system struct {
	inside.System

	host apiclient.Client
}

var hosts inside.Hosts

func start(t *testing.T) *system {
	t.Helper()
	at, _ := hosts.Host(t, map[string]string{
		"DATA_DIR": t.TempDir(), "API_ADDR": "127.0.0.1:0", "NATS_ADDR": "127.0.0.1:0", "OPS_ADDR": "127.0.0.1:0",
		"API_RATE_PER_SECOND": "0", "RETRY_FIRST": "1s", "LOG_LEVEL": "warn",
	}, zaptest.NewLogger(t, zaptest.Level(zap.WarnLevel)))
	s := &system{host: apiclient.Client{URL: at.API, Token: at.Token}}
	var err error
	s.System, err = inside.Connect(t.Context(), at)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

// register makes a webhook in a project of its own, and returns when events reach it.
func (s *system) register(t *testing.T, url, secret string, reached func(id string) bool) apiclient.Webhook {
	t.Helper()
	project := "project-" + ulid.Make().String()
	w, err := s.host.Create(t.Context(), project, apiclient.Fields{"url": url, "secret": secret, "events": event.Types()})
	require.NoError(t, err)
	var ids []string
	until(t, "events reach the webhook", func() bool {
		ids = append(ids, s.publish(t, w, event.ConversationStarted))
		return slices.ContainsFunc(ids, reached)
	})
	return w
}

// publish publishes a fresh event of the webhook's project, and returns its id.
func (s *system) publish(t *testing.T, w apiclient.Webhook, eventType string) string {
	t.Helper()
	e := sample(w.ProjectID, eventType)
	require.NoError(t, s.Publisher.Publish(t.Context(), e))
	return e.GetId()
}

func sample(project, eventType string) *webhooksv1.Event {
	p := &webhooksv1.Project{Id: project, Name: new("Buurtgesprekken"), Language: new("nl")}
	return payload.Sample(eventType, p, "evt_"+ulid.Make().String(), time.Now())
}

// rotate gives the webhook another secret, beside which the old one signs for a while.
func (s *system) rotate(t *testing.T, w apiclient.Webhook, secret string) {
	t.Helper()
	_, err := s.host.Call(t.Context(), http.MethodPost, w.Path()+"/secret/rotate", apiclient.Fields{"secret": secret}, http.StatusOK)
	require.NoError(t, err)
}

func until(t *testing.T, what string, so func() bool) {
	t.Helper()
	run.Until(t, patience, what, func(context.Context) error {
		if !so() {
			return errors.New("it is not so")
		}
		return nil
	})
}

// lines are what a text has that mentions this.
func lines(text, mentioned string) (count int) {
	for line := range strings.Lines(text) {
		if strings.Contains(line, mentioned) {
			count++
		}
	}
	return count
}
