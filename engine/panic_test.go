package engine_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
)

// A defect of Serin in one rollout does not affect others, and its canary does not stay where it cannot be judged.
func TestADefectInOneRolloutAffectsNoOther(t *testing.T) {
	const blind = 15 * time.Minute
	patiently := func(name string) record.Plan {
		plan := gray(name)
		plan.Rollout.Scopes[0].Unreachable.Blind = blind
		plan.Rollout.Steps[0] = rollout.Gray{Name: "gray", Weights: plan.Rollout.Steps[0].(rollout.Gray).Weights, Scope: "gray", Hold: 10 * time.Hour,
			Decide: rollout.Decide{Max: 24 * time.Hour, Inconclusive: rollout.PolicyGate}}
		return plan
	}
	for _, c := range []struct {
		name   string
		begin  func(w *world)
		end    func(w *world)
		says   string
		within time.Duration
	}{
		{
			"the judge panics", func(w *world) { w.fuse.Store(true) }, func(w *world) { w.fuse.Store(false) },
			"a defect of Serin, please report it: panic: no such evidence", blind + time.Minute,
		}, {
			"the gateway panics",
			func(w *world) { w.gateway("pay").change(func(g *gateway) { g.panics = 1 << 30 }) },
			func(w *world) { w.gateway("pay").change(func(g *gateway) { g.panics = 0 }) },
			"program: a defect of Serin, please report it: panic: no such observation", time.Minute,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				pay := patiently("pay")
				def := pay.Analyses["gray"]
				def.Metrics[0].Name = "fuse"
				w.plan(patiently("shop"), pay)
				shop, paid := w.start("shop", ""), w.start("pay", "")
				w.after(time.Minute)
				c.begin(w)
				w.after(interval + 10*time.Second)
				require.Contains(t, joined(w.view("pay").Trouble), c.says, "it is reported at once")
				w.after(c.within)
				require.Zero(t, w.gateway("pay").target().Weight)
				require.Equal(t, "10%", w.gateway("shop").target().Weight.String())
				require.Empty(t, w.view("shop").Trouble)
				w.metrics.breaks(canary, 0.9)
				w.after(2 * time.Minute)
				require.Contains(t, joined(w.trace(shop.ID)), "ended rolledBack", "it is judged as usual")

				_, err := w.Act(t.Context(), paid.ID, rollout.RollbackRequested{Reason: "by hand"}, "ann")
				require.Error(t, err, "a person gets an answer")
				c.end(w)
				w.after(15 * time.Minute)
				require.Contains(t, joined(w.trace(paid.ID)), "ended rolledBack")
				require.Empty(t, w.view("pay").Trouble)
			})
		})
	}
}

func TestADefectOrTwoDoNotEndARelease(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.plan(gray("shop"))
		r := w.start("shop", "")
		w.after(20 * time.Second)
		w.gateway("shop").change(func(g *gateway) { g.panics = 2 })
		w.after(time.Minute)
		require.Contains(t, joined(w.view("shop").Trouble), "panic: no such observation")
		require.NotContains(t, joined(w.trace(r.ID)), "rollback")
		require.Equal(t, rollout.Active, w.view("shop").State.Phase)
	})
}
