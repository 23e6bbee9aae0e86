package sequential_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
)

// A latency bound that every request exceeds says nothing about the canary: given the number of bad events, the canary
// has exactly its share of them, more exactly than chance would produce.
func TestArmsInWhichEveryEventIsBadAreAlike(t *testing.T) {
	for _, known := range []bool{false, true} {
		for _, cold := range []bool{false, true} {
			for _, n := range []int{11, 1100, 110_000} {
				t.Run(fmt.Sprintf("%d a look, cold: %t, with a past: %t", n, cold, known), func(t *testing.T) {
					j := newJudge(t, judge.Settings{FalseRollback: 0.01, FalseAdvance: 0.05, Metrics: []judge.Metric{{
						Name: "errors", Kind: judge.Counts, Direction: judge.Decrease, Margin: judge.Margin{Relative: 0.25, Absolute: 0.001}, Weight: 1, Noise: 0.3, Cold: cold,
					}}})
					e := j.Begin(nil)
					if known {
						h := judge.History{Seconds: 60}
						for range 1440 {
							h.Baseline.Bad, h.Baseline.Total = append(h.Baseline.Bad, float64(12*n)), append(h.Baseline.Total, float64(12*n))
						}
						e = j.Begin(past(j, h))
					}
					r := rand.New(rand.NewPCG(1, uint64(n)))
					worst, beyond := -1e9, -1e9
					for k := range 600 {
						weight := []float64{0.01, 0.05, 0.2, 0.5}[min(k/60, 3)]
						arm := func(share float64) judge.Arm {
							x := float64(int(2 * share * float64(n) * (0.9 + 0.2*r.Float64())))
							return judge.Arm{Bad: x, Total: x}
						}
						l := judge.Look{
							Number: k + 1, At: begin.Add(time.Duration(k) * 10 * time.Second), Length: 10 * time.Second, Weight: weight,
							Observations: []judge.Observation{{Metric: "errors", Canary: arm(weight), Baseline: arm(1 - weight)}},
						}
						var v judge.Verdict
						e, v = j.Look(e, l)
						worst = max(worst, v.Metrics[0].LogEvidence.Worse)
						beyond = max(beyond, v.Metrics[0].LogEvidence.Beyond)
						require.NotEqual(t, judge.Fail, v.Outcome, "look %d", k)
					}
					t.Log(worst, beyond)
				})
			}
		}
	}
}
