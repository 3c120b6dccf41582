package event

import (
	"bytes"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// maxExplanation is what a reason repeats of a library's error, in bytes.
const maxExplanation = 100

// explainJSON says in which member of the event the fault is, of which kind it is,
// and what to change. It drops the value: what participants wrote must not travel
// into logs and rejections. The error itself is dropped for the same reason.
func explainJSON(err error, data []byte) string {
	if first := bytes.TrimLeft(data, " \t\r\n"); len(first) == 0 || first[0] != '{' {
		if looksLikeProtobuf(data) {
			return "it looks like protobuf: set the header Content-Type to " + Protobuf
		}
		return tidy(err) + ": the body must be one JSON object"
	}
	fault := tidy(err)
	path := ""
	var line, column int
	if _, place, found := strings.Cut(fault, "(line "); found {
		if _, err := fmt.Sscanf(place, "%d:%d)", &line, &column); err == nil {
			path = pathAt(data, line, column)
		}
	}
	wrongKind := strings.Contains(fault, "unexpected token") || strings.Contains(fault, "invalid value for ")
	advice := adviceOn(fault)
	switch path {
	case "":
		return fault + ": " + advice
	case "project", "conversation", "report":
		advice = "must be an object"
	case "conversation.tags":
		advice = "must be a list of strings, without null"
	}
	if !wrongKind {
		return fault + ": " + adviceOn(fault)
	}
	return fmt.Sprintf("%s %s (line %d:%d)", path, advice, line, column)
}

// adviceOn says what to change about what protojson complains of.
func adviceOn(fault string) string {
	for _, known := range []struct{ kind, advice string }{
		{"for string field", "must be a string: put it in quotes, and leave it out if it is not known"},
		{"for bool field", "must be true or false, without quotes"},
		{"for double field", "must be a number that a double can hold: leave it out if it is not known"},
		{"duplicate field", "say it once"},
		{"oneof", "an event is about a conversation or about a report: leave one of them out"},
		{"invalid UTF-8", "encode the body as UTF-8"},
		{"escape code", "JSON has no such escape; let a JSON library write it"},
		{"unexpected EOF", "the body ends too early: publish all of it"},
		{"recursion", "it is nested too deeply: leave out what is not in the description of an event"},
		{"invalid value", "JSON has no such value: texts are in quotes, and what is not known is null"},
	} {
		if strings.Contains(fault, known.kind) {
			return known.advice
		}
	}
	return "the body must be one JSON object with the fields of an event"
}

// looksLikeProtobuf reports whether data is an event in the other encoding.
func looksLikeProtobuf(data []byte) bool {
	var e webhooksv1.Event
	return proto.Unmarshal(data, &e) == nil && ValidID(e.GetId())
}

// explainProtobuf says what to change about bytes that are no event in protobuf.
func explainProtobuf(err error, data []byte) string {
	switch fault := tidy(err); {
	case bytes.HasPrefix(bytes.TrimLeft(data, byteOrderMark+" \t\r\n"), []byte("{")):
		return "it looks like JSON: set the header Content-Type to " + JSON
	case strings.Contains(fault, "UTF-8"):
		return fault + ": encode its texts as UTF-8"
	default:
		return fault + ": the body must be the message dembrane.webhooks.v1.Event"
	}
}

// tidy keeps the place and the kind of fault from a protobuf error and drops the
// value.
func tidy(err error) string {
	// The library mixes no-break spaces into its texts, so that nobody
	// compares them.
	text := strings.ReplaceAll(err.Error(), "\u00a0", " ")
	text = strings.TrimPrefix(text, "read JSON: ")
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
