package engine_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
)

// versioned is a plan without a comparison, with the version as a parameter.
func versioned(steps ...rollout.Step) record.Plan {
	plan := promoted()
	plan.Rollout.Parameters = []rollout.Parameter{{Name: "version", Required: true}}
	plan.Rollout.Steps = append(rollout.Steps(steps), plan.Rollout.Steps...)
	return plan
}

// brings starts a release of a version and returns its state after a minute.
func (w *world) brings(version string) record.View {
	w.t.Helper()
	_, err := w.Start(w.t.Context(), "shop", rollout.StartRequest{Parameters: map[string]string{"version": version}, By: "ann"}, false)
	require.NoError(w.t, err)
	w.after(time.Minute)
	return w.view("shop")
}

func TestARetryTriesTheSameVersionAgain(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.plan(versioned(rollout.Webhook{Name: "check", Deadline: time.Minute}))
		_, err := w.Retry(t.Context(), "shop", "", rollout.StartRequest{By: "ann"})
		require.ErrorIs(t, err, rollout.ErrNotAllowed, "there has been none")

		w.calls.change(func(c *calls) { c.answer = errLost })
		first := w.brings("2")
		require.Equal(t, rollout.Cancelled, first.State.Outcome, "the check has failed")
		w.calls.change(func(c *calls) { c.answer = nil })
		again := rollout.StartRequest{By: "bob", Key: "once"}
		second, err := w.Retry(t.Context(), "shop", "the check was down", again)
		require.NoError(t, err)
		w.after(time.Minute)
		v := w.view("shop")
		require.Equal(t, rollout.Released, v.State.Outcome)
		require.Equal(t, second.ID, v.Release.ID)
		require.Equal(t, first.Release.ID, v.State.Retries)
		require.Equal(t, map[string]string{"version": "2"}, v.State.Parameters)

		third, err := w.Retry(t.Context(), "shop", "the check was down", again)
		require.NoError(t, err)
		require.Equal(t, second.ID, third.ID, "the same key retries once")
		_, err = w.Retry(t.Context(), "shop", "", rollout.StartRequest{By: "bob"})
		require.ErrorIs(t, err, rollout.ErrNotAllowed, "it has been released")
	})
}

func TestAReleaseUnderWayIsNotRetried(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.plan(versioned(rollout.Gate{Name: "go"}))
		v := w.brings("2")
		_, err := w.Retry(t.Context(), "shop", "", rollout.StartRequest{By: "bob"})
		var active *record.ActiveError
		require.ErrorAs(t, err, &active)
		require.Equal(t, v.Release.ID, active.ID)
	})
}

func TestAVersionThatWasFoundWorseIsTriedAgainForAReason(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.plan(gray("shop"))
		w.metrics.breaks(canary, 0.5)
		w.start("shop", "")
		w.after(10 * time.Minute)
		require.Equal(t, rollout.RolledBack, w.view("shop").State.Outcome)
		_, err := w.Retry(t.Context(), "shop", "", rollout.StartRequest{By: "bob"})
		require.ErrorContains(t, err, "was found worse: say why")
		again, err := w.Retry(t.Context(), "shop", "the database was down", rollout.StartRequest{By: "bob"})
		require.NoError(t, err)

		_, err = w.Act(t.Context(), again.ID, rollout.RollbackRequested{Reason: "not now"}, "bob")
		require.NoError(t, err)
		w.after(time.Minute)
		require.True(t, w.view("shop").State.Ended())
		require.False(t, w.view("shop").State.FoundWorse(), "this release was compared with nothing")
		_, err = w.Retry(t.Context(), "shop", "", rollout.StartRequest{By: "bob"})
		require.ErrorContains(t, err, "was found worse: say why", "a retry in between does not make the version better")
	})
}

func TestARetryDoesNotRunASuccessfulJobAgain(t *testing.T) {
	plan := deploying("shop-canary", "shop:${version}")
	plan.Rollout.Parameters = []rollout.Parameter{{Name: "version", Required: true}}
	plan.Rollout.Steps = slices.Insert(plan.Rollout.Steps, 0, rollout.Step(rollout.Job{Name: "migrate", Manifest: []byte(`{"to":"${version}"}`), Deadline: time.Hour}))
	inWorld(t, func(t *testing.T, w *world) {
		w.stop()
		w.jobs = &jobs{done: true}
		w.begin(plan)
		w.jobs.change(func(j *jobs) { j.refuses = errFull }) // the Deployments
		first := w.brings("2")
		require.Equal(t, "deploy", first.State.StepName)
		w.jobs.change(func(j *jobs) { j.refuses = nil })
		w.after(time.Minute)
		require.True(t, w.view("shop").State.Ended())

		_, err := w.Retry(t.Context(), "shop", "", rollout.StartRequest{By: "bob"})
		require.NoError(t, err)
		w.after(3 * time.Minute)
		v := w.view("shop")
		require.Equal(t, rollout.Released, v.State.Outcome)
		require.Equal(t, []string{"migrate"}, v.State.Done)
		w.jobs.change(func(j *jobs) { require.Equal(t, []string{first.Release.ID + "/migrate"}, j.made) })
	})
}

func TestAVersionThatWasRecentlyInServiceTakesTheShorterPlan(t *testing.T) {
	plan := versioned(rollout.Wait{Name: "long", For: 30 * time.Second})
	plan.Rollout.Returning = &rollout.Returning{Within: 24 * time.Hour, Steps: plan.Rollout.Steps[1:]}
	inWorld(t, func(t *testing.T, w *world) {
		w.plan(plan)
		first := w.brings("1")
		require.Len(t, first.Steps, 2)
		second := w.brings("2")
		require.Equal(t, rollout.Released, second.State.Outcome)
		require.Empty(t, second.State.Returns, "it is new")
		w.after(23 * time.Hour)

		back := w.brings("1")
		require.Equal(t, rollout.Released, back.State.Outcome)
		require.Equal(t, first.Release.ID, back.State.Returns)
		trace := joined(w.trace(back.Release.ID))
		require.NotContains(t, trace, "long")

		whole, err := w.Start(t.Context(), "shop", rollout.StartRequest{Parameters: map[string]string{"version": "2"}, By: "ann", AllSteps: true}, false)
		require.NoError(t, err)
		w.after(time.Minute)
		require.Contains(t, joined(w.trace(whole.ID)), "long", "it was asked for")
		w.after(25 * time.Hour)
		require.Empty(t, w.brings("1").State.Returns, "that was too long ago")
	})
}

func TestAVersionThatWasUndoneOrIsInServiceTakesTheWholePlan(t *testing.T) {
	plan := versioned(rollout.Wait{Name: "long", For: 30 * time.Second})
	plan.Rollout.Returning = &rollout.Returning{Within: 24 * time.Hour, Steps: plan.Rollout.Steps[1:]}
	inWorld(t, func(t *testing.T, w *world) {
		w.plan(plan)
		w.brings("1")
		w.brings("2")
		_, err := w.Undo(t.Context(), "shop", "orders are lost", rollout.StartRequest{By: "ann"})
		require.NoError(t, err)
		w.after(time.Minute)
		require.Equal(t, rollout.Released, w.view("shop").State.Outcome)
		again := w.brings("2")
		require.Empty(t, again.State.Returns, "it was undone")
		require.Contains(t, joined(w.trace(again.Release.ID)), "long")
		require.Empty(t, w.brings("2").State.Returns, "it is in service")
	})
}

func TestAVersionThatWasFoundWorseInItsWatchDoesNotReturn(t *testing.T) {
	plan := watchedPlan(true)
	plan.Rollout.Parameters = []rollout.Parameter{{Name: "version", Required: true}}
	plan.Rollout.Returning = &rollout.Returning{Releases: 3, Steps: rollout.Steps{rollout.Promote{Name: "promote"}}}
	inWorld(t, func(t *testing.T, w *world) {
		w.plan(plan)
		w.after(48 * time.Hour)
		w.brings("1")
		w.after(3 * time.Hour)
		require.Equal(t, rollout.Released, w.view("shop").State.Outcome)
		w.brings("2")
		w.after(20 * time.Minute)
		w.metrics.breaks(stable, 0.2)
		w.after(30 * time.Minute)
		require.Equal(t, "after.worse.1", w.view("shop").Gate)
		w.metrics.breaks(stable, 0)

		back := w.brings("1") // it ends the watch, whose question stays unanswered
		require.NotEmpty(t, back.State.Returns)
		require.Equal(t, rollout.Released, back.State.Outcome)
		require.Empty(t, w.brings("2").State.Returns, "nobody has confirmed it")
	})
}

func TestAReleaseThatTakesAnothersPlaceMayReturn(t *testing.T) {
	plan := versioned(rollout.Gate{Name: "go"})
	plan.Rollout.Returning = &rollout.Returning{Releases: 1, Steps: plan.Rollout.Steps[1:]}
	inWorld(t, func(t *testing.T, w *world) {
		w.plan(plan)
		for _, version := range []string{"1", "2"} {
			v := w.brings(version)
			_, err := w.Act(t.Context(), v.Release.ID, rollout.GateAnswered{Gate: "go", Answer: rollout.Approve}, "bob")
			require.NoError(t, err)
			w.after(time.Minute)
		}
		w.brings("3")
		_, err := w.Start(t.Context(), "shop", rollout.StartRequest{Parameters: map[string]string{"version": "1"}, By: "ann"}, true)
		require.NoError(t, err)
		w.after(time.Minute)
		v := w.view("shop")
		require.NotEmpty(t, v.State.Returns)
		require.Equal(t, rollout.Released, v.State.Outcome)
	})
}

func TestAStoreThatCannotBeReadStartsNoShorterPlanByMistake(t *testing.T) {
	plan := versioned()
	plan.Rollout.Returning = &rollout.Returning{Releases: 1, Steps: plan.Rollout.Steps}
	inWorld(t, func(t *testing.T, w *world) {
		w.plan(plan)
		w.brings("1")
		w.brings("2")
		for _, what := range []string{"beginnings", "events"} { // which version it brought, and its verdict
			w.store.change(func(m *moody) { m.blind = what })
			_, err := w.Start(t.Context(), "shop", rollout.StartRequest{Parameters: map[string]string{"version": "1"}, By: "ann"}, false)
			require.ErrorIs(t, err, errLost)
		}
	})
}
