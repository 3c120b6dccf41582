package portal

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/words"
)

// A day is the reader's, from its first moment to its last, however many hours it has.
func TestSpans(t *testing.T) {
	amsterdam, err := time.LoadLocation("Europe/Amsterdam")
	require.NoError(t, err)
	now := time.Date(2026, time.November, 1, 11, 0, 0, 0, time.UTC)
	at := func(text string) time.Time {
		if text == "" {
			return time.Time{}
		}
		moment, err := time.Parse(time.RFC3339, text)
		require.NoError(t, err)
		return moment
	}
	const day = 24 * time.Hour
	for name, row := range map[string]struct {
		choice       timespanChoice
		since, until string
		cut          bool
		fault        string
	}{
		"nothing":                  {},
		"an hour":                  {choice: timespanChoice{Name: "hour"}, since: "2026-11-01T10:00:00Z"},
		"a day is 24 hours":        {choice: timespanChoice{Name: "day"}, since: "2026-10-31T11:00:00Z"},
		"a week":                   {choice: timespanChoice{Name: "week"}, since: "2026-10-25T11:00:00Z"},
		"a month":                  {choice: timespanChoice{Name: "month"}, since: "2026-10-02T11:00:00Z"},
		"a name wins over days":    {choice: timespanChoice{Name: "hour", From: "nonsense"}, since: "2026-11-01T10:00:00Z"},
		"an unknown name":          {choice: timespanChoice{Name: "year", From: "2026-10-31"}, since: "2026-10-30T23:00:00Z"},
		"a day":                    {choice: timespanChoice{From: "2026-10-30", To: "2026-10-30"}, since: "2026-10-29T23:00:00Z", until: "2026-10-30T23:00:00Z"},
		"25 hours, as winter came": {choice: timespanChoice{From: "2026-10-25", To: "2026-10-25"}, since: "2026-10-24T22:00:00Z", until: "2026-10-25T23:00:00Z"},
		"23 hours, as summer came": {choice: timespanChoice{From: "2026-03-29", To: "2026-03-29"}, since: "2026-03-28T23:00:00Z", until: "2026-03-29T22:00:00Z"},
		"today":                    {choice: timespanChoice{From: "2026-11-01"}, since: "2026-10-31T23:00:00Z"},
		"until today":              {choice: timespanChoice{To: "2026-11-01"}, until: "2026-11-01T23:00:00Z"},
		"until a day to come":      {choice: timespanChoice{From: "2026-11-01", To: "2027-01-01"}, since: "2026-10-31T23:00:00Z", until: "2027-01-01T23:00:00Z"},
		"a day to come":            {choice: timespanChoice{From: "2026-11-02"}, fault: "future"},
		"from after to":            {choice: timespanChoice{From: "2026-10-31", To: "2026-10-30"}, fault: "backwards"},
		"nonsense":                 {choice: timespanChoice{From: "yesterday"}, fault: "day"},
		"nonsense at the end":      {choice: timespanChoice{To: "2026-02-30"}, fault: "day"},
		"a time":                   {choice: timespanChoice{From: "2026-10-30T00:00:00Z"}, fault: "day"},
		"more than is kept":        {choice: timespanChoice{From: "0001-01-01", Kept: 30 * day}, since: "2026-10-02T11:00:00Z", cut: true},
		"a name, more than kept":   {choice: timespanChoice{Name: "month", Kept: 7 * day}, since: "2026-10-25T11:00:00Z", cut: true},
		"as much as is kept":       {choice: timespanChoice{Name: "week", Kept: 7 * day}, since: "2026-10-25T11:00:00Z"},
		"everything":               {choice: timespanChoice{Kept: 7 * day}},
	} {
		chosen, fault := row.choice.read(now, amsterdam)
		assert.Equal(t, row.fault, fault, name)
		assert.True(t, at(row.since).Equal(chosen.Since), "%s: since %s", name, chosen.Since.UTC())
		assert.True(t, at(row.until).Equal(chosen.Until), "%s: until %s", name, chosen.Until.UTC())
		assert.Equal(t, row.cut, chosen.IsCut, name)
	}
}

// A time within a sentence is the reader's, as all others are.
func TestTimesWithinSentencesAreTheReaders(t *testing.T) {
	amsterdam, err := time.LoadLocation("Europe/Amsterdam")
	require.NoError(t, err)
	texts, err := loadTexts()
	require.NoError(t, err)
	at := time.Date(2026, time.November, 28, 19, 15, 8, 0, time.UTC)
	v := &visit{p: &Portal{texts: texts}, in: words.Dutch, zone: amsterdam, now: at}
	assert.Equal(t, "De ontvanger heeft gevraagd om met rust te worden gelaten tot 28 november, 20:15:08 CET. Er is dus niets verstuurd. Probeer het daarna opnieuw.",
		v.translated("The receiver has asked to be left alone until "+at.Format(words.TimeLayout)+", so nothing was sent. Try again after that."))
	assert.Equal(t, "It was signed at 28 november, 20:15:08 CET.", v.inZone("It was signed at "+at.Format(time.RFC3339)+"."))
	assert.Equal(t, "At 99:99:99 on 1 Nomonth 2026 UTC.", v.inZone("At 99:99:99 on 1 Nomonth 2026 UTC."))
}
