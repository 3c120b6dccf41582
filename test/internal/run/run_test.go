package run_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/dembrane/webhooks/test/internal/run"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errWrong = errors.New("something is wrong")

func TestAProgramEndsWithItsFirstFaultAndCleansUp(t *testing.T) {
	var said bytes.Buffer
	var order []string
	err := run.Program(t.Context(), &said, func(t run.T) {
		t.Cleanup(func() { order = append(order, "first") })
		t.Cleanup(func() { order = append(order, "second") })
		t.Logf("%d events", 3)
		run.Must(t, nil, "go on")
		run.Must(t, errWrong, "do the %s", "deed")
		order = append(order, "never")
	})
	require.ErrorContains(t, err, "do the deed: something is wrong")
	assert.Equal(t, []string{"second", "first"}, order)
	assert.Contains(t, said.String(), "3 events\n")
	require.NoError(t, run.Program(t.Context(), &said, func(run.T) {}))
}

func TestStepsSideBySideEndTogether(t *testing.T) {
	err := run.Program(t.Context(), &bytes.Buffer{}, func(t run.T) {
		run.Together(t,
			func(t run.T) { run.Must(t, errWrong, "one step") },
			func(t run.T) { run.Pause(t, time.Hour) })
	})
	require.ErrorContains(t, err, "one step: something is wrong")
}

func TestWaitingSaysWhatWasWrongLast(t *testing.T) {
	err := run.Program(t.Context(), &bytes.Buffer{}, func(t run.T) {
		run.Until(t, 50*time.Millisecond, "it is so", func(context.Context) error { return errWrong })
	})
	require.ErrorContains(t, err, "wait until it is so: not within 50ms: something is wrong")
	require.ErrorIs(t, run.Poll(t.Context(), func(context.Context) error { return run.Final{Err: errWrong} }), errWrong)
}
