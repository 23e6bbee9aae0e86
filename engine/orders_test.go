package engine_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
)

// If a team's releases keep going back, the previous version is still kept for its time, and no longer.
func TestTheVersionThatIsKeptOutlivesAnyNumberOfReleasesThatGoBack(t *testing.T) {
	inKeepingCluster(t, func(t *testing.T, w *world) {
		w.release(t, keeping("shop:1"))
		w.jobs.was()
		for range 25 {
			r := w.start("shop", "")
			_, err := w.Act(t.Context(), r.ID, rollout.CancelRequested{Reason: "no"}, "ann")
			require.NoError(t, err)
			w.after(10 * time.Second)
		}
		w.stop()
		w.begin(keeping("shop:1"))
		w.after(30 * time.Minute)
		require.Empty(t, w.jobs.was())
		require.NotEmpty(t, w.view("shop").Notes)
		w.after(30 * time.Minute)
		require.Equal(t, []string{"no pods"}, w.jobs.was())
	})
}

// The time of the kept version is over, and the cluster is slow to remove its pods. Meanwhile a person wants them back.
func TestAnUndoGetsItsPodsAfterEarlierOrdersForThem(t *testing.T) {
	inKeepingCluster(t, func(t *testing.T, w *world) {
		w.release(t, keeping("shop:1"))
		last := w.release(t, keeping("shop:2"))
		w.after(time.Until(w.view("shop").State.EndedAt.Add(time.Hour - time.Millisecond)))
		w.jobs.was()
		w.jobs.change(func(j *jobs) { j.slow = 20 * time.Second })
		w.after(time.Second)
		for !w.jobs.underWay() {
			w.after(time.Second)
		}
		_, err := w.Undo(t.Context(), "shop", "orders are lost", rollout.StartRequest{By: "ann"})
		require.NoError(t, err)
		w.after(5 * time.Minute)
		require.Equal(t, rollout.Released, w.view("shop").State.Outcome)
		require.Equal(t, []string{"no pods", "undo: 100% of shop before " + last, "undo: no pods", "no pods"}, w.jobs.was())
	})
}

// undoing begins an undo of a version that has just been released; the gateway's fault keeps it from its end.
func (w *world) undoing(t *testing.T, fault func(*gateway)) record.Release {
	t.Helper()
	w.plan(promoted())
	w.start("shop", "")
	w.after(time.Minute)
	w.gateway("shop").change(fault)
	undo, err := w.Undo(t.Context(), "shop", "orders are lost", rollout.StartRequest{By: "ann"})
	require.NoError(t, err)
	return undo
}

// A pipeline that starts the next version in the middle of an undo must not bring back the version that is being
// undone.
func TestAnUndoIsNotSuperseded(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		undo := w.undoing(t, func(g *gateway) { g.silent = true })
		w.after(time.Second)
		next := rollout.StartRequest{Key: "build-3", By: "ci"}
		_, err := w.Start(t.Context(), "shop", next, true)
		var active *record.ActiveError
		require.ErrorAs(t, err, &active)
		require.Equal(t, undo.ID, active.ID)
		_, err = w.Undo(t.Context(), "shop", "orders are lost", rollout.StartRequest{By: "bob"})
		require.ErrorAs(t, err, &active, "nor undone while it is under way")
		_, err = w.Retry(t.Context(), "shop", "again", rollout.StartRequest{By: "bob"})
		require.ErrorAs(t, err, &active)
		w.gateway("shop").change(func(g *gateway) { g.silent = false })
		w.after(time.Minute)
		require.Equal(t, rollout.Released, w.view("shop").State.Outcome)
		require.Equal(t, "http://blue", w.gateway("shop").target().Stable.Servers[0])
		_, err = w.Retry(t.Context(), "shop", "again", rollout.StartRequest{By: "bob"})
		require.ErrorIs(t, err, rollout.ErrNotAllowed)
		_, err = w.Start(t.Context(), "shop", next, true)
		require.NoError(t, err)
	})
}

func TestAnUndoEndsEvenIfItsRolloutIsGoneAndTheDaemonRestarts(t *testing.T) {
	for name, again := range map[string]func(w *world){
		"a file that cannot be read":              func(w *world) { w.plan() },
		"a restart between its event and a write": func(w *world) { w.stop(); w.begin(promoted()) },
		"both": func(w *world) { w.stop(); w.begin() },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.undoing(t, func(g *gateway) { g.hangs = true })
				again(w)
				w.gateway("shop").change(func(g *gateway) { g.hangs = false })
				w.after(2 * time.Minute)
				require.Equal(t, "http://blue", w.gateway("shop").target().Stable.Servers[0])
				w.plan(promoted())
				w.after(time.Minute)
				require.Equal(t, rollout.Released, w.view("shop").State.Outcome)
				require.Equal(t, "http://blue", w.gateway("shop").target().Stable.Servers[0])
				require.Zero(t, w.gateway("shop").target().Weight)
			})
		})
	}
}

func TestAForeignEditRightAfterAPromotionIsReverted(t *testing.T) {
	for name, at := range map[string]time.Duration{"before it is seen": 0, "once it is seen": 3 * time.Second, "at rest": 10 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.plan(promoted())
				w.start("shop", "")
				before := w.gateway("shop").target()
				for strings.Contains(strings.Join(w.gateway("shop").target().Stable.Servers, ""), "blue") {
					before = w.gateway("shop").target()
					w.after(10 * time.Millisecond)
				}
				w.after(at)
				w.gateway("shop").change(func(g *gateway) { g.serves = &before })
				w.after(time.Minute)
				require.Equal(t, rollout.Released, w.view("shop").State.Outcome)
				require.Equal(t, "http://green", w.gateway("shop").target().Stable.Servers[0])
				require.Zero(t, w.gateway("shop").target().Weight)
			})
		})
	}
}

// The second release begins before the Deployment of the previous version has what the first one left.
func TestAnImmediateNextReleaseKeepsItsOwnPreviousVersion(t *testing.T) {
	inKeepingCluster(t, func(t *testing.T, w *world) {
		w.jobs.change(func(j *jobs) { j.slow = 20 * time.Second })
		w.plan(keeping("shop:1"))
		w.start("shop", "")
		for w.view("shop").State.Outcome == "" {
			w.after(time.Second)
		}
		w.plan(keeping("shop:2"))
		second := w.start("shop", "")
		w.after(5 * time.Minute)
		require.Equal(t, rollout.Released, w.view("shop").State.Outcome)
		was := w.jobs.was()
		require.Equal(t, "100% of shop before "+second.ID, was[len(was)-1])
		w.after(time.Hour)
		require.Equal(t, []string{"no pods"}, w.jobs.was())
	})
}
