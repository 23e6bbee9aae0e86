package sequential

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
)

func TestLeaning(t *testing.T) {
	for _, c := range []struct {
		name                   string
		canaryBad, baselineBad float64
		outcome                judge.Outcome
		leaning                bool
	}{
		{name: "five times the errors, few as they are, lean towards worse", canaryBad: 5, baselineBad: 9, leaning: true, outcome: judge.Inconclusive},
		{name: "the same errors do not lean", canaryBad: 1, baselineBad: 9, outcome: judge.Inconclusive},
		{name: "one error more says nothing yet", canaryBad: 2, baselineBad: 9, outcome: judge.Inconclusive},
		{name: "fewer errors do not lean", canaryBad: 0, baselineBad: 30, outcome: judge.Inconclusive},
	} {
		t.Run(c.name, func(t *testing.T) {
			j, err := New(judge.Settings{
				FalseRollback: 0.01, FalseAdvance: 0.05,
				Metrics: []judge.Metric{{
					Name: "errors", Kind: judge.Counts, Weight: 1, Noise: 0.3, MinRequests: 100, Margin: judge.Margin{Relative: 0.25},
				}},
			})
			require.NoError(t, err)
			e := j.Begin(nil)
			var v judge.Verdict
			for i := range 3 {
				e, v = j.Look(e, judge.Look{
					Number: i + 1, At: time.Unix(0, 0).Add(time.Duration(i+1) * 10 * time.Second), Length: 10 * time.Second, Weight: 0.1,
					Observations: []judge.Observation{{
						Metric: "errors", Canary: judge.Arm{Bad: c.canaryBad, Total: 1000}, Baseline: judge.Arm{Bad: c.baselineBad, Total: 9000},
					}},
				})
			}
			require.Equal(t, c.outcome, v.Outcome)
			require.Equal(t, c.leaning, v.Leaning)
			require.Equal(t, c.leaning, v.Metrics[0].Leaning)
			require.Equal(t, c.leaning, v.Metrics[0].LogEvidence.Beyond >= judge.LeansFrom)
		})
	}
}
