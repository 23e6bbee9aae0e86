package sequential_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
)

// latencies is an arm whose requests take an exponentially distributed time with the given mean, counted at the bounds.
func latencies(r *rand.Rand, n int, mean float64, bounds []float64) judge.Arm {
	a := judge.Arm{Total: float64(n), Cumulative: make([]float64, len(bounds))}
	for range n {
		took := r.ExpFloat64() * mean
		for i, b := range bounds {
			if took <= b {
				a.Cumulative[i]++
			}
		}
	}
	return a
}

func histogram(bounds ...float64) judge.Metric {
	return judge.Metric{Name: "latency", Kind: judge.Histogram, Direction: judge.Increase, Weight: 1, Noise: 0.3, MinRequests: 100, Cold: true,
		Margin: judge.Margin{Relative: 0.25, Absolute: 0.01}, Bounds: bounds}
}

func TestAHistogramTellsHowItsQuantilesHaveMoved(t *testing.T) {
	bounds := []float64{0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2}
	j := newJudge(t, settings(nil, histogram(bounds...)))
	r := rand.New(rand.NewPCG(1, 2))
	e := j.Begin(nil)
	var v judge.Verdict
	for n := 1; n <= 40; n++ {
		e, v = j.Look(e, at(n, 0.5, judge.Observation{Metric: "latency", Canary: latencies(r, 500, 0.1, bounds), Baseline: latencies(r, 500, 0.05, bounds)}))
	}
	q := v.Metrics[0].Quantiles
	require.Len(t, q, 2)
	p99 := q[1]
	require.InDelta(t, 0.99, p99.Of, 0)
	require.InDelta(t, 0.05*math.Log(100), p99.Baseline.Value, 0.03)
	require.InDelta(t, 0.1*math.Log(100), p99.Canary.Value, 0.05)
	require.InDelta(t, 0.4, p99.Canary.Lower, 0, "the last bound below 0.46")
	require.InDelta(t, 0.5, p99.Canary.Upper, 0)
	require.InDelta(t, 0.3, p99.Baseline.Upper, 0)
	require.False(t, p99.Canary.Beyond)
}

func TestAQuantileBeyondTheLastBoundIsSaidToBe(t *testing.T) {
	j := newJudge(t, settings(nil, histogram(0.1, 0.2)))
	_, v := run(j, j.Begin(nil), 1, 30, 0.5, judge.Observation{Metric: "latency",
		Canary: judge.Arm{Cumulative: []float64{100, 300}, Total: 500}, Baseline: judge.Arm{Cumulative: []float64{400, 499}, Total: 500}})
	p50, p99 := v.Metrics[0].Quantiles[0], v.Metrics[0].Quantiles[1]
	require.True(t, p99.Canary.Beyond)
	require.InDelta(t, 0.2, p99.Canary.Value, 0)
	require.InDelta(t, 0.2, p99.Canary.Lower, 0)
	require.Zero(t, p99.Canary.Upper)
	require.InDelta(t, 0.175, p50.Canary.Value, 1e-9, "in proportion between the bounds")
	require.InDelta(t, 0.1, p50.Canary.Lower, 0)
}

// Each end of each band may be wrong at some look with a chance of 5%.
func TestABandOfAQuantileHoldsAtAllLooksAtOnce(t *testing.T) {
	bounds := []float64{0.02, 0.04, 0.0693, 0.0694, 0.1, 0.2, 0.46, 0.4606, 1} // next to the median and to p99
	truth := []float64{0.1 * math.Ln2, 0.1 * math.Log(100)}
	j := newJudge(t, settings(nil, histogram(bounds...)))
	wrong := [2]int{}
	const releases = 60
	for i := range releases {
		r := rand.New(rand.NewPCG(3, uint64(i)))
		e := j.Begin(nil)
		missed := [2]bool{}
		for n := 1; n <= 40; n++ {
			var v judge.Verdict
			e, v = j.Look(e, at(n, 0.5, judge.Observation{Metric: "latency", Canary: latencies(r, 40, 0.1, bounds), Baseline: latencies(r, 40, 0.1, bounds)}))
			for k, q := range v.Metrics[0].Quantiles {
				for _, b := range []judge.QuantileBand{q.Canary, q.Baseline} {
					missed[k] = missed[k] || b.Lower > truth[k] || b.Upper > 0 && b.Upper < truth[k]
				}
			}
		}
		for k := range missed {
			if missed[k] {
				wrong[k]++
			}
		}
	}
	for k := range wrong {
		require.LessOrEqual(t, wrong[k], releases*2*2*5/100, "quantile %d: of two arms with two ends each", k)
	}
}
