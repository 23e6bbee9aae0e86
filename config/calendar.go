package config

import (
	"fmt"

	"github.com/serindev/serin/calendar"
)

// Days is a day of the week such as mon, or the days from one to another such as mon-thu.
type Days string

// TimeOfDay is what a clock shows, from 00:00 to 24:00.
type TimeOfDay string

// Zone is the name of a time zone in the IANA database, such as Europe/Berlin.
type Zone string

// Moment is a day such as 2026-12-24, or a time on it such as 2026-12-24T18:00.
type Moment string

// WindowSpec is a time of a week in which releases go on.
type WindowSpec struct {
	// Days on which it begins: mon, or mon-thu; every day by default.
	Days []Days `json:"days,omitempty" jsonschema:"minItems=1"`
	// From is when it begins; 00:00 by default.
	From TimeOfDay `json:"from,omitempty"`
	// To is when it ends; 24:00 by default. If it is earlier than from, it ends on the next day.
	To TimeOfDay `json:"to,omitempty"`
	// Zone is the time zone of these times.
	Zone Zone `json:"zone"`
}

// FreezeSpec is a time in which no release goes on.
type FreezeSpec struct {
	// From is its first day, or the time at which it begins.
	From Moment `json:"from"`
	// To is its last day, or the time at which it ends.
	To Moment `json:"to"`
	// Zone is the time zone of these days.
	Zone Zone `json:"zone"`
	// Reason is shown wherever a release waits for the end of the freeze.
	Reason string `json:"reason" jsonschema:"minLength=1,maxLength=200"`
}

// calendar checks what windows and freezes mean; their form has been checked.
func (c *checker) calendar(windows []WindowSpec, freezes []FreezeSpec) {
	for i := range windows {
		if w := windows[i].window(); w.From == w.To {
			c.fail(c.spec("windows", i), "it begins and ends at %s: leave from and to out for whole days", w.From)
		}
	}
	for i := range freezes {
		f, at := freezes[i].freeze(), c.spec("freezes", i, "to")
		if from, until := f.From.String(), f.Until.String(); until <= from {
			c.fail(at, "it would end before it begins, at %s", from)
		}
	}
}

// Calendar is when releases of all rollouts may go on.
func (s *DaemonSpec) Calendar() calendar.Calendar { return calendarOf(s.Windows, s.Freezes) }

func calendarOf(windows []WindowSpec, freezes []FreezeSpec) calendar.Calendar {
	var out calendar.Calendar
	for i := range windows {
		out.Windows = append(out.Windows, windows[i].window())
	}
	for i := range freezes {
		out.Freezes = append(out.Freezes, freezes[i].freeze())
	}
	return out
}

// window converts a window whose form has been checked; the functions below do the same for other values.
func (w *WindowSpec) window() calendar.Window {
	out := calendar.Window{Zone: string(w.Zone), From: w.From.clock(0), To: w.To.clock(24 * 60)}
	for _, d := range w.Days {
		days, _ := calendar.ParseDays(string(d))
		out.Days = append(out.Days, days...)
	}
	return out
}

func (t TimeOfDay) clock(otherwise calendar.Clock) calendar.Clock {
	if t == "" {
		return otherwise
	}
	var out calendar.Clock
	_ = out.UnmarshalText([]byte(t))
	return out
}

func (f *FreezeSpec) freeze() calendar.Freeze {
	from, _, _ := calendar.ParseReading(string(f.From))
	until, day, _ := calendar.ParseReading(string(f.To))
	if day {
		until = until.EndOfDay()
	}
	return calendar.Freeze{From: from, Until: until, Zone: string(f.Zone), Reason: f.Reason}
}

// What messages call the expected value.
const (
	expectedDays      = "a day such as mon, or days such as mon-thu"
	expectedTimeOfDay = `a time of day such as "09:00"`
	expectedZone      = "a time zone such as Europe/Berlin, or UTC"
	expectedMoment    = "a day such as 2026-12-24, or a time such as 2026-12-24T18:00"
)

func checkDays(v any) error {
	if _, err := calendar.ParseDays(fmt.Sprint(v)); err != nil {
		return errNot
	}
	return nil
}

func checkTimeOfDay(v any) error {
	if new(calendar.Clock).UnmarshalText([]byte(fmt.Sprint(v))) != nil {
		return errNot
	}
	return nil
}

func checkZone(v any) error {
	if zone := fmt.Sprint(v); !calendar.Known(zone) {
		return fmt.Errorf("%s is not known", quote(zone))
	}
	return nil
}

func checkMoment(v any) error {
	if _, _, err := calendar.ParseReading(fmt.Sprint(v)); err != nil {
		return errNot
	}
	return nil
}
