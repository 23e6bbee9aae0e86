package sequential_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/judge/sequential"
)

// A metric may be shown not to have risen long before it is shown not to have fallen: it passes once both are.
func TestAMetricThatMayGoNeitherWayPassesOnlyIfBothWaysDo(t *testing.T) {
	directions := []judge.Direction{judge.Increase, judge.Decrease, judge.Either}
	oneOnly := 0
	for _, c := range []struct{ first, then float64 }{{80, 80}, {90, 90}, {100, 100}, {110, 110}, {125, 90}, {130, 85}, {80, 112}, {75, 115}} {
		var judges []*sequential.Judge
		var evidence []judge.Evidence
		for _, d := range directions {
			m := ratio("m")
			m.Direction = d
			j, err := sequential.New(settings(atOnce, m))
			require.NoError(t, err)
			judges, evidence = append(judges, j), append(evidence, j.Begin(nil))
		}
		for n := 1; n <= 120; n++ {
			var passes []bool
			for i, j := range judges {
				canary := c.then
				if n <= 15 {
					canary = c.first
				}
				e, v := j.Look(evidence[i], at(n, 0.5, counts("m", canary, 2000, 100, 2000)))
				l := v.Metrics[0].LogEvidence
				evidence[i], passes = e, append(passes, l.NoWorse >= l.PassFrom)
			}
			if passes[2] {
				require.True(t, passes[0] && passes[1], "look %d of %v against 100: %v", n, c, passes)
			}
			if passes[0] != passes[1] {
				oneOnly++
			}
		}
	}
	require.Positive(t, oneOnly, "there was a time at which one of the ways was shown and the other was not")
}
