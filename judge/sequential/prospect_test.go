package sequential_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/judge/sequential"
)

// The rates of evidence are worked out by hand from the mean log likelihood ratio: of two Poisson counts given their
// sum, which is binomial, and of one Poisson count against a known rate.
func TestHowMuchEvidenceASecondBrings(t *testing.T) {
	absolute := ratio("absolute")
	absolute.Margin = judge.Margin{Relative: 0.1, Absolute: 0.02}
	objective := judge.Metric{
		Name: "objective", Kind: judge.Objective, Objective: 0.01, Weight: 1, Noise: 0.3, Direction: judge.Increase, Margin: judge.Margin{Relative: 0.25},
	}
	j := newJudge(t, settings(nil, ratio("errors"), absolute, objective))
	binomial := func(events, is, supposed float64) float64 {
		return events * (is*math.Log(is/supposed) + (1-is)*math.Log((1-is)/(1-supposed)))
	}
	poisson := func(is, supposed float64) float64 { return is*math.Log(is/supposed) - is + supposed }
	half := pace(100, 0.5, 0.01) // 50 requests a second in each arm
	for name, c := range map[string]struct {
		metric string
		pace   sequential.Pace
		ratio  float64
		want   float64
	}{
		// At a ratio of 10 there are 5 and 0.5 errors a second, of which a canary without a difference would have half.
		"ten times as many errors, against none more":      {"errors", half, 10, binomial(5.5, 10.0/11, 0.5)},
		"an objective compares the canary's rate alone":    {"objective", half, 10, 50 * poisson(0.1, 0.01)},
		"below the margin nothing counts":                  {"errors", half, 1.1, 0},
		"an absolute margin counts if it is the wider one": {"absolute", half, 2.9, 0},
		"a canary without requests":                        {"errors", sequential.Pace{Baseline: 50, Base: 0.01, Learned: true}, 10, 0},
		"a baseline without requests":                      {"errors", sequential.Pace{Canary: 50, Base: 0.01, Learned: true}, 10, 0},
		"a service without errors":                         {"errors", sequential.Pace{Canary: 50, Baseline: 50, Learned: true}, 10, 0},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := j.Fails(c.metric, c.pace, c.ratio)
			require.NoError(t, err)
			require.InDelta(t, c.want, p.Gains, 1e-9)
			require.Positive(t, p.Needs)
		})
	}
	p, err := j.Fails("absolute", half, 3.1)
	require.NoError(t, err)
	require.Positive(t, p.Gains, "2% more than 1% are three times as many")
}

func TestWithoutLearnedNoiseADecisionTakesLonger(t *testing.T) {
	j := newJudge(t, settings(nil, ratio("errors")))
	learned := pace(100, 0.5, 0.01)
	supposed := learned
	supposed.Learned = false
	for name, prospect := range map[string]func(sequential.Pace) (sequential.Prospect, error){
		"to fail":                func(p sequential.Pace) (sequential.Prospect, error) { return j.Fails("errors", p, 10) },
		"to fail a little worse": func(p sequential.Pace) (sequential.Prospect, error) { return j.Fails("errors", p, 1.5) },
		"to pass":                func(p sequential.Pace) (sequential.Prospect, error) { return j.Passes("errors", p) },
	} {
		t.Run(name, func(t *testing.T) {
			a, err := prospect(learned)
			require.NoError(t, err)
			b, err := prospect(supposed)
			require.NoError(t, err)
			require.InEpsilon(t, 2.5/1.2, b.Needs/a.Needs, 1e-9)
			require.InDelta(t, a.Gains, b.Gains, 0, "the same requests")
		})
	}
}

func TestADifferenceNearTheMarginWaitsUntilItIsDistinguishedFromIt(t *testing.T) {
	j := newJudge(t, settings(nil, ratio("errors")))
	margin := 1 + ratio("errors").Margin.Relative
	var before time.Duration
	for _, effect := range []float64{10, 5, 2, 1.5, margin * 1.05} {
		p, err := j.Fails("errors", pace(1000, 0.5, 0.01), effect)
		require.NoError(t, err)
		took, ok := p.Time()
		require.True(t, ok, effect)
		require.Greater(t, took, before, "the smaller the difference, the longer: %v", effect)
		before = took
	}
	far, err := j.Fails("errors", pace(1000, 0.5, 0.01), 10)
	require.NoError(t, err)
	near, err := j.Fails("errors", pace(1000, 0.5, 0.01), margin*1.05)
	require.NoError(t, err)
	require.InDelta(t, (judge.BeyondFrom+math.Ln2)*1.2, near.Needs, 1e-9, "by the odds against its margin")
	require.Greater(t, far.Needs, near.Needs, "by the evidence against no difference, which also pays for its search")
}

func TestADecisionThatTakesMoreThanAYearIsNotExpected(t *testing.T) {
	const year = 365 * 24 * 3600.0
	for name, c := range map[string]struct {
		p    sequential.Prospect
		want time.Duration
		ok   bool
	}{
		"a year":          {sequential.Prospect{Needs: year, Gains: 1}, year * time.Second, true},
		"a little longer": {sequential.Prospect{Needs: year + 1, Gains: 1}, 0, false},
		"never":           {sequential.Prospect{Needs: 1}, 0, false},
		"nothing to do":   {sequential.Prospect{}, 0, false},
		"ten seconds":     {sequential.Prospect{Needs: 5, Gains: 0.5}, 10 * time.Second, true},
	} {
		got, ok := c.p.Time()
		require.Equal(t, c.ok, ok, name)
		require.Equal(t, c.want, got, name)
	}
}
