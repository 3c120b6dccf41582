package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/dembrane/webhooks/pkg/topology"
)

// registering is how many registrations are under way at once.
const registering = 8

// addresses is the line that the system prints when it is ready.
type addresses struct {
	API     string `json:"api"`
	NATS    string `json:"nats"`
	MongoDB string `json:"mongodb"`
	Ops     string `json:"ops"`
	Token   string `json:"token"`
}

// system is a running system and the connections to it.
type system struct {
	addresses
	*publisher
	// beside is another one, with a connection of its own: what it publishes does
	// not queue behind a flood in this process.
	beside *publisher
	log    *deliveryLog
	nc     *nats.Conn
	pid    int
	check  func() error
	stop   func()
}

// buildSystem builds the program that production runs.
func buildSystem(ctx context.Context, folder string) (string, error) {
	program := filepath.Join(folder, "standalone")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", program, //nolint:gosec // in a temporary folder of our own
		"github.com/dembrane/webhooks/services/standalone")
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0")
	if output, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the standalone: %w\n%s", err, output)
	}
	return program, nil
}

// startSystem starts a system that knows nothing yet, in a process of its own.
func startSystem(ctx context.Context, o plan, program, folder string) (*system, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil { //nolint:gosec // in a temporary folder of our own
		return nil, fmt.Errorf("make a folder for the system: %w", err)
	}
	var at addresses
	process, err := startChild(ctx, command{name: "standalone", program: program, folder: folder, env: o.environment(folder)}, &at)
	if err != nil {
		return nil, err
	}
	s := &system{addresses: at, pid: process.pid(), check: process.check}
	return s.connect(ctx, process.stop)
}

// connect completes a system. What it returns is stopped by its stop alone.
func (s *system) connect(ctx context.Context, stop func()) (_ *system, err error) {
	teardown := []func(){stop}
	s.stop = func() {
		for _, undo := range slices.Backward(teardown) {
			undo()
		}
	}
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	dial := func(name string) (*nats.Conn, error) {
		nc, err := nats.Connect(s.NATS, nats.Name(name))
		if err != nil {
			return nil, fmt.Errorf("connect to nats: %w", err)
		}
		teardown = append(teardown, nc.Close)
		return nc, nil
	}
	if s.nc, err = dial("webhooks-bench"); err != nil {
		return nil, err
	}
	other, err := dial("webhooks-bench-beside")
	if err != nil {
		return nil, err
	}
	if s.publisher, err = newPublisher(s.nc, unacknowledged); err != nil {
		return nil, err
	}
	if s.beside, err = newPublisher(other, unacknowledged); err != nil {
		return nil, err
	}
	if s.log, err = openDeliveryLog(ctx, s.MongoDB); err != nil {
		return nil, err
	}
	teardown = append(teardown, func() { s.log.close(context.WithoutCancel(ctx)) })
	return s, nil
}

// register makes one webhook for every target.
func (s *system) register(ctx context.Context, targets []target) error {
	client := &http.Client{Timeout: 30 * time.Second}
	defer client.CloseIdleConnections()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(registering)
	for _, t := range targets {
		group.Go(func() error { return s.registerOne(ctx, client, t) })
	}
	return group.Wait()
}

func (s *system) registerOne(ctx context.Context, client *http.Client, t target) error {
	body, err := json.Marshal(map[string]any{
		"name": "benchmark", "url": t.url, "events": []string{t.event}, "secret": secret,
	})
	if err != nil {
		return fmt.Errorf("encode a registration: %w", err)
	}
	url := s.API + "/api/projects/" + t.project + "/webhooks"
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body)) //nolint:gosec // our own child's address
	if err != nil {
		return fmt.Errorf("register %s: %w", t.url, err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+s.Token)
	response, err := client.Do(request) //nolint:gosec // our own child's address
	if err != nil {
		return fmt.Errorf("register %s: %w", t.url, err)
	}
	defer func() { _ = response.Body.Close() }() // it is read to its end below
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("register %s: %w", t.url, err)
	}
	if response.StatusCode != http.StatusCreated {
		return fmt.Errorf("register %s: %d %s", t.url, response.StatusCode, answer)
	}
	return nil
}

// recorded waits until nothing is owed any more and every record of an attempt is
// in the delivery log. It returns when that was.
func (s *system) recorded(ctx context.Context) (time.Time, error) {
	err := s.until(ctx, s.nothingLeft)
	return time.Now(), err
}

// logged waits until every record of an attempt is in the delivery log.
func (s *system) logged(ctx context.Context) error {
	return s.until(ctx, func(ctx context.Context) (bool, error) {
		state, err := s.state(ctx, topology.StreamAttempts)
		return state.Msgs == 0, err
	})
}

func (s *system) until(ctx context.Context, condition func(context.Context) (bool, error)) error {
	const lookEvery = 100 * time.Millisecond
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		done, err := condition(ctx)
		if err != nil || done {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := s.check(); err != nil {
			return err
		}
	}
}

// nothingLeft looks at the queues in the order in which an event passes them, so
// that nothing slips through between two looks.
func (s *system) nothingLeft(ctx context.Context) (bool, error) {
	for _, part := range topology.Intake(topology.Consumption{}) {
		intake, err := s.js.Consumer(ctx, topology.StreamEvents, part.Durable)
		if err != nil {
			return false, fmt.Errorf("look at the intake: %w", err)
		}
		if info := intake.CachedInfo(); info.NumPending > 0 || info.NumAckPending > 0 {
			return false, nil
		}
	}
	for _, name := range []string{topology.StreamDeliveries, topology.StreamRanges, topology.StreamAttempts} {
		state, err := s.state(ctx, name)
		if err != nil || state.Msgs > 0 {
			return false, err
		}
	}
	return true, nil
}

func (s *system) state(ctx context.Context, name string) (jetstream.StreamState, error) {
	stream, err := s.js.Stream(ctx, name)
	if err != nil {
		return jetstream.StreamState{}, fmt.Errorf("look at stream %s: %w", name, err)
	}
	return stream.CachedInfo().State, nil
}

// scheduled is how many messages have ever been on DELIVERIES and RANGES. What
// waits there once makes two of them: the schedule, and itself when due.
func (s *system) scheduled(ctx context.Context) (int, error) {
	total := 0
	for _, name := range []string{topology.StreamDeliveries, topology.StreamRanges} {
		state, err := s.state(ctx, name)
		if err != nil {
			return 0, err
		}
		if state.LastSeq > 1<<31 {
			return 0, errors.New("look at the schedule: more messages than anybody published")
		}
		total += int(state.LastSeq)
	}
	return total, nil
}
