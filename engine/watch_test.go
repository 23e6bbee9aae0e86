package engine_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
)

// watchedPlan watches its version for two hours after the promotion.
func watchedPlan(ask bool) record.Plan {
	plan := gray("shop")
	plan.Rollout.Steps = append(plan.Rollout.Steps, rollout.Watch{Name: "after", For: 2 * time.Hour, Scope: "watch/after", Ask: ask})
	scope := plan.Rollout.Scopes[0]
	scope.Name = "watch/after"
	plan.Rollout.Scopes = append(plan.Rollout.Scopes, scope)
	plan.Analyses["watch/after"] = plan.Analyses["gray"].Earlier(24 * time.Hour)
	return plan
}

// watching brings a release to its watch, two days after the world began, and returns its id.
func watching(t *testing.T, plan record.Plan, test func(t *testing.T, w *world, id string)) {
	t.Helper()
	inWorld(t, func(t *testing.T, w *world) {
		w.plan(plan)
		w.after(48 * time.Hour)
		r := w.start("shop", "")
		w.after(15 * time.Minute)
		require.True(t, w.view("shop").State.Watching(), w.trace(r.ID))
		require.Equal(t, "http://green", w.gateway("shop").target().Stable.Servers[0])
		test(t, w, r.ID)
	})
}

func TestAVersionThatTurnsOutWorseAfterItsPromotionGoesBack(t *testing.T) {
	watching(t, watchedPlan(false), func(t *testing.T, w *world, id string) {
		w.after(30 * time.Minute)
		w.stop()
		w.begin(watchedPlan(false)) // a restart in the middle
		w.metrics.breaks(stable, 0.2)
		w.after(20 * time.Minute)
		v := w.view("shop")
		require.Equal(t, rollout.RolledBack, v.State.Outcome, w.trace(id))
		require.Contains(t, v.State.Why, "worse than what was in service before")
		require.Equal(t, "http://blue", w.gateway("shop").target().Stable.Servers[0])
		require.False(t, v.Swapped)
	})
}

func TestAVersionThatIsNoWorseIsReleasedWhenTheWatchIsOver(t *testing.T) {
	watching(t, watchedPlan(false), func(t *testing.T, w *world, id string) {
		w.after(3 * time.Hour)
		require.Equal(t, rollout.Released, w.view("shop").State.Outcome, w.trace(id))
		records, err := w.store.Store.Looks(t.Context(), id, "watch/after", 0, 1000)
		require.NoError(t, err)
		last := records[len(records)-1].Verdict
		require.NotZero(t, last.Metrics[0].Canary.Total)
		require.NotZero(t, last.Metrics[0].Baseline.Total, "there is a day before to compare with")
	})
}

func TestAPersonIsAskedAboutAWorseVersionIfTheWatchSaysSo(t *testing.T) {
	watching(t, watchedPlan(true), func(t *testing.T, w *world, id string) {
		w.metrics.breaks(stable, 0.2)
		w.after(30 * time.Minute)
		v := w.view("shop")
		require.Equal(t, "after.worse.1", v.Gate, w.trace(id))
		require.Equal(t, "http://green", w.gateway("shop").target().Stable.Servers[0])
		_, err := w.Act(t.Context(), id, rollout.GateAnswered{Gate: v.Gate, Answer: rollout.KeepWaiting}, "ann")
		require.ErrorIs(t, err, rollout.ErrNotAllowed)
		_, err = w.Act(t.Context(), id, rollout.GateAnswered{Gate: v.Gate, Answer: rollout.Approve}, "ann")
		require.NoError(t, err)
		w.after(time.Minute)
		require.Equal(t, rollout.Released, w.view("shop").State.Outcome)
	})
}

func TestTheNextReleaseEndsTheWatch(t *testing.T) {
	watching(t, watchedPlan(false), func(t *testing.T, w *world, id string) {
		next, err := w.Start(t.Context(), "shop", rollout.StartRequest{By: "bob"}, false)
		require.NoError(t, err, "no need to take anybody's place")
		w.after(time.Minute)
		first, err := w.store.Store.Release(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, rollout.Released, first.Outcome)
		require.Equal(t, next.ID, w.view("shop").Release.ID)
		require.Equal(t, "http://green", w.gateway("shop").target().Stable.Servers[0])
	})
}

func TestAnEarlierTimeLiesBeforeTheRelease(t *testing.T) {
	def := watchedPlan(false).Analyses["watch/after"]
	for least, want := range map[time.Duration]time.Duration{
		0: 24 * time.Hour, 24 * time.Hour: 24 * time.Hour, 25 * time.Hour: 48 * time.Hour, 72 * time.Hour: 72 * time.Hour,
	} {
		require.Equal(t, analysis.Offset{By: want}, def.Before(least).Metrics[0].Baseline, "%s", least)
	}
	require.True(t, def.Split.Off)
	require.Nil(t, watchedPlan(false).Analyses["gray"].Metrics[0].Baseline, "other scopes are unchanged")
}
