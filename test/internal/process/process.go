// Package process builds and runs the programs that are tested, each in a process
// of its own that can be killed, stopped and started again.
package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dembrane/webhooks/test/internal/run"
)

// stopTimeout is how long a process may take to end in the orderly way.
const stopTimeout = 30 * time.Second

// readyTimeout is how long [Process.Run] waits.
const readyTimeout = time.Minute

// Build builds programs of this repository and of the modules that it uses, by the
// path of the executable. The race detector is left out: it would slow down what is
// being watched, and the packages' own tests have it.
func Build(ctx context.Context, sources map[string]string) error {
	group, ctx := errgroup.WithContext(ctx)
	for path, source := range sources {
		group.Go(func() error {
			cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", path, source) //nolint:gosec // the callers name both
			cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0")
			if output, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("build %s: %w\n%s", source, err, output)
			}
			return nil
		})
	}
	return group.Wait()
}

// Process is a program that is started, harmed and started again. Its methods are
// called from one goroutine at a time.
type Process struct {
	Name    string
	Program string
	Args    []string
	Env     []string
	// Folder gets what it writes: Name.out, and Name.log for standard error.
	Folder string
	// Line gets the one line of JSON that it prints when it can be used.
	Line any
	// Ready says whether it can be used, where it prints no such line; nil for at
	// once. It is asked for until it does.
	Ready func(ctx context.Context) error

	cmd   *exec.Cmd // nil when it was never started, and when it was killed or has ended as asked
	ended chan struct{}
	err   error // how it ended; valid once ended is closed
}

// Start starts the process and does not wait until it is ready. It outlives ctx:
// whoever starts it stops it.
func (p *Process) Start(ctx context.Context) error {
	stdout, err := os.Create(p.file("out"))
	if err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	defer func() { _ = stdout.Close() }() // the process has its own handle
	stderr, err := os.OpenFile(p.file("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	defer func() { _ = stderr.Close() }()                                        // as above
	cmd := exec.CommandContext(context.WithoutCancel(ctx), p.Program, p.Args...) //nolint:gosec // a program that we built or were given
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = p.Env, p.Folder, stdout, stderr
	cmd.SysProcAttr = bound()
	started, ended := make(chan error), make(chan struct{})
	go func() {
		defer close(ended)
		// Linux ends a process that is bound to this one with the thread that started it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	p.cmd, p.ended = cmd, ended
	return nil
}

// Await returns when the process is ready.
func (p *Process) Await(ctx context.Context) error {
	err := run.Poll(ctx, func(ctx context.Context) error {
		if err := p.Check(); err != nil {
			return run.Final{Err: fmt.Errorf("it ended before it was ready: %w", err)}
		}
		switch {
		case p.Line != nil:
			line, _, whole := strings.Cut(p.Output(), "\n")
			if !whole {
				return errors.New("it has said nothing")
			}
			return json.Unmarshal([]byte(line), p.Line)
		case p.Ready != nil:
			return p.Ready(ctx)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("wait for %s: %w", p.Name, err)
	}
	return nil
}

// Launch starts the process and returns when it is ready.
func (p *Process) Launch(ctx context.Context) error {
	if err := p.Start(ctx); err != nil {
		return err
	}
	return p.Await(ctx)
}

// Run starts the process until t ends, and returns when it is ready.
func (p *Process) Run(t run.T) {
	t.Helper()
	run.Must(t, p.Start(t.Context()), "start")
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Errorf("%v", err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), readyTimeout)
	defer cancel()
	run.Must(t, p.Await(ctx), "start")
}

// PID is the process's.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Kill ends the process without a word, and returns when it is gone.
func (p *Process) Kill() error {
	if err := p.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.ended
	p.cmd = nil
	return nil
}

// Signal sends a signal.
func (p *Process) Signal(s os.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("send %s to %s: %w", s, p.Name, err)
	}
	return nil
}

// Wait returns the exit code of a process that was sent a signal to end; -1 when the
// signal ended it, or when it did not listen and had to be killed.
func (p *Process) Wait(patience time.Duration) int {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	cmd := p.cmd
	select {
	case <-p.ended:
	case <-timer.C:
		_ = cmd.Process.Kill() // it may have ended meanwhile
		<-p.ended
	}
	p.cmd = nil
	return cmd.ProcessState.ExitCode()
}

// Stop ends the process in the orderly way, and without mercy when that takes too
// long. The error says what was not orderly.
func (p *Process) Stop() error {
	if p.cmd == nil {
		return nil
	}
	if err := p.Check(); err != nil {
		p.cmd = nil
		return err
	}
	_ = p.cmd.Process.Signal(syscall.SIGCONT) // only one that was stopped needs it
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended meanwhile
	if code := p.Wait(stopTimeout); code != 0 {
		return fmt.Errorf("stop %s: it ended with %d: %w\n%s", p.Name, code, p.err, p.Tail())
	}
	return nil
}

// Check fails when the process has ended although nobody asked it to.
func (p *Process) Check() error {
	if p.cmd == nil {
		return nil
	}
	select {
	case <-p.ended:
		return fmt.Errorf("%s ended by itself: %w\n%s", p.Name, errors.Join(p.err, errUnasked), p.Tail())
	default:
		return nil
	}
}

var errUnasked = errors.New("nobody asked it to")

func (p *Process) file(kind string) string { return filepath.Join(p.Folder, p.Name+"."+kind) }

// Output is what the process wrote to standard output since it was last started,
// and Log what it ever wrote to standard error.
func (p *Process) Output() string { return read(p.file("out")) }

// Log is explained at [Process.Output].
func (p *Process) Log() string { return read(p.file("log")) }

func read(file string) string {
	data, err := os.ReadFile(file) //nolint:gosec // the callers name the folder
	if err != nil {
		return "" // it was never started
	}
	return string(data)
}

// Tail is the end of its log.
func (p *Process) Tail() string {
	const most = 4 << 10
	text := p.Log()
	return text[max(0, len(text)-most):]
}
