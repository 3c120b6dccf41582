package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// stopTimeout is how long a process may take to end in the orderly way.
const stopTimeout = 20 * time.Second

// process is a program that is started, harmed and started again. Its methods are
// called from one goroutine.
type process struct {
	name    string
	program string
	args    []string
	env     []string
	folder  string
	// ready says whether it can be used; asked for until it is.
	ready func(ctx context.Context) error

	cmd   *exec.Cmd // nil when it was never started, and when it was killed or stopped
	ended chan struct{}
	err   error // how it ended; valid once ended is closed
}

// start starts the process, which dies with ctx at the latest. It does not wait
// until the process is ready.
func (p *process) start(ctx context.Context) error {
	logs, err := os.OpenFile(p.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the log of %s: %w", p.name, err)
	}
	defer func() { _ = logs.Close() }()                   // the process has its own handle
	cmd := exec.CommandContext(ctx, p.program, p.args...) //nolint:gosec // a program that we built
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = p.env, p.folder, logs, logs
	cmd.SysProcAttr = bound()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	ended := make(chan struct{})
	p.cmd, p.ended = cmd, ended
	go func() {
		defer close(ended)
		p.err = cmd.Wait()
	}()
	return nil
}

// await returns when the process is ready.
func (p *process) await(ctx context.Context) error {
	err := until(ctx, func() error {
		if err := p.check(); err != nil {
			return giveUp{err}
		}
		return p.ready(ctx)
	})
	if err != nil {
		return fmt.Errorf("wait for %s: %w", p.name, err)
	}
	return nil
}

// launch starts the process and returns when it is ready.
func (p *process) launch(ctx context.Context) error {
	if err := p.start(ctx); err != nil {
		return err
	}
	return p.await(ctx)
}

// kill ends the process without a word, and returns when it is gone.
func (p *process) kill() error {
	if err := p.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill %s: %w", p.name, err)
	}
	<-p.ended
	p.cmd = nil
	return nil
}

// signal sends a signal that the process survives.
func (p *process) signal(s syscall.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("send %s to %s: %w", s, p.name, err)
	}
	return nil
}

// stop ends the process in the orderly way, and without mercy when that takes
// too long. The error says what was not orderly.
func (p *process) stop() error {
	if p.cmd == nil {
		return nil
	}
	if err := p.check(); err != nil {
		return err
	}
	defer func() { p.cmd = nil }()
	_ = p.cmd.Process.Signal(syscall.SIGCONT) // only one that was stopped needs it
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended meanwhile
	timer := time.NewTimer(stopTimeout)
	defer timer.Stop()
	select {
	case <-p.ended:
		if p.err != nil {
			return fmt.Errorf("stop %s: %w\n%s", p.name, p.err, p.tail())
		}
		return nil
	case <-timer.C:
		_ = p.cmd.Process.Kill() // it may have ended meanwhile
		<-p.ended
		return fmt.Errorf("stop %s: not done after %s\n%s", p.name, stopTimeout, p.tail())
	}
}

// check fails when the process has ended although nobody killed it.
func (p *process) check() error {
	if p.cmd == nil {
		return nil
	}
	select {
	case <-p.ended:
		return fmt.Errorf("%s ended by itself: %w\n%s", p.name, errors.Join(p.err, errEnded), p.tail())
	default:
		return nil
	}
}

var errEnded = errors.New("nobody asked it to")

func (p *process) logFile() string { return filepath.Join(p.folder, p.name+".log") }

// tail is the end of what the process wrote.
func (p *process) tail() string {
	const most = 4 << 10
	data, err := os.ReadFile(p.logFile())
	if err != nil {
		return ""
	}
	return string(data[max(0, len(data)-most):])
}

// giveUp is an error that no repetition mends.
type giveUp struct{ error }

// Unwrap returns what is wrong.
func (g giveUp) Unwrap() error { return g.error }

// until repeats attempt until it returns nil or a [giveUp], or ctx is done.
func until(ctx context.Context, attempt func() error) error {
	const pause = 20 * time.Millisecond
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	var last error
	for {
		err := attempt()
		if err == nil {
			return nil
		}
		if final, ok := errors.AsType[giveUp](err); ok {
			return final.error
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
