package portal

import (
	"net/http"
	"net/url"
	"time"
)

// apiAttempt is an attempt in the API's list.
type apiAttempt struct {
	ID            string     `json:"id"`
	DeliveryID    string     `json:"delivery_id"`
	EventID       string     `json:"event_id"`
	Event         string     `json:"event"`
	OccurredAt    *time.Time `json:"occurred_at"`
	Number        uint32     `json:"number"`
	Trigger       string     `json:"trigger"`
	Status        string     `json:"status"`
	Reason        string     `json:"reason"`
	StartedAt     time.Time  `json:"started_at"`
	DurationMS    int64      `json:"duration_ms"`
	StatusCode    *int       `json:"status_code"`
	Message       string     `json:"message"`
	Advice        string     `json:"advice"`
	NextAttemptAt *time.Time `json:"next_attempt_at"`
}

// apiAttempts is one page of the list.
type apiAttempts struct {
	Data       []apiAttempt `json:"data"`
	NextCursor *string      `json:"next_cursor"`
	// SearchedTo is when the last attempt began that was looked at.
	SearchedTo time.Time `json:"searched_to"`
}

// apiDetail is one attempt with what was sent and what came back.
type apiDetail struct {
	apiAttempt

	Detail   string       `json:"detail"`
	Timing   *apiTiming   `json:"timing"`
	Request  *apiRequest  `json:"request"`
	Response *apiResponse `json:"response"`
}

type apiRequest struct {
	URL      string      `json:"url"`
	Headers  []apiHeader `json:"headers"`
	Body     *string     `json:"body"`
	BodyNote string      `json:"body_note"`
}

type apiResponse struct {
	Headers      []apiHeader `json:"headers"`
	Body         string      `json:"body"`
	BodyEncoding string      `json:"body_encoding"`
	Truncated    bool        `json:"truncated"`
}

// apiHeader has no value where that is a secret.
type apiHeader struct {
	Name  string  `json:"name"`
	Value *string `json:"value"`
}

// attempts are a page of the log of a webhook.
func (a client) attempts(id string, query url.Values) (apiAttempts, error) {
	return fetch[apiAttempts](a, "/"+url.PathEscape(id)+"/deliveries?"+query.Encode())
}

func (a client) attempt(id, attempt string) (apiDetail, error) {
	return fetch[apiDetail](a, "/"+url.PathEscape(id)+"/deliveries/"+url.PathEscape(attempt))
}

// resend sends an attempt's event again, once for each form.
func (a client) resend(id, attempt, formID string) error {
	path := "/" + url.PathEscape(id) + "/deliveries/" + url.PathEscape(attempt) + "/resend"
	return a.send(http.MethodPost, path, nil, nil, "Idempotency-Key", formID)
}
