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
func (b *bench) load(ctx context.Context, from bucket) (l loaded, _ error) {
	program, err := os.Executable()
	if err != nil {
		return l, fmt.Errorf("find this program: %w", err)
	}
	folder := filepath.Join(b.folder, fmt.Sprintf("round-%d-registry-%d", b.round+1, from.webhooks))
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return l, fmt.Errorf("make a folder for the dispatcher: %w", err)
	}
	err = from.serve(ctx, func(url string) error {
		started := time.Now()
		process, err := startChild(ctx, command{
			name: "dispatcher", program: program, folder: folder, args: []string{"-role", roleDispatcher, "-timeout", "24h"},
			env: []string{
				"NATS_URL=" + url, "SECRETS_KEYSET_FILE=" + b.registries.keyset, "ADMIN_BASE_URL=" + dashboard,
				"OPS_ADDR=" + observe.NoOps, "LOG_LEVEL=info",
			},
		}, &l)
		if err != nil {
			return err
		}
		l.took = time.Unix(0, l.ReadyAt).Sub(started.Round(0)) // the child's clock is this machine's
		used := usageOf(process.pid())
		l.cpu, l.peak = used.CPU, used.Peak
		process.stop()
		return nil
	})
	return l, err
}

// serveDispatcher is the dispatcher as its own program runs it. It prints its line
// when it is ready, and ends when its standard input does.
func serveDispatcher(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) error {
	ctx, cancel := untilEnd(ctx, stdin)
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
