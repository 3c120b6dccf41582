package deliver

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime/debug"
	"time"

	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/egress"
	"github.com/dembrane/webhooks/pkg/signature"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/pkg/webhook"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/dispatcher/internal/eventbody"
	"github.com/dembrane/webhooks/services/dispatcher/internal/limiter"
	"github.com/dembrane/webhooks/services/dispatcher/internal/registry"
)

// pauseWithoutMemory is how much later a delivery is tried for whose body there
// was no memory, and pauseAfterFault one for which this process had no file
// descriptor or port.
const (
	pauseWithoutMemory = 2 * time.Second
	pauseAfterFault    = 5 * time.Second
)

// result is what became of a turn. Exactly one of record, cause and err is set.
type result struct {
	// record is what happened.
	record *webhooksv1.Attempt
	// next is when the next attempt is due; zero when there is none.
	next time.Time
	// cause is why no attempt was made that counts: it is to be made after notBefore.
	cause     limiter.Cause
	notBefore time.Time
	// err is why the delivery is to be handed back.
	err error
	// learned is what the limiter is to know of the endpoint.
	learned limiter.Result
}

// send makes one attempt, of as many as retries says. A panic on the way is our fault and costs this attempt
// only: the process stays up, and the delivery does not come back for ever.
func (d *Deliverer) send(ctx context.Context, x *Delivery, w *registry.Webhook, retries Retries) (r result) {
	started := time.Now()
	defer func() {
		if fault := recover(); fault != nil {
			v := judge(d.panicked(x, fault), sentRequest{attempt: x.Attempt}, retries, started, chance())
			r = result{record: newRecord(x, v, started), next: v.next, learned: limiter.Result{Ignore: true}}
		}
	}()
	body, err := x.Body(ctx, w.Format)
	switch {
	case errors.Is(err, topology.ErrEventErased):
		return result{record: concluded(x, webhooksv1.Outcome_OUTCOME_ERASED), learned: limiter.Result{Ignore: true}}
	case errors.Is(err, topology.ErrEventGone):
		return result{record: concluded(x, webhooksv1.Outcome_OUTCOME_EXPIRED), learned: limiter.Result{Ignore: true}}
	case errors.Is(err, eventbody.ErrNoMemory):
		return notNow(limiter.Busy, pauseWithoutMemory)
	case err != nil && ctx.Err() != nil:
		return notNow(limiter.Stopping, 0)
	case err != nil:
		return result{err: fmt.Errorf("load event %s: %w", x.EventID, err), learned: limiter.Result{Ignore: true}}
	}
	started = time.Now()
	answer := d.post(ctx, x, w, body.Bytes, started)
	took := time.Since(started)
	if answer.Canceled {
		return notNow(limiter.Stopping, 0)
	}
	if answer.Ours {
		return notNow(limiter.Busy, pauseAfterFault)
	}
	v := judge(answer, sentRequest{url: w.URL, format: string(w.Format), bytes: len(body.Bytes), attempt: x.Attempt}, retries, started.Add(took), chance())
	if v.outcome == webhooksv1.Outcome_OUTCOME_GONE {
		w.MarkGone()
	}
	r = result{record: newRecord(x, v, started), next: v.next, learned: learned(v, took)}
	describeExchange(r.record, w, body, answer)
	r.record.DurationUs = took.Microseconds()
	return r
}

// notNow is the result of a turn in which no attempt was made that counts.
func notNow(cause limiter.Cause, pause time.Duration) result {
	return result{cause: cause, notBefore: time.Now().Add(pause), learned: limiter.Result{Ignore: true}}
}

// learned is what an answer says about the endpoint. What went wrong on our side
// says nothing.
func learned(v verdict, took time.Duration) limiter.Result {
	return limiter.Result{
		Took:       took,
		Failed:     v.outcome != webhooksv1.Outcome_OUTCOME_DELIVERED,
		PauseUntil: v.pauseUntil,
		Ignore:     v.blameless,
	}
}

func chance() float64 { return rand.Float64() } //nolint:gosec // spreads retries, keeps no secret

// panicked makes of a panic what the client says of a fault on our side.
func (d *Deliverer) panicked(x *Delivery, fault any) egress.Result {
	d.log.Error("attempt panicked", append(names(x), zap.Any("panic", fault), zap.ByteString("stack", debug.Stack()))...)
	return egress.Result{
		Reason: webhooksv1.Reason_REASON_INTERNAL, Detail: "Something went wrong on our side.",
	}
}

// post signs the body as it is and sends it.
func (d *Deliverer) post(ctx context.Context, x *Delivery, w *registry.Webhook, body []byte, now time.Time) egress.Result {
	if w.Fault != nil {
		return egress.Result{
			Reason: webhooksv1.Reason_REASON_REGISTRATION,
			Detail: "The webhook's URL, format, secret or headers cannot be used. Set them again.",
		}
	}
	header := make(http.Header, 12)
	w.SetHeaders(header)
	webhook.Attempt{EventType: x.EventType, DeliveryID: x.ID, Number: x.Attempt}.SetHeaders(header)
	var keys [2]signature.Key
	signature.Headers(header, w.Keys(keys[:0], now), x.EventID, now, body)
	return d.client.Post(ctx, egress.Call{URL: w.URL, Header: header, Body: body})
}
