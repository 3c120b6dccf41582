package e2e_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/test/internal/receiver"
)

const (
	erased = "erased"
	// erasing is where the events of the project are erased.
	erasing = "/api/projects/" + project + "/events"
)

// secretive is an event with words in it that can be told from everything else.
func secretive(project string) (e *webhooksv1.Event, canary string) {
	canary = "canary" + ulid.Make().String()
	e = sampleOf(event.ConversationTranscribed)
	e.Project.Id = project
	e.GetConversation().Transcript = new("They said: " + canary + ".")
	return e, canary
}

// parrot starts a receiver that says what it was told, in every way that it has.
func parrot(t *testing.T, status int) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		if at := bytes.Index(body, []byte("canary")); at >= 0 {
			canary := string(body[at : at+len("canary")+ulid.EncodedSize])
			w.Header().Set("X-Heard", canary)
			w.Header().Set("Location", "/"+url.PathEscape(canary))
		}
		w.WriteHeader(status)
		_, _ = w.Write(body) // the client may have gone
	}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server.URL
}

// files is everything in the folder of data, by path.
func files(t *testing.T, folder string) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	require.NoError(t, filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		all[path], err = os.ReadFile(path)
		return err
	}))
	return all
}

// where says which files have a canary, also in base64, wherever in it that begins.
func where(t *testing.T, folder, canary string) (found []string) {
	t.Helper()
	forms := []string{canary}
	for shift := range 3 {
		encoded := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + canary + "xx"))
		forms = append(forms, encoded[4:len(encoded)-4])
	}
	for path, content := range files(t, folder) {
		for _, form := range forms {
			if bytes.Contains(content, []byte(form)) {
				found = append(found, path)
				break
			}
		}
	}
	return found
}

// wantNowhere wants a canary to be in no file. A server may be about to delete one.
func wantNowhere(t *testing.T, folder, canary string) {
	t.Helper()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		assert.Empty(c, where(t, folder, canary))
	}, 5*time.Second, 50*time.Millisecond)
}

// outcomes are those of an event at a webhook, newest first.
func (s *system) outcomes(t *testing.T, w webhook, e *webhooksv1.Event) (list []string) {
	t.Helper()
	for _, a := range look[struct {
		Data []struct{ Outcome string } `json:"data"`
	}](t, s, w, "/deliveries?event_id="+e.GetId(), "en").Data {
		list = append(list, a.Outcome)
	}
	return list
}

// Receivers repeat what they are told, answer 500 and redirect with it, and deliveries
// wait: when an event is erased, its words are in no file any more, and only its own.
func TestAnErasedEventIsNowhere(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s := startIn(t, folder, settings{"RETRY_FIRST": "1h", "RETRY_ATTEMPTS": "3"})
	took := s.create(t, project, fields{"url": parrot(t, 200), "events": event.Types()})
	fails := s.create(t, project, fields{"url": parrot(t, 500), "events": event.Types()})
	moved := s.create(t, project, fields{"url": parrot(t, 302), "events": event.Types()})
	elsewhere := s.create(t, "another-project", fields{"url": parrot(t, 200), "events": event.Types()})
	s.settle(t)
	one, canary := secretive(project)
	other, kept := secretive(project)
	theirs, foreign := secretive("another-project")
	for _, e := range []*webhooksv1.Event{one, other, theirs} {
		s.publish(t, e)
	}
	unreadable := nats.NewMsg(topology.SubjectEvent(project, event.ConversationStarted))
	unreadable.Header.Set(nats.MsgIdHdr, one.GetId()+"-broken")
	unreadable.Data = []byte(`{"id":"` + canary)
	_, err := s.Streams.PublishMsg(t.Context(), unreadable)
	require.NoError(t, err)
	s.wantAttempts(t, took, delivered, delivered)
	s.wantAttempts(t, fails, retry, retry)
	s.wantAttempts(t, moved, retry, retry)
	s.wantAttempts(t, elsewhere, delivered)
	s.rejections(t, 1)
	require.GreaterOrEqual(t, len(where(t, folder, canary)), 2, "the search finds what is there: in the broker and in the database")

	s.erase(t, erasing+"/"+one.GetId())
	s.erase(t, erasing+"/"+one.GetId()+"-broken")

	wantNowhere(t, folder, canary)
	assert.Equal(t, []string{delivered}, s.outcomes(t, took, one), "the log keeps that it existed")
	assert.Equal(t, []string{erased, retry}, s.outcomes(t, fails, one), "nothing waits for it")
	assert.Equal(t, []string{erased, retry}, s.outcomes(t, moved, one))
	assert.EqualValues(t, 2, s.owes(t, topology.StreamDeliveries), "the other one's retries")
	list := look[loggedList](t, s, fails, "/deliveries?event_id="+one.GetId(), "nl")
	assert.Equal(t, "De gebeurtenis is gewist voordat dit kon worden verstuurd.", list.Data[0].Message)
	attempt := look[loggedAttempt](t, s, fails, "/deliveries/"+list.Data[1].ID, "en")
	assert.Nil(t, attempt.Response)
	assert.Equal(t, "gone", attempt.Request.BodyState)
	s.call(t, http.MethodPost, took.Path()+"/deliveries/"+
		look[loggedList](t, s, took, "/deliveries?event_id="+one.GetId(), "en").Data[0].ID+"/resend", nil, http.StatusGone)
	intact := look[loggedList](t, s, took, "/deliveries?event_id="+other.GetId(), "en").Data[0].ID
	assert.Contains(t, look[loggedAttempt](t, s, took, "/deliveries/"+intact, "en").Response.Body, kept)
	assert.NotEmpty(t, where(t, folder, kept))

	s.erase(t, erasing)

	wantNowhere(t, folder, kept)
	assert.Equal(t, []string{erased, retry}, s.outcomes(t, fails, other))
	assert.Zero(t, s.owes(t, topology.StreamDeliveries))
	assert.Zero(t, s.owes(t, topology.StreamRejected))
	assert.NotEmpty(t, where(t, folder, foreign), "another project's")
	theirAttempt := look[loggedList](t, s, elsewhere, "/deliveries", "en").Data[0].ID
	assert.Contains(t, look[loggedAttempt](t, s, elsewhere, "/deliveries/"+theirAttempt, "en").Response.Body, foreign)

	s.erase(t, erasing) // as often as one likes
	after, fresh := secretive(project)
	s.publish(t, after)
	s.wantAttempts(t, took, delivered, delivered, delivered)
	assert.NotEmpty(t, where(t, folder, fresh), "what is published afterwards is as any other")
	s.stop()
	wantNowhere(t, folder, canary)
	wantNowhere(t, folder, kept)
}

// What is on its way when its event is erased: an attempt under way ends, and its
// answer is not kept; what waits in a range is not sent.
func TestWhatIsOnItsWayWhenItsEventIsErased(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s := startIn(t, folder, settings{"RETRY_FIRST": "1h"})
	release := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		<-release
		_, _ = w.Write(body)
	}))
	t.Cleanup(slow.Close)
	paused := receiverDoes(t, receiver.RetryAfter(429, "4"))
	w := s.create(t, project, fields{"url": slow.URL, "events": event.Types()})
	waits := s.create(t, project, fields{"url": paused.url, "events": event.Types()})
	s.settle(t)
	one, canary := secretive(project)
	other, _ := secretive(project)
	s.publish(t, started())
	paused.next(t) // and asks to be left alone: what follows waits in a range
	s.publish(t, one)
	s.publish(t, other)
	eventually(t, "they wait", func() bool { return s.owes(t, topology.StreamRanges) > 0 })

	s.erase(t, erasing+"/"+one.GetId())
	close(release)

	eventually(t, "the attempt under way is recorded", func() bool { return len(s.outcomes(t, w, one)) == 1 })
	list := look[loggedList](t, s, w, "/deliveries?event_id="+one.GetId(), "en").Data
	assert.Nil(t, look[loggedAttempt](t, s, w, "/deliveries/"+list[0].ID, "en").Response)
	assert.Equal(t, other.GetId(), paused.next(t).Event)
	eventually(t, "the other one has come", func() bool { return len(s.outcomes(t, waits, one)) == 1 })
	assert.Equal(t, []string{erased}, s.outcomes(t, waits, one), "without an attempt")
	wantNowhere(t, folder, canary)
}

// erase asks until everything at a path is erased: on a machine that has no time, the
// first answers are that it goes on.
func (s *system) erase(t *testing.T, path string) {
	t.Helper()
	eventually(t, "erased: "+path, func() bool {
		_, err := s.host().Call(t.Context(), http.MethodDelete, path, nil, http.StatusNoContent)
		return err == nil
	})
}

// A process that is killed while it erases goes on by itself at the next start.
func TestErasingSurvivesSIGKILL(t *testing.T) {
	t.Parallel()
	const events = 400
	folder := t.TempDir()
	s := spawn(t, folder, nil)
	canary := "canary" + ulid.Make().String()
	for range events {
		e := sampleOf(event.ConversationTranscribed)
		e.GetConversation().Transcript = new(strings.Repeat(canary, 500)) // each is a file of some MiB to the broker
		s.publish(t, e)
	}
	require.EqualValues(t, events, s.owes(t, topology.StreamEvents))
	asked := make(chan error, 1)
	go func() {
		_, err := s.host().Call(context.WithoutCancel(t.Context()), http.MethodDelete, erasing, nil, http.StatusNoContent)
		asked <- err
	}()
	eventually(t, "it is under way", func() bool { return s.owes(t, topology.StreamEvents) < events-20 })
	s.signal(t, syscall.SIGKILL)
	require.Equal(t, -1, s.exit())
	require.Error(t, <-asked, "nobody was told that it is done")
	s = spawn(t, folder, nil)
	require.NotZero(t, s.owes(t, topology.StreamEvents), "it was killed in the middle")

	eventually(t, "it is done, though nobody asked again", func() bool { return s.owes(t, topology.StreamEvents) == 0 })

	s.erase(t, erasing)
	wantNowhere(t, folder, canary)
}

// A replay that is running leaves erased events out: those that it has written down
// end as erased, the others are never sent.
func TestAReplayLeavesErasedEventsOut(t *testing.T) {
	t.Parallel()
	const events = 200
	s := start(t, nil)
	began := time.Now()
	r := crowdDoes(t, receiver.Status(http.StatusOK))
	w := s.past(t, r, events)
	id := s.replays(t, w, fields{"since": began, "max_per_second": 4}).ID
	eventually(t, "it is under way", func() bool { return r.posts() > 4 })

	s.erase(t, erasing)

	sent := r.posts()
	done := s.wantReplay(t, w, id, "done")
	assert.Less(t, done.Delivered, events)
	assert.Equal(t, done.Delivered, r.posts())
	assert.LessOrEqual(t, r.posts()-sent, 64, "no more than what was under way")
	s.wantSettled(t)
}
