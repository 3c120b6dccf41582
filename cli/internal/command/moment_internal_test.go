package command

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMoment(t *testing.T) {
	amsterdam, err := time.LoadLocation("Europe/Amsterdam")
	require.NoError(t, err)
	now := time.Date(2026, 11, 28, 15, 0, 0, 0, amsterdam)
	for text, want := range map[string]string{
		"2026-01-20T12:00:00Z":      "2026-01-20T12:00:00Z",
		"2026-01-20T12:00:00+01:00": "2026-01-20T11:00:00Z",
		"2026-11-28":                "2026-11-27T23:00:00Z",
		"2026-07-01":                "2026-06-30T22:00:00Z", // in summer
		"90m":                       "2026-11-28T12:30:00Z",
		"2h":                        "2026-11-28T12:00:00Z",
		"7d":                        "2026-11-21T14:00:00Z",
		"0d":                        "2026-11-28T14:00:00Z",
	} {
		at, err := moment(text, now)
		require.NoError(t, err, text)
		assert.Equal(t, want, at.UTC().Format(time.RFC3339), text)
	}
	for _, text := range []string{"", "yesterday", "2026-13-01", "2026-02-30", "28-11-2026", "-2h", "-1d", "d", "2026-11-28 12:00", "36501d", "400000d"} {
		_, err := moment(text, now)
		require.ErrorContains(t, err, "is no time", text)
	}
}
