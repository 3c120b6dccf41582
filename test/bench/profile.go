package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/dembrane/webhooks/test/internal/inside"
	"github.com/dembrane/webhooks/test/internal/run"
)

// profile runs the system inside this process and writes a CPU profile of every
// stage: registering, delivering, and completing the log after that, the latter
// two with one endpoint, with many, and with large bodies; and last a heap profile. The receiver stays
// outside; the publisher is in the profile, as publisher.flood.
func profile(ctx context.Context, o plan, progress io.Writer) error {
	o.only = names{throughputScenario, largeScenario}
	b := &bench{plan: o}
	return run.Program(ctx, progress, func(t run.T) { //nolint:contextcheck // t has it
		b.start(t)
		run.Must(t, os.MkdirAll(o.profile, 0o750), "make a folder for the profiles") //nolint:gosec // the caller names it
		s := hostSystem(t, o, b.folder)
		b.sample(t, "register", func() { s.register(t, b.registered(b.plan)) })
		for _, each := range []*load{b.one, b.many, b.large} {
			events := b.events
			if each == b.large {
				events = b.largeEvents
			}
			b.warmUp(t, s, each)
			var m measurement
			b.sample(t, each.key, func() { m = b.flood(t, s, each, events) })
			b.sample(t, each.key+"-log", func() { s.recorded(t) })
			t.Logf("%s: %.0f/s in one process; %d lost, %d twice; log complete %s later",
				each.title, m.rate, m.lost, m.Duplicates, time.Since(m.last()).Round(time.Millisecond))
		}
		runtime.GC() // the profile is of what is in use as of the last collection
		b.save(t, "heap", func(w io.Writer) error { return pprof.WriteHeapProfile(w) })
	})
}

// sample writes the CPU profile of what do does.
func (b *bench) sample(t run.T, stage string, do func()) {
	b.save(t, "cpu-"+stage, func(w io.Writer) error {
		if err := pprof.StartCPUProfile(w); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
		do()
		return nil
	})
}

func (b *bench) save(t run.T, name string, write func(io.Writer) error) {
	file, err := os.Create(filepath.Join(b.profile, name+".prof")) //nolint:gosec // as above
	run.Must(t, err, "make a profile")
	run.Must(t, errors.Join(write(file), file.Close()), "write a profile")
}

// hostSystem starts a system inside this process, until t ends. It logs nothing.
func hostSystem(t run.T, o plan, folder string) *system {
	given := map[string]string{}
	for _, setting := range o.environment(folder) {
		name, value, _ := strings.Cut(setting, "=")
		given[name] = value
	}
	s := &system{pid: os.Getpid(), check: func() error { return nil }}
	s.at, _ = new(inside.Hosts).Host(t, given, zap.NewNop())
	s.connect(t)
	return s
}
