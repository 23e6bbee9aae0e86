package web

import (
	"time"

	"github.com/serindev/serin/figures"
)

// stamp writes a time for people in full, in UTC.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2 Jan 2006 15:04:05 UTC")
}

// brief is a time with its day. The report's head has the year, and says that times are UTC.
func brief(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2 Jan 15:04:05")
}

// clock is a time of the day that a page was made on, or with its day where that is another. The foot says that it is UTC;
// the page's script writes the reader's own.
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

// ago is how long before now something was, as people say it. A time in the future counts as now, since clocks differ a
// little.
func ago(t, now time.Time) string {
	if d := now.Sub(t); d < 7*24*time.Hour {
		return figures.Roughly(d) + " ago"
	}
	return clock(t, now)
}
