// Package calendar says when something may happen: in windows of a week, and in no freeze.
//
// It is pure: whether a calendar is open, and when it opens next, are functions of an instant ([Calendar.At]). A window
// follows the clocks of its zone. If they are put forward over a window, it does not exist on that day; if they are put back
// into one, it is open twice. Start reading at [Calendar].
package calendar

import (
	"sync"
	"time"
	_ "time/tzdata" // embeds the rules of the zones in the program
)

// Calendar is when something may happen: inside one of the windows, if there are any, and outside every freeze. The zero
// value is open at all times.
type Calendar struct {
	Windows []Window `json:"windows,omitempty"`
	Freezes []Freeze `json:"freezes,omitempty"`
}

// Window is a time of the week.
type Window struct {
	// Days on which it begins; none means every day.
	Days []Day `json:"days,omitempty"`
	// From and To are what the clocks of Zone show when it begins and ends. If To is not later than From, it ends on the next
	// day.
	From Clock `json:"from"`
	To   Clock `json:"to"`
	// Zone is a name of the IANA database, such as Europe/Berlin.
	Zone string `json:"zone"`
}

// Freeze is a time during which nothing may happen.
type Freeze struct {
	// From and Until are what the clocks of Zone show when it begins and ends.
	From   Reading `json:"from"`
	Until  Reading `json:"until"`
	Zone   string  `json:"zone"`
	Reason string  `json:"reason"`
}

// Closed says why a calendar is closed, and until when.
type Closed struct {
	// Until is when it opens; zero if that is not within [Horizon], or never.
	Until time.Time `json:"until,omitzero"`
	// Zone is the time zone in which to show Until.
	Zone string `json:"zone,omitempty"`
	// Freeze is the reason for a freeze; empty if the time is only outside the windows.
	Freeze string `json:"freeze,omitempty"`
}

// Horizon is how far ahead an opening is searched for.
const Horizon = 400 * 24 * time.Hour

// IsZero reports whether it is open at all times.
func (c Calendar) IsZero() bool { return len(c.Windows) == 0 && len(c.Freezes) == 0 }

// And is the calendar that is open while both are.
type And []Calendar

// At reports whether the calendar is open at an instant, and if not, why and until when. A window in an unknown zone is
// never open.
func (c Calendar) At(t time.Time) (closed Closed, open bool) { return And{c}.At(t) }

// At is [Calendar.At] for several calendars, all of which have to be open.
func (cs And) At(t time.Time) (closed Closed, open bool) {
	at := t
	for end := t.Add(Horizon); at.Before(end); {
		next := at
		for _, c := range cs {
			opens, freeze, zone, ok := c.opens(at)
			if at.Equal(t) && (!ok || !opens.Equal(t)) && (closed.Zone == "" || closed.Freeze == "" && freeze != "") {
				closed.Freeze, closed.Zone = freeze, zone // a freeze says more than a window
			}
			if !ok {
				return closed, false
			}
			next = later(next, opens)
		}
		switch {
		case next.Equal(t):
			return Closed{}, true
		case next.Equal(at):
			closed.Until = at
			return closed, false
		}
		at = next
	}
	return closed, false
}

// opens returns a time, not before t, up to which the calendar is closed: t itself if it is open. ok is false if there is
// none. freeze is the reason for the freeze at t, and zone that of the window or freeze that closes the calendar.
func (c Calendar) opens(t time.Time) (at time.Time, freeze, zone string, ok bool) {
	for _, f := range c.Freezes {
		end, in, known := f.ends(t)
		if in {
			return end, f.Reason, f.Zone, known
		}
	}
	if len(c.Windows) == 0 {
		return t, "", "", true
	}
	for _, w := range c.Windows {
		if opens, found := w.opens(t); found && (!ok || opens.Before(at)) {
			at, zone, ok = opens, w.Zone, true
		}
	}
	if !ok {
		return t, "", c.Windows[0].Zone, false
	}
	return at, "", zone, true
}

// week is how far ahead a window is searched for: a window that the clocks skip this week exists next week.
const week = 15 * 24 * time.Hour

// opens is the first instant, not before t, at which the window is open.
func (w Window) opens(t time.Time) (at time.Time, ok bool) {
	for span := range spans(w.Zone, t, t.Add(week)) {
		// The window may have begun on the day before.
		for day := midnight(span.clock(span.from)).AddDate(0, 0, -1); !span.instant(day).After(span.to); day = day.AddDate(0, 0, 1) {
			if !w.on(day.Weekday()) {
				continue
			}
			from, to := span.instant(day.Add(w.From.since())), span.instant(day.Add(w.to()))
			if from = later(from, span.from); from.Before(to) && from.Before(span.to) {
				return from, true
			}
		}
	}
	return time.Time{}, false
}

// to is the end, from midnight of the day on which the window begins.
func (w Window) to() time.Duration {
	if w.To <= w.From {
		return w.To.since() + 24*time.Hour
	}
	return w.To.since()
}

func (w Window) on(day time.Weekday) bool {
	for _, d := range w.Days {
		if time.Weekday(d) == day {
			return true
		}
	}
	return len(w.Days) == 0
}

// ends reports whether t lies in the freeze, and when that ends. known is false for an unknown zone, which counts as
// frozen.
func (f Freeze) ends(t time.Time) (at time.Time, in, known bool) {
	from, until := time.Time(f.From), time.Time(f.Until)
	for span := range spans(f.Zone, t, time.Time(f.Until).Add(2*24*time.Hour)) {
		known = true
		clock := span.clock(span.from)
		if clock.Before(from) || !clock.Before(until) {
			return span.from, in, true // at t, or where a change of the clocks skips its end
		}
		in = true
		if end := span.instant(until); end.Before(span.to) {
			return end, true, true
		}
	}
	if _, ok := location(f.Zone); ok && !known {
		return t, false, true // it ended long ago
	}
	return t, true, false
}

// span is a time between two changes of a zone's clocks.
type span struct {
	from, to time.Time
	offset   time.Duration
}

// clock is the wall-clock time at an instant, written as if it were UTC, where days have 24 hours.
func (s span) clock(t time.Time) time.Time { return t.UTC().Add(s.offset) }

// instant is when the clocks show that time, if they show it in this span.
func (s span) instant(clock time.Time) time.Time { return clock.Add(-s.offset) }

// spans returns those of a zone from one instant to another, in order; none for an unknown zone.
func spans(zone string, from, to time.Time) func(yield func(span) bool) {
	in, ok := location(zone)
	if !ok {
		return func(func(span) bool) {}
	}
	return spansIn(in, from, to)
}

func spansIn(in *time.Location, from, to time.Time) func(yield func(span) bool) {
	return func(yield func(span) bool) {
		for from.Before(to) {
			local := from.In(in)
			_, offset := local.Zone()
			_, end := local.ZoneBounds()
			if end.IsZero() || end.After(to) {
				end = to
			}
			if !yield(span{from, end, time.Duration(offset) * time.Second}) {
				return
			}
			from = end
		}
	}
}

// zones caches the zones that were read: nil for an unknown name.
var zones sync.Map

func location(zone string) (*time.Location, bool) {
	if known, ok := zones.Load(zone); ok {
		in, _ := known.(*time.Location)
		return in, in != nil
	}
	in, err := time.LoadLocation(zone)
	if err != nil || zone == "" || zone == "Local" { // the last two depend on the machine
		in = nil
	}
	zones.Store(zone, in)
	return in, in != nil
}

// Known reports whether there is a zone of this name.
func Known(zone string) bool {
	_, ok := location(zone)
	return ok
}

// In converts an instant to a zone's time; to UTC for an unknown zone.
func In(t time.Time, zone string) time.Time {
	if in, ok := location(zone); ok {
		return t.In(in)
	}
	return t.UTC()
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func midnight(clock time.Time) time.Time {
	y, m, d := clock.Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

// dawn is the first instant at which the clocks of a zone show a day (given as midnight in UTC) or a later one. A
// change of the clocks around midnight may skip that midnight or show it twice.
func dawn(day time.Time, in *time.Location) time.Time {
	const around = 36 * time.Hour // more than any zone is ahead or behind, and than any change of its clocks
	for span := range spansIn(in, day.Add(-around), day.Add(around)) {
		if at := span.instant(day); at.Before(span.to) {
			return later(at, span.from).In(in)
		}
	}
	return day.In(in) // unreachable: no zone is that far behind
}
