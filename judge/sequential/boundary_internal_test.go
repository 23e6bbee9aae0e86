package sequential

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/judge/statespace"
)

func TestAnArmHasEnoughFromItsLeastOnAndNothingIsNotEnough(t *testing.T) {
	counts, gauge := metric{Metric: judge.Metric{Kind: judge.Counts, MinRequests: 10}}, metric{Metric: judge.Metric{Kind: judge.Gauge}}
	require.True(t, counts.sufficient(10))
	require.False(t, counts.sufficient(9.9))
	require.True(t, gauge.sufficient(1))
	for _, m := range []metric{gauge, {}} {
		require.False(t, m.sufficient(0))
	}
}

func TestAMetricFailsFromItsThresholdsOn(t *testing.T) {
	d := direction{finding: finding{Standing: statespace.Standing{Beyond: judge.BeyondFrom}}}
	require.True(t, d.fails(3, 3))
	require.False(t, d.fails(2.9, 3))
	d.Beyond = judge.BeyondFrom - 0.1
	require.False(t, d.fails(3, 3))
}

func TestAGaugeIsHeldAgainstAPositiveMeanOnly(t *testing.T) {
	m := metric{Metric: judge.Metric{Kind: judge.Gauge}}
	for mean, not := range map[float64]bool{-1: true, 0: true, 0.1: false} {
		require.Equal(t, not, m.notPositive(&record{comparisons: []comparison{{total: row{1, 1, mean, 1}}}}), mean)
	}
	require.Zero(t, inverse(0))
	require.Equal(t, 0.5, inverse(2))
}

func TestBlocksEndWithTheirLength(t *testing.T) {
	var b teaching
	b.add(60, 3, 1, 30)
	require.Zero(t, b.blocks.Count)
	b.add(60, 4, 1, 30-leastSeconds/2)
	require.Equal(t, 1.0, b.blocks.Count)
	require.Equal(t, 49.0, b.blocks.Squares)
	require.Zero(t, b.deviation)
}

func TestTheFirstOfTheReasonsHoldsAReleaseBack(t *testing.T) {
	undecided := func(name string) judge.MetricVerdict {
		return judge.MetricVerdict{Metric: name, Outcome: judge.Inconclusive, Reason: judge.Undecided}
	}
	v := judge.Verdict{Metrics: []judge.MetricVerdict{undecided("a"), undecided("b")}}
	conclude(&v)
	require.Equal(t, "a", v.Decisive)
	v = judge.Verdict{Metrics: []judge.MetricVerdict{
		{Metric: "a", Outcome: judge.Pass, Optional: true}, {Metric: "b", Outcome: judge.Inconclusive, Reason: judge.NoData, Optional: true},
	}}
	conclude(&v)
	require.Equal(t, judge.Pass, v.Outcome, "all are optional, and one passes")
}

func TestMetricsFailTogetherByTheOneWithTheMostEvidence(t *testing.T) {
	j := &Judge{settings: judge.Settings{FalseRollback: 0.05}, metrics: []metric{{Metric: judge.Metric{DryRun: true}}, {}, {}, {}}}
	found := make([]direction, 4)
	for i, worse := range []float64{99, 2, 2.5, 2} {
		found[i] = direction{worse: worse, finding: finding{Standing: statespace.Standing{Beyond: judge.BeyondFrom}}}
	}
	v := judge.Verdict{Metrics: make([]judge.MetricVerdict, 4)}
	for i := range v.Metrics {
		v.Metrics[i] = judge.MetricVerdict{Outcome: judge.Inconclusive, Reason: judge.Undecided}
	}
	j.together(&v, found)
	for i := range v.Metrics {
		require.Equal(t, i == 2, v.Metrics[i].Outcome == judge.Fail, i)
	}
}

func TestAChanceIsBelowOneAndThereIsAMetric(t *testing.T) {
	errs := func(chance float64, metrics ...judge.Metric) string {
		if err := check(judge.Settings{FalseRollback: chance, FalseAdvance: 0.1, Metrics: metrics}); err != nil {
			return err.Error()
		}
		return ""
	}
	require.NotContains(t, errs(1e-12), "not a chance")
	require.Contains(t, errs(1), "falseRollback 1: not a chance between 0 and 1")
	require.Contains(t, errs(0.05), "0 metrics: there have to be 1 to 1024")
	require.Contains(t, errs(0.05, make([]judge.Metric, mostMetrics+1)...), "1025 metrics")
}

func TestWhatIsReadMayEndWithTheText(t *testing.T) {
	r := reader{b: []byte{3, 'a', 'b', 'c'}}
	var text string
	r.text(&text, 10)
	require.False(t, r.failed)
	require.Equal(t, "abc", text)
	r.uvarint()
	require.True(t, r.failed, "there is nothing left")
	var n int64
	r = reader{}
	r.int(&n)
	require.True(t, r.failed)
}

func TestEvidenceOfAnEarlierFormMayBeNothingButItsHead(t *testing.T) {
	j := &Judge{}
	e, err := j.Decode(append([]byte(magic+"\x01"), make([]byte, 8)...))
	require.NoError(t, err)
	require.True(t, e.(*evidence).again)
	_, err = j.Decode(append([]byte(magic+"\x01"), make([]byte, 7)...))
	require.ErrorIs(t, err, errMalformed)
}

func TestWhatIsPlannedAtTheBounds(t *testing.T) {
	j := &Judge{metrics: []metric{
		{Metric: judge.Metric{Name: "errors", Kind: judge.Counts, Margin: judge.Margin{Relative: 0.25}}, failsFrom: 3, passFrom: 3},
		{Metric: judge.Metric{Name: "slo", Kind: judge.Objective, Objective: 0.02, Margin: judge.Margin{Relative: 0.5}}, failsFrom: 3, passFrom: 3},
	}}
	pace := Pace{Canary: 100, Baseline: 100, Base: 0.01}
	p, err := j.Fails("errors", pace, 1.25)
	require.NoError(t, err)
	require.Zero(t, p.Gains, "at the margin it is not told from one that is within it")
	p, err = j.Fails("errors", pace, 1.5)
	require.NoError(t, err)
	require.Positive(t, p.Gains)
	p, err = j.Passes("slo", pace)
	require.NoError(t, err)
	require.InDelta(t, 100*poisson(0.01, 0.03), p.Gains, 1e-12)
	require.Zero(t, j.Rules("none", pace))
	require.Zero(t, j.Rules("errors", pace), "it has a margin")
	pace.Base = 0
	p, err = j.Passes("errors", pace)
	require.NoError(t, err)
	require.False(t, math.IsNaN(p.Gains))
}
