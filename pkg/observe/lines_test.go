package observe

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
)

// written notes what each write consists of.
type written struct {
	mu     sync.Mutex
	writes []string
	err    error
}

func (w *written) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writes = append(w.writes, string(p))
	return len(p), w.err
}

func (w *written) all() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.writes...)
}

func TestALineAloneIsWrittenAtOnceAndManyTogether(t *testing.T) {
	out := new(written)
	l := newLines(out)
	write := func(line string) {
		n, err := l.Write([]byte(line))
		require.NoError(t, err)
		assert.Len(t, line, n)
	}
	write("first\n")
	require.Equal(t, []string{"first\n"}, out.all())
	for range 3 {
		write("more\n")
	}
	require.Eventually(t, func() bool { return strings.Join(out.all(), "") == "first\nmore\nmore\nmore\n" }, time.Minute, time.Millisecond)
	assert.Less(t, len(out.all()), 4)

	write("waits\n")
	write("too\n")
	require.NoError(t, l.Sync())
	assert.True(t, strings.HasSuffix(strings.Join(out.all(), ""), "waits\ntoo\n"))
	require.NoError(t, l.Sync(), "and nothing is written twice")
	assert.Equal(t, 1, strings.Count(strings.Join(out.all(), ""), "too"))
}

func TestWhatWaitsIsBoundedAndKeepsItsOrder(t *testing.T) {
	out := new(written)
	l := newLines(out)
	var want strings.Builder
	for _, size := range []int{1, 10, maxLines / 2, maxLines/2 + 1, maxLines, maxLines + 1, 5, 2 * maxLines, 1} {
		line := strings.Repeat("x", size-1) + "\n"
		want.WriteString(line)
		_, err := l.Write([]byte(line))
		require.NoError(t, err)
		l.mu.Lock() // its timer writes beside us
		assert.LessOrEqual(t, cap(l.waiting), maxLines)
		l.mu.Unlock()
	}
	require.NoError(t, l.Sync())
	assert.Equal(t, want.String(), strings.Join(out.all(), ""))
}

func TestAWriterThatFailedIsTriedAgain(t *testing.T) {
	out := &written{err: errors.New("disk full")}
	l := newLines(out)
	_, err := l.Write([]byte("lost\n"))
	require.ErrorContains(t, err, "disk full")
	_, err = l.Write([]byte("lost as well\n"))
	require.NoError(t, err)
	require.ErrorContains(t, l.Sync(), "disk full")
	out.err = nil
	_, err = l.Write([]byte("there\n"))
	require.NoError(t, err)
	require.NoError(t, l.Sync())
	assert.Equal(t, "there\n", out.all()[len(out.all())-1])
}

func TestWarningsTakeWhatWaitsWithThem(t *testing.T) {
	var out bytes.Buffer
	log, err := NewLogger("info", &out)
	require.NoError(t, err)
	for range 3 {
		log.Info("attempt")
	}
	log.Warn("look", zap.Int("lines", 4))
	assert.Equal(t, 4, strings.Count(out.String(), "\n"))
	log.Error("look again")
	assert.Equal(t, 5, strings.Count(out.String(), "\n"))
}
