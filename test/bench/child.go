package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

const (
	// readyTimeout is how long a child may take to print its line.
	readyTimeout = time.Minute
	// stopTimeout is how long a child may take to end before it is killed.
	stopTimeout = 30 * time.Second
)

// child is a process that this one started.
type child struct {
	name  string
	cmd   *exec.Cmd
	stdin io.Closer
	log   string
	ended chan struct{}
	err   error // how it ended; valid once ended is closed
}

// command says what a child is.
type command struct {
	name    string
	program string
	args    []string
	env     []string
	// folder gets the file with what the child writes to standard error.
	folder string
}

// startChild starts a process and decodes the one line of JSON that it prints
// when it is ready. The process is asked to end when ctx does; the caller calls
// stop in any case.
func startChild(ctx context.Context, c command, ready any) (*child, error) {
	logPath := filepath.Join(c.folder, c.name+".log")
	logFile, err := os.Create(logPath) //nolint:gosec // in a temporary folder of our own
	if err != nil {
		return nil, fmt.Errorf("make the log of the %s: %w", c.name, err)
	}
	defer func() { _ = logFile.Close() }()                // the child has its own handle
	cmd := exec.CommandContext(ctx, c.program, c.args...) //nolint:gosec // this program, or one that it built or was given
	cmd.Env, cmd.Stderr, cmd.Dir = c.env, logFile, c.folder
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopTimeout
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("connect to the %s: %w", c.name, err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("connect to the %s: %w", c.name, err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the %s: %w", c.name, err)
	}
	p := &child{name: c.name, cmd: cmd, stdin: stdin, log: logPath, ended: make(chan struct{})}
	if err := p.introduce(ctx, stdout, ready); err != nil {
		p.stop()
		return nil, fmt.Errorf("wait for the %s: %w\n%s", c.name, err, p.tail())
	}
	return p, nil
}

// introduce waits for the child's line and from then on for its end.
func (p *child) introduce(ctx context.Context, stdout io.Reader, ready any) error {
	line := make(chan []byte, 1)
	go func() {
		defer close(p.ended)
		reader := bufio.NewReader(stdout)
		if text, err := reader.ReadBytes('\n'); err == nil {
			line <- text
		}
		close(line)
		_, _ = io.Copy(io.Discard, reader) // a full pipe would stop the child
		p.err = p.cmd.Wait()
	}()
	timer := time.NewTimer(readyTimeout)
	defer timer.Stop()
	select {
	case text, ok := <-line:
		if !ok {
			return errors.New("it ended before it was ready")
		}
		if err := json.Unmarshal(text, ready); err != nil {
			return fmt.Errorf("read its line: %w", err)
		}
		return nil
	case <-timer.C:
		return fmt.Errorf("not ready after %s", readyTimeout)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *child) pid() int { return p.cmd.Process.Pid }

// check fails when the child has ended by itself.
func (p *child) check() error {
	select {
	case <-p.ended:
		return fmt.Errorf("the %s ended: %w\n%s", p.name, errors.Join(p.err, io.ErrUnexpectedEOF), p.tail())
	default:
		return nil
	}
}

// stop ends the child: it is asked first, and killed when that does not help. It
// returns when the process is gone.
func (p *child) stop() {
	_ = p.stdin.Close()                       // tells the receiver
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // may have ended already
	timer := time.AfterFunc(stopTimeout, func() { _ = p.cmd.Process.Kill() })
	defer timer.Stop()
	<-p.ended
}

// tail is the end of what the child wrote to its log.
func (p *child) tail() string {
	const most = 4 << 10
	data, err := os.ReadFile(p.log) //nolint:gosec // in a temporary folder of our own
	if err != nil {
		return ""
	}
	return string(data[max(0, len(data)-most):])
}
