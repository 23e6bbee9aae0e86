package sequential_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
)

// orders are values whose logarithm varies by 2, twenty a look on the canary and eighty on the baseline: the canary's larger by
// a factor.
func orders(r *rand.Rand, factor float64) judge.Observation {
	arm := func(n int, factor float64) judge.Arm {
		a := judge.Arm{Total: float64(n)}
		for range n {
			a.Bad += factor * math.Exp(2*r.NormFloat64())
		}
		return a
	}
	return judge.Observation{Metric: "m", Canary: arm(20, factor), Baseline: arm(80, 1)}
}

func TestMeansOfHeavyTailedValues(t *testing.T) {
	for _, c := range []struct {
		name      string
		direction judge.Direction
		factor    float64
		want      judge.Outcome // empty: anything but a fail
	}{
		{"three times as much is found", judge.Increase, 3, judge.Fail},
		{"the same is nothing that fails", judge.Increase, 1, ""},
		{"the same is nothing that fails where less is worse", judge.Decrease, 1, ""},
		{"a quarter is fine where more is worse", judge.Increase, 0.25, judge.Pass},
		{"more is fine where less is worse", judge.Decrease, 4, judge.Pass},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := judge.Metric{Name: "m", Kind: judge.Mean, Direction: c.direction, Margin: judge.Margin{Relative: 0.2}, Weight: 1, Noise: 0.3, MinRequests: 100}
			j := newJudge(t, judge.Settings{FalseRollback: 0.01, FalseAdvance: 0.05, Metrics: []judge.Metric{m}})
			e := j.Begin(nil)
			r := rand.New(rand.NewPCG(1, 2))
			var v judge.Verdict
			for n := range 240 {
				e, v = j.Look(e, judge.Look{
					Number: n + 1, At: begin.Add(time.Duration(n) * 10 * time.Second), Length: 10 * time.Second, Weight: 0.2,
					Observations: []judge.Observation{orders(r, c.factor)},
				})
				if v.Outcome == judge.Fail {
					break
				}
			}
			if c.want == "" {
				require.NotEqual(t, judge.Fail, v.Outcome)
			} else {
				require.Equal(t, c.want, v.Outcome)
			}
			require.True(t, v.Learned, "no noise is supposed that a past could teach")
			after, err := j.Decode(encode(t, e))
			require.NoError(t, err)
			require.Equal(t, encode(t, e), encode(t, after))
			_, again := j.Look(after, judge.Look{Number: 241, At: begin.Add(time.Hour), Length: 10 * time.Second, Weight: 0.2})
			require.Equal(t, judge.NoData, again.Reason, "a look without data decides nothing")
		})
	}
}
