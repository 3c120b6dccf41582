package browser_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/payload"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/directustest"
	"github.com/dembrane/webhooks/test/internal/apiclient"
	"github.com/dembrane/webhooks/test/internal/inside"
	"github.com/dembrane/webhooks/test/internal/receiver"
	"github.com/dembrane/webhooks/test/internal/run"
)

// gallery is projects with webhooks in every state.
type gallery struct {
	// project is the one that most of them are in; others have its name and a word
	// more.
	project string
	// webhooks are found by their state.
	webhooks map[string]apiclient.Webhook
	// attempts are the ids of those that are made up, by what they show.
	attempts map[string]string
}

func newGallery(t *testing.T, project string) gallery {
	t.Helper()
	need(t, shared.missing)
	g := gallery{project: project, webhooks: map[string]apiclient.Webhook{}, attempts: map[string]string{}}
	g.addTown(t)
	g.addOthers(t)
	g.addLog(t)
	g.addMany(t)
	g.addReplays(t)
	g.addDashboard(t)
	g.webhooks["busy"] = busyWebhook(t, project+"-busy")
	g.await(t, "gone", "disabled")
	g.await(t, "failing", "failing")
	run.Until(t, patience, "the log is written", shared.system.Logged)
	run.Until(t, patience, "the log of the dashboard is written", shared.dashboard.system.Logged)
	return g
}

// add adds a webhook of the gallery's project, or of one that has a word more.
func (g gallery) add(t *testing.T, state, more string, hook receiver.Hook, fields apiclient.Fields) apiclient.Webhook {
	t.Helper()
	hook.Path, hook.Unnoted = "/"+g.project+"-"+state, true
	all := apiclient.Fields{"url": shared.receiver.Add(hook), "events": event.Types()}
	maps.Copy(all, fields)
	w, err := host().Create(t.Context(), g.project+more, all)
	require.NoError(t, err)
	g.webhooks[state] = w
	return w
}

// addTown adds what a project has after a while: one that works, one that fails, one
// that was stopped, and one that is off.
func (g gallery) addTown(t *testing.T) {
	t.Helper()
	for _, one := range []struct {
		state, name string
		answer      receiver.Answer
	}{
		{"off", "Slack #interviews", receiver.Status(http.StatusOK)},
		{"gone", "Old CRM", receiver.Status(http.StatusGone)},
		{"failing", "Zapier: new row in Sheets", receiver.Status(http.StatusNotFound)},
		{"working", "Interviews to the research archive", receiver.Status(http.StatusNoContent)},
	} {
		g.add(t, one.state, "", receiver.Hook{Answer: one.answer}, apiclient.Fields{
			"name": one.name, "secret": "a-secret-of-the-gallery", "headers": map[string]string{"X-Api-Key": "a-key-of-the-gallery"},
			"description": "Made for the pictures.\nAsk Sanne before you change it.",
		})
	}
	g.change(t, "off", apiclient.Fields{"enabled": false})
	publish(t, g.project, 3)
}

// change changes a webhook.
func (g gallery) change(t *testing.T, state string, fields apiclient.Fields) {
	t.Helper()
	w := g.webhooks[state]
	_, err := host().Call(t.Context(), http.MethodPatch, w.Path(), fields, http.StatusOK)
	require.NoError(t, err)
}

// addOthers adds those that are special in one way each, in projects of their own.
func (g gallery) addOthers(t *testing.T) {
	t.Helper()
	g.add(t, "idle", "-chat", receiver.Hook{}, apiclient.Fields{"name": "Mattermost: town hall", "format": "mattermost", "max_per_second": 0.5})
	g.add(t, "waiting", "-waiting", receiver.Hook{Answer: receiver.RetryAfter(http.StatusServiceUnavailable, "3600")}, apiclient.Fields{"name": "Council inbox"})
	publish(t, g.project+"-waiting", 1)
	// Nobody listens on port 1.
	g.add(t, "unreachable", "-waiting", receiver.Hook{}, apiclient.Fields{"name": "Intranet", "url": "http://127.0.0.1:1/hook", "events": []string{"report.generated"}})
	g.add(t, "slow", "-slow", receiver.Hook{}, apiclient.Fields{"name": "Slow archive", "max_per_second": 0.1})
	publish(t, g.project+"-slow", 30)
	for _, name := range []string{
		"أرشيف المقابلات في المدينة", "ארכיון הראיונות", strings.Repeat("Interviews", 12), strings.Repeat("Town talks of the northern districts ", 3),
	} {
		g.add(t, "name", "-names", receiver.Hook{}, apiclient.Fields{"name": name})
	}
	g.add(t, "hostile", "-hostile", receiver.Hook{
		Answer: func(header http.Header, _ <-chan struct{}, _ receiver.Arrival) int {
			header.Set("X-Note", hostileText)
			return http.StatusTeapot
		},
		Reply: []byte(hostileText + strings.Repeat("A", 20_000)),
	}, apiclient.Fields{"name": hostileName, "description": hostileName})
	about := &webhooksv1.Project{Id: g.project + "-hostile", Name: new(hostileText), Language: new("nl")}
	e := payload.Sample("conversation.transcribed", about, "evt_hostile_"+g.project, time.Now())
	e.GetConversation().ParticipantName = new(hostileText)
	e.GetConversation().Transcript = new(hostileText + strings.Repeat("Everybody is welcome on the square. ", 1000))
	require.NoError(t, shared.system.Publisher.Publish(t.Context(), e))
}

// What somebody writes who means no good: a script, an element, a word that is longer
// than a line, and where nobody refuses them, letters that turn the direction of reading.
const (
	hostileName = `<script>window.ran = 1</script><img src=x onerror="window.ran = 1"> ` +
		"Donaudampfschifffahrtsgesellschaftskapitänskajütentürschlüsselbundanhängerkette"
	hostileText = "\u202etxt.exe\u2066 " + hostileName
)

// addReplays adds webhooks where what was missed is being sent, waits, and was sent.
func (g gallery) addReplays(t *testing.T) {
	t.Helper()
	for _, state := range []string{"sending", "paused", "sent", "ended"} {
		g.add(t, state, "-replays", receiver.Hook{}, apiclient.Fields{"name": "Archive: " + state, "enabled": false, "max_per_second": 0.1})
	}
	const many = 40
	publish(t, g.project+"-replays", many)
	run.Until(t, patience, "the events are taken in", takenIn)
	for _, state := range []string{"sending", "paused"} {
		g.change(t, state, apiclient.Fields{"enabled": true})
		w := g.webhooks[state]
		since := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
		_, err := host().Call(t.Context(), http.MethodPost, w.Path()+"/replay", apiclient.Fields{"since": since, "only": "missed"}, http.StatusAccepted)
		require.NoError(t, err)
		run.Until(t, patience, "it is counted", g.replayHas(state, `"total":40`))
	}
	g.change(t, "paused", apiclient.Fields{"enabled": false})
	for _, state := range []string{"sent", "ended"} {
		g.change(t, state, apiclient.Fields{"enabled": true, "max_per_second": 0})
	}
	for i, one := range []pastReplay{
		{"failed", "", "missed", 12, 3, 0}, {"cancelled", "It was cancelled.", "failed", 40, 7, 1}, {"done", "", "all", 30, 27, 3}, {"done", "", "missed", 1, 1, 0},
	} {
		one.insert(t, g.webhooks["sent"], time.Duration(10-i)*time.Hour)
	}
	id := pastReplay{"done", "", "missed", 30, 27, 3}.insert(t, g.webhooks["ended"], time.Hour)
	refused := made(g.webhooks["ended"], time.Minute, webhooksv1.Outcome_OUTCOME_EXHAUSTED, http.StatusForbidden)
	refused.Trigger, refused.ReplayId = webhooksv1.Trigger_TRIGGER_REPLAY, id
	record(t, shared.system, refused)
	// Two whose receiver fails: one is under way, one left some waiting for their next try.
	for state, one := range map[string]pastReplay{"stalled": {"running", "", "missed", 40, 3, 0}, "left": {"done", "", "missed", 40, 3, 0}} {
		w := g.add(t, state, "-stalled", receiver.Hook{Answer: receiver.RetryAfter(http.StatusServiceUnavailable, "3600")}, apiclient.Fields{"name": "Archive: " + state})
		one.insert(t, w, time.Hour)
	}
	publish(t, g.project+"-stalled", 1)
	g.await(t, "stalled", "failing")
	g.await(t, "left", "failing")
}

// pastReplay is a replay that is over, unless it is running.
type pastReplay struct {
	state, message, only     string
	total, delivered, failed int64
}

// insert writes down that it began some time ago, and took the most of an hour.
func (r pastReplay) insert(t *testing.T, w apiclient.Webhook, ago time.Duration) (id string) {
	t.Helper()
	began := time.Now().UTC().Add(-ago)
	id = ulidAt(began)
	replay := map[string]any{
		"_id": id, "project_id": w.ProjectID, "webhook_id": w.ID, "created_by": "Sanne",
		"since": began.Add(-24 * time.Hour), "until": began, "only": r.only, "events": []string{},
		"max_per_second": 0.0, "state": r.state, "message": r.message, "cursor": int64(1), "ranges": int64(1), "due_at": began,
		"total": r.total, "sent": r.total, "delivered": r.delivered, "failed": r.failed,
		"created_at": began, "updated_at": began,
	}
	if r.state != "running" {
		replay["ended_at"] = began.Add(50 * time.Minute)
	}
	_, err := shared.system.Attempts.Database().Collection("replays").InsertOne(t.Context(), replay)
	require.NoError(t, err)
	return id
}

// takenIn returns nil when it is decided of every event who gets it.
func takenIn(ctx context.Context) error {
	for _, c := range inside.Dispatching() {
		if c.Stream != topology.StreamEvents {
			continue
		}
		info, err := shared.system.Consumer(ctx, c)
		if err != nil {
			return err
		}
		if info.NumPending > 0 || info.NumAckPending > 0 {
			return fmt.Errorf("%s has events left", c.Consumer)
		}
	}
	return nil
}

// replayHas returns nil when the newest replay of a webhook says so.
func (g gallery) replayHas(state, what string) func(context.Context) error {
	return func(ctx context.Context) error {
		w := g.webhooks[state]
		answer, err := host().Call(ctx, http.MethodGet, w.Path()+"/replays", nil, http.StatusOK)
		if err == nil && !strings.Contains(string(answer), what) {
			err = fmt.Errorf("they are %s", answer)
		}
		return err
	}
}

// addDashboard adds what is looked at by people whom Directus knows. The tier of the
// workspace falls after the webhooks were made.
func (g gallery) addDashboard(t *testing.T) {
	t.Helper()
	const project = directustest.Guardian
	shared.dashboard.setTier(project, "guardian")
	client := shared.dashboard.owner()
	for state, name := range map[string]string{"frozen": "Interviews to the research archive", "frozen-failing": "Zapier: new row in Sheets", "frozen-off": "Old CRM"} {
		w, err := client.Create(t.Context(), directustest.ProjectID(project), apiclient.Fields{
			"name": name, "url": "https://hooks.example.org/" + state, "events": event.Types(), "secret": "a-secret-of-the-gallery",
			"enabled": state != "frozen-off",
		})
		require.NoError(t, err)
		g.webhooks[state] = w
	}
	record(t, shared.dashboard.system, made(g.webhooks["frozen"], time.Hour, webhooksv1.Outcome_OUTCOME_DELIVERED, http.StatusOK))
	failed := made(g.webhooks["frozen-failing"], time.Hour, webhooksv1.Outcome_OUTCOME_EXHAUSTED, http.StatusNotFound)
	g.attempts["frozen"] = failed.GetId()
	record(t, shared.dashboard.system, failed)
	shared.dashboard.setTier(project, "free")
}

// await waits until a webhook is in a state of health.
func (g gallery) await(t *testing.T, name, state string) {
	t.Helper()
	run.Until(t, patience, name+" is "+state, isIn(g.webhooks[name], state))
}

// isIn returns nil when a webhook is in a state of health.
func isIn(w apiclient.Webhook, state string) func(context.Context) error {
	return func(ctx context.Context) error {
		found, err := host().Get(ctx, w)
		if err == nil && found.Health.State != state {
			err = errors.New("it is " + found.Health.State)
		}
		return err
	}
}

// publish publishes events of the project, as the pipeline does.
func publish(t *testing.T, project string, count int) {
	t.Helper()
	for i := range count {
		about := &webhooksv1.Project{Id: project, WorkspaceId: new("w1"), Name: new("Town talks"), Language: new("nl")}
		e := payload.Sample(event.Types()[i%len(event.Types())], about, fmt.Sprintf("evt_%s_%d_%d", project, time.Now().UnixNano(), i), time.Now())
		require.NoError(t, shared.system.Publisher.Publish(t.Context(), e))
	}
}
