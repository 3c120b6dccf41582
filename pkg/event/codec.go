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

// What an error repeats of a message, in bytes.
const (
	maxExplanation = 160
	maxName        = 64
)

// Decode reads an event. An empty content type means [JSON]; parameters such
// as `; charset=utf-8` are ignored. Fields that this build does not know are
// ignored too, because publishers may be newer.
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
		if e, ok := readPlain(data); ok {
			return e, nil
		}
	}
	e := new(webhooksv1.Event)
	if encoding == Protobuf {
		err = proto.Unmarshal(data, e)
	} else {
		err = protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(data, e)
	}
	if err != nil {
		return nil, fmt.Errorf("%w as %s: %s", ErrUnreadable, encoding, explain(err))
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
		return nil, fmt.Errorf("%w: %s", ErrInvalid, explain(err))
	}
	return data, nil
}

func encodingOf(contentType string) (string, error) {
	name, _, _ := strings.Cut(contentType, ";")
	name = strings.TrimSpace(name)
	switch {
	case name == "", strings.EqualFold(name, JSON):
		return JSON, nil
	case strings.EqualFold(name, Protobuf):
		return Protobuf, nil
	default:
		return "", fmt.Errorf("%w: %q; use %s (also the default) or %s",
			ErrContentType, clip(name, maxName), JSON, Protobuf)
	}
}

// explain keeps the place and the kind of fault from a protobuf error and
// drops the value: what participants wrote must not travel into logs and
// rejections. The error itself is dropped for the same reason.
func explain(err error) string {
	// The library mixes no-break spaces into its texts, so that nobody
	// compares them.
	text := strings.ReplaceAll(err.Error(), "\u00a0", " ")
	text = strings.TrimPrefix(text, "proto: ")
	place, fault, found := strings.Cut(text, "): ")
	if !found || !strings.Contains(place, "(line ") {
		return clip(text, maxExplanation)
	}
	fault, _, _ = strings.Cut(fault, ": ")
	if !strings.HasPrefix(fault, "duplicate field ") && !strings.HasPrefix(fault, "error parsing ") {
		fault, _, _ = strings.Cut(fault, ` "`) // what those two quote is a known field's name
	}
	if strings.HasPrefix(fault, "invalid value ") && !strings.HasPrefix(fault, "invalid value for ") {
		fault = "invalid value"
	}
	return clip(place+"): "+fault, maxExplanation)
}

// clip bounds what an error repeats.
func clip(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "") + "…"
}
