package signature_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/dembrane/webhooks/pkg/signature"
)

const exampleSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// A receiver that trusts only what its secret signed within the last minutes.
func Example() {
	receiver := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 32<<20))
		if err != nil {
			http.Error(w, "cannot read the body", http.StatusBadRequest)
			return
		}
		if err := signature.Verify(exampleSecret, r.Header, body, time.Now(), signature.Tolerance); err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		// Remember the webhook-id: the same event may arrive again. Do the work
		// later and answer at once.
		w.WriteHeader(http.StatusNoContent)
	})

	const body = `{"event":"webhook.test","id":"evt_1"}`
	r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/hook", strings.NewReader(body))
	key := signature.NewKey(exampleSecret)
	signature.Headers(r.Header, []signature.Key{key}, "evt_1", time.Now(), []byte(body))
	w := httptest.NewRecorder()
	receiver.ServeHTTP(w, r)
	fmt.Println(w.Code)

	r = httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/hook", strings.NewReader(body))
	w = httptest.NewRecorder()
	receiver.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Body)
	// Output:
	// 204
	// 401 webhook-id, webhook-timestamp or webhook-signature is missing or malformed
}

func ExampleVerifyBody() {
	body := []byte(`{"event":"conversation.started"}`)
	header := http.Header{}
	keys := []signature.Key{signature.NewKey(exampleSecret)}
	signature.Headers(header, keys, "evt_1", time.Unix(1768910400, 0), body)

	fmt.Println(signature.VerifyBody(exampleSecret, header.Get("X-Dembrane-Signature"), body))
	fmt.Println(signature.VerifyBody("another secret", header.Get("X-Dembrane-Signature"), body))
	// Output:
	// true
	// false
}

func ExampleVerify() {
	body := []byte(`{"event":"conversation.started"}`)
	sent := time.Unix(1768910400, 0)
	header := http.Header{}
	keys := []signature.Key{signature.NewKey(exampleSecret)}
	signature.Headers(header, keys, "evt_1", sent, body)

	fmt.Println(signature.Verify(exampleSecret, header, body, sent.Add(time.Second), signature.Tolerance))
	fmt.Println(signature.Verify(exampleSecret, header, body, sent.Add(time.Hour), signature.Tolerance))
	fmt.Println(signature.Verify(exampleSecret, header, []byte("{}"), sent, signature.Tolerance))
	// Output:
	// <nil>
	// webhook-timestamp is too old
	// webhook-signature does not match
}
