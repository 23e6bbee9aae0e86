package simulation_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/simulation"
)

// looks simulates looks of ten seconds at the given weights.
func looks(w simulation.World, seed uint64, weights ...float64) (out []judge.Look) {
	u := w.Users(source(seed, 7))
	for n, weight := range weights {
		out = append(out, u.Look(n+1, time.Unix(int64(n+1)*10, 0), 10*time.Second, weight))
	}
	return out
}

func constant(weight float64, n int) (out []float64) {
	for range n {
		out = append(out, weight)
	}
	return out
}

func TestReplicasDifferForLife(t *testing.T) {
	apart := 0.0
	const releases = 60
	for i := range uint64(releases) {
		w := simulation.World{Rate: 10000, Scenario: simulation.Scenario{Apart: 0.2}, Metrics: []simulation.Behaviour{{Metric: errorsMetric(), Base: 0.1}}}
		ratio := func(looks []judge.Look) float64 {
			var c, b judge.Arm
			for _, l := range looks {
				o := l.Observations[0]
				c.Bad, c.Total, b.Bad, b.Total = c.Bad+o.Canary.Bad, c.Total+o.Canary.Total, b.Bad+o.Baseline.Bad, b.Total+o.Baseline.Total
			}
			return math.Log(c.Bad / c.Total / (b.Bad / b.Total))
		}
		all := looks(w, i, constant(0.5, 20)...)
		require.InDelta(t, ratio(all[:10]), ratio(all[10:]), 0.05)
		apart += ratio(all) * ratio(all) / releases
	}
	require.InEpsilon(t, 0.2*0.2*(1+1.0/20), apart, 0.5)
}

func TestARestartFailsAllRequestsForTenSecondsButIsNotSlow(t *testing.T) {
	slow := errorsMetric()
	slow.Name, slow.Cold = "slow", true
	w := simulation.World{Rate: 1000, Scenario: simulation.Scenario{Restarts: 36}, Metrics: []simulation.Behaviour{{Metric: errorsMetric(), Base: 0.01}, {Metric: slow, Base: 0.01}}}
	down := 0
	for _, l := range looks(w, 3, constant(0.5, 1000)...) {
		if o := l.Observations[0].Canary; o.Bad == o.Total {
			down++
		}
		require.Less(t, l.Observations[1].Canary.Bad, 0.1*l.Observations[1].Canary.Total)
	}
	require.InDelta(t, 95, float64(down), 40, "one in ten looks, some twice")
}

func TestEachStepMakesLatenciesColdButNotErrors(t *testing.T) {
	slow := errorsMetric()
	slow.Name, slow.Cold = "slow", true
	w := simulation.World{Rate: 100000, Scenario: simulation.Scenario{Cold: 5}, Metrics: []simulation.Behaviour{{Metric: errorsMetric(), Base: 0.01}, {Metric: slow, Base: 0.01}}}
	all := looks(w, 5, append(constant(0.1, 100), constant(0.5, 3)...)...)
	rate := func(n, metric int) float64 { o := all[n].Observations[metric].Canary; return o.Bad / o.Total }
	require.InEpsilon(t, 0.05, rate(0, 1), 0.1)
	require.InEpsilon(t, 0.01, rate(99, 1), 0.1)
	require.InEpsilon(t, 0.01*(1+4*0.8), rate(100, 1), 0.1, "four fifths are new")
	require.InEpsilon(t, 0.01, rate(0, 0), 0.2, "an error is never cold")
}

func TestHistoryShowsStableAlone(t *testing.T) {
	gauge := judge.Metric{Name: "memory", Kind: judge.Gauge}
	w := simulation.World{Rate: 100, Metrics: []simulation.Behaviour{{Metric: errorsMetric(), Base: 0.05}, {Metric: gauge, Base: 1}}}
	h := w.History(120, source(1, 1))
	require.NotContains(t, h, "memory")
	e := h["errors"]
	require.InDelta(t, 60, e.Seconds, 0)
	require.Len(t, e.Baseline.Bad, 120)
	bad, total := 0.0, 0.0
	for i := range e.Baseline.Bad {
		bad, total = bad+e.Baseline.Bad[i], total+e.Baseline.Total[i]
	}
	require.InEpsilon(t, 6000*120, total, 0.01)
	require.InEpsilon(t, 0.05, bad/total, 0.05)
}
