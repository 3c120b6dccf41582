package lane

// bound is how many attempts may be under way to all endpoints together: as many
// as the processors can follow, and MaxInFlight at most. An attempt that waits for
// a processor longer than for its receiver has gained nothing by having begun: it
// makes the others slower, and what it needs is in no cache any more when its turn
// comes. Attempts that wait for receivers need no processor, and so are not held
// down by it, however many they are.
type bound struct {
	least, most int
	value       int
	strain      float64 // moving average of what it was told
}

const (
	// strained and relaxed are how many goroutines wait for each processor when
	// there are too many attempts, and when there may be more.
	strained = 8
	relaxed  = 2
	// worst is where it makes no difference how many more do, so that the worst of
	// times is soon forgotten.
	worst = 4 * strained
)

func newBound(limits Limits) bound {
	return bound{
		least: min(max(1, limits.MinInFlight), limits.MaxInFlight),
		most:  limits.MaxInFlight,
		value: limits.MaxInFlight,
	}
}

// learn moves the bound: down by a quarter while many goroutines wait for each
// processor, and to twice as much while few do and all attempts that may be are
// under way.
func (b *bound) learn(perProcessor float64, inFlight int) {
	b.strain += (min(perProcessor, worst) - b.strain) / 4
	switch {
	case b.strain > strained:
		b.value = max(b.least, b.value*3/4)
	case b.strain < relaxed && inFlight >= b.value:
		b.value = min(b.most, 2*b.value)
	}
}
