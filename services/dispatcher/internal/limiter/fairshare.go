package limiter

const (
	// wholeLimitWhileFree is the part (one in so many) of the attempts that has to be
	// free for an endpoint to get as many at once as its own limit allows.
	wholeLimitWhileFree = 4
	// bytesOfFree is the part of the free memory that one endpoint may hold.
	bytesOfFree = 4
	// noisyFrom is the part of everything under way and in line from which on an
	// endpoint with a line is noisy.
	noisyFrom = 10
	// lineOfFlood is how many times as many of a flood as an endpoint takes at once may
	// stand in its line: enough for it to be always busy. What stands in line is taken and
	// not settled, and of that there is a bound for all that is in the same queue.
	lineOfFlood = 8
)

// fairShare divides what all endpoints share: attempts under way, places in line,
// and memory. Nobody takes all of what is free, so there is always something left
// for whoever comes next (dynamic thresholds): the more is taken, the less each may
// have.
type fairShare struct {
	limits Limits
	total  holding
}

// holding is what an endpoint, or all of them, hold.
type holding struct {
	inFlight, waiting int
	bytes             int64
}

// attempt reports whether the endpoint may have one more attempt under way. While a
// quarter of all is free, its own limit decides; below, it gets fewer in proportion;
// and its first one as long as any is free.
func (s *fairShare) attempt(own holding) bool {
	free := s.limits.MaxInFlight - s.total.inFlight
	return own.inFlight*s.limits.MaxInFlight < wholeLimitWhileFree*s.limits.Concurrency*free
}

// place reports whether the endpoint may have one more place in line: it has no
// more of them than are free, and noisy endpoints leave half of all places to the
// quiet ones.
func (s *fairShare) place(own holding, line int) bool {
	free := s.limits.MaxWaiting - s.total.waiting
	if own.waiting >= min(free, line) {
		return false
	}
	return !s.noisy(own) || 2*free > s.limits.MaxWaiting
}

// noisy reports whether the endpoint has a line, and a large part of everything.
func (s *fairShare) noisy(own holding) bool {
	return own.waiting > 0 && (own.waiting+own.inFlight)*noisyFrom > s.total.waiting+s.total.inFlight
}

// memory reports whether the endpoint may hold so much more. A single delivery may
// have all that is free.
func (s *fairShare) memory(own holding, bytes int64) bool {
	free := s.limits.MaxBytes - s.total.bytes
	return bytes <= free && (own.bytes == 0 || (own.bytes+bytes)*bytesOfFree <= free)
}

// add changes what the endpoint holds.
func (s *fairShare) add(own *holding, change holding) {
	for _, h := range []*holding{own, &s.total} {
		h.inFlight += change.inFlight
		h.waiting += change.waiting
		h.bytes += change.bytes
	}
}
