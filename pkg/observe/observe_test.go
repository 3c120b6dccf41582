package observe_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/observe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve runs an operators' listener that ends with the test.
func serve(t *testing.T, health *observe.Health, registry *prometheus.Registry) *observe.Ops {
	t.Helper()
	ops, err := observe.ListenOps("127.0.0.1:0", health, registry)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- ops.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-ended)
	})
	return ops
}

func get(t *testing.T, method, url string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	require.NoError(t, err)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	response, err := client.Do(request)
	require.NoError(t, err)
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	return response.StatusCode, string(body)
}

func TestReadinessIsTheSumOfItsChecks(t *testing.T) {
	health := observe.NewHealth()
	fault := make(chan error, 1)
	health.Add("store", func(context.Context) error {
		select {
		case err := <-fault:
			return err
		default:
			return nil
		}
	})
	health.Add("queue", func(context.Context) error { return nil })
	ops := serve(t, health, observe.NewRegistry())
	url := "http://" + ops.Addr()

	status, body := get(t, http.MethodGet, url+"/readyz")
	assert.Equal(t, http.StatusOK, status)
	assert.JSONEq(t, `{"ready":true,"faults":{}}`, body)
	require.NoError(t, observe.CheckReady(ops.Addr()))

	fault <- errors.New("not connected")
	status, body = get(t, http.MethodGet, url+"/readyz")
	assert.Equal(t, http.StatusServiceUnavailable, status)
	assert.JSONEq(t, `{"ready":false,"faults":{"store":"not connected"}}`, body)

	health.Drain()
	status, body = get(t, http.MethodGet, url+"/readyz")
	assert.Equal(t, http.StatusServiceUnavailable, status)
	assert.JSONEq(t, `{"ready":false,"faults":{"process":"stopping"}}`, body)
	require.ErrorContains(t, observe.CheckReady(ops.Addr()), "stopping")

	status, body = get(t, http.MethodGet, url+"/livez")
	assert.Equal(t, http.StatusOK, status, "a dependency that is down is no reason to restart")
	assert.JSONEq(t, `{"live":true}`, body)
}

func TestWhatNothingMendsIsNotAlive(t *testing.T) {
	health := observe.NewHealth()
	ops := serve(t, health, observe.NewRegistry())
	health.Dead("the connection is closed for good")
	health.Dead("and so is another")
	status, body := get(t, http.MethodGet, "http://"+ops.Addr()+"/livez")
	assert.Equal(t, http.StatusServiceUnavailable, status)
	assert.JSONEq(t, `{"live":false,"fault":"the connection is closed for good"}`, body)
	require.ErrorContains(t, observe.CheckReady(ops.Addr()), "closed for good")
}

// What is away is told, and keeps nobody from sending work.
func TestNoticesAreTold(t *testing.T) {
	health := observe.NewHealth()
	ops := serve(t, health, observe.NewRegistry())
	url := "http://" + ops.Addr() + "/readyz"
	health.Notice("mongodb", func(context.Context) error { return errors.New("does not answer") })
	health.Notice("nats", func(context.Context) error { return nil })
	status, body := get(t, http.MethodGet, url)
	assert.Equal(t, http.StatusOK, status)
	assert.JSONEq(t, `{"ready":true,"faults":{},"away":{"mongodb":"does not answer"}}`, body)
	require.NoError(t, observe.CheckReady(ops.Addr()))

	health.Notice("mongodb", func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	})
	began := time.Now()
	status, _ = get(t, http.MethodGet, url)
	assert.Equal(t, http.StatusOK, status)
	assert.Less(t, time.Since(began), 3*time.Second, "a probe does not wait long")
}

func TestACheckIsReplacedByItsName(t *testing.T) {
	health := observe.NewHealth()
	health.Add("store", func(context.Context) error { return errors.New("old") })
	health.Add("store", func(context.Context) error { return errors.New("new") })

	assert.Equal(t, map[string]string{"store": "new"}, health.Ready(t.Context()))
}

func TestAChecksTimeIsBounded(t *testing.T) {
	health := observe.NewHealth()
	health.Add("store", func(ctx context.Context) error {
		deadline, bounded := ctx.Deadline()
		assert.True(t, bounded)
		assert.Less(t, time.Until(deadline), 10*time.Second)
		return nil
	})
	assert.Empty(t, health.Ready(t.Context()))
}

func TestMetricsAndMethods(t *testing.T) {
	registry := observe.NewRegistry()
	promauto.With(registry).NewCounter(prometheus.CounterOpts{Name: "webhooks_things_total", Help: "Things."}).Add(7)
	ops := serve(t, observe.NewHealth(), registry)
	url := "http://" + ops.Addr()

	status, body := get(t, http.MethodGet, url+"/metrics")
	assert.Equal(t, http.StatusOK, status)
	assert.Contains(t, body, "webhooks_things_total 7\n")
	assert.Contains(t, body, "go_goroutines ")

	status, _ = get(t, http.MethodPost, url+"/readyz")
	assert.Equal(t, http.StatusMethodNotAllowed, status)
	status, _ = get(t, http.MethodGet, url+"/debug/pprof/")
	assert.Equal(t, http.StatusNotFound, status)
}

func TestATakenPortIsAnErrorAtStartUp(t *testing.T) {
	ops, err := observe.ListenOps("127.0.0.1:0", observe.NewHealth(), observe.NewRegistry())
	require.NoError(t, err)
	_, err = observe.ListenOps(ops.Addr(), observe.NewHealth(), observe.NewRegistry())
	require.ErrorContains(t, err, ops.Addr())
	require.NoError(t, ops.Close())
	require.NoError(t, ops.Close(), "twice is harmless")

	again, err := observe.ListenOps(ops.Addr(), observe.NewHealth(), observe.NewRegistry())
	require.NoError(t, err, "the port is free again")
	require.NoError(t, again.Close())
}

func TestNoListenerOnlyWaits(t *testing.T) {
	for _, addr := range []string{"", observe.NoOps} {
		ops, err := observe.ListenOps(addr, observe.NewHealth(), observe.NewRegistry())
		require.NoError(t, err)
		assert.Empty(t, ops.Addr())
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.NoError(t, ops.Run(ctx))
		require.NoError(t, ops.Close())
	}
}

func TestAnOpenRequestDoesNotHoldUpAStop(t *testing.T) {
	health := observe.NewHealth()
	entered, leave := make(chan struct{}), make(chan struct{})
	health.Add("slow", func(context.Context) error {
		close(entered)
		<-leave
		return nil
	})
	ops, err := observe.ListenOps("127.0.0.1:0", health, observe.NewRegistry())
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- ops.Run(ctx) }()
	asked := make(chan error, 1)
	go func() { asked <- observe.CheckReady(ops.Addr()) }()
	<-entered

	cancel()
	require.NoError(t, <-ended)
	require.Error(t, <-asked, "its connection was closed")
	close(leave)
}

func TestCheckReadyWithoutAProcess(t *testing.T) {
	require.ErrorContains(t, observe.CheckReady("nonsense"), "OPS_ADDR")
	ops, err := observe.ListenOps("127.0.0.1:0", observe.NewHealth(), observe.NewRegistry())
	require.NoError(t, err)
	require.NoError(t, ops.Close())
	require.Error(t, observe.CheckReady(ops.Addr()))
}

func TestTheLoggerWritesOneObjectALineFromItsLevelOn(t *testing.T) {
	var out bytes.Buffer
	log, err := observe.NewLogger("warn", &out)
	require.NoError(t, err)
	log.Info("quiet")
	log.Warn("loud", zap.String(observe.KeyEvent, "evt_1"), zap.Error(errors.New("why\n\"quoted\"")))
	log.Error("louder")

	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Len(t, lines, 2)
	var line map[string]any
	require.NoError(t, json.Unmarshal([]byte(lines[0]), &line))
	assert.Equal(t, "loud", line["message"])
	assert.Equal(t, "warn", line["level"])
	assert.Equal(t, "evt_1", line["event_id"])
	_, err = time.Parse(time.RFC3339Nano, fmt.Sprint(line["time"]))
	require.NoError(t, err)
}

func TestLevels(t *testing.T) {
	for _, level := range []string{"debug", "info", "warn", "error"} {
		_, err := observe.ParseLevel(level)
		require.NoError(t, err, level)
	}
	for _, level := range []string{"loud", "panic", "fatal", "dpanic"} {
		_, err := observe.NewLogger(level, io.Discard)
		require.ErrorContains(t, err, "debug, info, warn or error", level)
	}
}

func TestCPUQueueIsWhatWaitsForACPU(t *testing.T) {
	stop := make(chan struct{})
	defer close(stop)
	queue := observe.NewCPUQueue()
	for range 50 * runtime.GOMAXPROCS(0) {
		go func() {
			for {
				select {
				case <-stop:
					return
				default:
					runtime.Gosched()
				}
			}
		}()
	}
	require.Eventually(t, func() bool { return queue.PerCPU() > 20 }, time.Minute, time.Millisecond)
}
