package engine_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/workload"
)

// keeping is a plan on Kubernetes that keeps the previous version for an hour.
func keeping(image string) record.Plan {
	plan := deploying("shop-canary", image)
	plan.Rollout.Rollback.Drain = time.Second
	plan.Rollout.Cluster.Old = &rollout.Old{
		Arm: workload.Arm{Deployment: workload.Name{Namespace: "pro", Name: "shop-previous"}, Service: "shop-previous"}, For: time.Hour,
	}
	return plan
}

// was returns the orders for the Deployment of the previous version since the last call.
func (j *jobs) was() (out []string) {
	j.change(func(j *jobs) { out, j.old = j.old, nil })
	return out
}

// release releases a plan and returns the release.
func (w *world) release(t *testing.T, plan record.Plan) string {
	t.Helper()
	w.plan(plan)
	r := w.start("shop", "")
	w.after(2 * time.Minute)
	require.Equal(t, rollout.Released, w.view("shop").State.Outcome)
	return r.ID
}

func inKeepingCluster(t *testing.T, test func(t *testing.T, w *world)) {
	inWorld(t, func(t *testing.T, w *world) {
		w.stop()
		w.jobs = &jobs{}
		w.begin()
		test(t, w)
	})
}

func TestThePreviousVersionIsKeptForItsTimeAcrossRestarts(t *testing.T) {
	inKeepingCluster(t, func(t *testing.T, w *world) {
		w.jobs.change(func(j *jobs) { j.notes = []string{"a budget is in the way"} })
		first := w.release(t, keeping("shop:1"))
		require.Equal(t, []string{"100% of shop before " + first}, w.jobs.was())
		notes := w.view("shop").Notes
		require.Contains(t, notes[0], "the version before has its pods until ")
		require.Equal(t, []string{"a budget is in the way"}, notes[1:])
		w.after(40 * time.Minute)
		w.stop()
		w.begin(keeping("shop:1"))
		w.after(time.Minute)
		require.Empty(t, w.jobs.was(), "a daemon that has just started changes nothing")
		w.after(20 * time.Minute)
		require.Equal(t, []string{"no pods"}, w.jobs.was())
		require.Empty(t, w.view("shop").Notes)
		w.after(24 * time.Hour)
		require.Empty(t, w.jobs.was(), "that is all")
	})
}

func TestTheNextReleaseReplacesTheVersionThatIsKept(t *testing.T) {
	inKeepingCluster(t, func(t *testing.T, w *world) {
		first := w.release(t, keeping("shop:1"))
		w.after(10 * time.Minute)
		second := w.release(t, keeping("shop:2"))
		require.Equal(t, []string{"100% of shop before " + first, "100% of shop before " + second}, w.jobs.was())
		w.after(50 * time.Minute)
		require.Empty(t, w.jobs.was(), "its time has started over")
		w.after(10 * time.Minute)
		require.Equal(t, []string{"no pods"}, w.jobs.was())
	})
}

func TestAReleaseThatGoesBackLeavesTheVersionThatIsKept(t *testing.T) {
	inKeepingCluster(t, func(t *testing.T, w *world) {
		w.release(t, keeping("shop:1"))
		w.jobs.was()
		waiting := keeping("shop:2")
		waiting.Rollout.Steps = append(rollout.Steps{rollout.Wait{Name: "wait", For: 10 * time.Hour}}, waiting.Rollout.Steps...)
		w.plan(waiting)
		r := w.start("shop", "")
		w.after(10 * time.Minute)
		w.stop()
		w.begin(waiting) // in the middle of it
		w.after(time.Minute)
		require.Empty(t, w.jobs.was())
		_, err := w.Act(t.Context(), r.ID, rollout.CancelRequested{Reason: "no"}, "ann")
		require.NoError(t, err)
		w.after(time.Minute)
		require.Empty(t, w.jobs.was())
		w.after(time.Hour)
		require.Equal(t, []string{"no pods"}, w.jobs.was(), "its time counts from the release of the version in service")
	})
}

func TestAnUndoTakesTheVersionThatIsKept(t *testing.T) {
	for name, late := range map[string]time.Duration{"while it has its pods": 0, "later": 3 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			inKeepingCluster(t, func(t *testing.T, w *world) {
				w.release(t, keeping("shop:1"))
				last := w.release(t, keeping("shop:2"))
				w.after(late)
				w.jobs.was()
				_, err := w.Undo(t.Context(), "shop", "orders are lost", rollout.StartRequest{By: "ann"})
				require.NoError(t, err)
				w.after(200 * time.Millisecond)
				require.EqualValues(t, 1, w.gateway("shop").target().Weight, "all traffic, at once")
				require.Equal(t, "shop-previous", w.gateway("shop").target().Canary.Service)
				w.after(2 * time.Minute)
				v := w.view("shop")
				require.Equal(t, rollout.Released, v.State.Outcome)
				require.Equal(t, last, v.State.Undoes)
				require.Equal(t, []string{"undo: 100% of shop before " + last, "undo: no pods", "no pods"}, w.jobs.was())
				w.after(3 * time.Hour)
				require.Empty(t, w.jobs.was(), "an undo keeps no version: the one before it is bad")
			})
		})
	}
}

func TestAReleaseThatBeginsBeforeAnUndoHasLeftItsDeploymentsKeepsNoVersionEither(t *testing.T) {
	inKeepingCluster(t, func(t *testing.T, w *world) {
		w.release(t, keeping("shop:1"))
		w.release(t, keeping("shop:2"))
		waiting := keeping("shop:3")
		waiting.Rollout.Steps = append(rollout.Steps{rollout.Wait{Name: "wait", For: 10 * time.Hour}}, waiting.Rollout.Steps...)
		w.plan(waiting)
		undo, err := w.Undo(t.Context(), "shop", "orders are lost", rollout.StartRequest{By: "ann"})
		require.NoError(t, err)
		w.jobs.change(func(j *jobs) { j.holds = true })
		w.after(2 * time.Minute)
		require.Equal(t, rollout.Released, w.view("shop").State.Outcome)
		require.Equal(t, undo.ID, w.view("shop").Release.ID)
		w.jobs.was()
		r := w.start("shop", "")
		w.jobs.change(func(j *jobs) { j.holds = false })
		w.after(time.Minute)
		_, err = w.Act(t.Context(), r.ID, rollout.CancelRequested{Reason: "no"}, "ann")
		require.NoError(t, err)
		w.after(time.Minute)
		require.NotContains(t, strings.Join(w.jobs.was(), ", "), "before", "the undone version is bad")
	})
}

func TestARolloutThatIsGoneKeepsNoVersion(t *testing.T) {
	inKeepingCluster(t, func(t *testing.T, w *world) {
		w.release(t, keeping("shop:1"))
		w.jobs.was()
		w.plan()
		w.after(time.Minute)
		require.Equal(t, []string{"no pods"}, w.jobs.was())
	})
}
