package app_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"
	"google.golang.org/protobuf/proto"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/natstest"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/dispatcher/app"
)

// holding is a receiver that answers when it is let go; its attempts are cut off
// when their sender leaves.
func (s *story) holding() (r *receiver, letGo chan struct{}) {
	letGo = make(chan struct{})
	return s.handles(func(w http.ResponseWriter, request *http.Request) {
		select {
		case <-letGo:
			w.WriteHeader(http.StatusOK)
		case <-request.Context().Done():
		}
	}), letGo
}

func (s *story) eventually(condition func() bool, what string) {
	s.t.Helper()
	require.Eventually(s.t, condition, patience, tick, what)
}

func TestCase38AStopLetsAttemptsFinish(t *testing.T) {
	s := begin(t)
	s.config.ShutdownGrace = patience
	receiver, letGo := s.holding()
	for _, id := range ids("w", 10) {
		s.registers(id, receiver.URL)
	}
	s.projected()
	d := s.dispatch()
	s.publishes(ids("evt_", 2)...)
	s.eventually(func() bool { return len(receiver.got()) == 20 }, "all are under way")

	d.stop()
	s.eventually(func() bool { return readiness(t, d.OpsAddr()) == http.StatusServiceUnavailable }, "not ready while it drains")
	close(letGo)

	require.NoError(t, <-d.ended)
	s.wantRecords(20)
	s.wantSettled()
	assert.Len(t, receiver.got(), 20, "each once")
}

func TestCase38WhatDoesNotFinishIsHandedBackUncounted(t *testing.T) {
	s := begin(t)
	s.config.ShutdownGrace = 200 * time.Millisecond
	receiver, letGo := s.holding()
	s.registers("w1", receiver.URL)
	s.projected()
	first := s.dispatch()
	s.publishes(ids("evt_", 30)...)
	s.eventually(func() bool { return len(receiver.got()) == 2 }, "as many as the limiter allows at first")

	assert.Less(t, first.stopped(t), 5*time.Second)
	s.wantNoMoreRecords()
	close(letGo)
	s.dispatch()

	for _, record := range s.wantRecords(30) {
		assert.Equal(t, delivered, record.GetOutcome())
		assert.EqualValues(t, 1, record.GetNumber(), "being handed back used up an attempt")
	}
	s.wantSettled()
	assert.Len(t, receiver.deliveries(), 30)
}

func TestAStopWithoutNATSEndsInTime(t *testing.T) {
	s := begin(t)
	s.config.ShutdownGrace = 100 * time.Millisecond
	receiver, letGo := s.holding()
	for _, id := range ids("w", 10) {
		s.registers(id, receiver.URL)
	}
	s.projected()
	d := s.dispatch()
	s.publishes(ids("evt_", 2)...)
	s.eventually(func() bool { return len(receiver.got()) == 20 }, "all are under way")

	s.server.Shutdown()
	close(letGo) // there is something to record, and nowhere to

	assert.Less(t, d.stopped(t), 10*time.Second, "the grace and what it takes to give up")

	s.server.Restart()
	s.eventually(func() bool {
		_, unacknowledged := s.intake()
		return unacknowledged == 2
	}, "all are still owed, and come again after the ack wait")
}

func TestAStopBeforeNATSWasEverThere(t *testing.T) {
	s := begin(t)
	s.server.Shutdown()
	d := s.start()
	s.eventually(func() bool { return readiness(t, d.OpsAddr()) == http.StatusServiceUnavailable }, "it listens")

	assert.Less(t, d.stopped(t), 10*time.Second)
}

func TestCase35NATSRestartedMidWayLosesNothing(t *testing.T) {
	s := begin(t)
	s.config.AttemptTimeout = time.Second // a short ack wait would do as well
	// Each webhook's every third attempt fails, so never several in a row: a breaker
	// could outlast the retries.
	answered := map[string]*atomic.Int32{"/w1": {}, "/w2": {}}
	receiver := s.handles(func(w http.ResponseWriter, r *http.Request) {
		if answered[r.URL.Path].Add(1)%3 == 0 {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		w.WriteHeader(http.StatusOK)
	})
	s.config.RetryAttempts, s.config.RetryFirst = 20, time.Second
	s.registers("w1", receiver.URL+"/w1")
	s.registers("w2", receiver.URL+"/w2")
	s.projected()
	s.dispatch()
	s.publishes(ids("evt_a", 200)...)
	s.eventually(func() bool { return len(receiver.deliveries()) > 50 }, "under way")

	s.server.Restart()
	s.publishes(ids("evt_b", 50)...)

	done := map[string]bool{}
	deadline := time.After(3 * patience)
	for len(done) < 500 {
		select {
		case record := <-s.records:
			if record.GetOutcome() == delivered {
				done[record.GetDeliveryId()] = true
			}
		case <-deadline:
			require.Failf(t, "lost", "%d of 500", len(done))
		}
	}
	assert.Len(t, receiver.deliveries(), 500)
}

func readiness(t *testing.T, addr string) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/readyz", nil)
	require.NoError(t, err)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return 0
	}
	defer func() { require.NoError(t, response.Body.Close()) }()
	var answer struct{ Ready bool }
	require.NoError(t, json.NewDecoder(response.Body).Decode(&answer))
	assert.Equal(t, response.StatusCode == http.StatusOK, answer.Ready)
	return response.StatusCode
}

func TestNothingIsTakenInBeforeTheRegistrationsAreKnown(t *testing.T) {
	s := begin(t)
	receiver := s.answers(200)
	s.registers("w1", receiver.URL)
	s.publishes("evt_early")
	d := s.start()
	s.eventually(func() bool { return readiness(t, d.OpsAddr()) == http.StatusServiceUnavailable }, "it listens")
	select {
	case <-d.Ready():
		require.Fail(t, "ready without registrations")
	default:
	}

	s.projected()

	s.wantOutcomes(delivered)
	s.eventually(func() bool { return readiness(t, d.OpsAddr()) == http.StatusOK }, "ready")
}

func TestTwoReplicasShareTheWork(t *testing.T) {
	s := begin(t)
	receiver := s.answers(200)
	s.registers("w1", receiver.URL)
	s.projected()
	s.dispatch()
	s.dispatch()

	s.publishes(ids("evt_", 200)...)

	s.wantRecords(200)
	s.wantSettled()
	assert.Len(t, receiver.got(), 200, "each once")
}

func TestATestDeliveryIsMadeAndRecorded(t *testing.T) {
	s := begin(t)
	receiver := s.answers(500)
	s.projected()
	d := s.dispatch()
	ask := func(registration *webhooksv1.Registration) *webhooksv1.Attempt {
		data, err := proto.Marshal(&webhooksv1.TestRequest{Registration: registration, ProjectName: "Städte", ProjectLanguage: "de"})
		require.NoError(t, err)
		reply, err := s.nc.Request(topology.SubjectTest, data, patience)
		require.NoError(t, err)
		require.Empty(t, reply.Header.Get("Nats-Service-Error-Code"), reply.Header)
		var made webhooksv1.TestReply
		require.NoError(t, proto.Unmarshal(reply.Data, &made))
		return made.GetAttempt()
	}

	s.eventually(func() bool {
		_, err := s.nc.Request(topology.SubjectTest, []byte("\xff"), patience)
		return !errors.Is(err, nats.ErrNoResponders)
	}, "a dispatcher answers tests")
	attempt := ask(&webhooksv1.Registration{Id: "w1", ProjectId: project, Url: receiver.URL})

	assert.Equal(t, exhausted, attempt.GetOutcome(), "a test is never repeated")
	assert.EqualValues(t, 500, attempt.GetStatusCode())
	assert.Equal(t, webhooksv1.Trigger_TRIGGER_TEST, attempt.GetTrigger())
	assert.True(t, proto.Equal(attempt, s.wantRecords(1)[0]), "it is in the log as well")
	require.Len(t, receiver.got(), 1)
	assert.Equal(t, event.Test, receiver.got()[0].header.Get("X-Dembrane-Event"))
	assert.Contains(t, receiver.got()[0].body, `St\u00e4dte`)

	unusable := ask(&webhooksv1.Registration{Id: "w1", ProjectId: project, Url: "://"})
	assert.Equal(t, webhooksv1.Reason_REASON_REGISTRATION, unusable.GetReason())

	reply, err := s.nc.Request(topology.SubjectTest, []byte("\xff"), patience)
	require.NoError(t, err)
	assert.Equal(t, "400", reply.Header.Get("Nats-Service-Error-Code"))
	d.stopped(t)
}

func TestNewReportsWhatCanNeverWork(t *testing.T) {
	s := begin(t)
	log := zaptest.NewLogger(t)

	wrong := s.config
	wrong.RetryAttempts = 0
	_, err := app.New(wrong, "1.2.3", log)
	require.ErrorContains(t, err, "RETRY_ATTEMPTS")

	wrong = s.config
	wrong.SecretsKeysetFile = "missing.json"
	_, err = app.New(wrong, "1.2.3", log)
	require.ErrorContains(t, err, "SECRETS_KEYSET_FILE")

	wrong = s.config
	wrong.OpsAddr = "256.0.0.1:1"
	_, err = app.New(wrong, "1.2.3", log)
	require.Error(t, err)
}

// A connection that the client gives up for good ends the process: it would live
// on and do nothing.
func TestALostConnectionEndsTheProcess(t *testing.T) {
	s := begin(t)
	proxy := natstest.NewProxy(t, s.server.URL())
	s.config.NATSURL = proxy.URL()
	s.projected()
	d := s.dispatch()
	proxy.Tell("-ERR 'Something New'")
	select {
	case err := <-d.ended:
		require.ErrorIs(t, err, topology.ErrConnectionLost)
	case <-time.After(patience):
		require.Fail(t, "lives on")
	}
}
