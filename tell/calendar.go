package tell

import (
	"strings"

	"github.com/serindev/serin/calendar"
	"github.com/serindev/serin/rollout"
)

// opening says what a release waits for while a calendar is closed: "for a window, until Mon 2026-12-07 09:00
// (Europe/Berlin)".
func opening(c calendar.Closed) string {
	what := "for a window"
	if c.Freeze != "" {
		what = "for the end of a freeze (" + c.Freeze + ")"
	}
	if c.Until.IsZero() {
		return what + ", and none is in sight: no time is in all of its windows and in no freeze"
	}
	return what + ", until " + calendar.In(c.Until, c.Zone).Format("Mon 2006-01-02 15:04") + " (" + c.Zone + ")"
}

// Opening is what a release waits for while its calendar is closed.
func Opening(c calendar.Closed) string { return "it waits " + opening(c) }

// Calendars says when a release may enter a step: its own windows and freezes, and the daemon's. It is empty without
// any.
func Calendars(d *rollout.Definition) (lines []string) {
	if d == nil {
		return nil
	}
	return append(calendarWords("", d.Calendar), calendarWords("for all rollouts: ", d.House)...)
}

func calendarWords(whose string, c calendar.Calendar) (lines []string) {
	if len(c.Windows) > 0 {
		var windows []string
		for _, w := range c.Windows {
			windows = append(windows, w.String())
		}
		lines = append(lines, whose+"steps and weights are entered "+strings.Join(windows, " and ")+" only")
	}
	for _, f := range c.Freezes {
		lines = append(lines, whose+"none is entered from "+f.String())
	}
	return lines
}
