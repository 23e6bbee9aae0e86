package engine_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/workload"
)

// promoted is a plan without a comparison.
func promoted() record.Plan {
	plan := gray("shop")
	plan.Rollout.Steps = rollout.Steps{rollout.Promote{Name: "promote"}}
	return plan
}

func TestAnUndoThatWasRolledBackCanBeRequestedAgain(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.plan(promoted())
		w.start("shop", "")
		w.after(time.Minute)
		require.Equal(t, "http://green", w.gateway("shop").target().Stable.Servers[0])
		w.gateway("shop").change(func(g *gateway) { g.silent = true })
		first, err := w.Undo(t.Context(), "shop", "orders are lost", rollout.StartRequest{By: "ann"})
		require.NoError(t, err)
		w.after(time.Minute)
		_, err = w.Act(t.Context(), first.ID, rollout.RollbackRequested{Reason: "not yet"}, "bob")
		require.NoError(t, err)
		w.gateway("shop").change(func(g *gateway) { g.silent = false })
		w.after(time.Minute)
		require.Equal(t, rollout.RolledBack, w.view("shop").State.Outcome)

		_, err = w.Undo(t.Context(), "shop", "orders are lost", rollout.StartRequest{By: "ann"})
		require.NoError(t, err, "nobody has put anything else on the other servers")
		w.after(time.Minute)
		require.Equal(t, rollout.Released, w.view("shop").State.Outcome)
		require.Equal(t, "http://blue", w.gateway("shop").target().Stable.Servers[0])
	})
}

// deploying is a plan on Kubernetes that sets the image of a Deployment and promotes it without a comparison.
func deploying(deployment, image string) record.Plan {
	plan := promoted()
	arm := func(name string) workload.Arm {
		return workload.Arm{Deployment: workload.Name{Namespace: "pro", Name: name}, Service: name}
	}
	plan.Rollout.Cluster = &rollout.Cluster{
		Arms: workload.Arms{Stable: arm("shop"), Canary: arm("shop-canary")}, Replicas: workload.Replicas{Count: 1}, Deadline: time.Minute,
	}
	plan.Rollout.Steps = rollout.Steps{
		rollout.Deploy{
			Name: "deploy", Deployment: workload.Name{Namespace: "pro", Name: deployment}, Images: map[string]string{"web": image}, Deadline: time.Minute,
		},
		rollout.Promote{Name: "promote", Strategy: rollout.Patch, Deadline: time.Minute},
	}
	return plan
}

// inCluster releases two plans, one after the other.
func inCluster(t *testing.T, first, second record.Plan, test func(t *testing.T, w *world)) {
	inWorld(t, func(t *testing.T, w *world) {
		w.stop()
		w.jobs = &jobs{}
		w.begin()
		for _, plan := range []record.Plan{first, second} {
			w.plan(plan)
			w.start("shop", "")
			w.after(2 * time.Minute)
			require.Equal(t, rollout.Released, w.view("shop").State.Outcome)
		}
		w.jobs.change(func(j *jobs) { j.images = nil })
		test(t, w)
	})
}

func TestAnUndoDeploysTheImageOfThePreviousRelease(t *testing.T) {
	inCluster(t, deploying("shop-canary", "shop:1"), deploying("shop-canary", "shop:2"), func(t *testing.T, w *world) {
		_, err := w.Undo(t.Context(), "shop", "orders are lost", rollout.StartRequest{By: "ann"})
		require.NoError(t, err)
		w.after(2 * time.Minute)
		require.Equal(t, rollout.Released, w.view("shop").State.Outcome)
		w.jobs.change(func(j *jobs) { require.Equal(t, []string{"pro/shop-canary web=shop:1"}, j.images) })
	})
}

// Stable must not get the pod template of the version to be removed, which the canary has.
func TestAnUndoUsesStablesRecordIfNoStepDeploysTheCanary(t *testing.T) {
	plan := deploying("mailer", "mailer:1")
	inCluster(t, plan, plan, func(t *testing.T, w *world) {
		last := w.view("shop").Release.ID
		_, err := w.Undo(t.Context(), "shop", "orders are lost", rollout.StartRequest{By: "ann"})
		require.NoError(t, err)
		v := w.view("shop")
		require.Equal(t, last, v.State.Undoes)
		require.Len(t, v.Definition.Steps, 1)
		require.Equal(t, last, v.Definition.Steps[0].(rollout.Promote).Previous)
		w.after(2 * time.Minute)
		require.Equal(t, rollout.Released, w.view("shop").State.Outcome)
		w.jobs.change(func(j *jobs) { require.Empty(t, j.images) })
	})
}

func TestAnUndoDoesNotDependOnTheClockInTheIdsOfReleases(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.stop()
		w.jobs = &jobs{}
		w.begin()
		for i, image := range []string{"shop:1", "shop:2", "shop:3"} {
			w.plan(deploying("shop-canary", image))
			req := rollout.StartRequest{By: "ann"}
			if i == 0 {
				req.ID = ahead()
			}
			_, err := w.Start(t.Context(), "shop", req, false)
			require.NoError(t, err)
			w.after(2 * time.Minute)
			require.Equal(t, rollout.Released, w.view("shop").State.Outcome)
		}
		last := w.view("shop").Release.ID
		w.jobs.change(func(j *jobs) { j.images = nil })
		_, err := w.Undo(t.Context(), "shop", "orders are lost", rollout.StartRequest{By: "ann"})
		require.NoError(t, err)
		w.after(2 * time.Minute)
		w.jobs.change(func(j *jobs) { require.Equal(t, []string{"pro/shop-canary web=shop:2"}, j.images) })
		require.Equal(t, last, w.view("shop").State.Undoes)
	})
}

func TestAnUndoIsRefusedIfAnotherSystemBringsStableToAVersion(t *testing.T) {
	first, second := deploying("shop-canary", "shop:1"), deploying("shop-canary", "shop:2")
	inCluster(t, first, second, func(t *testing.T, w *world) {
		promote := second.Rollout.Steps[1].(rollout.Promote)
		promote.Strategy, promote.Expired = rollout.AwaitStable, rollout.PolicyHold
		second.Rollout.Steps[1] = promote
		w.plan(second)
		_, err := w.Undo(t.Context(), "shop", "orders are lost", rollout.StartRequest{By: "ann"})
		require.ErrorIs(t, err, rollout.ErrNotAllowed, "it would wait, with all traffic on the version to be removed")
		require.ErrorContains(t, err, "brings stable's Deployment to a version")
	})
}

func TestAnUndoOnlyDeploysWhatServesUsers(t *testing.T) {
	with := func(image string) record.Plan {
		plan := deploying("shop-canary", "shop:"+image)
		mailer := deploying("mailer", "mailer:"+image).Rollout.Steps[0].(rollout.Deploy)
		mailer.Name = "mailer"
		plan.Rollout.Steps = slices.Insert(plan.Rollout.Steps, 0, rollout.Step(mailer))
		return plan
	}
	inCluster(t, with("1"), with("2"), func(t *testing.T, w *world) {
		_, err := w.Undo(t.Context(), "shop", "orders are lost", rollout.StartRequest{By: "ann"})
		require.NoError(t, err)
		w.after(2 * time.Minute)
		require.Equal(t, rollout.Released, w.view("shop").State.Outcome)
		w.jobs.change(func(j *jobs) { require.Equal(t, []string{"pro/shop-canary web=shop:1"}, j.images) })
	})
}

func TestTheSameKeyUndoesOnce(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.plan(promoted())
		w.start("shop", "")
		w.after(time.Minute)
		again := rollout.StartRequest{Key: "incident-7", By: "ann"}
		first, err := w.Undo(t.Context(), "shop", "orders are lost", again)
		require.NoError(t, err)
		second, err := w.Undo(t.Context(), "shop", "orders are lost", again)
		require.NoError(t, err, "while it is under way")
		require.Equal(t, first.ID, second.ID)
		w.after(time.Minute)
		third, err := w.Undo(t.Context(), "shop", "orders are lost", again)
		require.NoError(t, err, "after its end: an undo of the undo would bring the bad version back")
		require.Equal(t, first.ID, third.ID)
		w.after(time.Minute)
		require.Equal(t, "http://blue", w.gateway("shop").target().Stable.Servers[0])
	})
}

// released stores a release that has brought its plan's version into service at a time of the clock.
func (w *world) released(plan record.Plan, id, after string, at time.Time) {
	w.t.Helper()
	body, err := json.Marshal(plan)
	require.NoError(w.t, err)
	var s rollout.State
	var events []rollout.Event
	happens := func(e rollout.Event) {
		e = e.With(rollout.Meta{Seq: s.Seq + 1, At: at, By: "ann"})
		s, err = s.Apply(e)
		require.NoError(w.t, err)
		events = append(events, e)
	}
	for happens(rollout.Started{Rollout: "shop", After: after}); !s.Ended(); at = at.Add(time.Second) {
		switch e, ok := s.Next(&plan.Rollout, at); {
		case ok:
			happens(e)
		case !s.InForce:
			happens(rollout.InForce{Turn: s.Turn, How: "api"})
		case !s.WorkReady:
			happens(rollout.DeploymentReady{Work: s.Work})
		}
	}
	require.Equal(w.t, rollout.Released, s.Outcome)
	require.NoError(w.t, w.store.Create(w.t.Context(), record.Release{
		ID: id, Rollout: "shop", Plan: body, Version: s.Seq, Phase: s.Phase, Outcome: s.Outcome, StartedBy: "ann", StartedAt: s.StartedAt, EndedAt: s.EndedAt,
	}, events...))
}

func TestAnUndoDoesNotDependOnAClockThatWasAhead(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.stop()
		w.jobs = &jobs{}
		now := time.Now()
		w.released(deploying("shop-canary", "shop:1"), "01A", "", now.Add(48*time.Hour))
		w.released(deploying("shop-canary", "shop:2"), "01B", "01A", now.Add(-2*time.Hour))
		w.released(deploying("shop-canary", "shop:3"), "01C", "01B", now.Add(-time.Hour))
		w.begin(deploying("shop-canary", "shop:3"))
		undo, err := w.Undo(t.Context(), "shop", "orders are lost", rollout.StartRequest{By: "ann"})
		require.NoError(t, err)
		w.after(2 * time.Minute)
		v := w.view("shop")
		require.Equal(t, undo.ID, v.Release.ID)
		require.Equal(t, "01C", v.State.Undoes)
		w.jobs.change(func(j *jobs) { require.Equal(t, []string{"pro/shop-canary web=shop:2"}, j.images) })
	})
}
