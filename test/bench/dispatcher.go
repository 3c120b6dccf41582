package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/dembrane/webhooks/pkg/observe"
	dispatcher "github.com/dembrane/webhooks/services/dispatcher/app"
	"github.com/dembrane/webhooks/test/internal/process"
	"github.com/dembrane/webhooks/test/internal/run"
)

// loaded is what a dispatcher with its registrations came to.
type loaded struct {
	// ReadyAt is when everything was loaded, in unix nanoseconds, and Heap the
	// memory in use after that, in bytes.
	ReadyAt int64 `json:"ready_at"`
	Heap    int64 `json:"heap"`

	took time.Duration
	cpu  time.Duration
	peak int64
}

// load starts a dispatcher on a bucket, in a process of its own, and waits until it
// would take events in.
func (b *bench) load(t run.T, from bucket) (l loaded) {
	program, err := os.Executable()
	run.Must(t, err, "find this program")
	folder := filepath.Join(b.folder, fmt.Sprintf("round-%d-registry-%d", b.round+1, from.webhooks))
	run.Must(t, os.MkdirAll(folder, 0o700), "make a folder for the dispatcher")
	from.serve(t, func(t run.T, url string) {
		started := time.Now()
		p := &process.Process{
			Name: roleDispatcher, Program: program, Folder: folder, Args: []string{"-role", roleDispatcher, "-timeout", "24h"}, Line: &l,
			Env: []string{
				"NATS_URL=" + url, "SECRETS_KEYSET_FILE=" + b.registries.keyset, "ADMIN_BASE_URL=" + dashboard,
				"OPS_ADDR=" + observe.NoOps, "LOG_LEVEL=info",
			},
		}
		p.Run(t)
		l.took = time.Unix(0, l.ReadyAt).Sub(started.Round(0)) // its clock is this machine's
		used := process.UsageOf(p.PID())
		l.cpu, l.peak = used.CPU, used.Peak
	})
	return l
}

// serveDispatcher is the dispatcher as its own program runs it. It prints its line
// when it is ready.
func serveDispatcher(ctx context.Context, stdout, stderr io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	config, err := dispatcher.LoadConfig()
	if err != nil {
		return err
	}
	log, err := observe.NewLogger(config.LogLevel, stderr)
	if err != nil {
		return err
	}
	part, err := dispatcher.New(config, "bench", log) //nolint:contextcheck // it only binds and reads files
	if err != nil {
		return err
	}
	told := make(chan error, 1)
	go func() {
		select {
		case <-part.Ready():
			told <- tellLoaded(stdout)
		case <-ctx.Done():
			told <- nil
		}
	}()
	err = part.Run(ctx)
	cancel()
	return errors.Join(err, <-told)
}

func tellLoaded(stdout io.Writer) error {
	l := loaded{ReadyAt: time.Now().UnixNano()}
	runtime.GC() // what loading has left behind is no memory in use
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	l.Heap = int64(memory.HeapAlloc) //nolint:gosec // no machine has that much
	if err := json.NewEncoder(stdout).Encode(l); err != nil {
		return fmt.Errorf("say that the dispatcher is ready: %w", err)
	}
	return nil
}
