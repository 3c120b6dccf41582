package e2e_test

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/dembrane/webhooks/test/internal/apiclient"
	"github.com/dembrane/webhooks/test/internal/inside"
	"github.com/dembrane/webhooks/test/internal/process"
	"github.com/dembrane/webhooks/test/internal/run"
)

// patience is how long a story waits for anything. Nothing takes nearly as long.
const patience = 60 * time.Second

// settings are environment variables of standalone.
type settings map[string]string

// quick are settings with which a story does not take days. Ports are free ones.
func quick(folder string, more settings) settings {
	all := settings{
		"DATA_DIR": folder, "API_ADDR": "127.0.0.1:0", "NATS_ADDR": "127.0.0.1:0", "OPS_ADDR": "127.0.0.1:0",
		"RETRY_FIRST": "100ms", "RETRY_MULTIPLIER": "1", "SHUTDOWN_GRACE": "5s", "LOG_LEVEL": "warn",
	}
	maps.Copy(all, more)
	return all
}

// lasting are settings with which no receiver is given up within a test.
func lasting(more settings) settings {
	all := settings{"RETRY_FIRST": "1s", "RETRY_MULTIPLIER": "4"}
	maps.Copy(all, more)
	return all
}

// system is a running standalone and what a story uses it with.
type system struct {
	inside.System

	at      inside.Address
	folder  string
	process *process.Process // nil when it runs within this process
	// stop ends it in the orderly way.
	stop func()
}

// hosts starts those that run within this process.
var hosts inside.Hosts

// start runs a standalone within this process, until the test ends.
func start(t *testing.T, more settings) *system {
	t.Helper()
	return startIn(t, t.TempDir(), more)
}

func startIn(t *testing.T, folder string, more settings) *system {
	t.Helper()
	s := &system{folder: folder}
	at, stop := hosts.Host(t, quick(folder, more), zaptest.NewLogger(t, zaptest.Level(zap.WarnLevel)))
	s.at = at
	s.connect(t)
	s.stop = func() {
		s.Close()
		stop()
	}
	t.Cleanup(s.Close)
	return s
}

// spawn runs a standalone as a process of its own.
func spawn(t *testing.T, folder string, more settings) *system {
	t.Helper()
	s := &system{folder: folder}
	s.process = &process.Process{Name: "standalone", Program: program, Env: os.Environ(), Folder: t.TempDir(), Line: &s.at}
	for name, value := range quick(folder, more) {
		s.process.Env = append(s.process.Env, name+"="+value)
	}
	require.NoError(t, s.process.Start(context.Background()))
	s.stop = sync.OnceFunc(func() {
		s.Close()
		_ = s.process.Stop() // the story has said how it ended
		assert.LessOrEqual(t, strings.Count(s.process.Output(), "\n"), 1, "more than one line on standard output")
		if t.Failed() {
			t.Logf("log of the process:\n%s", s.process.Log())
		}
	})
	t.Cleanup(s.stop)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, s.process.Await(ctx))
	s.connect(t)
	return s
}

func (s *system) connect(t *testing.T) {
	t.Helper()
	var err error
	s.System, err = inside.Connect(t.Context(), s.at)
	require.NoError(t, err)
}

// signal sends a signal to the process.
func (s *system) signal(t *testing.T, signal syscall.Signal) {
	t.Helper()
	require.NoError(t, s.process.Signal(signal))
}

// exit waits for the process and returns its exit code.
func (s *system) exit() int {
	s.Close()
	return s.process.Wait(patience)
}

// host is who manages webhooks.
func (s *system) host() apiclient.Client { return apiclient.Client{URL: s.at.API, Token: s.at.Token} }

// answers reports whether the api still does.
func (s *system) answers(t *testing.T) bool {
	t.Helper()
	_, err := s.host().Call(t.Context(), http.MethodGet, "/api/health", nil, http.StatusOK)
	return err == nil
}

// metric is what the dispatcher shows under this name, over all labels.
func (s *system) metric(t *testing.T, name string) float64 {
	t.Helper()
	sum, err := apiclient.Metric(t.Context(), s.at.Ops, name)
	require.NoError(t, err)
	return sum
}

// eventually looks until it is so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	within(t, patience, what, so)
}

func within(t *testing.T, limit time.Duration, what string, so func() bool) {
	t.Helper()
	run.Until(t, limit, what, func(context.Context) error {
		if !so() {
			return errors.New("it is not so")
		}
		return nil
	})
}

// wantSettled waits until nothing is owed any more.
func (s *system) wantSettled(t *testing.T) {
	t.Helper()
	run.Until(t, patience, "everything is settled", s.Settled)
}
