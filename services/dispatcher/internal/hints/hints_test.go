package hints

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/natstest"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/services/dispatcher/internal/limiter"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

// endpoint is one as the registry names it: the webhook's id and its URL.
const endpoint = "wh_1 https://receiver.example/hook"

// dispatcher is the hints and the limiter of one.
type dispatcher struct {
	*limiter.Limiter
	leave func() // says good-bye
	die   func() // says nothing any more

	mu       sync.Mutex
	replicas int
}

func (d *dispatcher) SetReplicas(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.replicas = n
	d.Limiter.SetReplicas(n)
}

func (d *dispatcher) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.replicas
}

func start(t *testing.T, server *natstest.Server) *dispatcher {
	t.Helper()
	nc := server.Connect(t)
	h := New(nc, zap.NewNop())
	limits := limiter.Limits{Concurrency: 32, MaxWait: time.Second, MaxInFlight: 1000, MaxWaiting: 1000, MaxBytes: 1 << 20}
	d := &dispatcher{Limiter: limiter.New(limits, h.Tell)}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		assert.NoError(t, h.Run(ctx, d))
	}()
	d.leave = func() {
		cancel()
		<-ended
		d.Close()
		_ = nc.Flush() // the server may be gone, too
		nc.Close()
	}
	d.die = func() {
		nc.Close()
		d.leave()
	}
	t.Cleanup(d.leave)
	return d
}

func makeBucket(t *testing.T, server *natstest.Server) jetstream.KeyValue {
	t.Helper()
	js, err := jetstream.New(server.Connect(t))
	require.NoError(t, err)
	bucket, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: topology.BucketLimits, Storage: jetstream.MemoryStorage, TTL: 24 * time.Hour})
	require.NoError(t, err)
	return bucket
}

// answers makes an attempt that ends like that.
func (d *dispatcher) answers(t *testing.T, result limiter.Result) {
	t.Helper()
	turn := d.Wait(t.Context(), limiter.Request{Endpoint: endpoint})
	require.True(t, turn.Go(), turn.Cause)
	d.Done(turn, result)
}

func (d *dispatcher) fails(t *testing.T) {
	t.Helper()
	for range 5 {
		d.answers(t, limiter.Result{Took: time.Millisecond, Failed: true})
	}
}

// is reports whether nothing may go to the endpoint because of that, or, without a
// cause, whether something may.
func (d *dispatcher) is(cause limiter.Cause) func() bool {
	return func() bool {
		turn := d.Wait(context.Background(), limiter.Request{Endpoint: endpoint})
		d.Done(turn, limiter.Result{Ignore: true})
		return turn.Cause == cause
	}
}

// eventually waits until all of them do.
func eventually(t *testing.T, what func(*dispatcher) bool, all ...*dispatcher) {
	t.Helper()
	for i, d := range all {
		require.Eventually(t, func() bool { return what(d) }, patience, time.Millisecond, "dispatcher %d", i)
	}
}

func heard(cause limiter.Cause) func(*dispatcher) bool {
	return func(d *dispatcher) bool { return d.is(cause)() }
}

func counts(n int) func(*dispatcher) bool {
	return func(d *dispatcher) bool { return d.count() == n }
}

func TestAPauseIsKnownToAllWithinATenthOfASecond(t *testing.T) {
	server := natstest.Start(t)
	bucket := makeBucket(t, server)
	one, two, three := start(t, server), start(t, server), start(t, server)
	eventually(t, counts(3), one, two, three)
	// What another one has told before is heard by all: they follow the bucket.
	_, err := bucket.PutString(t.Context(), "wh_0", `{"endpoint":"wh_0 x","until":"`+time.Now().Add(time.Hour).Format(time.RFC3339)+`","cause":"retry_after"}`)
	require.NoError(t, err)
	eventually(t, func(d *dispatcher) bool { return d.Load().Endpoints > 0 }, one, two, three)

	until := time.Now().Add(time.Minute)
	one.answers(t, limiter.Result{Took: time.Millisecond, Failed: true, PauseUntil: until})
	told := time.Now()

	eventually(t, heard(limiter.Paused), two, three)
	assert.Less(t, time.Since(told), 100*time.Millisecond)
	turn := two.Wait(t.Context(), limiter.Request{Endpoint: endpoint})
	assert.False(t, turn.NotBefore.Before(until.Round(0)))
}

func TestADispatcherThatStartsLearnsPauses(t *testing.T) {
	server := natstest.Start(t)
	bucket := makeBucket(t, server)
	one := start(t, server)
	one.answers(t, limiter.Result{Took: time.Millisecond, PauseUntil: time.Now().Add(time.Minute)})
	require.Eventually(t, func() bool {
		_, err := bucket.Get(t.Context(), "wh_1")
		return err == nil
	}, patience, time.Millisecond)
	one.die()

	eventually(t, heard(limiter.Paused), start(t, server))
}

func TestAnOpenBreakerIsKnownToAllUntilTheReceiverRecovers(t *testing.T) {
	server := natstest.Start(t)
	makeBucket(t, server)
	one, two := start(t, server), start(t, server)
	one.fails(t)
	eventually(t, heard(limiter.Broken), one, two)

	two.Recovered(endpoint) // a host's test, which came to this one

	eventually(t, heard(0), one, two)
}

func TestPresence(t *testing.T) {
	server := natstest.Start(t)
	one, two, three := start(t, server), start(t, server), start(t, server)
	eventually(t, counts(3), one, two, three)
	three.leave()
	left := time.Now()
	eventually(t, counts(2), one, two)
	assert.Less(t, time.Since(left), beat, "it has said good-bye")
	three = start(t, server)
	eventually(t, counts(3), one, two, three)
	three.die()
	died := time.Now()
	eventually(t, counts(2), one, two)
	assert.Greater(t, time.Since(died), 2*beat)
	assert.Less(t, time.Since(died), 6*beat)
}

func TestADispatcherThatStartsKnowsTheOthersAtOnce(t *testing.T) {
	server := natstest.Start(t)
	one := start(t, server)
	eventually(t, counts(1), one)
	started := time.Now()
	eventually(t, counts(2), start(t, server))
	assert.Less(t, time.Since(started), beat/2)
}

// told has one tell others of a pause at an endpoint, again and again, until all have
// heard of it.
func told(t *testing.T, endpoint string, one *dispatcher, others ...*dispatcher) {
	t.Helper()
	for _, other := range others {
		require.Eventually(t, func() bool {
			turn := one.Wait(t.Context(), limiter.Request{Endpoint: endpoint})
			one.Done(turn, limiter.Result{Took: 1, PauseUntil: time.Now().Add(100 * time.Millisecond)})
			answer := other.Wait(t.Context(), limiter.Request{Endpoint: endpoint})
			other.Done(answer, limiter.Result{Ignore: true})
			return answer.Cause == limiter.Paused
		}, patience, time.Millisecond)
	}
}

// Without NATS, or the bucket, everything goes on as if alone, and comes back.
func TestHintsComeBackByThemselves(t *testing.T) {
	server := natstest.Start(t, natstest.Embedded())
	one, two := start(t, server), start(t, server)
	eventually(t, counts(2), one, two)
	one.answers(t, limiter.Result{Took: 1, PauseUntil: time.Now().Add(10 * time.Millisecond)}) // there is no bucket
	makeBucket(t, server)
	told(t, "wh_2 x", one, two)

	server.Shutdown()
	away := time.Now()
	for time.Since(away) < 5*beat {
		<-time.After(beat / 10)
		require.Equal(t, 2, one.count(), "nobody is taken for gone because he cannot be heard")
	}
	server.Restart() // what was in memory is lost
	makeBucket(t, server)
	told(t, "wh_3 x", one, two)
	require.Equal(t, 2, one.count())
}

func TestWordsAreFewAndNobodyWaitsForThem(t *testing.T) {
	h := New(nil, zap.NewNop())
	now := time.Now()
	for i := range 1000 {
		h.Tell(limiter.Hint{Endpoint: "a", Until: now.Add(time.Hour + time.Duration(i)), Cause: limiter.Paused})
	}
	require.Equal(t, []limiter.Hint{{Endpoint: "a", Until: now.Add(time.Hour + 999), Cause: limiter.Paused}}, h.next(now))
	h.Tell(limiter.Hint{Endpoint: "a"})
	h.Tell(limiter.Hint{Endpoint: "b"})
	require.Equal(t, []limiter.Hint{{Endpoint: "b"}}, h.next(now.Add(tellEvery-1)))
	require.Equal(t, []limiter.Hint{{Endpoint: "a"}}, h.next(now.Add(tellEvery)))
	h.Tell(limiter.Hint{Endpoint: "c", Until: now.Add(2 * tellEvery), Cause: limiter.Paused})
	require.Empty(t, h.next(now.Add(3*tellEvery)), "what is over is not told")
	assert.Empty(t, h.told)
	for i := range 2 * maxUntold {
		h.Tell(limiter.Hint{Endpoint: strconv.Itoa(i)})
	}
	assert.Len(t, h.untold, maxUntold)
}

func TestWhatIsNotBelieved(t *testing.T) {
	h := New(nil, zap.NewNop())
	soon, far := time.Now().Add(time.Hour).Format(time.RFC3339), time.Now().Add(1000*time.Hour).Format(time.RFC3339)
	for value, believed := range map[string]bool{
		`{"endpoint":"a","until":"` + soon + `","cause":"retry_after","by":"another"}`:      true,
		`{"endpoint":"a","until":"` + soon + `","cause":"receiver_failing","by":"another"}`: true,
		`{"endpoint":"a","cause":"","by":"another"}`:                                        true,
		`{"endpoint":"a","until":"` + soon + `","cause":"retry_after","by":"` + h.id + `"}`: false,
		`{"endpoint":"a","until":"` + soon + `","cause":"bad mood","by":"another"}`:         false,
		`{"endpoint":"a","until":"` + far + `","cause":"retry_after","by":"another"}`:       false,
		`{"endpoint":"a","until":"` + soon:                                                  false,
		``:                                                                                  false,
	} {
		heard := false
		h.listen([]byte(value), func(string, time.Time, limiter.Cause) { heard = true })
		assert.Equal(t, believed, heard, value)
	}
}

func TestPresenceDoesNotForgetWhileItIsDeaf(t *testing.T) {
	now := time.Now()
	p := presence{id: "me", others: map[string]time.Time{"other": now}, deaf: now, looked: now}
	for range 10 { // seconds without a connection
		now = now.Add(beat)
		p.deaf = now
		p.look(now)
	}
	now = now.Add(time.Minute) // this process stood still
	p.look(now)
	for range missed {
		now = now.Add(beat)
		p.look(now)
	}
	require.Contains(t, p.others, "other")
	now = now.Add(beat)
	p.look(now)
	assert.Empty(t, p.others)
}
