package portal

import (
	"fmt"
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
	local, today := t.In(v.zone), v.now.In(v.zone)
	clock := local.Format("15:04 MST")
	midnight := func(t time.Time) time.Time { return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC) }
	days := int(midnight(today).Sub(midnight(local)).Hours() / 24)
	var text string
	switch {
	case days == 0:
		text = v.t("when.today", "time", clock)
	case days == 1:
		text = v.t("when.yesterday", "time", clock)
	case days == -1:
		text = v.t("when.tomorrow", "time", clock)
	case 1 < days && days < 7:
		text = v.t("when.weekday."+strconv.Itoa(int(local.Weekday()))) + " " + clock
	default:
		text = v.date(local, today) + ", " + clock
	}
	return moment{Text: text, ISO: isoTime(t)}
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
