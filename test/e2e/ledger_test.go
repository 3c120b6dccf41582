package e2e_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// ledgerPage is a page of the ledger.
type ledgerPage struct {
	Data []struct {
		EventID          string  `json:"event_id"`
		State            string  `json:"state"`
		FirstDeliveredAt *string `json:"first_delivered_at"`
		Attempts         int     `json:"attempts"`
	} `json:"data"`
	Summary *struct {
		Count, Delivered, Pending, Failed int
		NotSent                           int    `json:"not_sent"`
		DigestDelivered                   string `json:"digest_delivered"`
	} `json:"summary"`
}

// A receiver compares what it has with what it was owed, by a few lines of Python
// from the docs.
func TestALedgerProvesThatNothingIsMissing(t *testing.T) {
	t.Parallel()
	python, present := tool(t, "python3")
	if !present {
		return
	}
	s := start(t, settings{"RETRY_FIRST": "1h"})
	began := time.Now().Add(-time.Second)
	r := receiverAnswers(t, 200, 200, 500, 410)
	w := s.register(t, r)
	var ids []string
	outcomes := []string{delivered, delivered, retry, gone}
	for i := range outcomes { // one after the other, so that each gets its answer
		e := started()
		s.publish(t, e)
		r.next(t)
		ids = append(ids, e.GetId())
		s.wantAttempts(t, w, outcomes[:i+1]...)
	}
	eventually(t, "it is off", func() bool { return !s.get(t, w).Enabled })
	s.settle(t)
	off := started()
	s.publish(t, off)

	var page ledgerPage
	path := w.Path() + "/ledger?since=" + url.QueryEscape(began.UTC().Format(time.RFC3339Nano))
	eventually(t, "the last one is accounted for", func() bool {
		<-time.After(200 * time.Millisecond)
		require.NoError(t, json.Unmarshal(s.call(t, http.MethodGet, path, nil, http.StatusOK), &page))
		return page.Summary != nil && page.Summary.NotSent == 1
	})

	require.Len(t, page.Data, 5)
	states := map[string]string{}
	for _, line := range page.Data {
		states[line.EventID] = line.State
		assert.Equal(t, line.State == delivered, line.FirstDeliveredAt != nil)
	}
	assert.Equal(t, map[string]string{
		ids[0]: "delivered", ids[1]: "delivered", ids[2]: "pending", ids[3]: "failed", off.GetId(): "not_sent",
	}, states)
	require.NotNil(t, page.Summary)
	assert.Equal(t, 5, page.Summary.Count)
	assert.Equal(t, 2, page.Summary.Delivered)

	docs, err := os.ReadFile("../../docs/receiving.md")
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(docs), "```python\nimport hashlib")
	require.True(t, found)
	function, _, _ := strings.Cut(rest, "```")
	program := "import hashlib" + function + "\nimport sys\nprint(digest(sys.argv[1:]))"
	out, err := exec.CommandContext(t.Context(), python, append([]string{"-c", program}, ids[1], ids[0], ids[1])...).Output()
	require.NoError(t, err)
	assert.Equal(t, page.Summary.DigestDelivered, strings.TrimSpace(string(out)))
}
