package sequential_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
)

// means draws the mean of a value that a service exports, such as the revenue of an order. Each look has the given
// number of values from a distribution with so heavy a tail that single values move the mean.
type means struct {
	rng  *rand.Rand
	draw func(*rand.Rand) float64
}

func (m means) of(n int) float64 {
	sum := 0.0
	for range n {
		sum += m.draw(m.rng)
	}
	return sum / float64(n)
}

// The mean of heavy-tailed values jumps with single ones. The bet on it is normalised by the differences of the looks
// so far, so that a jump also raises the scale by which it is measured.
func TestMeansOfHeavyTailedValuesRollBackFewGoodVersions(t *testing.T) {
	const releases, looks = 100, 120
	metric := judge.Metric{Name: "m", Kind: judge.Gauge, Margin: judge.Margin{Relative: 0.25}, Direction: judge.Decrease, Weight: 1, Noise: 0.3}
	j := newJudge(t, settings(nil, metric))
	for name, draw := range map[string]func(*rand.Rand) float64{
		"lognormal":                        func(r *rand.Rand) float64 { return math.Exp(r.NormFloat64()) },
		"Pareto with an infinite variance": func(r *rand.Rand) float64 { return math.Pow(1-r.Float64(), -1/1.5) },
	} {
		t.Run(name, func(t *testing.T) {
			failed := func(factor float64) (count, found int) {
				for i := range releases {
					m := means{rand.New(rand.NewPCG(7, uint64(i))), draw}
					e, v := j.Begin(nil), judge.Verdict{}
					for n := 1; n <= looks && v.Outcome != judge.Fail; n++ {
						e, v = j.Look(e, at(n, 0.2, judge.Observation{Metric: "m",
							Canary: judge.Arm{Value: factor * m.of(20)}, Baseline: judge.Arm{Value: m.of(80)}}))
					}
					if v.Outcome == judge.Fail {
						count++
						found += v.Look
					}
				}
				return count, found / max(count, 1)
			}
			good, _ := failed(1)
			half, looks := failed(0.5)
			t.Logf("%d of %d good versions went back; of half the mean %d were found, after %d looks in the mean", good, releases, half, looks)
			require.LessOrEqual(t, good, 3)
			require.Greater(t, half, releases*9/10)
		})
	}
}
