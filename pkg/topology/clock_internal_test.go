package topology

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// Ten minutes of difference make no schedule early, and a slow answer is no
// difference.
func TestTheServersClockIsKnown(t *testing.T) {
	t.Parallel()
	asked := time.Now()
	for name, row := range map[string]struct {
		server   time.Duration // after we asked
		answered time.Duration
		want     time.Duration
	}{
		"the same":            {5 * time.Millisecond, 10 * time.Millisecond, 0},
		"a slow answer":       {3 * time.Second, 4 * time.Second, 0},
		"a little ahead":      {800 * time.Millisecond, 0, 0},
		"ten minutes ahead":   {10 * time.Minute, 0, 10 * time.Minute},
		"ten minutes behind":  {-10 * time.Minute, 0, -10 * time.Minute},
		"ahead, and slow":     {10 * time.Minute, time.Second, 10*time.Minute - time.Second},
		"behind, and slow":    {-10 * time.Minute, time.Second, -10 * time.Minute},
		"a second and a half": {-1500 * time.Millisecond, 0, -1500 * time.Millisecond},
	} {
		var c Clock
		c.learn(asked, asked.Add(row.server), asked.Add(row.answered))
		ahead, known := c.Ahead()
		assert.True(t, known, name)
		assert.Equal(t, row.want, ahead, name)
		assert.Equal(t, asked.Add(row.want), c.Server(asked), name)
	}
}
