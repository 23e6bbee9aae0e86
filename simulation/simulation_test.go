package simulation_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/share"
	"github.com/serindev/serin/simulation"
	"github.com/serindev/serin/traffic/traefik"
)

func source(a, b uint64) rand.Source { return rand.NewPCG(a, b) }

func errorsMetric() judge.Metric {
	return judge.Metric{Name: "errors", Kind: judge.Counts, Weight: 1, Noise: 0.3, MinRequests: 100,
		Margin: judge.Margin{Relative: 0.25, Absolute: 0.001}}
}

// moments returns the mean and the variance of n draws.
func moments(n int, draw func() float64) (mean, variance float64) {
	sum, squares := 0.0, 0.0
	for range n {
		x := draw()
		sum += x
		squares += x * x
	}
	mean = sum / float64(n)
	return mean, squares/float64(n) - mean*mean
}

func TestCountsHaveTheRightMeanAndVariance(t *testing.T) {
	for _, c := range []struct {
		name           string
		rate, weight   float64
		base           float64
		scenario       simulation.Scenario
		mean, variance float64 // of the canary's bad events in a look of 10 s
	}{
		{"few", 10, 0.05, 0.2, simulation.Scenario{}, 1, 1},
		{"many", 1000, 0.5, 0.1, simulation.Scenario{}, 500, 500},
		{"most are bad", 1000, 0.5, 0.9, simulation.Scenario{}, 4500, 4500},
		{"in clusters of 8", 1000, 0.5, 0.1, simulation.Scenario{Cluster: 8}, 500, 500 * 15},
		{"rates drawn again", 1000, 0.5, 0.1, simulation.Scenario{Redrawn: 0.3}, 500, 500 + 500*500*0.09},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := simulation.World{Rate: c.rate, Scenario: c.scenario, Metrics: []simulation.Behaviour{{Metric: errorsMetric(), Base: c.base}}}
			u := w.Users(source(1, 2))
			n := 0
			mean, variance := moments(20000, func() float64 {
				n++
				l := u.Look(n, time.Unix(int64(n)*10, 0), 10*time.Second, c.weight)
				require.LessOrEqual(t, l.Observations[0].Canary.Bad, l.Observations[0].Canary.Total)
				return l.Observations[0].Canary.Bad
			})
			require.InEpsilon(t, c.mean, mean, 4*math.Sqrt(c.variance/20000)/c.mean+1e-9)
			require.InEpsilon(t, c.variance, variance, 0.08)
		})
	}
}

func TestAWanderingFactorHasTheRightDeviationAndCorrelation(t *testing.T) {
	m := judge.Metric{Name: "memory", Kind: judge.Gauge}
	w := simulation.World{Metrics: []simulation.Behaviour{{Metric: m, Base: 1, Spread: simulation.Wander{Correlation: 0.9, Deviation: 0.2}}}}
	u := w.Users(source(3, 4))
	var logs []float64
	for n := range 40000 {
		l := u.Look(n+1, time.Unix(int64(n)*10, 0), 10*time.Second, 0.5)
		logs = append(logs, math.Log(l.Observations[0].Canary.Value)+0.02)
	}
	square, product := 0.0, 0.0
	for i, x := range logs[1:] {
		square += x * x
		product += x * logs[i]
	}
	require.InDelta(t, 0.2, math.Sqrt(square/float64(len(logs)-1)), 0.02)
	require.InDelta(t, 0.9, product/square, 0.02)
}

func TestAFaultBeginsOnTime(t *testing.T) {
	m := judge.Metric{Name: "memory", Kind: judge.Gauge}
	w := simulation.World{From: time.Minute, Metrics: []simulation.Behaviour{{Metric: m, Base: 2, Effect: 3}}}
	u := w.Users(source(1, 1))
	for n := range 12 {
		l := u.Look(n+1, time.Unix(int64(n+1)*10, 0), 10*time.Second, 0.5)
		want := 2.0
		if n >= 6 {
			want = 6
		}
		require.Equal(t, want, l.Observations[0].Canary.Value)
		require.Equal(t, 2.0, l.Observations[0].Baseline.Value)
	}
}

func TestRotationSplitsExactly(t *testing.T) {
	w := simulation.World{Rate: 10, Rotation: true, Metrics: []simulation.Behaviour{{Metric: errorsMetric()}}}
	u := w.Users(source(1, 1))
	canary, all := 0.0, 0.0
	for n := range 100 {
		l := u.Look(n+1, time.Unix(int64(n)*10, 0), 10*time.Second, 0.05)
		canary += l.Requests.Canary
		all += l.Requests.Canary + l.Requests.Baseline
	}
	require.InDelta(t, 0.05*all, canary, 1)
}

func TestAHistogramHasTheRightSharesAtItsBounds(t *testing.T) {
	m := judge.Metric{Name: "latency", Kind: judge.Histogram, Bounds: []float64{0.1, 0.3, 1.2}}
	w := simulation.World{Rate: 1000, Metrics: []simulation.Behaviour{{Metric: m, Above: []float64{0.5, 0.2, 0.01}}}}
	l := w.Users(source(1, 1)).Look(1, time.Unix(0, 0), 100*time.Second, 0.5)
	c := l.Observations[0].Canary
	for i, share := range []float64{0.5, 0.8, 0.99} {
		require.InDelta(t, share, c.Cumulative[i]/c.Total, 0.01)
	}
}

// plan is a rollout of two weights with the built-in analysis.
func plan(decide rollout.Decide) simulation.Plan {
	def := traefik.Series{}.Web()
	return simulation.Plan{
		Limit: 6 * time.Hour,
		Definition: rollout.Definition{
			Name: "shop", Scopes: []rollout.Scope{{Name: "gray", NoData: rollout.Patience{For: time.Hour, Then: rollout.PolicyHold},
				Unreachable: rollout.Patience{For: time.Hour, Then: rollout.PolicyHold}}},
			Steps: rollout.Steps{
				rollout.Job{Name: "migrate"}, rollout.Deploy{Name: "canary"},
				rollout.Gray{Name: "gray", Weights: []share.Share{0.05, 0.5}, Hold: 10 * time.Minute, Scope: "gray", Decide: decide},
				rollout.Gate{Name: "full"}, rollout.Webhook{Name: "tell"}, rollout.Promote{Name: "promote"},
			},
		},
		Analyses: map[string]analysis.Definition{"gray": def},
	}
}

func world(effect float64, from time.Duration) simulation.World {
	w := simulation.World{Rate: 200, From: from}
	for _, m := range (traefik.Series{}).Web().Judge(1).Metrics {
		w.Metrics = append(w.Metrics, simulation.Behaviour{Metric: m, Base: 0.01, Effect: effect})
	}
	return w
}

func TestAGoodVersionIsReleasedAndABadOneRolledBack(t *testing.T) {
	p := plan(rollout.Decide{Max: 4 * time.Hour, Inconclusive: rollout.PolicyGate})
	good, err := p.Run(world(1, 0), nil, source(1, 1))
	require.NoError(t, err)
	require.Equal(t, simulation.Released, good.End)
	require.GreaterOrEqual(t, good.Took, 30*time.Minute, "a pass waits until something is learned")
	require.Len(t, good.Learned["gray"]["errors"], 1, "5%% had too few looks, 50%% had enough")
	require.False(t, good.Alarms)

	bad, err := p.Run(world(5, 0), nil, source(1, 1))
	require.NoError(t, err)
	require.Equal(t, simulation.RolledBack, bad.End)
	require.True(t, bad.Failed)
	require.Less(t, bad.Took, 10*time.Minute)
	require.Positive(t, bad.Hurt)
	require.Nil(t, bad.Learned)

	late, err := p.Run(world(5, 15*time.Minute), good.Learned, source(1, 1))
	require.NoError(t, err)
	require.Equal(t, simulation.RolledBack, late.End)
	require.Greater(t, late.Took, 15*time.Minute)
	require.Less(t, late.Fault, 5*time.Minute)
}

func TestAnUndecidedReleaseFollowsItsPolicy(t *testing.T) {
	w := world(1.25, 0)
	w.Rate = 2
	for policy, want := range map[rollout.Policy]simulation.End{
		rollout.PolicyGate: simulation.Asked, rollout.PolicyRollback: simulation.RolledBack, rollout.PolicyHold: simulation.Undecided,
	} {
		out, err := plan(rollout.Decide{Max: time.Hour, Inconclusive: policy}).Run(w, nil, source(1, 1))
		require.NoError(t, err)
		require.Equal(t, want, out.End)
		require.False(t, out.Failed)
	}
}

func TestTheSameSeedGivesTheSameRelease(t *testing.T) {
	p := plan(rollout.Decide{Max: 4 * time.Hour, Inconclusive: rollout.PolicyGate})
	a, err := p.Run(world(2, 0), nil, source(7, 8))
	require.NoError(t, err)
	b, err := p.Run(world(2, 0), nil, source(7, 8))
	require.NoError(t, err)
	require.Equal(t, a, b)
}

func TestSharesHaveWilsonIntervals(t *testing.T) {
	for _, c := range []struct {
		share        simulation.Share
		lower, upper float64
	}{
		{simulation.Share{Of: 0, All: 400}, 0, 0.010}, {simulation.Share{Of: 40, All: 400}, 0.074, 0.133},
		{simulation.Share{Of: 7, All: 100}, 0.034, 0.137}, {simulation.Share{}, 0, 1},
	} {
		lower, upper := c.share.Interval()
		require.InDelta(t, c.lower, lower, 0.0006)
		require.InDelta(t, c.upper, upper, 0.0006)
	}
	require.Equal(t, 2.5, simulation.Quantile([]float64{4, 1, 3, 2}, 0.5))
	require.True(t, math.IsNaN(simulation.Quantile(nil, 0.5)))
}
