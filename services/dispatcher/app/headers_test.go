package app_test

import (
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/secret"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// Every attempt has the webhook's own headers, as they are by then, and no record has
// what they hold, also when the receiver repeats it.
func TestAWebhooksOwnHeadersAreSentAndNotRecorded(t *testing.T) {
	s := begin(t)
	receiver := s.handles(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-You-Sent", r.Header.Get("X-Api-Key"))
		if r.Header.Get("X-Dembrane-Attempt") == "1" {
			w.WriteHeader(http.StatusForbidden)
		}
		_, _ = io.WriteString(w, "no access with "+r.Header.Get("Authorization")) // the dispatcher sees what arrives
	})
	keyed := func(key string) func(*webhooksv1.Registration) {
		return func(r *webhooksv1.Registration) {
			for _, header := range [][2]string{{"Authorization", "Bearer " + key}, {"X-Api-Key", key}} {
				sealed, err := s.box.Seal(secret.New(header[1]), project, secret.ForHeader("w1", header[0]))
				require.NoError(t, err)
				r.Headers = append(r.Headers, &webhooksv1.SealedHeader{Name: header[0], Ciphertext: sealed})
			}
		}
	}
	s.registers("w1", receiver.URL, keyed("hunter2"))
	s.projected()
	s.config.RetryFirst = time.Second // time to change it
	s.dispatch()

	s.publishes("evt_1")
	records := s.wantOutcomes(retry)
	s.registers("w1", receiver.URL, keyed("hunter3"))
	records = append(records, s.wantOutcomes(delivered)...)

	got := receiver.got()
	require.Len(t, got, 2)
	for i, key := range []string{"hunter2", "hunter3"} {
		assert.Equal(t, key, got[i].header.Get("X-Api-Key"))
		assert.Equal(t, []string{"Bearer " + key}, got[i].header.Values("Authorization"))
		assert.Equal(t, "application/json", got[i].header.Get("Content-Type"))
		assert.Equal(t, []string{"Authorization", "X-Api-Key"}, records[i].GetRequest().GetHeaderNames())
		assert.Equal(t, "no access with ***", string(records[i].GetResponse().GetBody()))
		assert.NotContains(t, records[i].String(), "hunter")
	}
}
