package web

import (
	"time"

	"github.com/serindev/serin/figures"
)

// stamp writes a time in full, in UTC.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2 Jan 2006 15:04:05 UTC")
}

// brief writes a time with its day. The report's head has the year, and says that times are UTC.
func brief(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2 Jan 15:04:05")
}

// clock writes the time of day, with the day if that is not today. It is UTC, as the page's foot says; the page's script
// replaces it by the reader's own time.
func clock(t, now time.Time) string {
	t, now = t.UTC(), now.UTC()
	switch {
	case t.Year() != now.Year():
		return t.Format("2 Jan 2006 15:04")
	case t.YearDay() != now.YearDay():
		return t.Format("2 Jan 15:04")
	}
	return t.Format("15:04:05")
}

// ago says how long ago something was. A time in the future counts as now, since clocks differ a little.
func ago(t, now time.Time) string {
	if d := now.Sub(t); d < 7*24*time.Hour {
		return figures.Roughly(d) + " ago"
	}
	return clock(t, now)
}
