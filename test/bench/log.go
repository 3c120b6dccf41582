package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/test/internal/apiclient"
	"github.com/dembrane/webhooks/test/internal/run"
)

const (
	// logWebhooks is over how many webhooks the attempts are spread; the first has
	// half of them.
	logWebhooks = 50
	// logBatch is how many attempts one message has.
	logBatch = 100
	// logReads is how often each kind of request is made.
	logReads = 200
	// logTimeout bounds one of them.
	logTimeout = 30 * time.Second
	// logDays is over how many days: as many as statistics show.
	logDays = 7
	// logProject is whose they are.
	logProject = "bench-log"
)

// deliveryLog measures what a host waits for who looks at a long log. The attempts
// are written as dispatchers write them, so that recording is measured, too.
func (b *bench) deliveryLog(t run.T) {
	run.Together(t, func(t run.T) {
		folder := filepath.Join(b.folder, fmt.Sprintf("round-%d-log", b.round+1))
		s := b.startSystem(t, folder, []string{"API_RATE_PER_SECOND=0"})
		host := apiclient.Client{URL: s.at.API, Token: s.at.Token, Timeout: logTimeout}
		webhooks := make([]apiclient.Webhook, logWebhooks)
		for i := range webhooks {
			var err error
			webhooks[i], err = host.Create(t.Context(), logProject, apiclient.Fields{
				"url": fmt.Sprintf("https://hooks.example.org/%d", i), "events": []string{"report.generated"},
			})
			run.Must(t, err, "register")
		}
		started := time.Now()
		s.publishAttempts(t, webhooks, b.attempts)
		recorded := s.recorded(t)
		section := fmt.Sprintf("the delivery log with %d attempts", b.attempts)
		rate := float64(b.attempts) / recorded.Sub(started).Seconds()
		b.figures.add(section, "log.recorded", "attempts recorded/s", rate)
		t.Logf("recorded %.0f attempts/s", rate)
		l := logReader{t: t, host: host, path: webhooks[0].Path()}
		for _, kind := range []struct {
			key, title string
			read       func()
		}{
			{"first", "the newest 50 attempts", l.first},
			{"page", "50 older ones, by cursor", l.page},
			{"filter", "a filter that finds little", l.filter},
			{"one", "one attempt", l.one},
			{"statistics", "statistics", l.statistics},
			{"pages.overview", "page: webhooks", l.look("")},
			{"pages.summary", "page: one webhook", l.look("/" + webhooks[0].ID)},
			{"pages.deliveries", "page: deliveries", l.look("/" + webhooks[0].ID + "/deliveries")},
			{"pages.search", "page: an id that is not there", l.look("/" + webhooks[0].ID + "/deliveries?id=evt_none")},
			{"pages.delivery", "page: one delivery", l.delivery},
			{"pages.old_delivery", "page: the oldest delivery", l.oldest},
			{"pages.statistics", "page: statistics", l.look("/" + webhooks[0].ID + "/statistics")},
		} {
			took := make([]float64, logReads)
			for i := range took {
				began := time.Now()
				kind.read()
				took[i] = float64(time.Since(began)) / float64(time.Millisecond)
			}
			for _, p := range percentiles() {
				b.figures.add(section, "log."+kind.key+"."+p.name, kind.title+", "+p.name+", ms", percentile(took, p.share))
			}
			t.Logf("%s: p99 %.1f ms", kind.title, percentile(took, 0.99))
		}
	})
}

// publishAttempts spreads attempts over webhooks and writes them down for the api.
func (s *system) publishAttempts(t run.T, webhooks []apiclient.Webhook, count int) {
	batch := &webhooksv1.AttemptBatch{}
	for i := range count {
		to := webhooks[0]
		if i%2 == 1 {
			to = webhooks[1+rand.IntN(len(webhooks)-1)] //nolint:gosec // it only spreads them
		}
		batch.Attempts = append(batch.Attempts, attempted(to, i, count))
		if len(batch.GetAttempts()) == logBatch || i == count-1 {
			data, err := proto.Marshal(batch)
			run.Must(t, err, "encode attempts")
			_, err = s.js.PublishAsync(topology.SubjectAttempts, data)
			run.Must(t, err, "write attempts")
			batch.Reset()
		}
	}
	run.Must(t, s.acknowledged(t.Context()), "write attempts")
}

// attempted is one of many attempts such as there are: one in a hundred failed.
func attempted(to apiclient.Webhook, number, of int) *webhooksv1.Attempt {
	at := time.Now().Add(-logDays * 24 * time.Hour * time.Duration(of-number) / time.Duration(of))
	a := &webhooksv1.Attempt{
		Id: ulid.MustNewDefault(at).String(), DeliveryId: fmt.Sprintf("dlv_%024d", number), EventId: ulid.Make().String(), EventType: "report.generated",
		EventSequence: uint64(number + 1), ProjectId: to.ProjectID, WebhookId: to.ID, WebhookRevision: 1, Number: 1, //nolint:gosec // counts from 0
		Trigger: webhooksv1.Trigger_TRIGGER_EVENT, StartedAt: timestamppb.New(at), DurationUs: int64(1000 * (1 + number%50)),
		Outcome: webhooksv1.Outcome_OUTCOME_DELIVERED, StatusCode: http.StatusOK, OccurredAt: timestamppb.New(at),
		Request:  &webhooksv1.Request{Url: "https://hooks.example.org/hook", BodyBytes: 2000, Signed: true},
		Response: &webhooksv1.Response{Headers: []*webhooksv1.Header{{Name: "Content-Type", Value: "text/plain"}, {Name: "Server", Value: "nginx"}}, Body: []byte("ok")},
		Timing:   &webhooksv1.Timing{WaitUs: 900},
	}
	if number%100 == 0 {
		a.Outcome, a.Reason, a.StatusCode = webhooksv1.Outcome_OUTCOME_EXHAUSTED, webhooksv1.Reason_REASON_STATUS, http.StatusNotFound
	}
	return a
}

// logReader is a host who looks at the log of one webhook.
type logReader struct {
	t    run.T
	host apiclient.Client
	path string

	// cursor is where the walk has got to, and ids what it has seen.
	cursor string
	ids    []string
	// last is the oldest attempt, once it was looked for.
	last string
}

func (l *logReader) list(query string) (next string) {
	body, err := l.host.Call(l.t.Context(), http.MethodGet, l.path+"/deliveries"+query, nil, http.StatusOK)
	run.Must(l.t, err, "list attempts")
	var answer struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
		Next *string `json:"next_cursor"`
	}
	run.Must(l.t, json.Unmarshal(body, &answer), "read the list")
	l.ids = nil
	for _, a := range answer.Data {
		l.ids = append(l.ids, a.ID)
	}
	if answer.Next == nil {
		return ""
	}
	return *answer.Next
}

func (l *logReader) first() { l.cursor = l.list("") }

// page goes on from where the last one ended, and begins anew at the end.
func (l *logReader) page() { l.cursor = l.list("?cursor=" + l.cursor) }

func (l *logReader) filter() { l.list("?status=pending") }

func (l *logReader) one() {
	if len(l.ids) == 0 {
		l.first()
	}
	id := l.ids[rand.IntN(len(l.ids))] //nolint:gosec // any will do
	_, err := l.host.Call(l.t.Context(), http.MethodGet, l.path+"/deliveries/"+id, nil, http.StatusOK)
	run.Must(l.t, err, "read an attempt")
}

func (l *logReader) statistics() {
	_, err := l.host.Call(l.t.Context(), http.MethodGet, l.path+"/statistics", nil, http.StatusOK)
	run.Must(l.t, err, "read statistics")
}

// look reads a page of the project.
func (l *logReader) look(path string) func() {
	return func() {
		_, err := l.host.Page(l.t.Context(), "/projects/"+logProject+"/webhooks"+path)
		run.Must(l.t, err, "read a page")
	}
}

// delivery reads the page of an attempt.
func (l *logReader) delivery() {
	if len(l.ids) == 0 {
		l.first()
	}
	l.attempt(l.ids[rand.IntN(len(l.ids))]) //nolint:gosec // any will do
}

// oldest reads the page of the attempt that is furthest down the log.
func (l *logReader) oldest() {
	if l.last == "" {
		l.list("?order=oldest&limit=1")
		l.last = l.ids[0]
	}
	l.attempt(l.last)
}

func (l *logReader) attempt(id string) {
	l.look(strings.TrimPrefix(l.path, apiclient.Webhooks(logProject)) + "/deliveries/" + id)()
}
