package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
	"time"

	"github.com/dembrane/webhooks/pkg/observe"
	"github.com/dembrane/webhooks/services/standalone/app"
)

// profile runs the system inside this process and writes a CPU profile of every
// stage: registering, delivering, and completing the log after that, the latter
// two with one endpoint, with many, and with large bodies; and last a heap profile. The receiver stays
// outside; the publisher is in the profile, as publisher.flood.
func profile(ctx context.Context, o plan, progress io.Writer) error {
	o.only = names{throughputScenario, largeScenario}
	folder, remove, err := o.workFolder(progress)
	if err != nil {
		return err
	}
	defer remove()
	if err := os.MkdirAll(o.profile, 0o750); err != nil {
		return fmt.Errorf("make a folder for the profiles: %w", err)
	}
	b, err := newBench(ctx, o, folder, progress)
	if err != nil {
		return err
	}
	defer b.close()
	s, err := hostSystem(ctx, o, folder)
	if err != nil {
		return err
	}
	defer s.stop()
	if err := b.sample("register", func() error { return s.register(ctx, b.registered(b.plan)) }); err != nil {
		return err
	}
	for _, each := range []*load{b.one, b.many, b.large} {
		events := b.events
		if each == b.large {
			events = b.largeEvents
		}
		if err := b.warmUp(ctx, s, each); err != nil {
			return err
		}
		if err := b.profileLoad(ctx, s, each, events); err != nil {
			return fmt.Errorf("profile %s: %w", each.title, err)
		}
	}
	runtime.GC() // the profile is of what is in use as of the last collection
	return save(filepath.Join(o.profile, "heap.prof"), pprof.WriteHeapProfile)
}

func (b *bench) profileLoad(ctx context.Context, s *system, each *load, events int) error {
	var m measurement
	err := b.sample(each.key, func() (err error) {
		m, err = b.flood(ctx, s, each, events)
		return err
	})
	if err != nil {
		return err
	}
	if err := b.sample(each.key+"-log", func() error { return second(s.recorded(ctx)) }); err != nil {
		return err
	}
	b.say("%s: %.0f/s in one process; %d lost, %d twice; log complete %s later",
		each.title, m.rate, m.lost, m.Duplicates, time.Since(m.last()).Round(time.Millisecond))
	return nil
}

// sample writes the CPU profile of what do does.
func (b *bench) sample(stage string, do func() error) error {
	return save(filepath.Join(b.profile, "cpu-"+stage+".prof"), func(w io.Writer) error {
		if err := pprof.StartCPUProfile(w); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
		return do()
	})
}

func second[T any](_ T, err error) error { return err }

func save(path string, write func(io.Writer) error) error {
	file, err := os.Create(path) //nolint:gosec // the caller of the program names it
	if err != nil {
		return fmt.Errorf("make a profile: %w", err)
	}
	if err := errors.Join(write(file), file.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// hostSystem starts a system inside this process.
func hostSystem(ctx context.Context, o plan, folder string) (*system, error) {
	logFile, err := os.Create(filepath.Join(folder, "standalone.log")) //nolint:gosec // in a temporary folder of our own
	if err != nil {
		return nil, fmt.Errorf("make the log: %w", err)
	}
	given := map[string]string{}
	for _, setting := range o.environment(folder) {
		name, value, _ := strings.Cut(setting, "=")
		given[name] = value
	}
	c, err := app.LoadConfig(given)
	if err != nil {
		return nil, err
	}
	log, err := observe.NewLogger(c.LogLevel, logFile)
	if err != nil {
		return nil, err
	}
	hosted, err := app.New(c, "bench", log)
	if err != nil {
		return nil, err
	}
	running, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	var failure error // valid once ended is closed
	go func() {
		defer close(ended)
		failure = hosted.Run(running)
	}()
	stop := func() {
		cancel()
		<-ended
		_ = logFile.Close() // nobody reads it
	}
	check := func() error {
		select {
		case <-ended:
			return fmt.Errorf("run the system: %w", errors.Join(failure, io.ErrUnexpectedEOF))
		default:
			return nil
		}
	}
	select {
	case at := <-hosted.Ready():
		return (&system{addresses: addresses(at), pid: os.Getpid(), check: check}).connect(ctx, stop)
	case <-ended:
		cancel()
		return nil, check()
	}
}
