package sequential

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
)

func TestWhereAQuantileIsBetweenTheBounds(t *testing.T) {
	for name, c := range map[string]struct {
		bounds, atMost []float64
		of             float64
		value          float64
		beyond         bool
	}{
		"in proportion":                      {[]float64{1, 2, 4}, []float64{2, 4, 10}, 0.7, 3, false},
		"below the first, from zero on":      {[]float64{1, 2}, []float64{8, 10}, 0.4, 0.5, false},
		"below a first that is below zero":   {[]float64{-1, 2}, []float64{8, 10}, 0.4, -1, false},
		"at a bound":                         {[]float64{1, 2}, []float64{5, 10}, 0.5, 1, false},
		"at the last":                        {[]float64{1, 2}, []float64{3, 5}, 0.5, 2, false},
		"beyond the last":                    {[]float64{1, 2}, []float64{3, 4}, 0.5, 2, true},
		"no request is between two of them":  {[]float64{1, 2, 3}, []float64{4, 4, 10}, 0.5, 2 + 1.0/6, false},
		"all are at most as long as a bound": {[]float64{1, 2, 3}, []float64{0, 10, 10}, 0.5, 1.5, false},
	} {
		band := (&metric{Metric: judge.Metric{Bounds: c.bounds}}).band(c.atMost, 10, c.of)
		require.InDelta(t, c.value, band.Value, 1e-12, name)
		require.Equal(t, c.beyond, band.Beyond, name)
		require.Zero(t, band.Lower, name)
		require.Zero(t, band.Upper, "%s: of ten requests nothing is sure", name)
	}
}

// The mixture of binomial likelihoods is worked out as a product, request by request: each is at most as long with the share
// of those before it, to which the supposed ones are added.
func TestABandBeginsAndEndsWhereTheEvidenceIsEnough(t *testing.T) {
	evidence := func(k, n int, share float64) float64 {
		e := 0.0
		for i := range n {
			if i < k {
				e += math.Log((quantileMind*share + float64(i)) / (quantileMind + float64(i)) / share)
			} else {
				e += math.Log((quantileMind*(1-share) + float64(i-k)) / (quantileMind + float64(i)) / (1 - share))
			}
		}
		return e
	}
	for _, share := range quantiles {
		for _, n := range []int{1, 30, 400} {
			for k := range n + 1 {
				require.Equal(t, evidence(k, n, share) >= math.Log(20), surelyNot(float64(k), float64(n), share), "%d of %d against %v", k, n, share)
			}
		}
	}
	m := metric{Metric: judge.Metric{Bounds: []float64{1, 2, 3, 4, 5}}}
	band := m.band([]float64{10, 20, 200, 380, 390}, 400, 0.5)
	require.Equal(t, judge.QuantileBand{Value: 3, Lower: 2, Upper: 4}, band)
}

func TestQuantilesAreOfArmsWithRequests(t *testing.T) {
	m := metric{Metric: judge.Metric{Kind: judge.Histogram, Bounds: []float64{1, 2}}, questions: []question{{bound: 0}, {bound: 1}}}
	of := func(rows ...row) []judge.Quantile {
		var r record
		for _, total := range rows {
			r.comparisons = append(r.comparisons, comparison{total: total})
		}
		return m.quantilesOf(&r)
	}
	require.Nil(t, of(row{0, 0, 5, 10}, row{0, 0, 0, 10}))
	require.Nil(t, of(row{5, 10, 0, 0}, row{0, 10, 0, 0}))
	got := of(row{5, 10, 8, 10}, row{0, 10, 3, 10})
	require.Len(t, got, len(quantiles))
	require.InDelta(t, 1, got[0].Canary.Value, 1e-12)
	require.InDelta(t, 1.6, got[0].Baseline.Value, 1e-12, "2 of 10 are at most 1, 7 at most 2")
}

func TestWhichRequestsTellHowAGatewaySplits(t *testing.T) {
	for name, c := range map[string]struct {
		requests judge.Requests
		weight   float64
		counts   bool
	}{
		"some of both":                {judge.Requests{Canary: 10, Baseline: 90}, 0.2, true},
		"only the baseline's":         {judge.Requests{Baseline: 90}, 0.2, true},
		"only the canary's":           {judge.Requests{Canary: 90}, 0.2, true},
		"none":                        {judge.Requests{}, 0.2, false},
		"the least weight":            {judge.Requests{Canary: 10, Baseline: 90}, leastShare, true},
		"below it":                    {judge.Requests{Canary: 10, Baseline: 90}, leastShare / 2, false},
		"the most":                    {judge.Requests{Canary: 10, Baseline: 90}, 1 - leastShare, true},
		"all of the traffic":          {judge.Requests{Canary: 10, Baseline: 90}, 1, false},
		"the canary's are no count":   {judge.Requests{Canary: -1, Baseline: 90}, 0.2, false},
		"the baseline's are no count": {judge.Requests{Canary: 10, Baseline: math.Inf(1)}, 0.2, false},
	} {
		var s split
		s.add(c.requests, c.weight, 10)
		s.add(c.requests, c.weight, 20)
		require.Equal(t, c.counts, s.seconds == 30, name)
		if !c.counts {
			require.Zero(t, s, name)
			continue
		}
		require.Equal(t, 2*c.requests.Canary, s.canary, name)
		require.Equal(t, 2*c.requests.Baseline, s.baseline, name)
	}
	var s split
	s.add(judge.Requests{Canary: 28, Baseline: 72}, 0.2, 10)
	require.InDelta(t, 2, s.spread.levels[0].before, 1e-12, "8 more than 20, where 4 is a standard deviation")
}

// The numbers are those of the normal mixture in the comment of split: with the variance v of the log odds and 1 supposed for
// those of a wrong split, log(v/(v+1))/2 + z²/2 (1/v - 1/(v+1)).
func TestHowSureItIsThatAGatewaySplitsWrong(t *testing.T) {
	by := judge.Split{Noise: 0.02, FalseAlarm: 0.001, Tolerance: 0.25}
	evidence := func(z, v float64) float64 { return math.Log(v/(v+1))/2 + z*z/2*(1/v-1/(v+1)) }
	more := split{canary: 300, baseline: 700, seconds: 600}
	z := math.Log(300.5 / 700.5 * 4)
	v := more.verdict(by, 0.2)
	require.InDelta(t, evidence(z, 1/160.0+0.0004*0.15), v.More, 1e-9)
	require.Zero(t, v.Fewer)
	require.InDelta(t, math.Exp(z), v.Ratio, 1e-12)
	require.InDelta(t, math.Log(2000), v.AlarmFrom, 1e-12)
	require.True(t, v.Alarm)
	require.Equal(t, []float64{0.3, 0.2, 300, 700}, []float64{v.Share, v.Weight, v.Canary, v.Baseline})

	by.Tolerance = math.Abs(v.Ratio - 1)
	require.True(t, more.verdict(by, 0.2).Alarm, "it is just as far off as is not tolerated")
	by.Tolerance *= 1.001
	require.False(t, more.verdict(by, 0.2).Alarm)

	brief := split{canary: 100, baseline: 900, seconds: 30}
	v = brief.verdict(by, 0.2)
	require.InDelta(t, evidence(math.Log(100.5/900.5*4), 1/160.0+0.0004), v.Fewer, 1e-9, "what comes and goes has not had its time")
	require.Zero(t, v.More)

	restless := more // its looks have 8 times the variance that chance makes
	restless.spread.levels[0] = level{squares: 8 * 98, count: 96}
	v = restless.verdict(by, 0.2)
	require.InDelta(t, evidence(z, (2+8*98)/98.0/160+0.0004*0.15), v.More, 1e-9)

	even := split{canary: 500, baseline: 500, seconds: 600}
	v = even.verdict(by, 0.5)
	require.Negative(t, v.More)
	require.Zero(t, v.Fewer, "neither more nor fewer counts as not more")
	require.False(t, v.Alarm)
	require.Nil(t, (&split{}).verdict(by, 0.5))
}
