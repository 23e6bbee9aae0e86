package analysis

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
)

// sums adds up looks at an exposure: canary and baseline of each.
func sums(looks ...[2]float64) (d divided) {
	for _, l := range looks {
		d.add(l[0], l[1])
	}
	return d
}

// The expected numbers come from the same formulas in Python.
func TestHowExposuresDivideAndHowSureThatIs(t *testing.T) {
	for name, c := range map[string]struct {
		looks        [][2]float64
		at, variance float64
	}{
		"bursts make it less sure":                              {[][2]float64{{0, 100}, {60, 140}, {2, 98}, {50, 150}, {1, 99}, {40, 120}}, -1.5280370624901407, 0.4187217842755188},
		"looks that are more even than chance make it no surer": {[][2]float64{{10, 90}, {20, 180}, {10, 90}, {20, 180}, {10, 90}, {16, 144}}, -2.1920732459190897, 0.012851849225866399},
		"one look says nothing of bursts":                       {[][2]float64{{10, 90}}, -2.1539745935424026, 0.10628781899500131},
		"empty looks say nothing of bursts":                     {[][2]float64{{0, 0}, {10, 90}, {0, 0}}, -2.1539745935424026, 0.10628781899500131},
		"nobody on the canary":                                  {[][2]float64{{0, 50}, {0, 70}}, -5.484796933490655, 2.008298755186722},
		"nobody on the baseline":                                {[][2]float64{{50, 0}, {70, 0}}, 5.484796933490655, 2.008298755186722},
	} {
		t.Run(name, func(t *testing.T) {
			at, variance := sums(c.looks...).logOdds()
			require.InEpsilon(t, c.at, at, 1e-12)
			require.InEpsilon(t, c.variance, variance, 1e-12)
		})
	}
}

// The expected numbers come from the same formulas in Python.
func TestTheEvidenceOfAContradiction(t *testing.T) {
	six := func(canary, baseline float64) divided {
		l := [2]float64{canary, baseline}
		return sums(l, l, l, l, l, l)
	}
	for name, c := range map[string]struct {
		e               exposure
		weight          float64
		ratio, evidence float64
	}{
		"against requests of a minute":           {exposure{six(40, 60), six(10, 90), 60}, 0.1, 5.960053186001995, 24.342693394089814},
		"of six minutes, so that less is chance": {exposure{six(40, 60), six(10, 90), 360}, 0.1, 5.960053186001995, 31.488327986582313},
		"against the weight":                     {exposure{Mine: six(40, 60), Seconds: 360}, 0.1, 6.004160887656032, 98.69050974622697},
		"the other way round":                    {exposure{six(10, 90), six(40, 60), 360}, 0.1, 1 / 5.960053186001995, 31.488327986582313},
	} {
		t.Run(name, func(t *testing.T) {
			got := c.e.contradiction(c.weight, 1e-3)
			require.NotNil(t, got)
			require.InEpsilon(t, c.ratio, got.Ratio, 1e-9)
			require.InEpsilon(t, c.evidence, got.Evidence, 1e-9)
			require.InEpsilon(t, 7.600902459542082, got.AlarmFrom, 1e-12)
			require.Nil(t, c.e.contradiction(c.weight, 2*math.Exp(-c.evidence)/1.01), "not for an alarm that has to be rarer")
		})
	}
	l := [2]float64{60, 40}
	require.NotNil(t, exposure{Mine: sums(l, l, l, l, l), Seconds: 50}.contradiction(0.2, 1e-3), "five looks are enough to know of bursts")
	require.Nil(t, exposure{Mine: sums(l, l, l, l), Seconds: 40}.contradiction(0.2, 1e-3), "four are not")
	require.Nil(t, exposure{Mine: six(140, 900), Theirs: six(100, 900), Seconds: 1e6}.contradiction(0.1, 1e-3), "versions may differ by as much")
}

func TestLooksWithoutRequestsAddNothingWhereRequestsWereSeen(t *testing.T) {
	o := &judge.Observation{Canary: judge.Arm{Total: 10}, Baseline: judge.Arm{Total: 90}}
	requests := &judge.Requests{Canary: 20, Baseline: 180}
	alone := exposure{}.plus(o, nil, 10*time.Second)
	require.Equal(t, exposure{Mine: sums([2]float64{10, 90}), Seconds: 10}, alone)
	both := alone.plus(o, requests, 10*time.Second)
	require.Equal(t, exposure{sums([2]float64{10, 90}), sums([2]float64{20, 180}), 10}, both, "what was seen without them does not count")
	require.Equal(t, both, both.plus(o, nil, 10*time.Second))
	require.Equal(t, exposure{}, exposure{}.plus(o, &judge.Requests{}, 10*time.Second), "nobody has come yet")
}
