package tell_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/tell"
)

func TestQuantilesAreSaidAsFarAsTheyAreKnown(t *testing.T) {
	p99 := func(canary judge.QuantileBand) judge.MetricVerdict {
		return judge.MetricVerdict{Quantiles: []judge.Quantile{{Of: 0.99, Canary: canary, Baseline: judge.QuantileBand{Value: 0.24}}}}
	}
	for _, c := range []struct {
		canary judge.QuantileBand
		want   string
	}{
		{judge.QuantileBand{Value: 0.41}, "p99 went from 0.24 to 0.41"},
		{judge.QuantileBand{Value: 0.41, Lower: 0.31}, "p99 went from 0.24 to 0.41, at least 0.31"},
		{judge.QuantileBand{Value: 0.41, Upper: 0.5}, "p99 went from 0.24 to 0.41, at most 0.50"},
		{judge.QuantileBand{Value: 0.41, Lower: 0.31, Upper: 0.5}, "p99 went from 0.24 to 0.41, at least 0.31 and at most 0.50"},
		{judge.QuantileBand{Value: 2.5, Lower: 2.5, Beyond: true}, "p99 went from 0.24 to more than 2.5, at least 2.5"},
	} {
		require.Equal(t, c.want, tell.Quantiles(p99(c.canary)))
	}
	require.Empty(t, tell.Quantiles(judge.MetricVerdict{}))
}

func TestHowManyUsersItTakesIsSaidWhereAFewMayBeAllThatIsSeen(t *testing.T) {
	require.Empty(t, tell.FewUsers(judge.MetricVerdict{}))
	require.Equal(t, " Users keep their version here, and a few of them may make this difference by themselves: it takes about 480 users with bad requests to tell.",
		tell.FewUsers(judge.MetricVerdict{Users: 481}))
}

func TestHowManyPodsItTakesIsSaidWhereTimeDoesNotHelp(t *testing.T) {
	const differ = "Stable's 20 pods differ by 20%, so a version with few of them differs from stable without being at fault. Time does not tell the two apart"
	const eighteen = differ + ": that takes about 18 pods of the canary."
	require.Equal(t, eighteen, tell.FewPods(judge.Pods{Canary: 18, Stable: 20, Spread: 0.2}))
	require.Equal(t, differ+", and no number of the canary's pods does: stable has too few, or the margin is too narrow.", tell.FewPods(judge.Pods{Stable: 20, Spread: 0.2}))
	m := judge.MetricVerdict{Metric: "errors", Kind: judge.Counts, Outcome: judge.Inconclusive, Reason: judge.Undecided, Ratio: 1.1, Margin: 1.25,
		Canary: judge.Totals{Bad: 60, Total: 1000}, Baseline: judge.Totals{Bad: 50, Total: 1000}, Pods: &judge.Pods{Canary: 18, Stable: 20, Spread: 0.2}}
	e := tell.Explain(record.View{Release: &record.Release{}, State: rollout.State{LastVerdict: &judge.Verdict{Metrics: []judge.MetricVerdict{m}}}})
	require.Contains(t, e.Metrics[0].Plain, eighteen)
	require.Contains(t, e.Metrics[0].Sure, eighteen, "pages show it")
}
