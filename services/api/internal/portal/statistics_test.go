package portal

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/words"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// Whatever makes an attempt fail is named in words.
func TestEveryReasonHasAText(t *testing.T) {
	texts, err := loadTexts()
	require.NoError(t, err)
	for number := range webhooksv1.Reason_name {
		if reason := webhooksv1.Reason(number); reason != webhooksv1.Reason_REASON_UNSPECIFIED {
			assert.Contains(t, texts[words.English], "reason."+reason.Label())
		}
	}
}

// Every hour of a week lies on its day, also when clocks are changed.
func TestHoursLieOnTheirDays(t *testing.T) {
	amsterdam, err := time.LoadLocation("Europe/Amsterdam")
	require.NoError(t, err)
	kathmandu, err := time.LoadLocation("Asia/Kathmandu")
	require.NoError(t, err)
	for name, row := range map[string]struct {
		zone  *time.Location
		until time.Time
		days  int
	}{
		"from midnight": {time.UTC, time.Date(2026, 1, 20, 23, 0, 0, 0, time.UTC), 7},
		"any time":      {time.UTC, time.Date(2026, 1, 20, 12, 0, 0, 0, time.UTC), 8},
		"spring":        {amsterdam, time.Date(2026, 3, 31, 12, 0, 0, 0, time.UTC), 8},
		"autumn":        {amsterdam, time.Date(2026, 10, 27, 12, 0, 0, 0, time.UTC), 8},
		"quarter":       {kathmandu, time.Date(2026, 1, 20, 12, 0, 0, 0, time.UTC), 8},
	} {
		t.Run(name, func(t *testing.T) {
			hours := make([]apiCounts, 7*hoursADay)
			for i := range hours {
				hours[i].Since = row.until.Add(time.Duration(i+1-len(hours)) * time.Hour)
			}
			s := newSpan(hours, row.zone)
			require.Len(t, s.midnights, row.days)
			for i, h := range hours {
				local := h.Since.In(row.zone)
				assert.Equal(t, local.Day(), s.midnights[s.at[i]/hoursADay].Day())
				assert.Equal(t, local.Hour(), s.at[i]%hoursADay)
			}
		})
	}
	assert.Equal(t, hoursADay, newSpan(nil, time.UTC).width(), "a drawing has a width")
}

// What is written beside the bars is even, and never below them.
func TestAnAxisEndsAboveTheHighestBar(t *testing.T) {
	for most, want := range map[uint64]uint64{0: 2, 1: 2, 2: 2, 3: 4, 5: 6, 7: 10, 10: 10, 11: 20, 61: 100, 100: 100, 101: 200, 999_999: 1_000_000} {
		assert.Equal(t, want, roundUp(most), most)
	}
	assert.Equal(t, scale{from: -1, to: 0}, newScale(0.02, 0.5))
	assert.Equal(t, scale{from: 1, to: 2}, newScale(10, 10), "there is always a decade")
	assert.Equal(t, scale{from: 1, to: 5}, newScale(12, 15_020))
	for _, ms := range []float64{0, 12, 15_020} {
		y := newScale(12, 15_020).y(ms)
		assert.GreaterOrEqual(t, y, 0.0)
		assert.LessOrEqual(t, y, float64(plotHeight))
	}
}

// One failure in thousands is not rounded away.
func TestSuccessIsNeverRoundedUp(t *testing.T) {
	share, ok := apiCounts{Delivered: 9999, Failed: 1}.share()
	assert.True(t, ok)
	assert.InDelta(t, 99.9, share, 0.001)
	_, ok = apiCounts{}.share()
	assert.False(t, ok)
}
