package e2e_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/test/internal/receiver"
)

// A receiver wants a key of its own: every way in which something is sent brings it,
// a change of it is in force like that of a secret, and nobody is shown it.
func TestAReceiverGetsTheHeadersThatItWants(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	began := time.Now()
	elsewhere := receiverAnswers(t)
	r := receiverDoes(t, receiver.Status(http.StatusOK), receiver.Redirect(elsewhere.url))
	w := s.registerWith(t, fields{
		"url": r.url, "events": event.Types(), "headers": fields{"X-Api-Key": "hunter2", "Authorization": "Bearer hunter2"},
	})
	wantKey := func(key string) receiver.Arrival {
		t.Helper()
		got := r.next(t)
		assert.Equal(t, []string{key}, got.Header.Values("X-Api-Key"))
		assert.Equal(t, []string{"Bearer hunter2"}, got.Header.Values("Authorization"))
		return got
	}
	s.call(t, http.MethodPost, w.Path()+"/test", nil, http.StatusOK)
	wantKey("hunter2")
	e := started()
	s.publish(t, e)
	wantKey("hunter2") // and is redirected
	wantKey("hunter2")
	list := s.wantAttempts(t, w, delivered, retry, delivered)

	s.change(t, w, fields{"headers": fields{"x-api-key": "hunter3"}})

	s.call(t, http.MethodPost, w.Path()+"/deliveries/"+list[1].ID+"/resend", nil, http.StatusAccepted)
	assert.Equal(t, e.GetId(), wantKey("hunter3").Event)
	s.wantAttempts(t, w, delivered, retry, delivered, delivered)
	s.replays(t, w, fields{"since": began, "only": "all"})
	wantKey("hunter3")
	list = s.wantAttempts(t, w, delivered, retry, delivered, delivered, delivered)

	for _, path := range []string{"", "/deliveries", "/deliveries/" + list[1].ID, "/copyable", "/replays"} {
		assert.NotContains(t, string(s.call(t, http.MethodGet, w.Path()+path, nil, http.StatusOK)), "hunter")
	}
	s.change(t, w, fields{"headers": fields{"X-Api-Key": nil, "Authorization": nil}})
	s.publish(t, started())
	last := r.next(t)
	assert.Empty(t, last.Header.Values("X-Api-Key"))
	assert.Empty(t, last.Header.Values("Authorization"))
	elsewhere.wantNothingMore(t)
}
