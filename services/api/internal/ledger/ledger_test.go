package ledger

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/services/api/internal/account"
)

// A digest is over a set: in whatever order the ids come it is the same, and with one
// id more, less or changed it is another one.
func TestADigestIsOverASet(t *testing.T) {
	over := func(ids ...string) (d Digest) {
		for _, id := range ids {
			d = d.Add(id)
		}
		return d
	}
	assert.Equal(t, fmt.Sprintf("%064d", 0), over().String())
	// Of one id it is its SHA-256.
	assert.Equal(t, "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb", over("a").String())
	assert.Equal(t, over("a", "b", "c"), over("c", "a", "b"))
	for _, other := range []Digest{over("a", "b"), over("a", "b", "c", "c"), over("a", "b", "C"), over("ab", "c"), over()} {
		assert.NotEqual(t, over("a", "b", "c"), other)
	}
	var many Digest // the sum is larger than 256 bits
	for i := range 1000 {
		many = many.Add(fmt.Sprint(i))
		assert.Len(t, many.String(), 64)
	}
}

// What a walk adds up does not depend on where its pages end: what it has so far
// travels in the cursor.
func TestSumsAreTheSameHoweverTheyArePaged(t *testing.T) {
	states := []account.State{account.Delivered, account.Pending, account.Failed, account.NotSent, account.Delivered}
	walk := func(limit int) Sums {
		var at Position
		for page := range slices.Chunk(states, limit) {
			for _, state := range page {
				at.Sums.add(fmt.Sprintf("evt_%d", at.After), state)
				at.After++
			}
			cursor, err := json.Marshal(at)
			require.NoError(t, err)
			at = Position{}
			require.NoError(t, json.Unmarshal(cursor, &at))
		}
		return at.Sums
	}
	whole := walk(len(states))
	assert.Equal(t, Sums{
		Delivered: 2, Pending: 1, Failed: 1, NotSent: 1,
		All:     Digest("").Add("evt_0").Add("evt_1").Add("evt_2").Add("evt_3").Add("evt_4"),
		Arrived: Digest("").Add("evt_4").Add("evt_0"),
	}, whole)
	for limit := 1; limit < len(states); limit++ {
		assert.Equal(t, whole, walk(limit), "%d a page", limit)
	}
}
