package tell

import (
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
	require.Equal(t, "Nothing to compare yet: no new data.", briefly(judge.MetricVerdict{Metric: "errors", Reason: judge.NoData}))
}
