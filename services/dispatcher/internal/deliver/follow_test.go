package deliver

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/dembrane/webhooks/pkg/observe"
)

func TestADrainIsNotDisturbed(t *testing.T) {
	f := start(t, answers(200))
	f.drain(patience, patience)
	before := f.lanes.Load()

	f.follow(observe.NewStrain())

	assert.Equal(t, before, f.lanes.Load())
}
