package httpapi_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/services/api/internal/access"
)

// stored are the sequences of EVENTS that are there.
func stored(t *testing.T, js jetstream.JetStream, sequences ...uint64) (there []uint64) {
	t.Helper()
	stream, err := js.Stream(t.Context(), topology.StreamEvents)
	require.NoError(t, err)
	for _, sequence := range sequences {
		if _, err := stream.GetMsg(t.Context(), sequence); err == nil {
			there = append(there, sequence)
		}
	}
	return there
}

// runErasures erases until the test ends.
func runErasures(t *testing.T, run func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { assert.NoError(t, run(ctx)) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
}

// Nasty case 40: what is another project's is neither erased nor told apart from what
// never was.
func TestOnlyOnesOwnEventsAreErased(t *testing.T) {
	a, js := newStoredAPI(t)
	runErasures(t, a.erasures.Run)
	mine, other, theirs := publish(t, js, "p1", "evt_mine"), publish(t, js, "p1", "evt_other"), publish(t, js, "p2", "evt_theirs")
	const events = "/api/projects/p1/events"

	for _, id := range []string{"evt_theirs", "never-there", "EVT_MINE", strings.Repeat("x", 64)} {
		assert.Equal(t, http.StatusNoContent, a.send("DELETE", events+"/"+id, "").status, "nothing of it is left in this project")
	}
	for _, id := range []string{"%00", "*", "%3E", "a.b", "evt_mine%20", "evt%2Fmine", "%2A", strings.Repeat("x", 65), "ä"} {
		a.wantProblem(a.send("DELETE", events+"/"+id, ""), http.StatusNotFound, "Event not found")
	}
	for token, want := range map[string]int{
		"": http.StatusUnauthorized, "nobody": http.StatusUnauthorized, "no-permission": http.StatusForbidden,
		"unknown-user": http.StatusForbidden, "away": http.StatusServiceUnavailable,
	} {
		for _, path := range []string{events, events + "/evt_mine"} {
			assert.Equal(t, want, a.send("DELETE", path, "", "Authorization", "Bearer "+token).status, token)
		}
	}
	for _, path := range []string{"/api/projects/p3/events", "/api/projects/p3/events/evt_mine", "/api/projects/%2A/events", "/api/projects/%3E/events"} {
		a.wantProblem(a.send("DELETE", path, ""), http.StatusNotFound, "Project not found")
	}
	require.Equal(t, []uint64{mine, other, theirs}, stored(t, js, mine, other, theirs), "nothing of all that did anything")

	a.actions = nil
	assert.Equal(t, http.StatusNoContent, a.send("DELETE", events+"/evt%5Fmine/", "", "Authorization", "Bearer low-tier").status)
	assert.Equal(t, []access.Action{access.Withdraw}, a.actions, "below the tier, too")
	assert.Equal(t, []uint64{other, theirs}, stored(t, js, mine, other, theirs))
	begun := a.logs.FilterMessage("erasing events").All()
	assert.Equal(t, "low-tier", begun[len(begun)-1].ContextMap()["caller"], "the log says who")

	assert.Equal(t, http.StatusNoContent, a.send("DELETE", events, "").status)
	assert.Equal(t, []uint64{theirs}, stored(t, js, mine, other, theirs))
	again := publish(t, js, "p1", "evt_new")
	assert.Equal(t, http.StatusNoContent, a.send("DELETE", events+"/evt_other", "").status)
	assert.Equal(t, []uint64{again}, stored(t, js, again))
	assert.Equal(t, http.StatusNoContent, a.send("DELETE", events, "").status)
	assert.Empty(t, stored(t, js, again), "a second time is about what came since")
}

func TestAnErasureThatTakesLongSaysSo(t *testing.T) {
	a, js := newStoredAPI(t)
	sequence := publish(t, js, "p1", "evt_1")
	// Nobody works on it: as if there were very many, or the one who does was killed.
	r := a.send("DELETE", "/api/projects/p1/events", "")
	assert.Equal(t, http.StatusAccepted, r.status, r.raw)
	assert.Equal(t, "erasing", r.body["state"])
	assert.NotEmpty(t, r.header.Get("Retry-After"))
	publish(t, js, "p1", "evt_2")

	runErasures(t, a.erasures.Run)

	assert.Equal(t, http.StatusNoContent, a.send("DELETE", "/api/projects/p1/events", "").status)
	assert.Empty(t, stored(t, js, sequence))
}
