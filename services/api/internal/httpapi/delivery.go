package httpapi

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/labstack/echo/v4"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/oklog/ulid/v2"
	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/observe"
	"github.com/dembrane/webhooks/pkg/payload/chat"
	"github.com/dembrane/webhooks/pkg/signature"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/pkg/webhook"
	"github.com/dembrane/webhooks/pkg/words"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/access"
	"github.com/dembrane/webhooks/services/api/internal/activity"
)

const (
	// bodyMemory bounds what is held for bodies that are shown at the same time, and
	// bodyFactor is how many times its own size one takes: the event, decoded,
	// rendered, and as JSON.
	bodyMemory = 96 << 20
	bodyFactor = 4
	// bodyTimeout bounds the wait for memory and for the event.
	bodyTimeout = 10 * time.Second
	// masked stands for a value in the query of a URL, and for that of a webhook's own
	// header.
	masked = "***"
)

// events reads events back by their sequence. See [topology.EventReader].
type events interface {
	Event(ctx context.Context, project string, sequence uint64) (*jetstream.RawStreamMsg, error)
}

// detailed is one attempt with what was sent and what came back.
type detailed struct {
	attempted

	// Detail is what was noted when it was made, in English; empty for most.
	Detail   string         `json:"detail"`
	Timing   *shownTiming   `json:"timing"`
	Request  *shownRequest  `json:"request"`
	Response *shownResponse `json:"response"`
}

// shownTiming is in milliseconds.
type shownTiming struct {
	DNS     float64 `json:"dns_ms"`
	Connect float64 `json:"connect_ms"`
	TLS     float64 `json:"tls_ms"`
	Wait    float64 `json:"wait_ms"`
}

type shownRequest struct {
	URL       string        `json:"url"`
	Headers   []shownHeader `json:"headers"`
	Body      *string       `json:"body"`
	BodyState string        `json:"body_state"`
	BodyNote  string        `json:"body_note"`
	BodyBytes int64         `json:"body_bytes"`
}

// shownHeader has no value where that is a secret, or was made with one.
type shownHeader struct {
	Name  string  `json:"name"`
	Value *string `json:"value"`
}

type shownResponse struct {
	Headers      []shownHeader `json:"headers"`
	Body         string        `json:"body"`
	BodyEncoding string        `json:"body_encoding"`
	Truncated    bool          `json:"truncated"`
}

// delivery shows one attempt.
func (s *server) delivery(c echo.Context, grant access.Grant) error {
	w, err := s.find(c, grant)
	if err != nil {
		return err
	}
	id, err := ulid.ParseStrict(c.Param("attempt"))
	if err != nil {
		return answer(http.StatusNotFound, "Attempt not found")
	}
	a, err := s.Store.Attempt(c.Request().Context(), w.ProjectID, w.ID, id.String())
	if err != nil {
		return attemptNotFound(err)
	}
	in := language(c)
	shown := detailed{attempted: showEntry(activity.Entry(a, id), in), Detail: a.GetDetail(), Response: showResponse(a.GetResponse())}
	if a.GetTiming() == nil && a.GetDetail() != "" && in == words.English {
		shown.Message = a.GetDetail() // of an earlier version, which knew more than it wrote down apart
	}
	shown.Timing = showTiming(a)
	if a.GetRequest().GetUrl() != "" {
		body, state, release := s.sentBody(c.Request().Context(), a, formatOf(w))
		defer release()
		shown.Request = &shownRequest{
			URL: maskQuery(a.GetRequest().GetUrl()), Headers: sentHeaders(a),
			Body: body, BodyState: state.Label(), BodyNote: state.Note(in), BodyBytes: a.GetRequest().GetBodyBytes(),
		}
	}
	return c.JSON(http.StatusOK, shown)
}

func showTiming(a *webhooksv1.Attempt) *shownTiming {
	t := a.GetTiming()
	if t == nil {
		return nil
	}
	return &shownTiming{DNS: inMS(t.GetDnsUs()), Connect: inMS(t.GetConnectUs()), TLS: inMS(t.GetTlsUs()), Wait: inMS(t.GetWaitUs())}
}

func inMS(us int64) float64 { return float64(us) / 1000 }

// sentBody renders the body that was sent from the event, which is kept once for
// all of its deliveries, in the format of the webhook now. It is what was sent to the
// byte, or it is not shown.
func (s *server) sentBody(ctx context.Context, a *webhooksv1.Attempt, format chat.Format) (body *string, state words.BodyState, release func()) {
	nothing := func() {}
	if a.GetEventSequence() == 0 {
		return nil, words.BodyTest, nothing
	}
	size := min(max(a.GetRequest().GetBodyBytes(), 1)*bodyFactor, bodyMemory)
	ctx, cancel := context.WithTimeout(ctx, bodyTimeout)
	defer cancel()
	if err := s.bodies.Acquire(ctx, size); err != nil {
		return nil, words.BodyAway, nothing
	}
	release = func() { s.bodies.Release(size) }
	msg, err := s.Events.Event(ctx, a.GetProjectId(), a.GetEventSequence())
	if errors.Is(err, topology.ErrEventGone) {
		return nil, words.BodyGone, release
	}
	if err != nil {
		s.Log.Warn("event of an attempt not read", zap.String(observe.KeyEvent, a.GetEventId()), zap.Error(err))
		return nil, words.BodyAway, release
	}
	e, err := event.Decode(msg.Header.Get("Content-Type"), msg.Data)
	if err == nil {
		err = event.Validate(e)
	}
	if err != nil {
		return nil, words.BodyChanged, release
	}
	if e.GetId() != a.GetEventId() {
		return nil, words.BodyGone, release // the stream was made again
	}
	rendered := string(format.Append(nil, s.Renderer, e))
	if int64(len(rendered)) != a.GetRequest().GetBodyBytes() {
		return nil, words.BodyChanged, release
	}
	return &rendered, words.BodyShown, release
}

// sentHeaders are those of the request. Signatures are left out: whoever has one
// can send that body again as if it came from here. The values of the webhook's own
// headers are not even known here.
func sentHeaders(a *webhooksv1.Attempt) []shownHeader {
	sent := http.Header{}
	webhook.Attempt{EventType: a.GetEventType(), DeliveryID: a.GetDeliveryId(), Number: a.GetNumber()}.SetHeaders(sent)
	if a.GetRequest().GetSigned() {
		sent[signature.HeaderID] = []string{a.GetEventId()}
		sent[signature.HeaderTimestamp] = []string{strconv.FormatInt(a.GetStartedAt().GetSeconds(), 10)}
		for _, name := range []string{signature.HeaderBody, signature.HeaderReference, signature.HeaderSignature} {
			sent[name] = []string{""}
		}
	}
	for _, name := range a.GetRequest().GetHeaderNames() {
		sent[name] = []string{masked}
	}
	headers := make([]shownHeader, 0, len(sent))
	for name, values := range sent {
		headers = append(headers, shownHeader{Name: name, Value: orNull(values[0])})
	}
	slices.SortFunc(headers, func(a, b shownHeader) int { return strings.Compare(a.Name, b.Name) })
	return headers
}

// maskQuery leaves the names of a query and takes the values away: some receivers
// have their key there.
func maskQuery(raw string) string {
	before, query, found := strings.Cut(raw, "?")
	if !found {
		return raw
	}
	query, fragment, hasFragment := strings.Cut(query, "#")
	pairs := strings.Split(query, "&")
	for i, pair := range pairs {
		name, value, hasValue := strings.Cut(pair, "=")
		switch {
		case hasValue && value != "":
			pairs[i] = name + "=" + masked
		case !hasValue && name != "":
			pairs[i] = masked // a name alone may be the key itself
		}
	}
	shown := before + "?" + strings.Join(pairs, "&")
	if hasFragment {
		shown += "#" + fragment
	}
	return shown
}

func showResponse(r *webhooksv1.Response) *shownResponse {
	if r == nil {
		return nil
	}
	shown := &shownResponse{Headers: []shownHeader{}, BodyEncoding: "utf-8", Truncated: r.GetTruncated()}
	for _, h := range r.GetHeaders() {
		value := h.GetValue()
		shown.Headers = append(shown.Headers, shownHeader{Name: h.GetName(), Value: responseValue(h.GetName(), value)})
	}
	whole := r.GetBody()
	if r.GetTruncated() {
		whole = wholeRunes(whole)
	}
	if shown.Body = string(whole); !utf8.Valid(whole) {
		shown.Body, shown.BodyEncoding = base64.StdEncoding.EncodeToString(r.GetBody()), "base64"
	}
	return shown
}

// responseValue hides what a receiver means for its own clients alone, and the
// query of where it redirects.
func responseValue(name, value string) *string {
	switch name {
	case "Set-Cookie":
		return nil
	case "Location":
		if _, err := url.Parse(value); err == nil {
			value = maskQuery(value)
		}
	}
	return &value
}

// wholeRunes leaves out a character that the end of a body cuts in two.
func wholeRunes(body []byte) []byte {
	for n := 1; n < utf8.UTFMax && n <= len(body); n++ {
		if tail := body[len(body)-n:]; utf8.RuneStart(tail[0]) {
			if !utf8.FullRune(tail) {
				return body[:len(body)-n]
			}
			break
		}
	}
	return body
}
