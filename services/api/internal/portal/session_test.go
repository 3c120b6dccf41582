package portal

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// A code that signs in is good once, and not for long.
func TestACodeIsGoodOnceAndSoon(t *testing.T) {
	now := time.Now()
	s := newCodes()
	first, late := s.issue("token", now), s.issue("token", now)
	assert.Equal(t, "token", s.redeem(first, now.Add(codeLife)))
	assert.Empty(t, s.redeem(first, now), "it was used")
	assert.Empty(t, s.redeem(late, now.Add(codeLife+time.Second)))
	assert.Empty(t, s.redeem("", now))
	for range 2 * maxCodes {
		s.issue("token", now)
	}
	assert.LessOrEqual(t, len(s.known), maxCodes)
}
