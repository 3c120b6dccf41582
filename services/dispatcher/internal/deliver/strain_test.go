package deliver

import (
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestStrainIsWhatWaitsForAProcessor(t *testing.T) {
	stop := make(chan struct{})
	defer close(stop)
	s := newStrain()
	for range 50 * runtime.GOMAXPROCS(0) {
		go func() {
			for {
				select {
				case <-stop:
					return
				default:
					runtime.Gosched()
				}
			}
		}()
	}
	require.Eventually(t, func() bool { return s.perProcessor() > 20 }, patience, time.Millisecond)
}

func TestADrainIsNotDisturbed(t *testing.T) {
	f := start(t, answers(200))
	f.drain(patience, patience)
	before := f.lanes.Load()

	f.follow(newStrain())

	assert.Equal(t, before, f.lanes.Load())
}
