package e2e_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/test/internal/apiclient"
	"github.com/dembrane/webhooks/test/internal/receiver"
)

// loggedAttempt is an attempt as a host sees it.
type loggedAttempt struct {
	ID         string     `json:"id"`
	EventID    string     `json:"event_id"`
	OccurredAt *time.Time `json:"occurred_at"`
	Number     int        `json:"number"`
	Status     string     `json:"status"`
	Phase      string     `json:"phase"`
	StatusCode int        `json:"status_code"`
	Message    string     `json:"message"`
	Advice     string     `json:"advice"`
	Request    *struct {
		Headers []struct {
			Name, Value string
		} `json:"headers"`
		Body      string `json:"body"`
		BodyState string `json:"body_state"`
		BodyBytes int    `json:"body_bytes"`
	} `json:"request"`
	Response *struct{ Body string } `json:"response"`
}

// look asks the API for something of a webhook, in a language.
func look[T any](t *testing.T, s *system, w apiclient.Webhook, path, language string) (found T) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.at.API+w.Path()+path, nil)
	require.NoError(t, err)
	request.Header.Set("Authorization", "Bearer "+s.at.Token)
	request.Header.Set("Accept-Language", language)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusOK, response.StatusCode, string(body))
	require.NoError(t, json.NewDecoder(bytes.NewReader(body)).Decode(&found))
	return found
}

type loggedList struct {
	Data       []loggedAttempt `json:"data"`
	NextCursor *string         `json:"next_cursor"`
}

// A receiver answers 404, then 500, then nothing, and then it works. Its host reads
// in the log what happened each time and what to do, and sees what was sent.
func TestTheLogSaysInWordsWhatHappened(t *testing.T) {
	t.Parallel()
	s := start(t, settings{"ATTEMPT_TIMEOUT": "1s"})
	r := receiverDoes(t, receiver.Status(404), receiver.Status(500), receiver.Silence)
	w := s.register(t, r)
	e := started()
	s.publish(t, e)
	s.wantAttempts(t, w, retry, retry, retry, delivered)
	arrived := r.next(t)
	var list loggedList
	eventually(t, "four attempts are listed", func() bool {
		list = look[loggedList](t, s, w, "/deliveries?event_id="+e.GetId(), "en")
		return len(list.Data) == 4
	})
	for i, want := range []struct{ status, message, advice string }{
		{"delivered", "Delivered: the receiver answered 200 OK in", ""},
		{"pending", "Timed out after 1.0 s: the receiver took the request and did not answer. It will be tried again.", "answer first"},
		{"pending", "The receiver answered 500 Internal Server Error: something went wrong there.", "receiver's own log"},
		{"pending", "The receiver answered 404 Not Found: nothing is listening at this URL.", "URL is complete"},
	} {
		got := list.Data[i]
		assert.Equal(t, want.status, got.Status)
		assert.Contains(t, got.Message, want.message)
		assert.Contains(t, got.Advice, want.advice)
		assert.Equal(t, 4-i, got.Number)
		require.NotNil(t, got.OccurredAt)
		assert.WithinDuration(t, e.GetOccurredAt().AsTime(), *got.OccurredAt, time.Millisecond)

		one := look[loggedAttempt](t, s, w, "/deliveries/"+got.ID, "en")
		require.NotNil(t, one.Request)
		assert.Equal(t, "shown", one.Request.BodyState)
		assert.Equal(t, string(arrived.Body), one.Request.Body, "byte for byte")
		for _, h := range one.Request.Headers {
			if h.Value != "" && h.Name != "X-Dembrane-Attempt" && h.Name != "Webhook-Timestamp" {
				assert.Equal(t, arrived.Header.Get(h.Name), h.Value, h.Name)
			}
		}
		assert.Equal(t, got.StatusCode != 0, one.Response != nil)
	}
	assert.Equal(t, "wait", list.Data[1].Phase)
	dutch := look[loggedList](t, s, w, "/deliveries?status_code=404", "nl")
	require.Len(t, dutch.Data, 1)
	assert.Contains(t, dutch.Data[0].Message, "bestaat daar niet")
	counts := look[struct {
		Last24h struct {
			Attempts, Delivered, Failed int
			ByReason                    map[string]int `json:"failed_by_reason"`
		} `json:"last_24_hours"`
	}](t, s, w, "/statistics", "en")
	assert.Equal(t, 4, counts.Last24h.Attempts)
	assert.Equal(t, 1, counts.Last24h.Delivered)
	assert.Equal(t, map[string]int{"status": 2, "timeout": 1}, counts.Last24h.ByReason)
}
