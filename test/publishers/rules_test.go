// Package publishers_test holds what publishes events against the rules and against
// a running system, from outside.
package publishers_test

import (
	"encoding/json"
	"maps"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/event"
)

// What the publisher for Python refuses before it sends, the dispatcher would refuse,
// with the same words.
func TestThePublisherForPythonKnowsTheRules(t *testing.T) {
	content, err := os.ReadFile("../../clients/python/tests/rules.json")
	require.NoError(t, err)
	var rules []struct {
		Name   string
		Change map[string]any
		Fault  string
	}
	require.NoError(t, json.Unmarshal(content, &rules))
	require.Greater(t, len(rules), 30)
	for _, rule := range rules {
		t.Run(rule.Name, func(t *testing.T) {
			whole := map[string]any{
				"id": "e1", "type": event.ConversationStarted, "occurred_at": "2026-01-20T11:30:00.412345Z",
				"project": map[string]any{"id": "p1"}, "conversation": map[string]any{"id": "c1"},
			}
			maps.Copy(whole, rule.Change)
			body, err := json.Marshal(whole)
			require.NoError(t, err)
			e, err := event.Decode(event.JSON, body)
			if err == nil {
				err = event.Validate(e)
			}
			if rule.Fault == "" {
				require.NoError(t, err)
				return
			}
			assert.ErrorContains(t, err, rule.Fault)
		})
	}
}
