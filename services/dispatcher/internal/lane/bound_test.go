package lane_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/services/dispatcher/internal/lane"
)

// strain tells the lanes a few times how many goroutines wait for each processor.
func (m *model) strain(t require.TestingT, perProcessor float64, times int) {
	for range times {
		for _, next := range m.lanes.Strained(perProcessor, m.now) {
			m.leaveAny(t, next)
		}
	}
}

// inFlightAll is how many attempts are under way to all endpoints.
func (m *model) inFlightAll() (sum int) {
	for _, attempts := range m.inFlight {
		sum += len(attempts)
	}
	return sum
}

// crowd offers some deliveries to each of so many endpoints that not all can have
// an attempt.
func (m *model) crowd(t require.TestingT) {
	for range 4 {
		for i := range 2 * m.limits.MaxInFlight {
			m.offer(t, fmt.Sprint("endpoint", i))
		}
	}
}

// endSome ends an attempt to each endpoint that has one.
func (m *model) endSome(t require.TestingT) {
	var busy []string
	for endpoint, attempts := range m.inFlight {
		if len(attempts) > 0 {
			busy = append(busy, endpoint)
		}
	}
	for _, endpoint := range busy {
		m.done(t, endpoint, lane.Result{Took: 20 * time.Millisecond})
	}
}

func TestAttemptsAreAsManyAsTheProcessorsFollow(t *testing.T) {
	m := newModel(production())
	require.Equal(t, m.limits.MaxInFlight, m.lanes.Load().Allowed)
	m.crowd(t)
	require.Equal(t, m.limits.MaxInFlight, m.inFlightAll())

	m.strain(t, 100, 20)
	assert.Equal(t, m.limits.MinInFlight, m.lanes.Load().Allowed)
	assert.Equal(t, m.limits.MaxInFlight, m.inFlightAll(), "what is under way goes on")
	m.endSome(t)
	assert.Less(t, m.inFlightAll(), m.limits.MaxInFlight)
	m.endSome(t)
	assert.Equal(t, m.limits.MinInFlight, m.inFlightAll(), "processors are kept busy, whatever is said of them")
	m.check(t)

	m.strain(t, 4, 100)
	assert.Equal(t, m.limits.MinInFlight, m.lanes.Load().Allowed, "busy enough")

	m.strain(t, 0, 20)
	assert.Equal(t, m.limits.MaxInFlight, m.lanes.Load().Allowed)
	assert.Equal(t, m.limits.MaxInFlight, m.inFlightAll(), "nobody waits for an attempt to end")
	m.check(t)
}

// What nobody has made use of says nothing about how much more would do.
func TestFewAttemptsDoNotRaiseTheBound(t *testing.T) {
	m := newModel(production())
	m.crowd(t)
	m.strain(t, 100, 20)
	m.endAll(t)

	m.strain(t, 0, 100)

	assert.Equal(t, m.limits.MinInFlight, m.lanes.Load().Allowed)
}

func TestTheBoundIsNeverAboveWhatIsSet(t *testing.T) {
	limits := production()
	limits.MinInFlight = 10 * limits.MaxInFlight
	m := newModel(limits)

	m.strain(t, 100, 100)

	assert.Equal(t, limits.MaxInFlight, m.lanes.Load().Allowed)
}

// Hanging endpoints may hold all that a busy process allows itself; they then leave
// its processors idle, and it allows itself more.
func TestCase33HangingEndpointsDoNotHoldWhatIsLeft(t *testing.T) {
	m := newModel(production())
	m.strain(t, 100, 20)
	for hanging := range 2 * m.limits.MinInFlight {
		m.offer(t, fmt.Sprint("hanging", hanging))
	}
	require.Equal(t, lane.Wait, m.offer(t, "healthy"))

	m.strain(t, 0, 12)

	assert.Len(t, m.inFlight["healthy"], 1)
	m.done(t, "healthy", lane.Result{Took: 5 * time.Millisecond})
	assert.Equal(t, lane.Send, m.offer(t, "healthy"))
}
