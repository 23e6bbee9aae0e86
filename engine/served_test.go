package engine_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/traffic"
)

// withSlow is a plan with a second metric, which has separate queries.
func withSlow(plan record.Plan) record.Plan {
	def := plan.Analyses["gray"]
	def.Metrics = append(def.Metrics, analysis.Metric{Name: "slow", Source: analysis.Ratio{
		Bad: `other_bad_total{service="${service}"}`, Total: `other_requests_total{service="${service}"}`,
	}})
	plan.Analyses["gray"] = def
	return plan
}

// timesOut leaves the queries of the second metric without an answer.
func timesOut(u *users) {
	err := errors.New("query timed out")
	u.failing = map[string]error{"other_requests_total": err, "other_bad_total": err}
}

// backWithin lets nine of ten of the canary's requests fail, and requires that the canary loses its traffic in time.
func backWithin(t *testing.T, w *world, id string, d time.Duration) {
	t.Helper()
	w.metrics.breaks(canary, 0.9)
	w.after(d)
	require.Equal(t, "0%", w.gateway("shop").target().Weight.String(), joined(w.trace(id)))
	require.Contains(t, joined(w.trace(id)), "lookTaken fail")
}

// soon is how long it takes to find a canary that fails nine of ten requests: two looks, and their wait for late
// samples.
const soon = 2*interval + 2*scrape

func TestAMetricWithoutAnswersDoesNotAffectTheOthers(t *testing.T) {
	t.Run("from the beginning", func(t *testing.T) {
		inWorld(t, func(t *testing.T, w *world) {
			w.metrics.change(timesOut)
			w.plan(withSlow(gray("shop", rollout.Gate{Name: "full-release"})))
			w.after(time.Minute)
			r := w.start("shop", "")
			w.after(3 * time.Minute)
			require.Contains(t, joined(w.trace(r.ID)), "lookTaken inconclusive: unreachable", "and it is reported")
			backWithin(t, w, r.ID, soon)
		})
	})
	t.Run("lost at the first weight, at the next one", func(t *testing.T) {
		plan := withSlow(gray("shop", rollout.Gate{Name: "full-release"}))
		plan.Rollout.Scopes[0].Unreachable = rollout.Patience{For: patience, Then: rollout.PolicyGate}
		under(t, plan, func(t *testing.T, w *world, id string) {
			w.after(3 * time.Minute)
			w.metrics.change(timesOut)
			w.after(10 * time.Minute)
			_, err := w.Act(t.Context(), id, rollout.GateAnswered{Gate: w.view("shop").Gate, Answer: rollout.Approve}, "ann")
			require.NoError(t, err)
			w.after(time.Minute)
			require.Equal(t, "50%", w.gateway("shop").target().Weight.String())
			backWithin(t, w, id, soon)
		})
	})
}

func TestServedTrafficIsJudgedAlthoughNoReplicaConfirmsIt(t *testing.T) {
	t.Run("a weight that was in force", func(t *testing.T) {
		under(t, gray("shop"), func(t *testing.T, w *world, id string) {
			w.after(2 * time.Minute)
			w.gateway("shop").change(func(g *gateway) { g.silent = true })
			w.after(time.Minute)
			backWithin(t, w, id, soon)
		})
	})
	t.Run("a weight that never was", func(t *testing.T) {
		inWorld(t, func(t *testing.T, w *world) {
			w.plan(gray("shop"))
			w.after(time.Minute)
			w.gateway("shop").change(func(g *gateway) { g.silent = true })
			r := w.start("shop", "")
			w.after(2 * time.Minute)
			require.False(t, w.view("shop").State.InForce)
			backWithin(t, w, r.ID, soon)
		})
	})
}

func TestServedTrafficIsJudgedWhileTheNextTargetCannotBeWritten(t *testing.T) {
	refuses := func(g *gateway) { g.refuses = errors.New("conflict") }
	for name, c := range map[string]struct {
		then []rollout.Step
		step string
	}{
		"the next weight": {[]rollout.Step{rollout.Gate{Name: "full-release"}}, "stepEntered gray 1"},
		"promotion":       {nil, "stepEntered promote 0"},
	} {
		t.Run(name, func(t *testing.T) {
			under(t, gray("shop", c.then...), func(t *testing.T, w *world, id string) {
				g := w.gateway("shop")
				if c.then == nil {
					w.after(8 * time.Minute)
				}
				served := g.target().Weight
				g.change(refuses)
				for count(w.trace(id), c.step) == 0 {
					w.after(time.Second)
				}
				w.after(time.Minute)
				w.metrics.breaks(canary, 0.9)
				w.after(soon)
				require.Equal(t, served, g.target().Weight)
				require.Equal(t, rollout.RollingBack, w.view("shop").State.Phase, joined(w.trace(id)))
				writes := len(g.log())
				g.change(func(g *gateway) { g.refuses = nil })
				w.after(time.Minute)
				require.Len(t, g.log(), writes+1, "nothing but the way back is written: %s", joined(g.log()))
				require.Equal(t, "0%", g.target().Weight.String())
			})
		})
	}
}

func TestAtRestAGatewayIsHardlyEverQueried(t *testing.T) {
	for name, c := range map[string]struct {
		watched bool
		bound   time.Duration // within which an unreported external edit is reverted
	}{
		"with a watch":    {true, 5 * time.Minute},
		"without a watch": {false, 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				g := w.gateway("shop")
				g.change(func(g *gateway) { g.watched = c.watched })
				w.plan(gray("shop"))
				w.after(time.Minute)
				before := g.asked()
				w.after(time.Hour)
				require.LessOrEqual(t, g.asked()-before, int(time.Hour/c.bound)+1)

				edited := func(g *gateway) {
					theirs := *g.serves
					theirs.Weight = 0.8
					g.serves = &theirs
				}
				g.change(edited)
				w.after(c.bound + time.Second)
				require.Equal(t, "0%", g.target().Weight.String())

				r := w.start("shop", "")
				w.after(time.Minute)
				g.change(edited)
				w.after(6 * time.Second)
				require.Equal(t, "10%", g.target().Weight.String(), "during a release it is observed every five seconds")
				require.Contains(t, joined(w.trace(r.ID)), "drifted")
			})
		})
	}
}

func TestAReplicaThatIsSilentAtRestIsNotQueriedOverAndOver(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		g := w.gateway("shop")
		w.plan(gray("shop"))
		w.after(time.Minute)
		g.change(func(g *gateway) { g.silent = true })
		w.after(time.Minute)
		before := g.asked()
		w.after(time.Minute)
		require.LessOrEqual(t, g.asked()-before, 13, "every five seconds")
		g.change(func(g *gateway) { g.silent = false })
		w.after(6 * time.Second)
		require.Equal(t, traffic.InForce, w.view("shop").Confirmation)
	})
}
