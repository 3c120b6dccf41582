package e2e_test

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// crowd is a receiver for more than a story can follow one by one: it remembers
// when each delivery first arrived.
type crowd struct {
	url string

	mu      sync.Mutex
	first   map[string]time.Time // by event and path
	numbers map[string][]string  // attempts, by event and path
	open    int                  // requests that have not been answered
	most    int                  // of open, at any time
}

// crowdDoes starts one that does the same with every delivery.
func crowdDoes(t *testing.T, do answer) *crowd {
	t.Helper()
	c := &crowd{first: map[string]time.Time{}, numbers: map[string][]string{}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c.arrives(r) {
			do(w, r)
			c.mu.Lock()
			c.open--
			c.mu.Unlock()
		}
	}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	c.url = server.URL
	return c
}

func (c *crowd) arrives(r *http.Request) bool {
	data, err := io.ReadAll(r.Body)
	var body struct {
		ID string `json:"id"`
	}
	if err != nil || json.Unmarshal(data, &body) != nil {
		return false // the sender was cut off
	}
	at, key := time.Now(), body.ID+r.URL.Path
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.first[key].IsZero() {
		c.first[key] = at
	}
	c.numbers[key] = append(c.numbers[key], r.Header.Get("X-Dembrane-Attempt"))
	c.open++
	c.most = max(c.most, c.open)
	return true
}

// count is how many deliveries have arrived, however often.
func (c *crowd) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.first)
}

// posts is how many POSTs have arrived.
func (c *crowd) posts() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	total := 0
	for _, attempts := range c.numbers {
		total += len(attempts)
	}
	return total
}

// atOnce is how many POSTs were under way at once, at the most.
func (c *crowd) atOnce() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.most
}

// slowest is the longest time from its publish that any of these events took to
// arrive on the path.
func (c *crowd) slowest(t *testing.T, path string, published map[string]time.Time) time.Duration {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	var longest time.Duration
	for id, at := range published {
		first := c.first[id+path]
		require.False(t, first.IsZero(), "event %s did not arrive", id)
		longest = max(longest, first.Sub(at))
	}
	return longest
}

// registerMany puts webhooks of a project into the bucket, as the api does once it
// has them in its database: hundreds of them would take the embedded database
// minutes. They are in force as soon as whatever is registered after them is.
func (s *system) registerMany(t *testing.T, project, url string, count int) {
	t.Helper()
	bucket, err := s.streams.KeyValue(t.Context(), topology.BucketWebhooks)
	require.NoError(t, err)
	for i := range count {
		id := project + "-" + strconv.Itoa(i)
		data, err := proto.Marshal(&webhooksv1.Registration{
			Id: id, ProjectId: project, Revision: 1, Url: url + "/" + id, Events: event.Types(), Enabled: true,
		})
		require.NoError(t, err)
		_, err = bucket.Put(t.Context(), topology.KeyRegistration(project, id), data)
		require.NoError(t, err)
	}
}

// startedIn is a fresh event of this project.
func startedIn(project string) *webhooksv1.Event {
	e := started()
	e.Project.Id = project
	return e
}

// floods publishes events of a project as quickly as they are acknowledged.
func (s *system) floods(ctx context.Context, project string, count int) error {
	publishing, ctx := errgroup.WithContext(ctx)
	publishing.SetLimit(64)
	for range count {
		publishing.Go(func() error { return s.publisher.Publish(ctx, startedIn(project)) })
	}
	return publishing.Wait()
}

// paced publishes an event of each of these projects every 50 ms until it is told
// to stop, and returns when each was published, by project.
func (s *system) paced(t *testing.T, until func() bool, projects ...string) []map[string]time.Time {
	t.Helper()
	published := make([]map[string]time.Time, len(projects))
	for i := range projects {
		published[i] = map[string]time.Time{}
	}
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(patience)
	for !until() {
		for i, project := range projects {
			e := startedIn(project)
			published[i][e.GetId()] = time.Now()
			s.publish(t, e)
		}
		select {
		case <-ticker.C:
		case <-deadline:
			require.Fail(t, "it never ended")
		}
	}
	return published
}

// unsettled is how many messages are owed, taken or not.
func (s *system) unsettled(t *testing.T) int {
	t.Helper()
	total := 0
	for _, name := range []string{topology.StreamDeliveries, topology.StreamRanges} {
		later, err := s.streams.Stream(t.Context(), name)
		require.NoError(t, err)
		total += int(later.CachedInfo().State.Msgs)
	}
	for _, part := range topology.Intake(topology.Consumption{}) {
		consumer, err := s.streams.Consumer(t.Context(), topology.StreamEvents, part.Durable)
		require.NoError(t, err)
		info := consumer.CachedInfo()
		total += info.NumAckPending + int(info.NumPending)
	}
	return total
}

// wantSettled waits until nothing is owed any more.
func (s *system) wantSettled(t *testing.T) {
	t.Helper()
	eventually(t, "everything is settled", func() bool { return s.unsettled(t) == 0 })
}

// lasting are settings with which no receiver is given up within a test.
func lasting(more settings) settings {
	all := settings{"RETRY_FIRST": "1s", "RETRY_MULTIPLIER": "4"}
	maps.Copy(all, more)
	return all
}
