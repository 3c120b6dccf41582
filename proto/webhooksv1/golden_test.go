package webhooksv1_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/dembrane/webhooks/proto/webhooksv1"
)

var update = flag.Bool("update", false, "write the golden files anew; an old one changes only if the contract breaks")

func files(t *testing.T) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join("testdata", "events", "*.json"))
	require.NoError(t, err)
	require.NotEmpty(t, list)
	return list
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	return data
}

// The bytes of an event are a promise: events are retained, and publishers and
// services are of different versions.
func TestEventsKeepTheirBytes(t *testing.T) {
	for _, file := range files(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			e := new(webhooksv1.Event)
			require.NoError(t, protojson.Unmarshal(read(t, file), e), "a name in the file is not a field of the proto")
			data, err := proto.MarshalOptions{Deterministic: true}.Marshal(e)
			require.NoError(t, err)

			golden := strings.TrimSuffix(file, ".json") + ".binpb"
			if *update {
				require.NoError(t, os.WriteFile(golden, data, 0o600))
			}
			assert.Equal(t, read(t, golden), data)

			fromGolden := new(webhooksv1.Event)
			require.NoError(t, proto.Unmarshal(read(t, golden), fromGolden))
			assert.True(t, proto.Equal(e, fromGolden))
			assert.Empty(t, fromGolden.ProtoReflect().GetUnknown())
		})
	}
}

func TestJSONHasTheFieldNamesOfTheProto(t *testing.T) {
	for _, file := range files(t) {
		e := new(webhooksv1.Event)
		require.NoError(t, protojson.Unmarshal(read(t, file), e))
		data, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(e)
		require.NoError(t, err)
		again := new(webhooksv1.Event)
		require.NoError(t, protojson.Unmarshal(data, again))
		assert.True(t, proto.Equal(e, again), file)
		for _, camel := range []string{"occurredAt", "workspaceId", "createdAt", "isFinished", "emailsCsv", "dateCreated"} {
			assert.NotContains(t, string(data), camel, file)
		}
		assert.Contains(t, string(data), `"occurred_at"`, file)
	}
}

// Every field of an event, with its number: a number is never reused.
func TestFieldNumbersOfEvents(t *testing.T) {
	want := map[string]map[string]int32{
		"Event":   {"id": 1, "type": 2, "occurred_at": 3, "project": 4, "conversation": 5, "report": 6, "webhook": 7},
		"Project": {"id": 1, "workspace_id": 2, "name": 3, "language": 4},
		"Conversation": {
			"id": 1, "created_at": 2, "updated_at": 3, "participant_name": 4, "duration": 5, "source": 6, "is_finished": 7,
			"is_all_chunks_transcribed": 8, "tags": 9, "emails_csv": 10, "transcript": 11, "summary": 12,
		},
		"Report": {"id": 1, "status": 2, "language": 3, "date_created": 4},
		"Webhook": {
			"id": 1, "name": 2, "host": 3, "state": 4, "failing_since": 5, "status_code": 6, "reason": 7, "message": 8,
		},
	}
	messages := webhooksv1.File_dembrane_webhooks_v1_event_proto.Messages()
	got := map[string]map[string]int32{}
	for i := range messages.Len() {
		fields := map[string]int32{}
		for j := range messages.Get(i).Fields().Len() {
			field := messages.Get(i).Fields().Get(j)
			fields[field.TextName()] = int32(field.Number())
		}
		got[string(messages.Get(i).Name())] = fields
	}
	assert.Equal(t, want, got)
}
