package engine_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/traffic"
)

// A hundred rollouts whose gateways accept requests without answering must not occupy all turns for long, and a release
// does not queue behind them.
func TestAReleaseDoesNotQueueBehindRolloutsAtRest(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		plans := []record.Plan{gray("shop")}
		w.plan(plans...)
		w.after(time.Minute)
		id := w.start("shop", "k").ID
		w.after(time.Minute)
		require.Equal(t, "10%", w.gateway("shop").target().Weight.String())
		for i := range 100 {
			plan := gray(fmt.Sprintf("idle-%d", i))
			w.gateway(plan.Rollout.Name).change(func(g *gateway) { g.hangs = true })
			plans = append(plans, plan)
		}
		w.plan(plans...)
		w.after(10 * time.Second)
		_, err := w.Act(t.Context(), id, rollout.RollbackRequested{Reason: "by hand"}, "ann")
		require.NoError(t, err)
		synctest.Wait()
		require.Equal(t, "0%", w.gateway("shop").target().Weight.String(), "at once")

		for _, p := range plans[1:] {
			w.gateway(p.Rollout.Name).change(func(g *gateway) { g.hangs = false })
		}
		w.after(time.Minute)
		for _, p := range plans[1:] {
			require.Equal(t, traffic.InForce, w.view(p.Rollout.Name).Confirmation, p.Rollout.Name)
		}
	})
}

func TestAReleaseThatStartsWhileItsRolloutQueuesIsWrittenAtOnce(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		var plans []record.Plan
		for i := range 60 {
			plan := gray(fmt.Sprintf("idle-%02d", i))
			w.gateway(plan.Rollout.Name).change(func(g *gateway) { g.hangs = i < 50 })
			plans = append(plans, plan)
		}
		w.plan(plans[:50]...)
		w.after(time.Second)
		w.plan(plans...)
		w.after(time.Second)
		require.Empty(t, w.gateway("idle-59").log(), "it is not its turn")
		w.start("idle-59", "k")
		w.after(time.Second)
		require.Equal(t, "10%", w.gateway("idle-59").target().Weight.String())
	})
}

// Confirmed rollouts query their gateways at the same time, so that one answer can serve all of them.
func TestRolloutsUnderWayAskAtTheSameTime(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.plan(gray("a"), gray("b"))
		w.after(time.Minute)
		w.start("a", "k")
		w.after(1300 * time.Millisecond)
		w.start("b", "k")
		w.after(time.Minute)
		for range 3 {
			a, b := w.gateway("a").asked(), w.gateway("b").asked()
			w.after(10 * time.Second)
			require.Equal(t, w.gateway("a").askedAt(), w.gateway("b").askedAt())
			require.Equal(t, 2, w.gateway("a").asked()-a)
			require.Equal(t, 2, w.gateway("b").asked()-b)
		}
	})
}
