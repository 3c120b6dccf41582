package e2e_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/dembrane/webhooks/pkg/publisher"
	"github.com/dembrane/webhooks/services/standalone/app"
)

// patience is how long a story waits for anything. Nothing takes nearly as long.
const patience = 60 * time.Second

// settings are environment variables of standalone.
type settings map[string]string

// quick are settings with which a story does not take days. Ports are free ones.
func quick(folder string, more settings) settings {
	all := settings{
		"DATA_DIR": folder, "API_ADDR": "127.0.0.1:0", "NATS_ADDR": "127.0.0.1:0",
		"RETRY_FIRST": "100ms", "RETRY_MULTIPLIER": "1", "SHUTDOWN_GRACE": "5s", "LOG_LEVEL": "warn",
	}
	maps.Copy(all, more)
	return all
}

// system is a running standalone and what a story uses it with.
type system struct {
	at        app.Running
	folder    string
	broker    *nats.Conn
	streams   jetstream.JetStream
	publisher *publisher.Publisher
	database  *mongo.Database

	// stop ends it in the orderly way.
	stop func()
	// signal sends a signal to the process; nil when it is this one.
	signal func(os.Signal)
	// exit waits for the process and returns its exit code.
	exit func() int
}

// starting is held while a standalone starts: the embedded database writes a
// global variable then, so two at once are a race of its own making.
var starting sync.Mutex

// start runs a standalone within this process, until the test ends.
func start(t *testing.T, more settings) *system {
	t.Helper()
	return startIn(t, t.TempDir(), more)
}

func startIn(t *testing.T, folder string, more settings) *system {
	t.Helper()
	c, err := app.LoadConfig(quick(folder, more))
	require.NoError(t, err)
	log := zaptest.NewLogger(t, zaptest.Level(zap.WarnLevel))
	standalone, err := app.New(c, "0.0.0-e2e", log)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	starting.Lock()
	defer starting.Unlock()
	go func() { ended <- standalone.Run(ctx) }()
	s := &system{folder: folder}
	select {
	case s.at = <-standalone.Ready():
	case err := <-ended:
		cancel()
		require.NoError(t, err)
		t.Fatal("standalone ended by itself")
	case <-time.After(patience):
		cancel()
		require.NoError(t, <-ended)
		t.Fatal("standalone was not ready in time")
	}
	stopped := false
	s.stop = func() {
		if stopped {
			return
		}
		stopped = true
		s.disconnect()
		cancel()
		require.NoError(t, <-ended)
	}
	t.Cleanup(s.stop)
	s.connect(t)
	return s
}

// spawn runs a standalone as a process of its own.
func spawn(t *testing.T, folder string, more settings) *system {
	t.Helper()
	command := exec.Command(program) //nolint:noctx // stories end it by signals
	command.Env = os.Environ()
	for name, value := range quick(folder, more) {
		command.Env = append(command.Env, name+"="+value)
	}
	var logs text
	command.Stderr = &logs
	stdout, err := command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())

	s := &system{folder: folder}
	code := make(chan int, 1)
	lines := bufio.NewReader(stdout)
	first, readErr := lines.ReadBytes('\n')
	go func() {
		rest, _ := io.ReadAll(lines) // nothing may follow; Wait wants it read
		if len(rest) > 0 {
			t.Errorf("more than one line on standard output: %q", rest)
		}
		_ = command.Wait() // the code says it
		code <- command.ProcessState.ExitCode()
		close(code)
	}()
	s.signal = func(signal os.Signal) { require.NoError(t, command.Process.Signal(signal)) }
	s.exit = func() int {
		s.disconnect()
		select {
		case result := <-code:
			return result
		case <-time.After(patience):
			_ = command.Process.Kill() // it did not listen to anything else
			<-code
			require.Fail(t, "the process did not end", "%s", logs.String())
			return -1
		}
	}
	s.stop = func() {
		if command.ProcessState == nil {
			_ = command.Process.Signal(syscall.SIGTERM) // it may have ended
		}
		s.exit()
	}
	t.Cleanup(func() {
		s.stop()
		if t.Failed() {
			t.Logf("log of the process:\n%s", logs.String())
		}
	})
	require.NoError(t, readErr, "the process ended before it was ready")
	require.NoError(t, json.Unmarshal(first, &s.at), "%s", first)
	s.connect(t)
	return s
}

func (s *system) connect(t *testing.T) {
	t.Helper()
	var err error
	s.broker, err = nats.Connect(s.at.NATS, nats.MaxReconnects(-1))
	require.NoError(t, err)
	s.streams, err = jetstream.New(s.broker)
	require.NoError(t, err)
	s.publisher, err = publisher.New(s.broker)
	require.NoError(t, err)
	client, err := mongo.Connect(t.Context(), options.Client().ApplyURI(s.at.MongoDB))
	require.NoError(t, err)
	s.database = client.Database("webhooks")
}

// disconnect ends what a story holds of the system. It may be called twice.
func (s *system) disconnect() {
	if s.broker == nil {
		return
	}
	s.broker.Close()
	_ = s.database.Client().Disconnect(context.Background()) // the process may be dead
	s.broker = nil
}

// answers reports whether the api still does.
func (s *system) answers(t *testing.T) bool {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.at.API+"/api/health", nil)
	require.NoError(t, err)
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	require.NoError(t, response.Body.Close())
	return true
}
