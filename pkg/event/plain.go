package event

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// readPlain reads an event in protobuf's JSON as nearly all publishers write it:
// with the proto's field names, each once, and values of the fields' own types. It
// reports false for everything else, from a syntax error to a number that is
// written as a string; what that means is protojson's to say. What it does read,
// protojson reads alike, in three times the time.
func readPlain(data []byte) (*webhooksv1.Event, bool) {
	r := plainReaders.Get().(*plainReader) //nolint:errcheck,forcetypeassert // nothing else is in there
	defer func() {
		r.reset(nil) // the data is not ours to keep
		plainReaders.Put(r)
	}()
	r.reset(data)
	e, ok := readMessage(r, eventFields)
	if !ok || e == nil {
		return nil, false
	}
	_, err := r.decoder.ReadToken()
	return e, errors.Is(err, io.EOF) // otherwise something follows
}

var plainReaders = sync.Pool{ //nolint:gochecknoglobals // shares memory, no state
	New: func() any { return &plainReader{decoder: new(jsontext.Decoder)} },
}

// plainReader reads one value after the other. Each of its methods takes one that is
// of the kind it is for, or a null, which leaves the field as it is, and reports
// whether it was either. The decoder refuses text that is not UTF-8.
type plainReader struct {
	decoder *jsontext.Decoder
	data    bytes.Buffer
}

func (r *plainReader) reset(data []byte) {
	r.data = *bytes.NewBuffer(data)
	r.decoder.Reset(&r.data, jsontext.AllowDuplicateNames(true)) // readMessage looks for them in less time
}

// plainFields is the members of a message's object, in the order of the proto.
type plainFields[T any] []struct {
	name string
	read func(*plainReader, *T) bool
}

var eventFields = plainFields[webhooksv1.Event]{ //nolint:gochecknoglobals // never changed
	{"id", func(r *plainReader, e *webhooksv1.Event) bool { return r.text(&e.Id) }},
	{"type", func(r *plainReader, e *webhooksv1.Event) bool { return r.text(&e.Type) }},
	{"occurred_at", func(r *plainReader, e *webhooksv1.Event) bool { return r.timestamp(&e.OccurredAt) }},
	{"project", func(r *plainReader, e *webhooksv1.Event) (ok bool) {
		e.Project, ok = readMessage(r, projectFields)
		return ok
	}},
	{"conversation", func(r *plainReader, e *webhooksv1.Event) bool {
		c, ok := readMessage(r, conversationFields)
		if c == nil {
			return ok
		}
		free := e.Subject == nil
		e.Subject = &webhooksv1.Event_Conversation{Conversation: c}
		return ok && free
	}},
	{"report", func(r *plainReader, e *webhooksv1.Event) bool {
		report, ok := readMessage(r, reportFields)
		if report == nil {
			return ok
		}
		free := e.Subject == nil
		e.Subject = &webhooksv1.Event_Report{Report: report}
		return ok && free
	}},
}

var projectFields = plainFields[webhooksv1.Project]{ //nolint:gochecknoglobals // never changed
	{"id", func(r *plainReader, p *webhooksv1.Project) bool { return r.text(&p.Id) }},
	{"workspace_id", func(r *plainReader, p *webhooksv1.Project) bool { return r.optionalText(&p.WorkspaceId) }},
	{"name", func(r *plainReader, p *webhooksv1.Project) bool { return r.optionalText(&p.Name) }},
	{"language", func(r *plainReader, p *webhooksv1.Project) bool { return r.optionalText(&p.Language) }},
}

var conversationFields = plainFields[webhooksv1.Conversation]{ //nolint:gochecknoglobals // never changed
	{"id", func(r *plainReader, c *webhooksv1.Conversation) bool { return r.text(&c.Id) }},
	{"created_at", func(r *plainReader, c *webhooksv1.Conversation) bool { return r.text(&c.CreatedAt) }},
	{"updated_at", func(r *plainReader, c *webhooksv1.Conversation) bool { return r.text(&c.UpdatedAt) }},
	{"participant_name", func(r *plainReader, c *webhooksv1.Conversation) bool { return r.optionalText(&c.ParticipantName) }},
	{"duration", func(r *plainReader, c *webhooksv1.Conversation) bool { return r.optionalNumber(&c.Duration) }},
	{"source", func(r *plainReader, c *webhooksv1.Conversation) bool { return r.optionalText(&c.Source) }},
	{"is_finished", func(r *plainReader, c *webhooksv1.Conversation) bool { return r.truth(&c.IsFinished) }},
	{"is_all_chunks_transcribed", func(r *plainReader, c *webhooksv1.Conversation) bool {
		return r.optionalTruth(&c.IsAllChunksTranscribed)
	}},
	{"tags", func(r *plainReader, c *webhooksv1.Conversation) bool { return r.texts(&c.Tags) }},
	{"emails_csv", func(r *plainReader, c *webhooksv1.Conversation) bool { return r.text(&c.EmailsCsv) }},
	{"transcript", func(r *plainReader, c *webhooksv1.Conversation) bool { return r.optionalText(&c.Transcript) }},
	{"summary", func(r *plainReader, c *webhooksv1.Conversation) bool { return r.optionalText(&c.Summary) }},
}

var reportFields = plainFields[webhooksv1.Report]{ //nolint:gochecknoglobals // never changed
	{"id", func(r *plainReader, x *webhooksv1.Report) bool { return r.textOrNumber(&x.Id) }},
	{"status", func(r *plainReader, x *webhooksv1.Report) bool { return r.text(&x.Status) }},
	{"language", func(r *plainReader, x *webhooksv1.Report) bool { return r.text(&x.Language) }},
	{"date_created", func(r *plainReader, x *webhooksv1.Report) bool { return r.text(&x.DateCreated) }},
}

// readMessage reads an object, or a null as nil. It knows all names and has seen
// none twice, or reports false.
func readMessage[T any](r *plainReader, fields plainFields[T]) (*T, bool) {
	if _, null, ok := r.next(jsontext.KindBeginObject); null || !ok {
		return nil, ok
	}
	message := new(T)
	var seen uint32
	for r.decoder.PeekKind() == jsontext.KindString {
		name, err := r.decoder.ReadValue()
		if err != nil {
			return nil, false
		}
		name = name[1 : len(name)-1] // without the quotes; one with an escape in it is not plain
		i := 0
		for i < len(fields) && fields[i].name != string(name) {
			i++
		}
		if i == len(fields) || seen&(1<<i) != 0 || !fields[i].read(r, message) {
			return nil, false
		}
		seen |= 1 << i
	}
	_, null, ok := r.next(jsontext.KindEndObject)
	return message, ok && !null
}

// next reads a token of this kind; null says that it was a null instead.
func (r *plainReader) next(kind jsontext.Kind) (token jsontext.Token, null, ok bool) {
	token, err := r.decoder.ReadToken()
	if err != nil {
		return token, false, false
	}
	null = token.Kind() == jsontext.KindNull
	return token, null, null || token.Kind() == kind
}

func (r *plainReader) text(field *string) bool {
	token, null, ok := r.next(jsontext.KindString)
	if ok && !null {
		*field = token.String()
	}
	return ok
}

func (r *plainReader) optionalText(field **string) bool {
	token, null, ok := r.next(jsontext.KindString)
	if ok && !null {
		*field = new(token.String())
	}
	return ok
}

func (r *plainReader) texts(field *[]string) bool {
	if _, null, ok := r.next(jsontext.KindBeginArray); null || !ok {
		return ok
	}
	for r.decoder.PeekKind() == jsontext.KindString {
		token, _, ok := r.next(jsontext.KindString)
		if !ok {
			return false
		}
		*field = append(*field, token.String())
	}
	_, null, ok := r.next(jsontext.KindEndArray)
	return ok && !null
}

func (r *plainReader) optionalNumber(field **float64) bool {
	token, null, ok := r.next(jsontext.KindNumber)
	if null || !ok {
		return ok
	}
	number, err := token.Float()
	*field = &number
	return err == nil
}

// textOrNumber takes no null, which would be a value there.
func (r *plainReader) textOrNumber(field **structpb.Value) bool {
	token, err := r.decoder.ReadToken()
	if err != nil {
		return false
	}
	if token.Kind() == jsontext.KindString {
		*field = structpb.NewStringValue(token.String())
		return true
	}
	if token.Kind() != jsontext.KindNumber {
		return false
	}
	number, err := token.Float()
	*field = structpb.NewNumberValue(number)
	return err == nil
}

func (r *plainReader) truth(field *bool) bool {
	token, err := r.decoder.ReadToken()
	if err != nil {
		return false
	}
	if kind := token.Kind(); kind != jsontext.KindTrue && kind != jsontext.KindFalse {
		return kind == jsontext.KindNull
	}
	*field = token.Bool()
	return true
}

func (r *plainReader) optionalTruth(field **bool) bool {
	if r.decoder.PeekKind() != jsontext.KindNull {
		*field = new(bool)
	}
	return r.truth(*field)
}

// timestamp takes what RFC 3339 allows, with nanoseconds as the finest fraction.
func (r *plainReader) timestamp(field **timestamppb.Timestamp) bool {
	token, null, ok := r.next(jsontext.KindString)
	if null || !ok {
		return ok
	}
	text := token.String()
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return false
	}
	*field = timestamppb.New(at)
	point, zone := strings.LastIndexByte(text, '.'), strings.LastIndexAny(text, "Z-+")
	return (*field).IsValid() && (point < 0 || zone-point <= len(".999999999"))
}
