package observe

import (
	"io"
	"sync"
	"time"
)

const (
	// linger is how long a line may wait for others to be written with.
	linger = 10 * time.Millisecond
	// maxLines bounds what waits, in bytes.
	maxLines = 64 << 10
)

// lines writes log lines. One that comes alone is written at once; when many come,
// those of the next few milliseconds are written together, which is what makes a
// line for every attempt cheap. A process that is killed loses those milliseconds'
// lines. It is safe for concurrent use.
type lines struct {
	to io.Writer

	mu      sync.Mutex
	waiting []byte
	timer   *time.Timer // runs while any wait
	written time.Time   // when anything was written last
}

func newLines(to io.Writer) *lines {
	l := &lines{to: to, waiting: make([]byte, 0, maxLines)}
	l.timer = time.AfterFunc(time.Hour, func() { _ = l.Sync() }) // nobody is left to tell
	l.timer.Stop()
	return l
}

// Write takes one line or several. An error is that of the writes before it.
func (l *lines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting)+len(line) > maxLines {
		if err := l.flush(); err != nil {
			return 0, err
		}
	}
	if alone := len(l.waiting) == 0 && time.Since(l.written) >= linger; alone || len(line) > maxLines {
		l.written = time.Now()
		return l.to.Write(line)
	}
	if len(l.waiting) == 0 {
		l.timer.Reset(linger)
	}
	l.waiting = append(l.waiting, line...)
	return len(line), nil
}

// Sync writes what waits. It does not wait for a disk.
func (l *lines) Sync() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.timer.Stop()
	return l.flush()
}

// flush writes what waits, or loses it: there is nowhere else to put it.
func (l *lines) flush() error {
	if len(l.waiting) == 0 {
		return nil
	}
	l.written = time.Now()
	_, err := l.to.Write(l.waiting)
	l.waiting = l.waiting[:0]
	return err
}
