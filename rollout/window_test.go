package rollout_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/calendar"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/tell"
)

// closing is late on Monday; the window closes a minute later.
const closing = 5*time.Hour + 59*time.Minute

func TestCapacityThatComesAfterTheWindowWaitsForTheNext(t *testing.T) {
	d := clusteredInHours()
	d.Steps = d.Steps[4:] // from the A/B test on
	w := begun(t, d)
	w.lines(t, []string{"ready"}, []string{"in-force"}, []string{"after", "5h59m"}, []string{"look", "pass"})
	require.NotNil(t, w.s.Pending, "the weight was decided on in the window")
	w.lines(t, []string{"after", "2m"}, []string{"ready"})
	require.Equal(t, []rollout.Hold{rollout.NeedsWindow{Closed: w.s.Awaited.Closed}}, w.s.Holds(d, w.now))
	require.Zero(t, w.s.Target(d, "R1").Traffic.Weight, "its traffic does not move outside of it")
	w.lines(t, []string{"after", "16h"})
	require.Equal(t, "gray", w.s.StepName)
	require.Zero(t, w.s.Target(d, "R1").Traffic.Weight)
	w.lines(t, []string{"after", "59m"})
	require.NotZero(t, w.s.Target(d, "R1").Traffic.Weight)
}

func TestAnUndoKnowsNoWindow(t *testing.T) {
	d := windowed()
	undo, err := d.Undoing("R0", nil)
	require.NoError(t, err)
	w := &world{d: &undo, now: epoch.Add(closing + time.Hour)}
	require.NoError(t, w.apply(rollout.Started{Rollout: "shop", Undoes: "R0"}, "ann"))
	w.settle()
	require.Equal(t, "promote", w.s.StepName)
}

func TestAnUndecidedReleaseIsStillAskedAboutOutsideItsWindow(t *testing.T) {
	w := begun(t, windowed(), []string{"approve", "start"}, []string{"in-force"}, []string{"look", "undecided", "enough"}, []string{"after", "6h"})
	require.Equal(t, "ab.decide.1", w.s.OpenGate(), "its time counts in and out of windows")
	w.lines(t, []string{"approve", "ab.decide.1"})
	require.Equal(t, "ab", w.s.StepName)
	w.lines(t, []string{"after", "17h"})
	require.Equal(t, "gray", w.s.StepName)
}

func TestWhatWaitsForAWindowSaysUntilWhen(t *testing.T) {
	for name, c := range map[string]struct {
		lines [][]string
		want  string
	}{
		"before the first step": {nil, "the first step waits for a window, until Mon 2026-01-12 09:00 (Europe/Berlin)"},
		"at a gate": {[][]string{{"go-on"}}, "gate start: an answer from qa; unanswered, it is cancelled in 1d; " +
			"what comes next waits for a window, until Mon 2026-01-12 09:00 (Europe/Berlin)"},
		"in a freeze": {[][]string{{"after", "80h"}}, "gate start: an answer from qa; unanswered, it is cancelled in 7h; " +
			"what comes next waits for the end of a freeze (audit), until Wed 2026-01-14 09:00 (Europe/Berlin)"},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{d: windowed(), now: epoch.Add(104 * time.Hour)}
			w.lines(t, append([][]string{{"start"}}, c.lines...)...)
			require.Equal(t, c.want, tell.Waiting(w.s, w.d, w.now))
		})
	}
	d := windowed()
	d.House.Windows = []calendar.Window{{Days: []calendar.Day{5}, From: 0, To: 24 * 60, Zone: "UTC"}}
	w := begun(t, d)
	require.Equal(t, "the first step waits for a window, and none is in sight: no time is in all of its windows and in no freeze", tell.Waiting(w.s, d, w.now))
	w.lines(t, []string{"after", "5000h"}, []string{"go-on"})
	require.Equal(t, "start", w.s.StepName)
}

func TestANewFreezeMovesTheOpening(t *testing.T) {
	w := begun(t, windowed(), []string{"after", "7h"}, []string{"approve", "start"})
	require.Equal(t, "2026-01-06T08:00:00Z", w.s.Awaited.Until.Format(time.RFC3339))
	w.d.House.Freezes[0].From = calendar.Reading(time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC))
	require.Equal(t, []string{"windowAwaited 2026-01-14T08:00Z audit"}, w.settle(), "a daemon that was started again has another calendar")
	require.Empty(t, w.settle())
}

func TestTheSoonestPromotion(t *testing.T) {
	d := windowed() // half an hour, twice ten minutes, an hour, ten minutes
	at, ok := d.Soonest(epoch)
	require.True(t, ok)
	require.Equal(t, epoch.Add(2*time.Hour), at)
	at, ok = d.Soonest(epoch.Add(5 * time.Hour)) // the wait is over when the window has closed
	require.True(t, ok)
	require.Equal(t, time.Date(2026, 1, 6, 8, 10, 0, 0, time.UTC), at.UTC())
	at, ok = d.Soonest(epoch.Add(5*time.Hour + 25*time.Minute)) // the second weight is due when it has closed
	require.True(t, ok)
	require.Equal(t, time.Date(2026, 1, 6, 9, 20, 0, 0, time.UTC), at.UTC())
	d.House.Windows = []calendar.Window{{Days: []calendar.Day{5}, From: 0, To: 24 * 60, Zone: "UTC"}}
	_, ok = d.Soonest(epoch)
	require.False(t, ok)
}

func TestOnlyTheTimeBehindAClosedWindowIsGivenBack(t *testing.T) {
	w := begun(t, windowed(), []string{"go-on", "full"}, []string{"approve", "start"}, []string{"in-force"})
	require.Equal(t, "gray", w.s.StepName)
	w.lines(t, []string{"in-force"}, []string{"in-force"})
	require.Equal(t, 1, w.s.Stage, "the last weight of the step: entered at 9:00 UTC, and to be decided within two hours")
	w = begun(t, windowed(), []string{"approve", "start"}, []string{"in-force"}, []string{"after", "5h"}, []string{"look", "pass"})
	require.Equal(t, "gray", w.s.StepName, "at 14:00 UTC, an hour before the window closes")
	due := func() time.Duration {
		for _, due := range w.s.Dues(w.d, w.now) {
			if due.Which == rollout.DecideMax {
				return due.Left(w.s, w.now)
			}
		}
		return 0
	}
	w.lines(t, []string{"in-force"}, []string{"in-force"}, []string{"after", "90m"})
	require.Equal(t, 30*time.Minute, due())
	w.lines(t, []string{"look", "enough"})
	require.NotNil(t, w.s.Awaited)
	w.lines(t, []string{"after", "10h"}, []string{"look", "leaning", "enough"})
	require.Equal(t, 7*time.Hour, due(), "6:30 until the window opens, and the rest of its time")
	w.lines(t, []string{"after", "6h40m"}, []string{"pause"}, []string{"after", "1h"}, []string{"resume"})
	require.Equal(t, 20*time.Minute, due(), "the window is open")
	w.lines(t, []string{"look", "enough"})
	require.Equal(t, 1, w.s.Stage)
	w.lines(t, []string{"in-force"}, []string{"look", "undecided"})
	require.Equal(t, 20*time.Minute, due(), "the night was given back, and nothing more")
}

func TestAReleaseThatIsHeldOverAnOpeningSaysAgainWhenItGoesOn(t *testing.T) {
	w := begun(t, windowed(), []string{"after", "7h"}, []string{"approve", "start"})
	first := w.s.Awaited.Until
	w.d.House.Windows = []calendar.Window{{Days: []calendar.Day{3}, From: 0, To: 24 * 60, Zone: "UTC"}}
	w.lines(t, []string{"after", "20h"})
	require.Equal(t, first.Add(24*time.Hour), w.s.Awaited.Until)
	w.lines(t, []string{"after", "21h"})
	require.Equal(t, "ab", w.s.StepName)
	require.Nil(t, w.s.Awaited)
}

func TestAReleaseWakesWhenItsWindowOpens(t *testing.T) {
	w := begun(t, windowed(), []string{"pause"}, []string{"after", "1h"}, []string{"resume"}, []string{"after", "6h"}, []string{"approve", "start"})
	at, ok := w.s.Deadline(w.d, w.now)
	require.True(t, ok)
	require.Equal(t, w.s.Awaited.Until, at, "whatever pauses there were")

	w.d.House.Windows = []calendar.Window{{Days: []calendar.Day{5}, From: 0, To: 24 * 60, Zone: "UTC"}}
	w.settle()
	require.Zero(t, w.s.Awaited.Until)
	at, ok = w.s.Deadline(w.d, w.now)
	require.True(t, ok)
	require.Equal(t, w.now.Add(calendar.Horizon/2), at, "where none is in sight, it looks again before the horizon has come")
}

// undecidedIn is when a release asks about an undecided comparison; 0 if it does not.
func (w *world) undecidedIn() time.Duration {
	for _, due := range w.s.Dues(w.d, w.now) {
		if due.Which == rollout.DecideMax {
			return due.Left(w.s, w.now)
		}
	}
	return 0
}

// decidedLate is a weight that may be left at 15:30 UTC on Monday, half an hour after the window has closed; it was entered
// at 14:00, and has two hours to be decided.
func decidedLate(t *testing.T) *world {
	w := begun(t, windowed(), []string{"approve", "start"}, []string{"in-force"}, []string{"after", "5h"}, []string{"look", "pass"})
	w.lines(t, []string{"in-force"}, []string{"in-force"}, []string{"after", "90m"}, []string{"look", "enough"})
	require.NotNil(t, w.s.Awaited)
	require.Zero(t, w.undecidedIn(), "it is decided")
	return w
}

func TestTwoClosedTimesAreGivenBackAndTheOpenOneBetweenThemIsNot(t *testing.T) {
	w := decidedLate(t)
	w.d.House.Freezes = []calendar.Freeze{{ // from 8:15 to 9:15 UTC
		From: calendar.Reading(time.Date(2026, 1, 6, 9, 15, 0, 0, time.UTC)), Until: calendar.Reading(time.Date(2026, 1, 6, 10, 15, 0, 0, time.UTC)),
		Zone: "Europe/Berlin", Reason: "audit",
	}}
	w.lines(t, []string{"look", "leaning", "enough"}, []string{"after", "16h50m"})
	require.Equal(t, 10*time.Minute, w.undecidedIn(), "at 8:20: 90 minutes on Monday, 20 on Tuesday")
	w.lines(t, []string{"look", "enough"})
	require.Equal(t, "audit", w.s.Awaited.Freeze)
	w.lines(t, []string{"after", "5m"}, []string{"look", "leaning", "enough"})
	require.Equal(t, time.Hour, w.undecidedIn(), "50 minutes until it opens, and the 10 that are left")
	w.lines(t, []string{"look", "enough"}, []string{"after", "50m"})
	require.Equal(t, 1, w.s.Stage)
	w.lines(t, []string{"in-force"}, []string{"look", "undecided"})
	require.Equal(t, 10*time.Minute, w.undecidedIn())
}

func TestAnOpeningThatMovesIsWaitedForAsOne(t *testing.T) {
	w := decidedLate(t)
	w.now = w.now.Add(time.Hour)
	w.d.House.Freezes[0].From = calendar.Reading(time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)) // until Wednesday of next week
	w.settle()
	w.lines(t, []string{"look", "leaning", "enough"})
	opens := time.Date(2026, 1, 14, 8, 0, 0, 0, time.UTC)
	require.Equal(t, opens.Sub(w.now)+30*time.Minute, w.undecidedIn())
}

func TestAPauseInTheClosedTimeIsNotGivenBackTwice(t *testing.T) {
	w := decidedLate(t)
	w.lines(t, []string{"look", "leaning", "enough"}, []string{"after", "1h"}, []string{"pause"}, []string{"after", "1h"}, []string{"resume"})
	require.Equal(t, 14*time.Hour+30*time.Minute+30*time.Minute, w.undecidedIn(), "at 17:30: until it opens, and the 30 minutes that are left")
	w.lines(t, []string{"after", "14h50m"})
	require.Equal(t, 10*time.Minute, w.undecidedIn(), "at 8:20")
}

func TestAPauseOverTheOpeningCountsUntilIt(t *testing.T) {
	w := decidedLate(t)
	w.lines(t, []string{"look", "leaning", "enough"}, []string{"after", "16h"}, []string{"pause"}, []string{"after", "1h"}, []string{"resume"})
	require.Equal(t, 30*time.Minute, w.undecidedIn(), "at 8:30, of which the last hour did not count")
}

func TestAReleaseThatIsClosedAgainAtItsOpeningBeginsToWait(t *testing.T) {
	w := begun(t, windowed(), []string{"after", "7h"}, []string{"approve", "start"})
	waits := w.s.AwaitedAt
	w.d.House.Freezes[0].From = calendar.Reading(time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC))
	w.now = w.s.Awaited.Until.Add(-time.Second)
	w.settle()
	require.Equal(t, waits, w.s.AwaitedAt, "an opening that moves is waited for from the beginning")

	w = begun(t, windowed(), []string{"after", "7h"}, []string{"approve", "start"})
	w.d.House.Freezes[0].From = calendar.Reading(time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC))
	w.now = w.s.Awaited.Until
	w.settle()
	require.Equal(t, w.now, w.s.AwaitedAt, "it was open, if only for a moment")
}

func TestAPersonWhoPassesTheWindowGivesBackWhatHasBeenWaited(t *testing.T) {
	w := decidedLate(t)
	w.lines(t, []string{"after", "1h"}, []string{"go-on"}, []string{"in-force"}, []string{"look", "undecided"})
	require.Equal(t, 1, w.s.Stage)
	require.Equal(t, 2*time.Hour, w.undecidedIn(), "the word itself gives the weights to come their time")
}

func TestWhatWaitsForNothingIsNotSaidToWait(t *testing.T) {
	for name, lines := range map[string][][]string{"paused": {{"pause"}}, "going back": {{"rollback"}}} {
		w := begun(t, windowed(), append([][]string{{"approve", "start"}, {"in-force"}}, lines...)...)
		before := w.s
		require.ErrorIs(t, w.apply(rollout.WindowAwaited{}, rollout.Serin), rollout.ErrNotAllowed, name)
		require.Equal(t, before, w.s)
	}
}
