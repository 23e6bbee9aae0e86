package calendar

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Day is a day of the week. It is written as its first three letters: mon.
type Day time.Weekday

// Clock is what a clock shows, in minutes from midnight, from 0 to 24 hours. It is written as 09:00; 24:00 is the end of a
// day.
type Clock int

// Reading is what a calendar and a clock show together, written as if it were UTC. It is written as 2026-12-24T18:00.
type Reading time.Time

// The days in the order of a week, as they are written.
var days = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

const reading = "2006-01-02T15:04"

func (d Day) String() string { return days[(int(d)%7+7)%7] }

// MarshalText implements [encoding.TextMarshaler].
func (d Day) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (d *Day) UnmarshalText(b []byte) error {
	i := slices.Index(days, string(b))
	if i < 0 {
		return fmt.Errorf("%q is not one of %s", b, strings.Join(days, ", "))
	}
	*d = Day(i)
	return nil
}

// ParseDays reads a day, such as mon, or the days from one to another, such as mon-thu or fri-mon.
func ParseDays(text string) ([]Day, error) {
	from, to, several := strings.Cut(text, "-")
	var first, last Day
	if err := first.UnmarshalText([]byte(from)); err != nil {
		return nil, err
	}
	if !several {
		return []Day{first}, nil
	}
	if err := last.UnmarshalText([]byte(to)); err != nil {
		return nil, err
	}
	out := []Day{first}
	for d := first; d != last; {
		d = (d + 1) % 7
		out = append(out, d)
	}
	return out, nil
}

func (c Clock) since() time.Duration { return time.Duration(c) * time.Minute }

func (c Clock) String() string { return fmt.Sprintf("%02d:%02d", int(c)/60, int(c)%60) }

// MarshalText implements [encoding.TextMarshaler].
func (c Clock) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (c *Clock) UnmarshalText(b []byte) error {
	text := string(b)
	if text == "24:00" {
		*c = 24 * 60
		return nil
	}
	t, err := time.Parse("15:04", text)
	if err != nil || len(text) != len("09:00") {
		return fmt.Errorf("%q is not a time of day: write 09:00", text)
	}
	*c = Clock(t.Hour()*60 + t.Minute())
	return nil
}

func (r Reading) String() string { return time.Time(r).Format(reading) }

// MarshalText implements [encoding.TextMarshaler].
func (r Reading) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (r *Reading) UnmarshalText(b []byte) error {
	t, err := time.Parse(reading, string(b))
	if err != nil {
		return fmt.Errorf("%q is not a time: write 2026-12-24T18:00", b)
	}
	*r = Reading(t)
	return nil
}

// IsZero reports whether it is not set.
func (r Reading) IsZero() bool { return time.Time(r).IsZero() }

// ParseReading reads a day, such as 2026-12-24, or a time on it, such as 2026-12-24T18:00. day says which it was.
func ParseReading(text string) (r Reading, day bool, err error) {
	if t, err := time.Parse(time.DateOnly, text); err == nil {
		return Reading(t), true, nil
	}
	err = r.UnmarshalText([]byte(text))
	return r, false, err
}

// EndOfDay is the end of a reading's day.
func (r Reading) EndOfDay() Reading { return Reading(midnight(time.Time(r)).AddDate(0, 0, 1)) }

// ReadDay reads a day in a zone, such as 2026-12-24: from its first instant to the first of the next day.
func ReadDay(text string, in *time.Location) (begins, ends time.Time, err error) {
	day, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return begins, ends, fmt.Errorf("%q is not a day: write 2026-12-24", text)
	}
	return dawn(day, in), dawn(day.AddDate(0, 0, 1), in), nil
}

// String is the window in words: mon-thu 09:00 to 16:00 (Europe/Berlin).
func (w Window) String() string {
	return daysWords(w.Days) + " " + w.From.String() + " to " + w.To.String() + " (" + w.Zone + ")"
}

func daysWords(of []Day) string {
	if len(of) == 0 || len(of) == 7 {
		return "every day"
	}
	var out []string
	for i := 0; i < len(of); {
		j := i
		for j+1 < len(of) && of[j+1] == (of[j]+1)%7 {
			j++
		}
		words := of[i].String()
		if j > i {
			words += "-" + of[j].String()
		}
		out = append(out, words)
		i = j + 1
	}
	return strings.Join(out, ", ")
}

// String is the freeze in words: 2026-12-20T00:00 to 2027-01-02T00:00 (Europe/Berlin): Christmas.
func (f Freeze) String() string {
	return f.From.String() + " to " + f.Until.String() + " (" + f.Zone + "): " + f.Reason
}
