package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dembrane/webhooks/pkg/signature"
	"github.com/dembrane/webhooks/test/internal/ledger"
)

const (
	// secret signs every delivery, also those of the raw loop.
	secret = "a secret of the benchmark"
	// deliveryID stands for the id that the dispatcher makes: as long, and constant.
	deliveryID = "dlv_0123456789ABCDEFGHIJKLMN"
)

// rawLoop is what the machine can do at best: the POSTs alone, with the same
// headers, HMACs and bodies, by a plain net/http transport that keeps its
// connections. It queues, guards and records nothing, and gives up at the first
// failure.
type rawLoop struct {
	transport *http.Transport
	key       signature.Key
}

func newRawLoop(hosts int) *rawLoop {
	return &rawLoop{key: signature.NewKey(secret), transport: &http.Transport{
		DisableCompression:  true,
		MaxIdleConns:        hosts + 1024,
		MaxIdleConnsPerHost: 1024,
	}}
}

func (r *rawLoop) close() { r.transport.CloseIdleConnections() }

// flood posts events to one target after the other, a number of them at once.
func (r *rawLoop) flood(ctx context.Context, phase string, events, concurrency int, targets []target) error {
	var next atomic.Int64
	workers, ctx := errgroup.WithContext(ctx)
	for range concurrency {
		workers.Go(func() error {
			var body []byte
			for {
				i := int(next.Add(1)) - 1
				if i >= events {
					return nil
				}
				t := targets[i%len(targets)]
				id := ledger.EventID(phase, i)
				body = t.stencil.body.fill(body[:0], id)
				if err := r.post(ctx, t.url, id, body); err != nil {
					return err
				}
			}
		})
	}
	return workers.Wait()
}

// calm posts a number of events a second and returns when it began with each.
func (r *rawLoop) calm(ctx context.Context, rhythm rhythm, targets ...target) ([]int64, error) {
	sent := make([]int64, rhythm.count)
	posts, ctx := errgroup.WithContext(ctx)
	paced := pace(ctx, rhythm, func(number int) error {
		posts.Go(func() error {
			t, id := targets[number%len(targets)], ledger.EventID(rhythm.phase, number)
			body := t.stencil.body.fill(nil, id)
			sent[number] = time.Now().UnixNano()
			return r.post(ctx, t.url, id, body)
		})
		return nil
	})
	if err := posts.Wait(); err != nil {
		return nil, err
	}
	return sent, paced
}

func (r *rawLoop) post(ctx context.Context, url, id string, body []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("make a POST: %w", err)
	}
	header := make(http.Header, 12)
	header["Content-Type"] = []string{"application/json"}
	header["User-Agent"] = []string{"Dembrane-Webhook/1.0"}
	header["X-Dembrane-Event"] = []string{eventType}
	header["X-Webhook-Event"] = []string{eventType}
	header["X-Dembrane-Delivery"] = []string{deliveryID}
	header["X-Dembrane-Attempt"] = []string{"1"}
	signature.Headers(header, []signature.Key{r.key}, id, time.Now(), body)
	request.Header = header
	response, err := r.transport.RoundTrip(request)
	if err != nil {
		return fmt.Errorf("post: %w", err)
	}
	_, err = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close() // it has been read to its end
	if err != nil {
		return fmt.Errorf("read an answer: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("post: the receiver answered %d", response.StatusCode)
	}
	return nil
}
