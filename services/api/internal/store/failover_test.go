package store_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/bson"
	"go.uber.org/zap/zaptest"

	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/mongotest"
	"github.com/dembrane/webhooks/services/api/internal/registration"
	"github.com/dembrane/webhooks/services/api/internal/store"
	"github.com/dembrane/webhooks/services/api/mongotest/mongoproxy"
)

// faulty is a store behind a proxy that plays a replica set.
type faulty struct {
	*store.Store

	proxy    *mongoproxy.Proxy
	database string
}

func openFaulty(t *testing.T) faulty {
	t.Helper()
	server := mongotest.StartEmbedded(t)
	proxy := mongoproxy.StartReplicaSet(t, server.URI())
	s, err := store.Open(t.Context(), proxy.URI(), server.Database(), zaptest.NewLogger(t))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close(context.Background())) })
	require.NoError(t, s.Prepare(t.Context()))
	return faulty{s, proxy, server.Database()}
}

// passing are the codes of a server that fails over, stops, or has no room.
func passing() []mongoproxy.Code {
	return []mongoproxy.Code{
		mongoproxy.HostUnreachable, mongoproxy.HostNotFound, mongoproxy.NetworkTimeout, mongoproxy.ShutdownInProgress,
		mongoproxy.PrimarySteppedDown, mongoproxy.ExceededTimeLimit, mongoproxy.SocketException, mongoproxy.NotWritablePrimary,
		mongoproxy.InterruptedAtShutdown, mongoproxy.InterruptedDueToReplStateChange, mongoproxy.NotPrimaryNoSecondaryOk,
		mongoproxy.NotPrimaryOrSecondary, mongoproxy.WriteConcernTimeout, mongoproxy.WriteConflict, mongoproxy.OutOfDiskSpace,
		mongoproxy.RequestRateTooLarge, 365, 424242,
	}
}

// final are the codes that the document itself causes.
func final() []mongoproxy.Code {
	return []mongoproxy.Code{
		2, 9, 22, 121, 10334, 17280, // BadValue, FailedToParse, InvalidBSON, DocumentValidationFailure, BSONObjectTooLarge, KeyTooLong
	}
}

func three() []*webhooksv1.Attempt {
	at := time.Now()
	return []*webhooksv1.Attempt{
		attemptAt(at), attemptAt(at.Add(time.Millisecond)), attemptAt(at.Add(2 * time.Millisecond)),
	}
}

// outages are the ways in which a write can fail without being wrong.
func outages(code mongoproxy.Code) map[string]mongoproxy.Action {
	return map[string]mongoproxy.Action{
		"whole command":          mongoproxy.Refuse(code),
		"whole command, applied": mongoproxy.RefuseApplied(code),
		"one document":           mongoproxy.FailDocuments(code, 0),
		"write concern":          mongoproxy.FailWriteConcern(code),
	}
}

// C1: what may be different next time is handed in again, and is then there.
func TestAttemptsAreNeverDroppedByAnOutage(t *testing.T) {
	s := openFaulty(t)
	survives := func(t *testing.T, act mongoproxy.Action) {
		t.Helper()
		list := three()
		// The driver itself tries twice.
		fault := s.proxy.On(mongoproxy.Rule{Command: "insert", Collection: "attempts", Times: 2}, act)
		defer fault.Mend()
		for {
			recorded, err := s.InsertAttempts(t.Context(), list)
			assert.Empty(t, recorded.Refused)
			if err == nil {
				assert.Equal(t, len(list), recorded.Inserted+len(recorded.Known))
				break
			}
			require.ErrorIs(t, err, store.ErrUnavailable)
			assert.Zero(t, recorded)
		}
		wantLogged(t, s, list)
	}
	for _, code := range passing() {
		t.Run(code.String(), func(t *testing.T) { survives(t, mongoproxy.FailDocuments(code, 0)) })
	}
	// Drivers look for a primary after these, which takes half a second each.
	for _, code := range []mongoproxy.Code{
		mongoproxy.NotWritablePrimary, mongoproxy.PrimarySteppedDown, mongoproxy.InterruptedAtShutdown, mongoproxy.WriteConcernTimeout,
	} {
		for name, act := range outages(code) {
			t.Run(code.String()+", "+name, func(t *testing.T) { survives(t, act) })
		}
	}
}

func TestAttemptsSurviveConnections(t *testing.T) {
	s := openFaulty(t)
	for name, act := range map[string]mongoproxy.Action{"before": mongoproxy.DropBefore(), "after": mongoproxy.DropAfter()} {
		t.Run(name, func(t *testing.T) {
			list := three()
			s.proxy.On(mongoproxy.Rule{Command: "insert", Collection: "attempts", Times: 2}, act)
			_, err := s.InsertAttempts(t.Context(), list)
			require.ErrorIs(t, err, store.ErrUnavailable)
			_, err = s.InsertAttempts(t.Context(), list)
			require.NoError(t, err)
			wantLogged(t, s, list)
		})
	}
}

// wantLogged hands them in once more: all are there already.
func wantLogged(t *testing.T, s faulty, list []*webhooksv1.Attempt) {
	t.Helper()
	recorded, err := s.InsertAttempts(t.Context(), list)
	require.NoError(t, err)
	assert.Equal(t, store.Recorded{Known: known(list...)}, recorded)
}

// C1: what can never be written is refused by its id, and nothing else is.
func TestAttemptsThatCanNeverBeWritten(t *testing.T) {
	s := openFaulty(t)
	for _, code := range final() {
		t.Run(code.String(), func(t *testing.T) {
			list := three()
			slices.Reverse(list)
			_, err := s.InsertAttempts(t.Context(), list[2:])
			require.NoError(t, err)
			s.proxy.On(mongoproxy.Rule{Command: "insert", Times: 1}, mongoproxy.FailDocuments(code, 1))
			recorded, err := s.InsertAttempts(t.Context(), list)
			require.NoError(t, err)
			assert.Equal(t, store.Recorded{
				Inserted: 1, Known: known(list[2]),
				Refused: []store.RefusedAttempt{{ID: list[1].GetId(), Reason: code.String()}},
			}, recorded)
		})
		t.Run(code.String()+" for all", func(t *testing.T) {
			list := three()
			spoilt := func(document bson.Raw) bool { return strings.Contains(document.String(), list[1].GetId()) }
			fault := s.proxy.On(mongoproxy.Rule{Command: "insert", Match: spoilt}, mongoproxy.Refuse(code))
			defer fault.Mend()
			recorded, err := s.InsertAttempts(t.Context(), list)
			require.NoError(t, err)
			assert.Equal(t, 2, recorded.Inserted)
			require.Len(t, recorded.Refused, 1)
			assert.Equal(t, list[1].GetId(), recorded.Refused[0].ID)
		})
	}
	t.Run("too large", func(t *testing.T) {
		list := three()
		list[1].Response.Body = make([]byte, 17<<20)
		recorded, err := s.InsertAttempts(t.Context(), list)
		require.NoError(t, err)
		assert.Equal(t, 2, recorded.Inserted)
		require.Len(t, recorded.Refused, 1)
		assert.Equal(t, list[1].GetId(), recorded.Refused[0].ID)
	})
}

// C7: two writers of the same attempts never take them in opposite order.
func TestAttemptsAreInsertedInOneOrder(t *testing.T) {
	s := openFaulty(t)
	var ids []string
	s.proxy.On(mongoproxy.Rule{Command: "insert"}, func(call *mongoproxy.Call) (bson.Raw, error) {
		documents, err := call.Document.Lookup("documents").Array().Values()
		for _, document := range documents {
			ids = append(ids, document.Document().Lookup("_id").StringValue())
		}
		require.NoError(t, err)
		return call.Forward()
	})
	list := three()
	slices.Reverse(list)
	_, err := s.InsertAttempts(t.Context(), list)
	require.NoError(t, err)
	assert.Len(t, ids, 3)
	assert.True(t, slices.IsSorted(ids), ids)
}

// C7: the server stops when nobody waits for it any more.
func TestReadsHaveATimeLimit(t *testing.T) {
	s := openFaulty(t)
	w := create(t, s.Store, "p1")
	var mu sync.Mutex
	reads := map[string]time.Duration{}
	for _, command := range []string{"find", "aggregate", "count"} {
		s.proxy.On(mongoproxy.Rule{Command: command}, func(call *mongoproxy.Call) (bson.Raw, error) {
			mu.Lock()
			defer mu.Unlock()
			limit, _ := call.Document.Lookup("maxTimeMS").AsInt64OK()
			reads[call.Document.String()] = time.Duration(limit) * time.Millisecond
			return call.Forward()
		})
	}
	for _, read := range []func() error{
		func() error { _, err := s.Get(t.Context(), "p1", w.ID); return err },
		func() error {
			if _, err := s.Load(t.Context(), "unknown"); !errors.Is(err, store.ErrNotFound) { // it looks twice
				return err
			}
			return nil
		},
		func() error { _, err := s.List(t.Context(), "p1"); return err },
		func() error {
			_, err := s.ListElsewhere(t.Context(), store.Elsewhere{Except: "p2", All: true})
			return err
		},
		func() error { _, err := s.Pending(t.Context(), 10); return err },
		func() error { return s.Each(t.Context(), func(store.Webhook) error { return nil }) },
		func() error { _, err := s.Purge(t.Context(), time.Now(), 10); return err },
		func() error { _, err := s.CountAttempts(t.Context(), w.ID); return err },
		func() error { _, err := s.Activity(t.Context(), w.ID); return err },
		func() error {
			_, err := s.Attempt(t.Context(), "p1", w.ID, "a1")
			return ignore(err, store.ErrNoAttempt)
		},
		func() error { _, err := s.Expire(t.Context(), time.Now(), 10); return err },
		func() error { _, err := s.ExpireClaims(t.Context(), time.Now(), 10); return err },
	} {
		require.NoError(t, read())
	}
	assert.Len(t, reads, 13)
	for read, limit := range reads {
		assert.Positive(t, limit, read)
		assert.LessOrEqual(t, limit, 10*time.Minute, read)
	}
}

// C4: the answer to an insert was lost. It is there, and it is ours.
func TestCreateWhoseAnswerIsLost(t *testing.T) {
	s := openFaulty(t)
	for name, act := range map[string]mongoproxy.Action{
		"dropped":          mongoproxy.DropAfter(),
		"stepped down":     mongoproxy.RefuseApplied(mongoproxy.PrimarySteppedDown),
		"not replicated":   mongoproxy.FailWriteConcern(mongoproxy.WriteConcernTimeout),
		"shutting down":    mongoproxy.FailWriteConcern(mongoproxy.ShutdownInProgress),
		"state change":     mongoproxy.FailWriteConcern(mongoproxy.InterruptedDueToReplStateChange),
		"dropped, earlier": mongoproxy.DropBefore(),
		"not a primary":    mongoproxy.Refuse(mongoproxy.NotWritablePrimary),
		"one document":     mongoproxy.FailDocuments(mongoproxy.PrimarySteppedDown),
	} {
		for _, times := range []int{1, 3} {
			t.Run(name, func(t *testing.T) {
				project := registration.NewID()
				given := fresh(project)
				fault := s.proxy.On(mongoproxy.Rule{Command: "insert", Collection: "webhooks", Times: times}, act)
				defer fault.Mend()
				before := s.proxy.Count("insert", "webhooks")
				made, err := s.Create(t.Context(), given, 1) // it takes the last slot
				require.NoError(t, err)
				assert.Equal(t, given.ID, made.ID)
				assert.LessOrEqual(t, s.proxy.Count("insert", "webhooks")-before, times+2)
				list, err := s.List(t.Context(), project)
				require.NoError(t, err)
				require.Len(t, list, 1)
				assert.Equal(t, made.Slot, list[0].Slot)
			})
		}
	}
}

// C4: servers that say which index it was need not be asked.
func TestCreateTriesAnotherSlot(t *testing.T) {
	s := openFaulty(t)
	taken := s.proxy.On(mongoproxy.Rule{Command: "insert", Collection: "webhooks", Times: 3}, mongoproxy.FailDuplicates("slot"))
	looked := s.proxy.On(mongoproxy.Rule{Command: "find", Match: func(document bson.Raw) bool {
		return document.Lookup("filter", "_id").Validate() == nil
	}}, func(call *mongoproxy.Call) (bson.Raw, error) { return call.Forward() })
	create(t, s.Store, "p1")
	assert.Equal(t, 3, taken.Struck())
	assert.Zero(t, looked.Struck())
}

// A change whose answer was lost has happened once.
func TestChangeWhoseAnswerIsLost(t *testing.T) {
	s := openFaulty(t)
	w := create(t, s.Store, "p1")
	revision := w.Revision
	for name, act := range outages(mongoproxy.PrimarySteppedDown) {
		for _, times := range []int{1, 3} {
			t.Run(name, func(t *testing.T) {
				fault := s.proxy.On(mongoproxy.Rule{Command: "update", Times: times}, act)
				defer fault.Mend()
				edits := 0
				changed, err := s.Change(t.Context(), "p1", w.ID, func(w *store.Webhook) error {
					edits++
					w.Name += "x"
					return nil
				})
				require.NoError(t, err)
				revision++
				assert.Equal(t, revision, changed.Revision)
				assert.Equal(t, 1, edits)
				got, err := s.Get(t.Context(), "p1", w.ID)
				require.NoError(t, err)
				assert.Equal(t, revision, got.Revision)
				assert.Equal(t, changed.Name, got.Name)
			})
		}
	}
	t.Run("delete", func(t *testing.T) {
		s.proxy.On(mongoproxy.Rule{Command: "update", Times: 2}, mongoproxy.DropAfter())
		require.NoError(t, s.Delete(t.Context(), "p1", w.ID))
		_, err := s.Get(t.Context(), "p1", w.ID)
		require.ErrorIs(t, err, store.ErrNotFound)
	})
}

// Seconds without a primary are over for a change that began before them.
func TestChangeWaitsForAPrimary(t *testing.T) {
	s := openFaulty(t)
	w := create(t, s.Store, "p1")
	s.proxy.On(mongoproxy.Rule{Command: "update", Times: 1}, func(*mongoproxy.Call) (bson.Raw, error) {
		s.proxy.SetPrimary(false)
		time.AfterFunc(time.Second, func() { s.proxy.SetPrimary(true) })
		return nil, context.Canceled // whatever: it drops the connection
	})
	_, err := s.Change(t.Context(), "p1", w.ID, func(w *store.Webhook) error {
		w.Name = "Other"
		return nil
	})
	require.NoError(t, err)
}

// An update that was overtaken by another one while it was in doubt does not say
// that it has happened.
func TestChangeOvertakenInDoubt(t *testing.T) {
	s := openFaulty(t)
	other, err := store.Open(t.Context(), s.proxy.URI(), s.database, zaptest.NewLogger(t))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, other.Close(context.Background())) })
	w := create(t, s.Store, "p1")
	rename := func(name string) func(*store.Webhook) error {
		return func(w *store.Webhook) error {
			w.Name = name
			return nil
		}
	}
	// Another replica takes the same revision while the first one is in doubt.
	s.proxy.On(mongoproxy.Rule{Command: "update", Times: 1}, func(*mongoproxy.Call) (bson.Raw, error) {
		_, err := other.Change(context.Background(), "p1", w.ID, rename("theirs"))
		return nil, err
	})
	changed, err := s.Change(t.Context(), "p1", w.ID, rename("ours"))
	if err == nil { // it is done once more, on what they left
		assert.EqualValues(t, 3, changed.Revision)
	}
	got, loadErr := s.Get(t.Context(), "p1", w.ID)
	require.NoError(t, loadErr)
	require.NoError(t, err)
	assert.Equal(t, "ours", got.Name)
}

// A primary that was replaced and does not know it lacks what the new one has.
// "Not found" is said by the one that is the primary.
func TestNotFoundIsProven(t *testing.T) {
	s := openFaulty(t)
	w := create(t, s.Store, "p1")
	lagging := s.proxy.On(mongoproxy.Rule{Command: "find", Match: func(document bson.Raw) bool {
		level, _ := document.Lookup("readConcern", "level").StringValueOK()
		return level != "linearizable"
	}}, mongoproxy.FindNothing(s.database))
	got, err := s.Get(t.Context(), "p1", w.ID)
	require.NoError(t, err)
	assert.Equal(t, w.ID, got.ID)
	assert.Positive(t, lagging.Struck())
	_, err = s.Load(t.Context(), "unknown")
	require.ErrorIs(t, err, store.ErrNotFound)
	lagging.Mend()

	// One that is alone need not prove it; one that cannot is not believed.
	linearizable := mongoproxy.Rule{Command: "find", Match: func(document bson.Raw) bool {
		return document.Lookup("readConcern").Validate() == nil
	}}
	alone := s.proxy.On(linearizable, mongoproxy.Refuse(123))
	_, err = s.Load(t.Context(), "unknown")
	require.ErrorIs(t, err, store.ErrNotFound)
	alone.Mend()
	s.proxy.On(linearizable, mongoproxy.Refuse(mongoproxy.NotPrimaryNoSecondaryOk))
	_, err = s.Load(t.Context(), "unknown")
	require.ErrorIs(t, err, store.ErrUnavailable)
}
