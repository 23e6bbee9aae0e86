package tell_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
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
