package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/bson"

	"github.com/dembrane/webhooks/services/api/mongotest/mongoproxy"
)

// On the embedded database everything but a look-up by _id decodes the whole
// collection: 24 s for the newest attempts of one webhook among 100,000. So nothing
// that is read of the log is looked up in another way, and the newest ones are one
// document.
func TestC2TheLogIsReadByIDAlone(t *testing.T) {
	f := openFaulty(t)
	for range 8 {
		require.NoError(t, f.AppendLog(t.Context(), "p1", "w1", entries(100), never))
	}
	a := attemptAt(time.Now())
	fill(a)
	_, err := f.InsertAttempts(t.Context(), append(three(), a))
	require.NoError(t, err)
	reads := 0
	watched := f.proxy.On(mongoproxy.Rule{Match: func(command bson.Raw) bool {
		filter, isFind := command.Lookup("filter").DocumentOK()
		_, aggregates := command.Lookup("pipeline").ArrayOK()
		assert.False(t, aggregates, "%s", command)
		if !isFind {
			return false
		}
		reads++
		fields, err := filter.Elements()
		if assert.NoError(t, err) {
			assert.Len(t, fields, 1, "%s", filter)
			assert.Equal(t, "_id", fields[0].Key(), "%s", filter)
		}
		return false
	}}, mongoproxy.DropBefore())

	_, err = f.Activity(t.Context(), "w1")
	require.NoError(t, err)
	assert.Equal(t, 1, reads, "the newest and the statistics")
	assert.Len(t, logged(t, f.Store, 50, allPages, func() {}), 800)
	_, err = f.Attempt(t.Context(), "p1", "w1", a.GetId())
	require.NoError(t, err)
	assert.Greater(t, reads, 8, "older ones are in pages")
	assert.Zero(t, watched.Struck())
}
