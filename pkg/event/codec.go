package event

import (
	"errors"
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// The content types of an event, as the header Content-Type names them.
const (
	// JSON is the default: protobuf's JSON with the proto's own field names.
	JSON = "application/json"
	// Protobuf is the binary form.
	Protobuf = "application/x-protobuf"
)

// Errors of this package. Their texts continue with what is wrong and what to
// do about it, and never repeat what participants wrote.
var (
	// ErrContentType is returned for a content type other than [JSON] and
	// [Protobuf]. Nothing was read.
	ErrContentType = errors.New("content type is not known")
	// ErrUnreadable is returned by [Decode] for bytes that are not an event in
	// the encoding they claim. Publishing the same bytes again fails again.
	ErrUnreadable = errors.New("event cannot be read")
	// ErrInvalid is returned by [Validate] for an event that breaks a rule, and
	// by [Encode] for one whose text is not UTF-8.
	ErrInvalid = errors.New("event is not valid")
)

// maxName is what an error repeats of a name in a message, in bytes.
const maxName = 64

// Decode reads an event. An empty content type means [JSON]; parameters such
// as `; charset=utf-8` are ignored. Fields that this build does not know are
// ignored too, because publishers may be newer.
//
// What leaves no doubt costs no event: half of a surrogate pair in JSON becomes
// U+FFFD, a byte order mark is passed over, and a time may be written in other ways
// than RFC 3339's, as long as it has a time zone.
//
// The errors are [ErrContentType] and [ErrUnreadable]; both are final for these
// bytes. What was read may still break a rule: see [Validate].
func Decode(contentType string, data []byte) (*webhooksv1.Event, error) {
	encoding, err := encodingOf(contentType)
	if err != nil {
		return nil, err
	}
	if len(data) == 0 {
		return nil, fmt.Errorf("%w: the body is empty", ErrUnreadable)
	}
	if encoding == JSON {
		return decodeJSON(data)
	}
	e := new(webhooksv1.Event)
	if err := proto.Unmarshal(data, e); err != nil {
		return nil, fmt.Errorf("%w as %s: %s", ErrUnreadable, Protobuf, explainProtobuf(err, data))
	}
	return e, nil
}

// decodeJSON mends what can be mended without doubt; both readers get the same.
func decodeJSON(data []byte) (*webhooksv1.Event, error) {
	data = mendText(data)
	if e, ok := readFast(data); ok {
		return e, nil
	}
	e, err := readJSON(data)
	if err == nil {
		return e, nil
	}
	mended, fault := mendTime(data)
	if mended != nil {
		data = mended
		if e, err = readJSON(data); err == nil {
			return e, nil
		}
	}
	if fault == "" {
		fault = explainJSON(err, data)
	}
	return nil, fmt.Errorf("%w as %s: %s", ErrUnreadable, JSON, fault)
}

func readJSON(data []byte) (*webhooksv1.Event, error) {
	e := new(webhooksv1.Event)
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, e); err != nil {
		return nil, fmt.Errorf("read JSON: %w", err)
	}
	return e, nil
}

// Encode writes an event as [Decode] reads it. JSON uses the proto's field
// names and leaves out what is not set; its white space is not stable.
//
// The errors are [ErrContentType] and [ErrInvalid].
func Encode(contentType string, e *webhooksv1.Event) ([]byte, error) {
	encoding, err := encodingOf(contentType)
	if err != nil {
		return nil, err
	}
	var data []byte
	if encoding == Protobuf {
		data, err = proto.MarshalOptions{Deterministic: true}.Marshal(e)
	} else {
		data, err = protojson.MarshalOptions{UseProtoNames: true}.Marshal(e)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s", ErrInvalid, tidy(err))
	}
	return data, nil
}

func encodingOf(contentType string) (string, error) {
	name, _, _ := strings.Cut(contentType, ";")
	name = strings.TrimSpace(name)
	switch strings.ToLower(name) {
	case "", JSON, "text/json":
		return JSON, nil
	case Protobuf, "application/protobuf", "application/vnd.google.protobuf":
		return Protobuf, nil
	default:
		return "", fmt.Errorf("%w: %q; use %s (also the default) or %s",
			ErrContentType, clip(name, maxName), JSON, Protobuf)
	}
}

// clip bounds what an error repeats.
func clip(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "") + "…"
}
