// Package run lets a program be written as a test is: a step that fails ends what
// it is part of, and what was started is stopped in any case. So bench, chaos and
// e2e share what they are made of.
package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// T is what a step needs of whoever runs it: of a *testing.T, or of a program.
type T interface {
	// Errorf says what is wrong and goes on; FailNow ends the goroutine.
	Errorf(format string, args ...any)
	FailNow()
	Helper()
	Logf(format string, args ...any)
	Cleanup(do func())
	Context() context.Context
}

// pollEvery is how often something is looked at that is waited for.
const pollEvery = 20 * time.Millisecond

// errFailed is why the context of a part ends when one of its steps fails.
var errFailed = errors.New("another step failed")

// part is steps that run side by side. The failure of one is the failure of all.
type part struct {
	ctx    context.Context //nolint:containedctx // as a test has one
	cancel context.CancelCauseFunc
	logf   func(string, ...any)

	mu      sync.Mutex
	faults  []string
	failed  bool
	cleanup []func()
}

func (p *part) Errorf(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failed = true
	p.faults = append(p.faults, strings.TrimSpace(fmt.Sprintf(format, args...)))
}

func (p *part) FailNow() {
	p.mu.Lock()
	p.failed = true
	p.mu.Unlock()
	p.cancel(errFailed)
	runtime.Goexit()
}

func (p *part) Helper() {}

func (p *part) Logf(format string, args ...any) { p.logf(format, args...) }

func (p *part) Context() context.Context { return p.ctx }

func (p *part) Cleanup(do func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cleanup = append(p.cleanup, do)
}

// do runs the steps side by side and then what was registered for afterwards.
func (p *part) do(steps ...func(T)) {
	var running sync.WaitGroup
	for _, step := range steps {
		running.Go(func() { step(p) })
	}
	running.Wait()
	p.cancel(nil)
	for _, undo := range slices.Backward(p.cleanup) {
		running.Go(undo) // a goroutine of its own, which may end as a step does
		running.Wait()
	}
}

// Program runs a program's steps, and returns what was wrong.
func Program(ctx context.Context, progress io.Writer, do func(T)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	p := &part{ctx: ctx, cancel: cancel, logf: func(format string, args ...any) {
		_, _ = fmt.Fprintf(progress, time.Now().Format("15:04:05 ")+format+"\n", args...) // progress is for people only
	}}
	p.do(do)
	if p.failed {
		return errors.New(strings.Join(p.faults, "\n"))
	}
	return nil
}

// Together runs steps side by side, and returns when all have ended and what they
// registered to be done afterwards has been done. When one fails, the context of
// the others ends.
func Together(t T, steps ...func(T)) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	p := &part{ctx: ctx, cancel: cancel, logf: t.Logf}
	p.do(steps...)
	if p.failed {
		t.Errorf("%s", strings.Join(p.faults, "\n"))
		t.FailNow()
	}
}

// Must ends the step when err is one.
func Must(t T, err error, doing string, args ...any) {
	t.Helper()
	if err == nil {
		return
	}
	if cause := context.Cause(t.Context()); cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	t.Errorf("%s: %v", fmt.Sprintf(doing, args...), err)
	t.FailNow()
}

// Until repeats look until it returns nil, and fails when that takes too long. What
// look said last tells why.
func Until(t T, patience time.Duration, what string, look func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), patience, fmt.Errorf("not within %s", patience))
	defer cancel()
	Must(t, Poll(ctx, look), "wait until %s", what)
}

// Final is an error that no repetition mends.
type Final struct{ Err error }

// Error implements error.
func (f Final) Error() string { return f.Err.Error() }

// Unwrap returns what is wrong.
func (f Final) Unwrap() error { return f.Err }

// Poll repeats look until it returns nil or a [Final], or ctx is done.
func Poll(ctx context.Context, look func(ctx context.Context) error) error {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	var last error
	for {
		err := look(ctx)
		if err == nil {
			return nil
		}
		if final, ok := errors.AsType[Final](err); ok {
			return final.Err
		}
		if last == nil || ctx.Err() == nil { // what ctx itself cut off explains less than what was before it
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), last)
		case <-ticker.C:
		}
	}
}

// Pause waits, but not longer than ctx.
func Pause(t T, d time.Duration) {
	t.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
		Must(t, context.Cause(t.Context()), "wait")
	}
}
