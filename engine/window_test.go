package engine_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/calendar"
	"github.com/serindev/serin/rollout"
)

// early is open for the first four minutes of each day; the world begins at the start of a day.
func early() calendar.Calendar {
	return calendar.Calendar{Windows: []calendar.Window{{From: 0, To: 4, Zone: "UTC"}}}
}

func TestAReleaseWaitsForItsWindowAcrossARestart(t *testing.T) {
	plan := gray("shop")
	plan.Rollout.Calendar = early()
	plan.Rollout.Calendar.Windows = append(plan.Rollout.Calendar.Windows, calendar.Window{From: 60, To: 64, Zone: "UTC"})
	under(t, plan, func(t *testing.T, w *world, id string) {
		w.after(10 * time.Minute)
		require.Equal(t, "what comes next waits for a window, until Sat 2000-01-01 01:00 (UTC)", w.view("shop").Waiting)
		w.stop()
		w.begin(plan)
		w.after(time.Hour)
		require.Equal(t, `1m0s started
1m0s stepEntered gray 0
1m0s inForce
2m0s lookTaken inconclusive: undecided
5m30s lookTaken inconclusive: waiting
6m0s windowAwaited
11m30s lookTaken pass
1h0m0s stepEntered gray 1`, joined(w.trace(id)[:8]))
	})
}

func TestTheDaemonsCalendarHoldsForReleasesUnderWay(t *testing.T) {
	plan := gray("shop")
	under(t, plan, func(t *testing.T, w *world, id string) {
		w.after(time.Minute)
		w.stop()
		w.house = early()
		w.begin(plan)
		w.after(time.Hour)
		require.Contains(t, w.view("shop").Waiting, "waits for a window, until Sun 2000-01-02 00:00 (UTC)")
		require.Equal(t, "10%", w.gateway("shop").target().Weight.String())
		_, err := w.Act(t.Context(), id, rollout.WentOn{Reason: "a fix"}, "ann")
		require.NoError(t, err)
		w.after(time.Second)
		require.Equal(t, "50%", w.gateway("shop").target().Weight.String(), "a person may override it")
		w.stop()
		w.house = calendar.Calendar{}
		w.begin(plan)
		w.after(time.Hour)
		require.Equal(t, rollout.Released, w.view("shop").State.Outcome, "and it is not the release's own")
	})
}

func TestAWorseVersionGoesBackOutsideOfTheWindow(t *testing.T) {
	plan := gray("shop")
	plan.Rollout.Calendar = early()
	under(t, plan, func(t *testing.T, w *world, _ string) {
		w.after(time.Hour)
		w.metrics.breaks(canary, 0.2)
		w.after(10 * time.Minute)
		require.Equal(t, rollout.RolledBack, w.view("shop").State.Outcome)
		require.Zero(t, w.gateway("shop").target().Weight)
	})
}

func TestAnUrgentStartWaitsForNoWindow(t *testing.T) {
	plan := gray("shop")
	plan.Rollout.Calendar = early()
	inWorld(t, func(t *testing.T, w *world) {
		w.plan(plan)
		w.after(10 * time.Minute)
		r, err := w.Start(t.Context(), "shop", rollout.StartRequest{By: "ann"}, false)
		require.NoError(t, err)
		w.after(time.Minute)
		require.Equal(t, []string{"10m0s started", "10m0s windowAwaited", "10m0s inForce"}, w.trace(r.ID))
		urgent := rollout.StartRequest{By: "bob", Urgent: &rollout.Urgency{Reason: "the fix", EvenIfWorse: true}}
		next, err := w.Start(t.Context(), "shop", urgent, true)
		require.NoError(t, err)
		w.after(time.Minute)
		require.Equal(t, `11m0s started
11m0s wentOn
11m0s inForce
11m0s stepEntered gray 0
11m0s inForce
11m0s stepEntered gray 1
11m0s inForce
11m0s stepEntered promote 0
11m0s inForce
11m0s stepEntered promote 1
11m0s inForce
11m0s ended released`, joined(w.trace(next.ID)))
	})
}
