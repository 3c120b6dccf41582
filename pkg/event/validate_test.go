package event_test

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

func TestFixturesAreValid(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(fixtures, "*.json"))
	require.NoError(t, err)
	require.Len(t, files, 6)
	for _, file := range files {
		e, err := event.Decode("", fixture(t, filepath.Base(file)))
		require.NoError(t, err, file)
		require.NoError(t, event.Validate(e), file)
	}
}

func validConversation() *webhooksv1.Event {
	return &webhooksv1.Event{
		Id: "e1", Type: event.ConversationTranscribed,
		OccurredAt: &timestamppb.Timestamp{Seconds: 1768910400},
		Project:    &webhooksv1.Project{Id: "p1"},
		Subject:    &webhooksv1.Event_Conversation{Conversation: &webhooksv1.Conversation{Id: "c1"}},
	}
}

func validReport(id *structpb.Value) *webhooksv1.Event {
	e := validConversation()
	e.Type = event.ReportGenerated
	e.Subject = &webhooksv1.Event_Report{Report: &webhooksv1.Report{Id: id}}
	return e
}

func TestEveryRuleHasItsSentence(t *testing.T) {
	tests := map[string]struct {
		change func(e *webhooksv1.Event)
		want   string
	}{
		"no id":        {func(e *webhooksv1.Event) { e.Id = "" }, "id is missing: use 1 to 64 letters, digits, _ or -"},
		"long id":      {func(e *webhooksv1.Event) { e.Id = strings.Repeat("x", 65) }, "id is 65 bytes long: use 1 to 64 letters"},
		"dotted id":    {func(e *webhooksv1.Event) { e.Id = "a.b" }, "id has a character that is not allowed: use"},
		"header in id": {func(e *webhooksv1.Event) { e.Id = "a\r\nX-Evil: 1" }, "id has a character that is not allowed"},
		"no type":      {func(e *webhooksv1.Event) { e.Type = "" }, "type is missing: use one of conversation.started, "},
		"unknown type": {
			func(e *webhooksv1.Event) { e.Type = "conversation.deleted" },
			`type "conversation.deleted" is not known: use one of conversation.started, conversation.transcribed, conversation.summarized, report.generated`,
		},
		"test type":  {func(e *webhooksv1.Event) { e.Type = event.Test }, "type webhook.test cannot be published"},
		"no time":    {func(e *webhooksv1.Event) { e.OccurredAt = nil }, "occurred_at is missing"},
		"wild nanos": {func(e *webhooksv1.Event) { e.OccurredAt.Nanos = 1e9 }, "occurred_at is not a time"},
		"year 10000": {func(e *webhooksv1.Event) { e.OccurredAt.Seconds = 253402300800 }, "occurred_at is not a time"},
		"no project": {func(e *webhooksv1.Event) { e.Project = nil }, "project is missing"},
		"no project id": {
			func(e *webhooksv1.Event) { e.Project.Id = "" }, "project.id is missing",
		},
		"wildcard project id": {
			func(e *webhooksv1.Event) { e.Project.Id = ">" }, "project.id has a character that is not allowed",
		},
		"no conversation": {
			func(e *webhooksv1.Event) { e.Subject = nil },
			"conversation is missing: conversation.transcribed is about a conversation",
		},
		"report instead": {
			func(e *webhooksv1.Event) { e.Subject = &webhooksv1.Event_Report{Report: &webhooksv1.Report{}} },
			"conversation is missing",
		},
		"conversation instead": {
			func(e *webhooksv1.Event) { e.Type = event.ReportGenerated },
			"report is missing: report.generated is about a report",
		},
		"no conversation id": {func(e *webhooksv1.Event) { e.GetConversation().Id = "" }, "conversation.id is missing"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			e := validConversation()
			require.NoError(t, event.Validate(e))
			test.change(e)
			err := event.Validate(e)
			require.ErrorIs(t, err, event.ErrInvalid)
			require.ErrorContains(t, err, test.want)
			assert.NotContains(t, err.Error(), ";", "one fault, one sentence")
			assert.NotContains(t, err.Error(), "Evil")
		})
	}
}

func TestAllFaultsAreReportedAtOnce(t *testing.T) {
	err := event.Validate(&webhooksv1.Event{Type: event.ReportGenerated})
	require.ErrorIs(t, err, event.ErrInvalid)
	assert.Equal(t, "event is not valid: id is missing: use 1 to 64 letters, digits, _ or -; "+
		"occurred_at is missing: say when it happened, and write RFC 3339, such as 2026-01-20T12:00:00.123456Z; project is missing: say at least its id; "+
		"report is missing: report.generated is about a report", err.Error())
	require.ErrorIs(t, event.Validate(nil), event.ErrInvalid)
}

func TestDurations(t *testing.T) {
	for _, d := range []float64{0, math.Copysign(0, -1), -1, -5e-324, 5e-324, 1789.34, 1e21, math.MaxFloat64} {
		e := validConversation()
		e.GetConversation().Duration = new(d)
		require.NoError(t, event.Validate(e), d)
	}
	for _, d := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		e := validConversation()
		e.GetConversation().Duration = new(d)
		require.ErrorContains(t, event.Validate(e), "conversation.duration must be a finite number of seconds", d)
	}
}

func TestReportIDs(t *testing.T) {
	for _, id := range []*structpb.Value{
		structpb.NewStringValue("x"), structpb.NewStringValue("9007199254740993"), structpb.NewStringValue("é\x00/"),
		structpb.NewNumberValue(0), structpb.NewNumberValue(412), structpb.NewNumberValue(-412),
		structpb.NewNumberValue(1<<53 - 1), structpb.NewNumberValue(-1<<53 + 1),
	} {
		require.NoError(t, event.Validate(validReport(id)), "%v", id)
	}
	list, err := structpb.NewValue([]any{"412"})
	require.NoError(t, err)
	refused := []struct {
		id   *structpb.Value
		want string
	}{
		{nil, "report.id is missing"},
		{&structpb.Value{}, "report.id is missing"},
		{structpb.NewNullValue(), "report.id is missing"},
		{structpb.NewStringValue(""), "report.id is empty"},
		{structpb.NewNumberValue(1 << 53), "publish it as a string"},
		{structpb.NewNumberValue(-1 << 53), "publish it as a string"},
		{structpb.NewNumberValue(1e300), "publish it as a string"},
		{structpb.NewNumberValue(4.5), "publish it as a string"},
		{structpb.NewNumberValue(math.NaN()), "publish it as a string"},
		{structpb.NewNumberValue(math.Inf(1)), "publish it as a string"},
		{structpb.NewBoolValue(true), "publish it as a string"},
		{list, "publish it as a string"},
	}
	for _, test := range refused {
		require.ErrorContains(t, event.Validate(validReport(test.id)), test.want, "%v", test.id)
	}
}

// Nasty case 29: a whole number that a double would change silently is refused.
func TestHugeIntegersAreNotDeliveredChanged(t *testing.T) {
	const with = `{"id":"e1","type":"report.generated","occurred_at":"2026-01-20T12:00:00Z","project":{"id":"p1"},"report":{"id":%s}}`
	for _, id := range []string{"9007199254740992", "9007199254740993", "-9007199254740993", "123456789012345678901234567890"} {
		e, err := event.Decode("", fmt.Appendf(nil, with, id))
		require.NoError(t, err)
		require.ErrorContains(t, event.Validate(e), "publish it as a string", id)
	}
	e, err := event.Decode("", fmt.Appendf(nil, with, "9007199254740991"))
	require.NoError(t, err)
	require.NoError(t, event.Validate(e))
}

// Nasty cases 29 and 31: odd but readable texts are delivered, not judged.
func TestOddTextsAreAccepted(t *testing.T) {
	e := validConversation()
	c := e.GetConversation()
	c.ParticipantName = new("NUL \x00, CR LF \r\nX-Evil: 1, \U0010ffff")
	c.Tags = slices.Repeat([]string{"<script>alert(1)</script>"}, 10_000)
	c.Transcript = new("")
	require.NoError(t, event.Validate(e))
	for _, encoding := range []string{event.JSON, event.Protobuf} {
		data, err := event.Encode(encoding, e)
		require.NoError(t, err)
		again, err := event.Decode(encoding, data)
		require.NoError(t, err)
		require.NoError(t, event.Validate(again))
		assert.True(t, proto.Equal(e, again))
	}
}

func TestValidEventsCostNothingToValidate(t *testing.T) {
	e := validReport(structpb.NewNumberValue(412))
	assert.Zero(t, testing.AllocsPerRun(100, func() { _ = event.Validate(e) }))
}
