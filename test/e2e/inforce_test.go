package e2e_test

import (
	"encoding/json"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/test/internal/apiclient"
)

func inForce(t *testing.T, body []byte) bool {
	t.Helper()
	var answer struct {
		InForce *bool `json:"in_force"`
	}
	require.NoError(t, json.Unmarshal(body, &answer))
	require.NotNil(t, answer.InForce, "%s", body)
	return *answer.InForce
}

// wantOnce wants each of these events once, whichever comes first.
func wantOnce(t *testing.T, r *story, ids map[string]bool) {
	t.Helper()
	got := map[string]bool{}
	for range ids {
		a := r.next(t)
		assert.False(t, got[a.Event], "twice")
		got[a.Event] = true
	}
	assert.Equal(t, ids, got)
}

// The api is cut off from NATS. A host makes one webhook, disables one, and deletes
// one, and is told that this is not in force. Events 2 s later reach the new one,
// once, when the api is back.
func TestChangesWhileTheAPIIsCutOffFromNATS(t *testing.T) {
	t.Parallel()
	s := startServices(t, nil)
	toDisabled, toDeleted, toMade := receiverAnswers(t), receiverAnswers(t), receiverAnswers(t)
	old, gone := s.register(t, toDisabled), s.register(t, toDeleted)

	s.apiNATS.Cut()
	body := s.call(t, http.MethodPost, apiclient.Webhooks(project), fields{"url": toMade.url, "events": event.Types()}, http.StatusCreated)
	assert.False(t, inForce(t, body))
	var made webhook
	require.NoError(t, json.Unmarshal(body, &made))
	assert.False(t, inForce(t, s.call(t, http.MethodPatch, old.Path(), fields{"enabled": false}, http.StatusOK)))
	assert.False(t, inForce(t, s.call(t, http.MethodDelete, gone.Path(), nil, http.StatusAccepted)))
	<-time.After(2 * time.Second)
	meanwhile := map[string]bool{}
	for range 10 {
		e := started()
		meanwhile[e.GetId()] = true
		s.publish(t, e)
	}
	wantOnce(t, toDisabled, meanwhile) // nobody can know yet
	wantOnce(t, toDeleted, meanwhile)
	s.apiNATS.Heal()

	wantOnce(t, toMade, meanwhile)
	eventually(t, "the new one is in force", func() bool {
		return inForce(t, s.call(t, http.MethodGet, made.Path(), nil, http.StatusOK))
	})
	eventually(t, "the old one is in force", func() bool {
		return inForce(t, s.call(t, http.MethodGet, old.Path(), nil, http.StatusOK))
	})
	s.settle(t)
	e := started()
	s.publish(t, e)
	wantOnce(t, toMade, map[string]bool{e.GetId(): true})
	for _, r := range []*story{toMade, toDisabled, toDeleted} {
		r.wantNothingMore(t)
	}
}

// The dispatcher sees nothing of a change, although the api does: it takes in no
// event that it cannot judge.
func TestADispatcherThatLostSightOfTheBucketTakesInNothing(t *testing.T) {
	t.Parallel()
	s := startServices(t, nil)
	r := receiverAnswers(t)
	s.register(t, r)

	require.NoError(t, s.Streams.DeleteKeyValue(t.Context(), topology.BucketWebhooks))
	s.apiNATS.Freeze() // and nobody makes it again
	<-time.After(2 * time.Second)
	e := started()
	s.publish(t, e)
	s.apiNATS.Heal()

	other := receiverAnswers(t)
	wantOnce(t, r, map[string]bool{e.GetId(): true})
	s.register(t, other)
	for i := range 3 {
		e := started()
		e.GetConversation().Id = strconv.Itoa(i)
		s.publish(t, e)
		wantOnce(t, r, map[string]bool{e.GetId(): true})
		wantOnce(t, other, map[string]bool{e.GetId(): true})
	}
}
