package tell

import (
	"cmp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
)

// TestExplainBriefly: what a person in a hurry reads at a gate and after a rollback.
func TestExplainBriefly(t *testing.T) {
	canary, baseline := judge.Totals{Bad: 61, Total: 2034, Rate: 61. / 2034}, judge.Totals{Bad: 41, Total: 8120, Rate: 41. / 8120}
	for want, m := range map[string]judge.MetricVerdict{
		"New version 3.0% (61 of 2,034), before 0.50% (41 of 8,120). That is 5.9 times as much; up to 1.2 is accepted.":             {Kind: judge.Counts, Outcome: judge.Fail},
		"New version 3.0% (61 of 2,034), before 0.50% (41 of 8,120). Too few requests yet.":                                         {Kind: judge.Counts, Outcome: judge.Inconclusive, Reason: judge.TooFew},
		"Above 0.30: new version 3.0% (61 of 2,034), before 0.50% (41 of 8,120). That is 5.9 times as much; up to 1.2 is accepted.": {Kind: judge.Histogram, Bound: 0.3, Outcome: judge.Pass},
		"New version 3.0% (61 of 2,034); the objective is 0.50%. That is 5.9 times as much; up to 1.2 is accepted.":                 {Kind: judge.Objective, Outcome: judge.Fail},
		"New version 0.030 on average, before 0.0050. That is 5.9 times as much; up to 1.2 is accepted.":                            {Kind: judge.Gauge, Outcome: judge.Fail},
	} {
		m.Metric, m.Canary, m.Baseline, m.Ratio, m.Margin = "errors", canary, baseline, 5.9, 1.25
		require.Equal(t, want, briefly(m))
	}
	const counts = "New version 3.0% (61 of 2,034), before 0.50% (41 of 8,120). That is "
	for want, m := range map[string]judge.MetricVerdict{
		"1.3 times as much; 2.3 or more is ruled out.":                                   {Outcome: judge.Pass, Ratio: 1.3, Rules: 2.3},
		"0.90 times as much; 0.43 or less is ruled out.":                                 {Outcome: judge.Pass, Ratio: 0.9, Margin: 0.8, Rules: 0.43},
		"0.90 times as much; no less than 0.80 is accepted.":                             {Outcome: judge.Pass, Ratio: 0.9, Margin: 0.8},
		"1.1 times as much; up to 1.2 is accepted. Since it got worse, it is 3.4 times.": {Outcome: judge.Fail, Ratio: 1.1, Leading: 3.4},
	} {
		m.Kind, m.Metric, m.Canary, m.Baseline, m.Margin = judge.Counts, "errors", canary, baseline, cmp.Or(m.Margin, 1.25)
		require.Equal(t, counts+want, briefly(m), "an outcome is never at odds with the numbers next to it")
	}
	require.Equal(t, "Nothing to compare yet: no new data.", briefly(judge.MetricVerdict{Metric: "errors", Reason: judge.NoData}))
}
