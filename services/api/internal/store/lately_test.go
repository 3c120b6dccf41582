package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/activity"
)

// What a list shows is what the log says, whatever was looked at before: with and
// without others that write to the database.
func TestLately(t *testing.T) {
	for name, alone := range map[string]bool{"alone": true, "with others": false} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			if alone {
				s.Alone()
			}
			shown := func() (delivered, failed uint64, last *webhooksv1.LogEntry) {
				t.Helper()
				found, err := s.Lately(t.Context(), []string{"none", "w1"})
				require.NoError(t, err)
				require.Len(t, found, 2)
				assert.Equal(t, (&activity.Lately{}).Day(time.Now()), found[0].Day(time.Now()))
				assert.Nil(t, found[0].LastFailure())
				for _, h := range found[1].Day(time.Now()) {
					delivered, failed = delivered+h.Delivered, failed+h.Failed
				}
				return delivered, failed, found[1].LastFailure()
			}
			shown() // before there is anything
			list := entries(250)
			fault := list[249]
			fault.Outcome, fault.Reason, fault.Location = webhooksv1.Outcome_OUTCOME_RETRY, webhooksv1.Reason_REASON_REDIRECT, "https://new.example"
			require.NoError(t, s.AppendLog(t.Context(), "p1", "w1", list[:100], never))
			delivered, failed, last := shown()
			assert.Equal(t, []uint64{100, 0}, []uint64{delivered, failed})
			assert.Nil(t, last)

			for range 2 { // once more, as after a crash
				require.NoError(t, s.AppendLog(t.Context(), "p1", "w1", list, always))
				delivered, failed, last = shown()
				assert.Equal(t, []uint64{249, 1}, []uint64{delivered, failed})
				assert.Equal(t, activity.ID(fault), activity.ID(last))
				assert.NotEmpty(t, last.GetLocation())
			}

			_, err := s.EraseAnswers(t.Context(), "p1", "w1", func(*webhooksv1.LogEntry) bool { return true })
			require.NoError(t, err)
			_, _, last = shown()
			assert.Empty(t, last.GetLocation(), "what was erased is not remembered")

			heads, err := s.LogHeads(t.Context())
			require.NoError(t, err)
			_, err = s.ExpireTail(t.Context(), heads[0], time.Now().Add(time.Hour))
			require.NoError(t, err)
			_, _, last = shown()
			assert.Nil(t, last, "what has expired is not remembered")
		})
	}
}
