package main

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A setting that nats-server understood otherwise would measure something else.
func TestServersAreConfiguredAsTheSetupSays(t *testing.T) {
	intervals := map[string]time.Duration{"2m": 2 * time.Minute, "1s": time.Second}
	for _, s := range setups() {
		var machines []*machine
		for number := range s.servers {
			machines = append(machines, &machine{number: number, client: 20_000 + number, routes: 21_000 + number})
		}
		for number := range s.servers {
			var options server.Options
			require.NoError(t, options.ProcessConfigString(s.config(number, machines)), s.name)
			assert.Equal(t, s.sync == "always", options.SyncAlways, s.name)
			if !options.SyncAlways {
				assert.Equal(t, intervals[s.sync], options.SyncInterval, s.name)
			}
			assert.Len(t, options.Routes, s.servers-1, s.name)
		}
		assert.LessOrEqual(t, s.cut, s.servers, s.name)
	}
}

func TestTheKernelIsTheOneThatDebiansPackageDependsOn(t *testing.T) {
	name, err := dependency([]byte("linux-image-cloud-amd64\n  Depends: linux-image-6.1.0-56-cloud-amd64\n"))
	require.NoError(t, err)
	assert.Equal(t, "linux-image-6.1.0-56-cloud-amd64", name)

	_, err = dependency([]byte("linux-image-cloud-amd64\n"))
	assert.Error(t, err)
}

// Two archives after another are one to the kernel, so each begins at a multiple
// of four bytes.
func TestTheInitramfsIsPadded(t *testing.T) {
	var a archive
	a.add("a", []byte("12345"))
	data := a.bytes()
	assert.Zero(t, len(data)%4)
	assert.Equal(t, 2, bytes.Count(data, []byte("070701")), "the file and the end")
}

func TestLossFailsWhereNothingMayBeLost(t *testing.T) {
	lossy, safe := row{setup: setup{name: "lossy"}}, row{setup: setup{name: "safe", safe: true}}
	for _, r := range []*row{&lossy, &safe} {
		r.add(result{acknowledged: 10, lost: 2, oldest: time.Second})
		r.add(result{acknowledged: 20, lost: 5, oldest: 2 * time.Second})
	}
	require.NoError(t, verdict([]row{lossy}))
	require.ErrorContains(t, verdict([]row{lossy, safe}), "safe lost 7")
	assert.Contains(t, table([]row{lossy}), "| 2 | 30 | 7 | 2 to 5 | 2 s |")
}

func TestWhatIsWrongWithTheCommandLineIsSaid(t *testing.T) {
	for _, args := range [][]string{{"-rounds", "0"}, {"-only", "four"}, {"-publish", "1s"}, {"-unknown"}} {
		var said bytes.Buffer
		assert.Equal(t, 2, start(t.Context(), args, io.Discard, &said), "%v", args)
		assert.NotEmpty(t, said.String(), "%v", args)
	}
}
