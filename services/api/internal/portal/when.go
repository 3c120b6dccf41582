package portal

import (
	"fmt"
	"regexp"
	"strconv"
	"time"

	// Zones are needed where the system has none.
	_ "time/tzdata"

	"github.com/dembrane/webhooks/pkg/words"
)

// moment is a time as a page shows it: Text for people, ISO for programs.
type moment struct{ Text, ISO string }

// moment says when: the day in words when it is near, and always the zone.
func (v *visit) moment(t time.Time) moment {
	return moment{Text: v.onDay(t, t.In(v.zone).Format("15:04 MST")), ISO: isoTime(t)}
}

// onDay puts the day before a time of it.
func (v *visit) onDay(t time.Time, clock string) string {
	local, today := t.In(v.zone), v.now.In(v.zone)
	midnight := func(t time.Time) time.Time { return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC) }
	days := int(midnight(today).Sub(midnight(local)).Hours() / 24)
	switch {
	case days == 0:
		return v.t("when.today", "time", clock)
	case days == 1:
		return v.t("when.yesterday", "time", clock)
	case days == -1:
		return v.t("when.tomorrow", "time", clock)
	case 1 < days && days < 7:
		return v.t("when.weekday."+strconv.Itoa(int(local.Weekday()))) + " " + clock
	default:
		return v.date(local, today) + ", " + clock
	}
}

// between says from when to when, with the day and the zone once where they are the
// same, and a single moment as one.
func (v *visit) between(from, to time.Time) string {
	begin, end := from.In(v.zone), to.In(v.zone)
	switch {
	case v.moment(from).Text == v.moment(to).Text:
		return v.moment(to).Text
	case begin.Format(time.DateOnly+" MST") == end.Format(time.DateOnly+" MST"):
		return v.t("when.between", "from", v.onDay(from, begin.Format("15:04")), "to", end.Format("15:04 MST"))
	default:
		return v.t("when.between", "from", v.moment(from).Text, "to", v.moment(to).Text)
	}
}

// zoneInWords is the zone as times name it, with its place where that says more.
func (v *visit) zoneInWords() string {
	short, name := v.now.In(v.zone).Format("MST"), v.zone.String()
	if short == name {
		return short
	}
	return short + " (" + name + ")"
}

// exact is a moment with its date and seconds, wherever it lies.
func (v *visit) exact(t time.Time) moment {
	local := t.In(v.zone)
	return moment{Text: v.date(local, v.now.In(v.zone)) + ", " + local.Format("15:04:05 MST"), ISO: isoTime(t)}
}

func (v *visit) date(local, today time.Time) string {
	text := fmt.Sprintf("%d %s", local.Day(), v.t("when.month."+strconv.Itoa(int(local.Month()))))
	if local.Year() != today.Year() {
		text += " " + strconv.Itoa(local.Year())
	}
	return text
}

// ago says how long ago, and from a day on, when.
func (v *visit) ago(t time.Time) moment {
	passed := v.now.Sub(t)
	var text string
	switch {
	case passed < time.Minute:
		text = v.t("when.now")
	case passed < time.Hour:
		text = v.n("when.minutes", uint64(passed/time.Minute))
	case passed < 24*time.Hour:
		text = v.n("when.hours", uint64(passed/time.Hour))
	default:
		return v.moment(t)
	}
	return moment{Text: text, ISO: isoTime(t)}
}

// remaining says how long it takes until then.
func (v *visit) remaining(t time.Time) moment {
	left := t.Sub(v.now)
	var text string
	switch {
	case left < time.Minute:
		text = v.t("when.soon")
	case left < time.Hour:
		text = v.n("when.left.minutes", uint64(left/time.Minute))
	case left < 48*time.Hour:
		text = v.n("when.left.hours", uint64(left/time.Hour))
	default:
		text = v.n("when.left.days", uint64(left/(24*time.Hour)))
	}
	return moment{Text: text, ISO: isoTime(t)}
}

func isoTime(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// writtenTime is a time within a sentence of the API, or of the checker.
var writtenTime = regexp.MustCompile(`\d\d:\d\d:\d\d on \d{1,2} [A-Z][a-z]+ \d{4} UTC|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`)

// inZone puts the reader's time in place of those within a sentence.
func (v *visit) inZone(sentence string) string {
	return writtenTime.ReplaceAllStringFunc(sentence, func(text string) string {
		for _, layout := range []string{words.TimeLayout, time.RFC3339} {
			if t, err := time.Parse(layout, text); err == nil {
				return v.exact(t).Text
			}
		}
		return text
	})
}

// translated is a sentence of the API as the reader says it.
func (v *visit) translated(sentence string) string { return v.inZone(words.Problem(sentence, v.in)) }

// took is a duration as people read it.
func took(in words.Language, ms float64) string {
	switch {
	case ms < 0.1:
		return words.Took(0, in)
	case ms < 10:
		return decimal(in, float64(int(ms*10))/10) + " ms"
	case ms < 1000:
		return number(in, uint64(ms)) + " ms"
	default:
		return decimal(in, float64(int(ms/10))/100) + " s"
	}
}

// The stretches of time up to now that can be chosen by their names.
const (
	spanHour  = "hour"
	spanDay   = "day"
	spanWeek  = "week"
	spanMonth = "month"
)

// spanLength is how long one of them is; false when there is no such name.
func spanLength(name string) (time.Duration, bool) {
	const day = 24 * time.Hour
	length, known := map[string]time.Duration{spanHour: time.Hour, spanDay: day, spanWeek: 7 * day, spanMonth: 30 * day}[name]
	return length, known
}

// timespanChoice is what a reader chose: a stretch up to now by its name, or days.
type timespanChoice struct {
	Name string
	// From and To are days of the reader, and To belongs to the span. Either may be
	// empty: then that end is open.
	From, To string
	// Kept is how far back there is anything; 0 when that is not known.
	Kept time.Duration
}

// timespan is a stretch of time: Until is the first moment after it. An end that is zero
// is open.
type timespan struct {
	Since, Until time.Time
	// IsCut says that it began before what is kept, and begins there now.
	IsCut bool
}

// read is what was chosen. Why it is no span of time is the end of a key, see
// span.fault.* in the texts.
func (c timespanChoice) read(now time.Time, zone *time.Location) (chosen timespan, fault string) {
	if length, isNamed := spanLength(c.Name); isNamed {
		chosen.Since = now.Add(-length)
		return chosen.within(now, c.Kept), ""
	}
	for _, end := range []struct {
		day  string
		days int // to its end
		at   *time.Time
	}{{c.From, 0, &chosen.Since}, {c.To, 1, &chosen.Until}} {
		if end.day == "" {
			continue
		}
		day, err := time.ParseInLocation(time.DateOnly, end.day, zone)
		if err != nil {
			return timespan{}, "day"
		}
		*end.at = day.AddDate(0, 0, end.days)
	}
	switch {
	case chosen.Since.After(now):
		return timespan{}, "future"
	case !chosen.Since.IsZero() && !chosen.Until.IsZero() && !chosen.Until.After(chosen.Since):
		return timespan{}, "backwards"
	}
	return chosen.within(now, c.Kept), ""
}

// within cuts off what is not kept.
func (s timespan) within(now time.Time, kept time.Duration) timespan {
	if oldest := now.Add(-kept); kept > 0 && !s.Since.IsZero() && s.Since.Before(oldest) {
		s.Since, s.IsCut = oldest, true
	}
	return s
}

// timespan reads what was chosen, and says in words what is wrong with it.
func (v *visit) timespan(choice timespanChoice) (chosen timespan, fault string) {
	chosen, fault = choice.read(v.now, v.zone)
	if fault != "" {
		fault = v.t("span.fault." + fault)
	}
	return chosen, fault
}

// keptFor says how long something is kept, where a span went further back.
func (v *visit) keptFor(kept time.Duration) string {
	return v.n("span.kept", uint64(kept/(24*time.Hour))) //nolint:gosec // a setting, and never negative
}
