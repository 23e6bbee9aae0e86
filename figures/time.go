package figures

import (
	"strconv"
	"time"
)

// Roughly formats a duration in its largest unit.
func Roughly(d time.Duration) string {
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

// Ahead formats remaining time, rounded up, so that it has not passed earlier than shown.
func Ahead(d time.Duration) string {
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
