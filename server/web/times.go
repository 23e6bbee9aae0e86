package web

import (
	"strconv"
	"time"
)

// stamp writes a time for people in full, in UTC.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2 Jan 2006 15:04:05 UTC")
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

// ago is how long before now something was, as people say it. Nothing is in the future: clocks differ a little.
func ago(t, now time.Time) string {
	if d := now.Sub(t); d < 7*24*time.Hour {
		return roughly(d) + " ago"
	}
	return clock(t, now)
}

// roughly is a duration in its largest unit.
func roughly(d time.Duration) string {
	const day = 24 * time.Hour
	n := func(unit time.Duration, one string) string {
		if d/unit == 1 {
			return "1 " + one
		}
		return strconv.Itoa(int(d/unit)) + " " + one + "s"
	}
	switch {
	case d < 2*time.Second:
		return "a second"
	case d < time.Minute:
		return strconv.Itoa(int(d/time.Second)) + " s"
	case d < time.Hour:
		return strconv.Itoa(int(d/time.Minute)) + " min"
	case d < day:
		return n(time.Hour, "hour")
	}
	return n(day, "day")
}

// inAbout is a duration that is still to come, rounded up so that it is not over before.
func inAbout(d time.Duration) string {
	switch {
	case d < time.Minute:
		return strconv.Itoa(int((d+time.Second-1)/time.Second)) + " s"
	case d < time.Hour:
		return strconv.Itoa(int((d+time.Minute-1)/time.Minute)) + " min"
	case d < 48*time.Hour:
		hours, minutes := int(d/time.Hour), int((d%time.Hour+time.Minute-1)/time.Minute)
		if minutes == 0 {
			return strconv.Itoa(hours) + " h"
		}
		return strconv.Itoa(hours) + " h " + strconv.Itoa(minutes) + " min"
	}
	return strconv.Itoa(int((d+24*time.Hour-1)/(24*time.Hour))) + " days"
}
