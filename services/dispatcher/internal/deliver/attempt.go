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

	"github.com/dembrane/webhooks/pkg/egress"
	"github.com/dembrane/webhooks/pkg/observe"
	"github.com/dembrane/webhooks/pkg/signature"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/dispatcher/internal/lane"
	"github.com/dembrane/webhooks/services/dispatcher/internal/registry"
)

// UserAgent names us to receivers.
const UserAgent = "Dembrane-Webhook/1.0"

// attempt makes one POST and settles the delivery. It returns what the lane is to
// know of it.
func (d *Deliverer) attempt(x *Delivery) lane.Result {
	if outcome, ended := d.unwanted(x); ended {
		d.conclude(x, outcome)
		return lane.Result{}
	}
	body, err := x.Source.Body(d.attempts)
	if errors.Is(err, ErrExpired) {
		d.conclude(x, webhooksv1.Outcome_OUTCOME_EXPIRED)
		return lane.Result{}
	}
	if err != nil {
		d.log.Warn("event not loaded, delivery handed back", append(names(x), zap.Error(err))...)
		x.Source.Settle(false)
		return lane.Result{}
	}
	w := d.registry.Get(x.WebhookID)
	if w == nil {
		d.conclude(x, webhooksv1.Outcome_OUTCOME_DELETED)
		return lane.Result{}
	}
	started := time.Now()
	answer := d.send(x, w, body, started)
	took := time.Since(started)
	if answer.Canceled {
		x.Source.Settle(false)
		return lane.Result{}
	}
	v := judge(answer, x.Attempt, d.retries, started.Add(took), rand.Float64()) //nolint:gosec // spreads retries, keeps no secret
	if v.outcome == webhooksv1.Outcome_OUTCOME_GONE {
		w.MarkGone()
	}
	record := newRecord(x, v, started)
	describeExchange(record, w, exchange{answer: answer, bodyBytes: len(body), took: took})
	d.report(record)
	d.settle(x, record, v.next)
	return lane.Result{Took: took, PauseUntil: v.pauseUntil}
}

// Try makes one attempt that is never repeated, records it, and returns the
// record: a host's test. It changes nothing about the webhook. It returns nil when
// the process is stopping.
func (d *Deliverer) Try(ctx context.Context, x *Delivery, w *registry.Webhook, body []byte) *webhooksv1.Attempt {
	if !d.enter() {
		return nil
	}
	defer d.running.Done()
	started := time.Now()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(d.attempts, cancel)()
	answer := d.post(ctx, x, w, body, started)
	took := time.Since(started)
	if answer.Canceled {
		answer = egress.Result{Reason: webhooksv1.Reason_REASON_INTERNAL, Detail: "The test was interrupted on our side. Try again."}
	}
	v := judge(answer, 1, Retries{Attempts: 1}, started.Add(took), 0)
	record := newRecord(x, v, started)
	describeExchange(record, w, exchange{answer: answer, bodyBytes: len(body), took: took})
	d.report(record)
	d.journal.add(record, func(error) {})
	return record
}

// send makes the POST. A panic on the way is our fault and costs this attempt
// only: the process stays up, and the delivery does not come back for ever.
func (d *Deliverer) send(x *Delivery, w *registry.Webhook, body []byte, now time.Time) (answer egress.Result) {
	defer func() {
		if fault := recover(); fault != nil {
			d.log.Error("attempt panicked", append(names(x), zap.String("panic", fmt.Sprint(fault)), zap.ByteString("stack", debug.Stack()))...)
			answer = egress.Result{Reason: webhooksv1.Reason_REASON_INTERNAL, Detail: "Something went wrong on our side."}
		}
	}()
	return d.post(d.attempts, x, w, body, now)
}

func (d *Deliverer) post(ctx context.Context, x *Delivery, w *registry.Webhook, body []byte, now time.Time) egress.Result {
	if w.Fault != nil {
		return egress.Result{
			Reason: webhooksv1.Reason_REASON_REGISTRATION,
			Detail: "The webhook's URL or secret cannot be used. Set both again.",
		}
	}
	header := make(http.Header, 12)
	header["Content-Type"] = []string{"application/json"}
	header["User-Agent"] = []string{UserAgent}
	header["X-Dembrane-Event"] = []string{x.EventType}
	header["X-Webhook-Event"] = []string{x.EventType}
	header["X-Dembrane-Delivery"] = []string{x.ID}
	header["X-Dembrane-Attempt"] = []string{strconv.FormatUint(uint64(x.Attempt), 10)}
	var room [2]signature.Key
	signature.Headers(header, w.Keys(room[:0], now), x.EventID, now, body)
	return d.client.Post(ctx, egress.Call{URL: w.URL, Header: header, Body: body})
}

// conclude records the end of a delivery to which nothing is sent any more.
func (d *Deliverer) conclude(x *Delivery, outcome webhooksv1.Outcome) {
	detail := map[webhooksv1.Outcome]string{
		webhooksv1.Outcome_OUTCOME_DELETED:  "The webhook was deleted before this could be sent.",
		webhooksv1.Outcome_OUTCOME_DISABLED: "The webhook was disabled before this could be sent.",
		webhooksv1.Outcome_OUTCOME_EXPIRED:  "The event is older than events are kept, so it can no longer be sent.",
	}[outcome]
	record := newRecord(x, verdict{outcome: outcome, detail: detail}, time.Now())
	d.report(record)
	d.journal.add(record, newSettlement(x.Source, 1).stored)
}

// report is the one log line and the metrics of an attempt.
func (d *Deliverer) report(r *webhooksv1.Attempt) {
	d.metrics.attempt(r)
	line := d.log.Check(zap.InfoLevel, "attempt")
	if line == nil {
		return
	}
	fields := make([]zap.Field, 0, 12)
	fields = append(fields,
		zap.String(observe.KeyEvent, r.GetEventId()),
		zap.String(observe.KeyDelivery, r.GetDeliveryId()),
		zap.String(observe.KeyWebhook, r.GetWebhookId()),
		zap.String(observe.KeyProject, r.GetProjectId()),
		zap.Uint32(observe.KeyAttempt, r.GetNumber()),
		zap.String(observe.KeyTrigger, r.GetTrigger().Label()),
		zap.String(observe.KeyOutcome, r.GetOutcome().Label()),
		zap.String(observe.KeyReason, r.GetReason().Label()),
		zap.Uint32(observe.KeyStatusCode, r.GetStatusCode()),
		zap.Float64(observe.KeyDurationMS, float64(r.GetDurationUs())/1000),
	)
	if r.GetNextAttemptAt() != nil {
		fields = append(fields, zap.Time(observe.KeyNextAt, r.GetNextAttemptAt().AsTime()))
	}
	line.Write(fields...)
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
