package judge_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
)

// says is a judge that always gives the same verdict.
type says struct {
	judge.Judge
	verdict judge.Verdict
}

// Look implements judge.Judge.
func (s says) Look(e judge.Evidence, l judge.Look) (judge.Evidence, judge.Verdict) {
	s.verdict.Look = l.Number
	if l.Requests != nil {
		s.verdict.SampleRatio = &judge.SampleRatio{}
	}
	return e, s.verdict
}

func TestALookThatShowsNothingOfAnyMetricIsBlind(t *testing.T) {
	of := func(absent ...judge.Reason) (out []judge.Observation) {
		for _, a := range absent {
			out = append(out, judge.Observation{Absent: a})
		}
		return out
	}
	for _, c := range []struct {
		name string
		look judge.Look
		want bool
	}{
		{"none could be asked", judge.Look{Observations: of(judge.Unreachable, judge.Unreachable)}, true},
		{"no metric has data", judge.Look{Observations: of(judge.NoData, judge.NoData)}, true},
		{"each is missing for a reason of its own", judge.Look{Observations: of(judge.NoData, judge.Unreachable)}, true},
		{"one was counted, if only as zero", judge.Look{Observations: of(judge.NoData, "")}, false},
		{"one is warming up", judge.Look{Observations: of(judge.NoData, judge.WarmingUp)}, false},
		{"the look as a whole shows a warm-up", judge.Look{Excluded: judge.WarmingUp, Observations: of(judge.NoData)}, false},
		{"nothing was asked", judge.Look{}, false},
		{"an unsettled look can be blind as well", judge.Look{Unsettled: true, Observations: of(judge.NoData)}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, v := judge.Take(says{}, nil, c.look)
			require.Equal(t, c.want, v.Blind)
		})
	}
}

func TestAnUnsettledLookWithholdsAPassButNoFail(t *testing.T) {
	unsettled := judge.Look{Unsettled: true, Requests: &judge.Requests{}}
	for _, c := range []struct {
		name            string
		look            judge.Look
		says            judge.Outcome
		want            judge.Outcome
		reason          judge.Reason
		enough, isSplit bool
	}{
		{"a pass of settled looks is one", judge.Look{Requests: &judge.Requests{}}, judge.Pass, judge.Pass, "", true, true},
		{"a pass is withheld", unsettled, judge.Pass, judge.Inconclusive, judge.Waiting, false, false},
		{"a fail stands", unsettled, judge.Fail, judge.Fail, "", false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, v := judge.Take(says{verdict: judge.Verdict{Outcome: c.says, Enough: true}}, nil, c.look)
			require.Equal(t, c.want, v.Outcome)
			require.Equal(t, c.reason, v.Reason)
			require.Equal(t, c.enough, v.Enough)
			require.Equal(t, c.isSplit, v.SampleRatio != nil)
		})
	}
}

func TestADryRunDoesNotMakeALookLessBlind(t *testing.T) {
	dry := says{verdict: judge.Verdict{Metrics: []judge.MetricVerdict{{Metric: "errors"}, {Metric: "tried", DryRun: true}}}}
	gone := judge.Look{Observations: []judge.Observation{{Metric: "errors", Absent: judge.NoData}, {Metric: "tried"}}}
	_, v := judge.Take(dry, nil, gone)
	require.True(t, v.Blind, "it decides nothing, so it protects nobody")
	gone.Observations[0].Absent = ""
	_, v = judge.Take(dry, nil, gone)
	require.False(t, v.Blind)
}

func TestADryRunIsNamedWhenItBeginsToFail(t *testing.T) {
	verdict := func(outcome judge.Outcome, value string) judge.Verdict {
		return judge.Verdict{Metrics: []judge.MetricVerdict{
			{Metric: "errors", Outcome: judge.Fail}, {Metric: "tried", By: "route", Value: value, DryRun: true, Outcome: outcome}}}
	}
	begins, goesOn, undecided := verdict(judge.Fail, "/cart"), verdict(judge.Fail, "/pay"), verdict(judge.Inconclusive, "/cart")
	require.Equal(t, begins.Metrics[1:], begins.WouldFail(nil))
	require.Equal(t, begins.Metrics[1:], begins.WouldFail(&undecided))
	require.Empty(t, goesOn.WouldFail(&begins), "whichever route it is")
	require.Empty(t, undecided.WouldFail(nil))
}
