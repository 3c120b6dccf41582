package portal

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/labstack/echo/v4"
)

const (
	// maxShownBytes is how much of a page a body takes; the whole of it can be downloaded.
	maxShownBytes = 12 << 10
	// maxTimeline is how many attempts of one delivery the page shows. There are ten,
	// unless it was sent again by hand.
	maxTimeline = 50
	// clockMargin is how far the clocks of those who make events and attempts may be apart.
	clockMargin = 10 * time.Minute
)

// deliveryBody is what the page of one attempt shows, with all others of its delivery.
type deliveryBody struct {
	logRow

	ID, EventID, DeliveryID string
	Happened                *moment
	// Exact is when it began, to the second.
	Exact moment
	// Timeline is empty when there is nothing on it but this attempt. Newest is the
	// last on it, when that is another one.
	Timeline []step
	Newest   *step
	// Gap is after when there may have been others, which were not looked for.
	Gap      *moment
	Phases   []phase
	Request  *message
	Response *message
	// Noted says why nothing came back, or what was odd about what did.
	Noted string
	Curl  *curl
	// CanResend says that it can be sent again; WhyNot why not.
	CanResend bool
	WhyNot    string
	FormID    string
}

// step is one attempt on the timeline.
type step struct {
	logRow

	Current bool
}

// message is a request or a response.
type message struct {
	URL     string
	Headers []header
	// AllHeaders says that there are no more than these.
	AllHeaders bool
	// Body is shown as it was, and Pretty where it is JSON. Note says what is not shown.
	Body, Pretty, Note string
	// Download is where all of the body is; empty when all of it is shown.
	Download string
}

// header has no value where that is a secret.
type header struct {
	Name, Value string
	Hidden      bool
}

func delivery(v *visit) error {
	a, err := v.api.attempt(v.webhook.ID, v.c.Param("attempt"))
	if err != nil {
		return err
	}
	body := deliveryBody{
		ID: a.ID, EventID: a.EventID, DeliveryID: a.DeliveryID, Exact: v.exact(a.StartedAt),
		Request: v.request(a), Response: v.response(a), Noted: v.whyNoAnswer(a.Detail, a.Reason, a.StatusCode != nil), FormID: rand.Text(),
	}
	if a.Timing != nil {
		body.Phases = v.phases(*a.Timing)
	}
	if a.OccurredAt != nil {
		happened := v.exact(*a.OccurredAt)
		body.Happened = &happened
	}
	body.Curl = v.curl(a)
	switch {
	case a.Trigger == "test":
		body.WhyNot = v.t("resend.test")
	case !v.webhook.Enabled:
		body.WhyNot = v.t("resend.off")
	case !v.project.CanChange && v.project.WhyNot != nil:
		body.WhyNot = v.t("resend.frozen") + " " + v.whyNot()
	default:
		body.CanResend = true
	}
	if err := v.timeline(&body, a.apiAttempt); err != nil {
		return err
	}
	return v.render(http.StatusOK, "delivery", body.Event+", "+body.When.Text, body)
}

// timeline puts every attempt of the delivery onto the page, the first one first, and
// says of the shown one what it meant.
func (v *visit) timeline(body *deliveryBody, shown apiAttempt) error {
	found, gap, err := v.siblings(shown)
	if err != nil {
		return err
	}
	if gap != nil {
		after := v.exact(*gap)
		body.Gap = &after
	}
	rows := v.logRows(found, true)
	for i, row := range slices.Backward(rows) {
		one := step{logRow: row, Current: found[i].ID == shown.ID}
		one.When = v.exact(found[i].StartedAt)
		if one.Current {
			body.logRow = row
		}
		body.Timeline = append(body.Timeline, one)
	}
	if last := &body.Timeline[len(body.Timeline)-1]; !last.Current {
		body.Newest = last
	}
	if len(body.Timeline) == 1 && body.Next == nil && body.Gap == nil {
		body.Timeline = nil
	}
	return nil
}

// siblings are the attempts of the same delivery, that one included. Where the log since
// then is longer than one request looks, they are those among the newest, and those that
// came soon after the event; gap is after when others may have been, nil where none can.
func (v *visit) siblings(shown apiAttempt) (found []apiAttempt, gap *time.Time, _ error) {
	since := shown.StartedAt
	if at := shown.OccurredAt; at != nil && at.Before(since) {
		since = *at
	}
	query := url.Values{"delivery_id": {shown.DeliveryID}, "since": {isoTime(since.Add(-clockMargin))}, "limit": {strconv.Itoa(maxTimeline)}}
	newest, err := v.api.attempts(v.webhook.ID, query)
	if err != nil {
		return nil, nil, err
	}
	found = append(newest.Data, shown)
	isLast := shown.Trigger == "event" && shown.Status != "pending" // of those by themselves
	isWhole, seen := newest.NextCursor == nil, shown.StartedAt
	if !isWhole && (!isLast || shown.Number > 1) {
		query.Set("order", "oldest")
		if isLast {
			query.Set("limit", strconv.Itoa(min(maxTimeline, int(shown.Number))))
		}
		oldest, err := v.api.attempts(v.webhook.ID, query)
		if err != nil {
			return nil, nil, err
		}
		found = append(found, oldest.Data...)
		isWhole, seen = oldest.NextCursor == nil, oldest.SearchedTo
	}
	if !isWhole && newest.SearchedTo.After(seen) {
		gap = &seen
	}
	slices.SortStableFunc(found, func(a, b apiAttempt) int { return strings.Compare(b.ID, a.ID) })
	return slices.CompactFunc(found, func(a, b apiAttempt) bool { return a.ID == b.ID }), gap, nil
}

func (v *visit) request(a apiDetail) *message {
	if a.Request == nil {
		return nil
	}
	m := &message{URL: a.Request.URL, Note: a.Request.BodyNote}
	m.Headers, m.AllHeaders = shownHeaders(a.Request.Headers)
	if a.Request.Body != nil {
		v.show(m, *a.Request.Body, v.one()+"/deliveries/"+url.PathEscape(a.ID)+"/body")
	}
	return m
}

func (v *visit) response(a apiDetail) *message {
	if a.Response == nil {
		return nil
	}
	m := &message{}
	m.Headers, m.AllHeaders = shownHeaders(a.Response.Headers)
	v.show(m, a.Response.Body, "")
	switch {
	case a.Response.BodyEncoding == "base64":
		m.Note = v.t("body.binary")
	case a.Response.Body == "":
		m.Note = v.t("body.empty")
	case a.Response.Truncated:
		m.Note = v.t("body.truncated")
	}
	return m
}

// show puts a body into a message, as much of it as a page can bear.
func (v *visit) show(m *message, body, download string) {
	m.Pretty = pretty(body)
	begin := cutText(body)
	m.Body = visible(begin)
	if len(begin) < len(body) {
		m.Download = download
		m.Note = v.t("body.cut")
	}
}

// cutText is the beginning of a text, as much of it as a page can bear.
func cutText(text string) string {
	begin, _ := cutTo(text, maxShownBytes)
	return begin
}

// cutTo is the beginning of a text, with whole characters: as much as takes that many
// bytes of a page; and how many of them are left.
func cutTo(text string, left int) (string, int) {
	const escaped = len("&#34;")
	for i, r := range text {
		size := utf8.RuneLen(r)
		switch {
		case strings.ContainsRune(`"&'<>`, r):
			size = escaped
		case isHidden(r):
			size = utf8.RuneLen(utf8.RuneError)
		}
		if left < size {
			return text[:i], 0
		}
		left -= size
	}
	return text, left
}

// shownHeaders are the headers of a message; false when a page cannot bear them all.
func shownHeaders(sent []apiHeader) ([]header, bool) {
	headers := make([]header, 0, len(sent))
	left := maxShownBytes
	for _, h := range sent {
		one := header{Hidden: h.Value == nil || *h.Value == "***"}
		one.Name, left = cutTo(h.Name, left)
		if h.Value != nil {
			one.Value, left = cutTo(*h.Value, left)
			one.Value = visible(one.Value)
		}
		if left == 0 {
			return headers, false
		}
		headers = append(headers, one)
	}
	return headers, true
}

// sentBody is the whole body of a request, as a file.
func sentBody(v *visit) error {
	a, err := v.api.attempt(v.webhook.ID, v.c.Param("attempt"))
	if err != nil {
		return err
	}
	if a.Request == nil || a.Request.Body == nil {
		return &problem{Status: http.StatusNotFound, Detail: v.t("body.gone")}
	}
	h := v.c.Response().Header()
	h.Set(echo.HeaderContentDisposition, `attachment; filename="body.json"`)
	h.Set(echo.HeaderContentSecurityPolicy, "default-src 'none'; sandbox")
	return v.c.Blob(http.StatusOK, "application/octet-stream", []byte(*a.Request.Body)) //nolint:wrapcheck // the caller is gone
}

// resend sends the event of an attempt again.
func resend(v *visit) error {
	if err := v.api.resend(v.webhook.ID, v.c.Param("attempt"), v.field("form")); err != nil {
		return err
	}
	return v.done(v.one()+"/deliveries", "resent")
}
