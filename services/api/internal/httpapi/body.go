package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"github.com/dembrane/webhooks/services/api/internal/registration"
)

// byteOrderMark is what some programs put before what they write.
const byteOrderMark = "\ufeff"

// webhookInput is what a request says about a webhook. A field that is absent or
// null is nil, and one that nobody knows is ignored: dashboards may be older or
// newer.
type webhookInput struct {
	Name        *string
	Description *string
	URL         *string
	Secret      *string
	Status      *string
	Events      *[]string
	Enabled     *bool
	Format      *string
	// Headers are values by name; a nil one takes the header away.
	Headers *map[string]*string
	// MaxPerSecond limits the attempts; 0 takes the limit away.
	MaxPerSecond *float64
}

// withdraws reports whether the request does no more than switch a webhook off.
func (r webhookInput) withdraws() bool {
	if r.Name != nil || r.Description != nil || r.URL != nil || r.Secret != nil || r.Events != nil ||
		r.Format != nil || r.Headers != nil || r.MaxPerSecond != nil {
		return false
	}
	off := r.Enabled != nil && !*r.Enabled || r.Status != nil && !registration.Status(*r.Status).Enabled()
	on := r.Enabled != nil && *r.Enabled || r.Status != nil && registration.Status(*r.Status).Enabled()
	return off && !on
}

// isEmpty reports whether the request says nothing.
func (r webhookInput) isEmpty() bool { return r == webhookInput{} }

// readWebhook reads the body of a request about a webhook.
func readWebhook(c echo.Context) (webhookInput, error) {
	raw, err := readBody(c)
	if err != nil {
		return webhookInput{}, err
	}
	return parseWebhook(raw)
}

// readBody reads the body of a request, whatever it is, within the limit.
func readBody(c echo.Context) ([]byte, error) {
	request := c.Request()
	if err := acceptable(request); err != nil {
		return nil, err
	}
	if request.ContentLength > maxBodyBytes {
		return nil, &http.MaxBytesError{Limit: maxBodyBytes}
	}
	raw, err := io.ReadAll(http.MaxBytesReader(c.Response(), request.Body, maxBodyBytes))
	if err != nil {
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			return nil, err
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, answer(http.StatusRequestTimeout, "The request body came too slowly.")
		}
		return nil, answer(http.StatusBadRequest, "The request body ended early.")
	}
	return raw, nil
}

// acceptable refuses what says that it is not JSON. Forms of other sites could
// otherwise send requests that read like it.
func acceptable(r *http.Request) error {
	given := r.Header.Get(echo.HeaderContentType)
	if given == "" {
		return nil
	}
	mediaType, _, err := mime.ParseMediaType(given)
	if err == nil && (mediaType == echo.MIMEApplicationJSON || strings.HasSuffix(mediaType, "+json")) {
		return nil
	}
	return answer(http.StatusUnsupportedMediaType, "The request body must be JSON: send it with Content-Type: application/json.")
}

// saysNothing reports whether a body that may be left out says nothing: programs
// that have nothing to say send none, or null.
func saysNothing(raw []byte) bool {
	raw = bytes.TrimSpace(bytes.TrimPrefix(raw, []byte(byteOrderMark)))
	return len(raw) == 0 || bytes.Equal(raw, []byte("null"))
}

// parseObject reads a JSON object whose fields are to be read one by one, so that
// one wrong type does not hide the others, and names are exact.
func parseObject(raw []byte) (map[string]json.RawMessage, error) {
	raw = bytes.TrimPrefix(raw, []byte(byteOrderMark))
	var fields map[string]json.RawMessage
	malformed := answer(http.StatusUnprocessableEntity, "The request body is not valid JSON.")
	if !utf8.Valid(raw) {
		return nil, malformed
	}
	if err := json.Unmarshal(raw, &fields); err != nil {
		if _, isSyntax := errors.AsType[*json.SyntaxError](err); isSyntax {
			return nil, malformed
		}
		return nil, answer(http.StatusUnprocessableEntity, "The request body must be a JSON object.")
	}
	if fields == nil {
		return nil, answer(http.StatusUnprocessableEntity, "The request body must be a JSON object.")
	}
	return fields, nil
}

func parseWebhook(raw []byte) (webhookInput, error) {
	fields, err := parseObject(raw)
	if err != nil {
		return webhookInput{}, err
	}
	var r webhookInput
	var faults registration.Faults
	faults.Add(field(fields, "name", "text", &r.Name))
	faults.Add(field(fields, "description", "text", &r.Description))
	faults.Add(field(fields, "url", "text", &r.URL))
	faults.Add(field(fields, "secret", "text", &r.Secret))
	faults.Add(field(fields, "events", "a list of texts", &r.Events))
	faults.Add(field(fields, "enabled", "true or false", &r.Enabled))
	faults.Add(field(fields, "status", "text", &r.Status))
	faults.Add(field(fields, "format", "text", &r.Format))
	faults.Add(field(fields, "headers", "an object of texts", &r.Headers))
	faults.Add(field(fields, "max_per_second", "a number", &r.MaxPerSecond))
	return r, faults.Err()
}

// field reads one field into target, which stays nil when it is absent or null.
func field[T any](fields map[string]json.RawMessage, name, kind string, target **T) error {
	raw, present := fields[name]
	if !present {
		return nil
	}
	err := json.Unmarshal(raw, target)
	// A null in a list would become an empty text.
	if err == nil && raw[0] == '[' && hasNull(raw) {
		err = errors.New("null in a list")
	}
	if err != nil {
		return &registration.Fault{Field: name, Kind: registration.KindBounds, Message: fmt.Sprintf("%s must be %s.", name, kind)}
	}
	return nil
}

func hasNull(raw json.RawMessage) bool {
	var items []json.RawMessage
	if json.Unmarshal(raw, &items) != nil {
		return false
	}
	for _, item := range items {
		if bytes.Equal(item, []byte("null")) {
			return true
		}
	}
	return false
}

// whole is a whole number as JSON has it: 60, 60.0 and 6e1 are the same.
type whole int64

// UnmarshalJSON implements [json.Unmarshaler].
func (w *whole) UnmarshalJSON(raw []byte) error {
	const exact = 1 << 53 // up to there a float64 holds every whole number
	var number float64
	if err := json.Unmarshal(raw, &number); err != nil {
		return err //nolint:wrapcheck // the caller words it
	}
	if number != math.Trunc(number) || math.Abs(number) > exact {
		return errors.New("not a whole number")
	}
	*w = whole(number)
	return nil
}
