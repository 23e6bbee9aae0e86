package engine_test

import (
	"cmp"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
)

// underWay lists positions at which traffic is moving to one version when something breaks.
var underWay = []struct {
	name  string
	asked func(w *world, id string) error
	// served is the version that has all traffic in the end.
	served, outcome string
}{
	{"going back", func(w *world, id string) error {
		_, err := w.Act(w.t.Context(), id, rollout.RollbackRequested{Reason: "it is bad"}, "ann")
		return err
	}, "http://blue", "ended rolledBack"},
	{"promoting", func(w *world, id string) error {
		_, err := w.Act(w.t.Context(), id, rollout.GateAnswered{Gate: "full", Answer: rollout.Approve}, "ann")
		return err
	}, "http://green", "ended released"},
}

// calm repairs everything that any fault has broken.
func calm(w *world, plan record.Plan) {
	w.metrics.change(func(u *users) {
		u.instead, u.empty, u.failing, u.garbage, u.refused, u.pair, u.slow, u.behind = nil, nil, nil, nil, false, false, 0, 0
	})
	w.gateway("shop").change(func(g *gateway) { g.silent, g.half, g.refuses = false, false, nil })
	w.store.change(works)
	w.plan(plan)
}

// People's requests are carried out whatever breaks at that moment: a rollback as soon as the gateway accepts a write,
// a promotion completely, and both are recorded as soon as possible.
func TestRequestsAreCarriedOutDuringEveryFault(t *testing.T) {
	for _, place := range underWay {
		for i, f := range matrix {
			if *reliability == "" && i%2 > 0 {
				continue
			}
			t.Run(place.name+", "+f.name, func(t *testing.T) {
				inWorld(t, func(t *testing.T, w *world) {
					plan := matrixPlan(places()[5].steps) // at its gate
					w.plan(plan)
					w.after(time.Minute)
					r := w.start("shop", "")
					for n := 0; w.view("shop").Gate != "full"; n++ {
						require.Less(t, n, 600, joined(w.trace(r.ID)))
						w.after(time.Second)
					}
					f.on(w, plan)
					err := place.asked(w, r.ID)
					if place.name == "going back" {
						took, back := offTraffic(w, cmp.Or(f.lasts, offAfter))
						if f.off == nil {
							require.True(t, back, "no fault that lasts keeps a person's rollback from the users (%v)", err)
							require.LessOrEqual(t, took, 10*time.Second)
						}
					} else {
						w.after(offAfter)
					}
					calm(w, plan)
					if err != nil && place.name == "promoting" { // it was refused because the store failed
						require.NoError(t, place.asked(w, r.ID))
					}
					w.after(5 * time.Minute)
					require.Contains(t, joined(w.trace(r.ID)), place.outcome)
					now := w.gateway("shop").target()
					require.Equal(t, place.served, now.Stable.Servers[0])
					require.True(t, now.Weight == 0 && now.Cohort == nil, fmt.Sprint(now))
				})
			})
		}
	}
}
