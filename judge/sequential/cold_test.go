package sequential_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
)

// The field test's cold start (need 25): a greater weight brings new replicas, which answer slowly until they are warm.
// At 20 requests a second, 44% of the canary's requests were slow against 12% of stable's, for 12 and for 30 seconds,
// and both canaries were rolled back. A canary that stays slow still has to be.
func TestReplicasThatAGreaterWeightBringsMayBeColdAtFirst(t *testing.T) {
	for name, c := range map[string]struct {
		cold int // looks
		want judge.Outcome
	}{
		"for 12 seconds": {2, judge.Inconclusive},
		"for 30 seconds": {3, judge.Inconclusive},
		"for good":       {60, judge.Fail},
	} {
		t.Run(name, func(t *testing.T) {
			m := judge.Metric{Name: "m", Kind: judge.Histogram, Direction: judge.Increase, Weight: 1, Noise: 0.3, MinRequests: 100,
				Margin: judge.Margin{Relative: 0.25, Absolute: 0.01}, Bounds: []float64{0.3}, Cold: true}
			j, rng := newJudge(t, settings(nil, m)), rand.New(rand.NewPCG(25, 1))
			e := j.Begin(nil)
			arm := func(requests int, share float64) judge.Arm {
				slow := 0
				for range requests {
					if rng.Float64() < share {
						slow++
					}
				}
				return judge.Arm{Total: float64(requests), Cumulative: []float64{float64(requests - slow)}}
			}
			var v judge.Verdict
			for n := 1; n <= 18+60; n++ { // three minutes at a quarter, and ten at a half
				weight, share := 0.25, 0.12
				if n > 18 {
					weight = 0.5
				}
				if n > 18 && n <= 18+c.cold {
					share = 0.44
				}
				o := judge.Observation{Metric: "m", Canary: arm(int(200*weight), share), Baseline: arm(int(200*(1-weight)), 0.12)}
				if e, v = j.Look(e, at(n, weight, o)); v.Outcome == judge.Fail {
					break
				}
			}
			if c.want == judge.Fail {
				require.Equal(t, judge.Fail, v.Outcome, text(t, v))
				return
			}
			require.NotEqual(t, judge.Fail, v.Outcome, text(t, v))
		})
	}
}
