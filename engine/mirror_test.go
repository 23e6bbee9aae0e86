package engine_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/traffic"
)

// mirrored is a plan that begins with a preview and copies of a quarter of the requests.
func mirrored() record.Plan {
	plan := gray("shop")
	plan.Rollout.Steps = slices.Insert(plan.Rollout.Steps, 0,
		rollout.Step(rollout.Preview{Name: "look", Route: traffic.Preview{Host: "preview.example.com"}}),
		rollout.Step(rollout.Mirror{
			Name: "copies", Copies: traffic.Mirror{Share: 0.25}, For: 15 * time.Minute, Scope: "mirror/copies",
			Decide: rollout.Decide{Max: 24 * time.Hour, Inconclusive: rollout.PolicyGate},
		}))
	scope := plan.Rollout.Scopes[0]
	scope.Name = "mirror/copies"
	plan.Rollout.Scopes = append(plan.Rollout.Scopes, scope)
	def := plan.Analyses["gray"]
	def.Split = analysis.Split{Off: true}
	def.Metrics = slices.Clone(def.Metrics)
	def.Metrics[0].Uneven = true
	plan.Analyses["mirror/copies"] = def
	return plan
}

func TestAVersionThatFailsOnCopiesGoesBackBeforeAnyUserHasIt(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.plan(mirrored())
		w.metrics.breaks("shop-mirrored-canary@file", 0.3)
		r := w.start("shop", "")
		w.after(5 * time.Minute)
		w.stop()
		w.begin(mirrored()) // a restart in the middle
		w.after(10 * time.Minute)
		v := w.view("shop")
		require.Equal(t, rollout.RolledBack, v.State.Outcome, w.trace(r.ID))
		require.Contains(t, v.State.Why, "errors")
		require.Equal(t, "copies", v.State.StepName)
		for _, line := range w.gateway("shop").log() {
			require.Contains(t, line, " 0%", "no user was served by it")
		}
		served := w.gateway("shop").target()
		require.Nil(t, served.Mirror)
		require.Nil(t, served.Preview)
	})
}

func TestAGoodVersionMovesOnFromCopiesToUsers(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.plan(mirrored())
		r := w.start("shop", "")
		w.after(10 * time.Minute)
		served := w.gateway("shop").target()
		require.NotNil(t, served.Mirror)
		require.Equal(t, "preview.example.com", served.Preview.Host)
		w.after(10 * time.Minute)
		v := w.view("shop")
		require.Equal(t, "gray", v.State.StepName, w.trace(r.ID))
		served = w.gateway("shop").target()
		require.Nil(t, served.Mirror)
		require.NotNil(t, served.Preview, "until the promotion")
		w.after(time.Hour)
		require.Equal(t, rollout.Released, w.view("shop").State.Outcome, w.trace(r.ID))
		require.Nil(t, w.gateway("shop").target().Preview)
		looks, err := w.store.Store.Looks(t.Context(), r.ID, "mirror/copies", 0, 1000)
		require.NoError(t, err)
		last := looks[len(looks)-1].Verdict.Metrics[0]
		require.InDelta(t, 0.25, last.Canary.Total/last.Baseline.Total, 0.02, "the copies compared with their originals")
	})
}
