package deliver

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/dembrane/webhooks/pkg/egress"
	"github.com/dembrane/webhooks/pkg/observe"
	"github.com/dembrane/webhooks/pkg/signature"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/dispatcher/internal/lane"
	"github.com/dembrane/webhooks/services/dispatcher/internal/registry"
)

// UserAgent names us to receivers.
const UserAgent = "Dembrane-Webhook/1.0"

// busyPause is how much later a delivery is tried for whose body there was no
// memory.
const busyPause = 2 * time.Second

// ending is what an attempt comes to.
type ending struct {
	// record is what happened; nil when nothing did and the delivery is to be
	// handed back, or given up because of a stop.
	record *webhooksv1.Attempt
	// stopped says that a stop of the process came first, and busy that there was
	// no memory for the body.
	stopped, busy bool
	// next is when the next attempt is due; zero when there is none.
	next time.Time
	// lane is what the endpoint's lane is to know of it.
	lane lane.Result
}

// attempt makes one attempt and settles the delivery. It returns what the lane is
// to know of it.
func (d *Deliverer) attempt(x *Delivery) lane.Result {
	e := d.try(x)
	e.lane.Bytes = x.Bytes
	switch {
	case e.stopped:
		d.giveUp(x)
		return e.lane
	case e.busy:
		d.park(x, time.Now().Add(busyPause), lane.Busy)
		return e.lane
	case e.record == nil:
		x.Source.Settle(false)
		return e.lane
	}
	d.report(e.record)
	d.settle(x, e.record, e.next)
	return e.lane
}

// try makes one attempt. A panic on the way is our fault and costs this attempt
// only: the process stays up, and the delivery does not come back for ever.
func (d *Deliverer) try(x *Delivery) (e ending) {
	started := time.Now()
	defer func() {
		if fault := recover(); fault != nil {
			v := d.judge(d.panicked(x, fault), x, started)
			e = ending{record: newRecord(x, v, started), next: v.next}
		}
	}()
	w, outcome, ended := d.wanted(x)
	switch {
	case ended:
		return ending{record: concluded(x, outcome)}
	case w == nil:
		return ending{}
	}
	body, err := x.Source.Body(d.attempts)
	switch {
	case errors.Is(err, ErrExpired):
		return ending{record: concluded(x, webhooksv1.Outcome_OUTCOME_EXPIRED)}
	case errors.Is(err, ErrBusy):
		return ending{busy: true}
	case err != nil && d.attempts.Err() != nil:
		return ending{stopped: true}
	case err != nil:
		d.log.Warn("event not loaded, delivery handed back", append(names(x), zap.Error(err))...)
		return ending{}
	}
	w, outcome, ended = d.wanted(x) // loading the event may have taken a while
	switch {
	case ended:
		return ending{record: concluded(x, outcome)}
	case w == nil:
		return ending{}
	}
	started = time.Now()
	answer := d.post(d.attempts, x, w, body, started)
	took := time.Since(started)
	if answer.Canceled {
		return ending{stopped: true}
	}
	v := d.judge(answer, x, started.Add(took))
	if v.outcome == webhooksv1.Outcome_OUTCOME_GONE {
		w.MarkGone()
	}
	e = ending{record: newRecord(x, v, started), next: v.next, lane: learned(v, took)}
	describeExchange(e.record, w, exchange{answer: answer, bodyBytes: len(body), took: took})
	return e
}

// learned is what an answer says about the endpoint. What went wrong on our side
// says nothing.
func learned(v verdict, took time.Duration) lane.Result {
	if v.reason == webhooksv1.Reason_REASON_REGISTRATION || v.reason == webhooksv1.Reason_REASON_INTERNAL {
		return lane.Result{}
	}
	return lane.Result{Took: max(took, 1), Failed: v.outcome != webhooksv1.Outcome_OUTCOME_DELIVERED, PauseUntil: v.pauseUntil}
}

// Try makes one attempt that is never repeated, records it, and returns the
// record: a host's test. It changes nothing about the webhook. It returns nil when
// the process is stopping.
func (d *Deliverer) Try(ctx context.Context, x *Delivery, w *registry.Webhook, body []byte) *webhooksv1.Attempt {
	if !d.enter() {
		return nil
	}
	defer d.running.Done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(d.attempts, cancel)() //nolint:contextcheck // a stop ends it as well as the caller
	started := time.Now()
	answer := d.tryPost(ctx, x, w, body, started)
	took := time.Since(started)
	if answer.Canceled {
		answer = egress.Result{Reason: webhooksv1.Reason_REASON_INTERNAL, Detail: "The test was interrupted on our side. Try again."}
	}
	v := judge(answer, 1, Retries{Attempts: 1}, started.Add(took), 0)
	record := newRecord(x, v, started)
	describeExchange(record, w, exchange{answer: answer, bodyBytes: len(body), took: took})
	d.report(record)
	d.journal.add(record, func(error) {})
	if v.outcome == webhooksv1.Outcome_OUTCOME_DELIVERED {
		d.lanes.Recovered(w.Endpoint) // the host has mended it
	}
	return record
}

// tryPost is post for a test, where no panic may end the process either.
func (d *Deliverer) tryPost(ctx context.Context, x *Delivery, w *registry.Webhook, body []byte, now time.Time) (answer egress.Result) {
	defer func() {
		if fault := recover(); fault != nil {
			answer = d.panicked(x, fault)
		}
	}()
	return d.post(ctx, x, w, body, now)
}

// panicked is the answer of an attempt that panicked on our side.
func (d *Deliverer) panicked(x *Delivery, fault any) egress.Result {
	d.log.Error("attempt panicked", append(names(x), zap.String("panic", fmt.Sprint(fault)), zap.ByteString("stack", debug.Stack()))...)
	return egress.Result{Reason: webhooksv1.Reason_REASON_INTERNAL, Detail: "Something went wrong on our side."}
}

func (d *Deliverer) judge(answer egress.Result, x *Delivery, now time.Time) verdict {
	return judge(answer, x.Attempt, d.retries, now, rand.Float64()) //nolint:gosec // spreads retries, keeps no secret
}

func (d *Deliverer) post(ctx context.Context, x *Delivery, w *registry.Webhook, body []byte, now time.Time) egress.Result {
	if w.Fault != nil {
		return egress.Result{
			Reason: webhooksv1.Reason_REASON_REGISTRATION,
			Detail: "The webhook's URL or secret cannot be used. Set both again.",
		}
	}
	header := make(http.Header, 12)
	attempt := strconv.FormatUint(uint64(x.Attempt), 10)
	// One array for all values: a header is a slice of its own.
	values := [...]string{"application/json", UserAgent, x.EventType, x.EventType, x.ID, attempt}
	for i, name := range [...]string{
		"Content-Type", "User-Agent", "X-Dembrane-Event", "X-Webhook-Event", "X-Dembrane-Delivery", "X-Dembrane-Attempt",
	} {
		header[name] = values[i : i+1 : i+1]
	}
	var room [2]signature.Key
	signature.Headers(header, w.Keys(room[:0], now), x.EventID, now, body)
	return d.client.Post(ctx, egress.Call{URL: w.URL, Header: header, Body: body})
}

// conclude records the end of a delivery to which nothing is sent any more.
func (d *Deliverer) conclude(x *Delivery, outcome webhooksv1.Outcome) {
	record := concluded(x, outcome)
	d.report(record)
	d.settle(x, record, time.Time{})
}

// concluded is the record of a delivery to which nothing is sent any more.
func concluded(x *Delivery, outcome webhooksv1.Outcome) *webhooksv1.Attempt {
	detail := map[webhooksv1.Outcome]string{
		webhooksv1.Outcome_OUTCOME_DELETED:   "The webhook was deleted before this could be sent.",
		webhooksv1.Outcome_OUTCOME_DISABLED:  "The webhook was disabled before this could be sent.",
		webhooksv1.Outcome_OUTCOME_EXPIRED:   "The event is older than events are kept, so it can no longer be sent.",
		webhooksv1.Outcome_OUTCOME_EXHAUSTED: "The receiver has been failing for so long that this was not tried any more. Send it again when the receiver works.",
	}[outcome]
	v := verdict{outcome: outcome, detail: detail}
	if outcome == webhooksv1.Outcome_OUTCOME_EXHAUSTED {
		v.reason = webhooksv1.Reason_REASON_RECEIVER_FAILING
	}
	return newRecord(x, v, time.Now())
}

// report is the one log line and the metrics of an attempt.
func (d *Deliverer) report(r *webhooksv1.Attempt) {
	d.metrics.attempt(r)
	d.log.Info("attempt", zap.Inline((*attemptLine)(r)))
}

// attemptLine is an attempt as the log writes it.
type attemptLine webhooksv1.Attempt

// MarshalLogObject implements [zapcore.ObjectMarshaler].
func (l *attemptLine) MarshalLogObject(line zapcore.ObjectEncoder) error {
	r := (*webhooksv1.Attempt)(l)
	line.AddString(observe.KeyEvent, r.GetEventId())
	line.AddString(observe.KeyDelivery, r.GetDeliveryId())
	line.AddString(observe.KeyWebhook, r.GetWebhookId())
	line.AddString(observe.KeyProject, r.GetProjectId())
	line.AddUint32(observe.KeyAttempt, r.GetNumber())
	line.AddString(observe.KeyTrigger, r.GetTrigger().Label())
	line.AddString(observe.KeyOutcome, r.GetOutcome().Label())
	line.AddString(observe.KeyReason, r.GetReason().Label())
	line.AddUint32(observe.KeyStatusCode, r.GetStatusCode())
	line.AddFloat64(observe.KeyDurationMS, float64(r.GetDurationUs())/1000)
	if r.GetNextAttemptAt() != nil {
		line.AddTime(observe.KeyNextAt, r.GetNextAttemptAt().AsTime())
	}
	return nil
}

func names(x *Delivery) []zap.Field {
	return []zap.Field{
		zap.String(observe.KeyEvent, x.EventID),
		zap.String(observe.KeyDelivery, x.ID),
		zap.String(observe.KeyWebhook, x.WebhookID),
		zap.String(observe.KeyProject, x.ProjectID),
		zap.Uint32(observe.KeyAttempt, x.Attempt),
	}
}
