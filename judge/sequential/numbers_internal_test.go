package sequential

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
)

func TestHowTheBoundsOfAHistogramShareTheEvidence(t *testing.T) {
	for name, c := range map[string]struct {
		bounds    []float64
		objective float64
		want      []float64
	}{
		"no objective is given":          {[]float64{1, 2, 3, 4}, 0, []float64{0.25, 0.25, 0.25, 0.25}},
		"one bound":                      {[]float64{1}, 5, []float64{1}},
		"the objective is a bound":       {[]float64{1, 2, 4}, 2, []float64{0.25, 0.5, 0.25}},
		"it is nearest to the last":      {[]float64{1, 2, 4}, 9, []float64{0.25, 0.25, 0.5}},
		"as near to two of them":         {[]float64{1, 2, 4}, 3, []float64{0.25, 0.5, 0.25}},
		"nearer to the one that is more": {[]float64{1, 2, 4}, 3.1, []float64{0.25, 0.25, 0.5}},
	} {
		require.Equal(t, c.want, shares(c.bounds, c.objective), name)
	}
}

func TestWhichNumbersAreCounted(t *testing.T) {
	for _, x := range []float64{0, leastCount, 1.5, mostCount} {
		require.True(t, isCount(x), x)
	}
	for _, x := range []float64{leastCount / 2, 2 * mostCount, -1, math.Inf(1)} {
		require.False(t, isCount(x), x)
	}
	require.False(t, isCount(math.NaN()))
	require.Equal(t, leastValue, value(leastValue))
	require.Equal(t, -leastValue, value(-leastValue))
	require.Zero(t, value(leastValue/2))
	gauge := metric{Metric: judge.Metric{Kind: judge.Gauge}}
	require.True(t, gauge.usable(judge.Arm{Value: mostValue}))
	require.True(t, gauge.usable(judge.Arm{Value: -mostValue}))
	require.False(t, gauge.usable(judge.Arm{Value: 2 * mostValue}))
	require.False(t, gauge.usable(judge.Arm{Value: math.NaN()}))
}

func TestOnlyValuesWithAnAbsoluteMarginAreRaised(t *testing.T) {
	of := func(kind judge.Kind, relative, absolute float64) float64 {
		m := metric{Metric: judge.Metric{Kind: kind, Margin: judge.Margin{Relative: relative, Absolute: absolute}}}
		return m.raised()
	}
	require.Equal(t, 8.0, of(judge.Gauge, 0.25, 2))
	require.Zero(t, of(judge.Gauge, 0.25, 0))
	require.Zero(t, of(judge.Gauge, 0, 0))
	require.Zero(t, of(judge.Counts, 0.25, 0.5))
	require.Equal(t, 8.0, of(judge.Mean, 0.25, 2), "each value of a mean is, too")
	require.Zero(t, of(judge.Mean, 0, 0))
	mean := metric{Metric: judge.Metric{Kind: judge.Mean, Margin: judge.Margin{Relative: 0.25, Absolute: 2}}}
	require.Equal(t, [2]float64{50 + 8*10, 10}, mean.sums(question{}, judge.Arm{Bad: 50, Total: 10}))
}

func TestHowMuchOfTheCanaryHasStartedWithinALook(t *testing.T) {
	for name, c := range map[string]struct {
		replicas []judge.Replica
		share    float64
		known    bool
	}{
		"replicas are not told apart": {nil, 0, false},
		"a young one and an old one":  {[]judge.Replica{{Age: 3, Total: 30}, {Age: 300, Total: 70}}, 0.3, true},
		"two young ones":              {[]judge.Replica{{Age: 3, Total: 30}, {Age: 5, Total: 20}, {Age: 300, Total: 50}}, 0.5, true},
		"as old as the look is long":  {[]judge.Replica{{Age: 10, Total: 30}, {Age: 10.1, Total: 70}}, 0.3, true},
		"all of them":                 {[]judge.Replica{{Age: 3, Total: 30}}, 1, true},
		"without requests":            {[]judge.Replica{{Age: 3}, {Age: 300}}, 0, false},
		"with what is no count":       {[]judge.Replica{{Age: 3, Total: 30}, {Age: 300, Total: -1}}, 0, false},
	} {
		share, known := started(&judge.Look{Length: 10 * time.Second, Replicas: c.replicas})
		require.Equal(t, c.known, known, name)
		require.InDelta(t, c.share, share, 1e-12, name)
	}
}

func TestAnArmIsSilentWhereSomeRequestsShouldHaveCome(t *testing.T) {
	const had, rare = 9.0, 1.0
	for name, c := range map[string]struct {
		canary, baseline    float64 // of this look
		sum, quiet, elapsed float64 // of the canary until now
		silent              bool
	}{
		"both have some":                  {had, had, 60, 0, 600, false},
		"five are missing":                {0, had, 60, 50, 600, true},
		"not quite five":                  {0, had, 60, 49, 600, false},
		"none came ever":                  {0, had, 0, 10, 10, true},
		"one in ten minutes":              {0, had, rare, 590, 600, false},
		"ten minutes without any":         {had, had, rare, quietLong, 1e5, true},
		"a little less than ten minutes":  {0, had, rare, quietLong - 1, 1e5, false},
		"the baseline's five are missing": {had, 0, 60, 50, 600, true},
	} {
		r := record{canary: judge.Totals{Total: c.sum}, baseline: judge.Totals{Total: c.sum}, quiet: c.quiet}
		o := judge.Observation{Canary: judge.Arm{Total: c.canary}, Baseline: judge.Arm{Total: c.baseline}}
		require.Equal(t, c.silent, r.silent(&o, c.elapsed), name)
	}
}

// The look itself belongs to the time in which requests are expected: one in ten seconds, and then none in ten.
func TestALookCountsTowardsTheTimeInWhichRequestsAreExpected(t *testing.T) {
	m := metric{Metric: judge.Metric{Name: "m", Kind: judge.Counts}, comparing: judge.Counts, questions: []question{{share: 1}}}
	r := record{comparisons: make([]comparison, 1), noise: noise{clusters: 1, incident: 45}}
	look := func(canary, elapsed float64) judge.Reason {
		l := judge.Look{Length: 10 * time.Second, Weight: 0.5, Observations: []judge.Observation{{Metric: "m", Canary: judge.Arm{Total: canary}, Baseline: judge.Arm{Total: 1}}}}
		reason, _ := m.count(&r, &l, 10, elapsed)
		return reason
	}
	require.Empty(t, look(1, 0))
	require.Empty(t, look(0, 10))
	require.Equal(t, 10.0, r.quiet)
	require.Empty(t, look(0, 20))
	require.Equal(t, 20.0, r.quiet)
}

func TestWhatALookAddsToTheSumsOfAnArm(t *testing.T) {
	for name, c := range map[string]struct {
		kind  judge.Kind
		arm   judge.Arm
		want  judge.Totals
		since float64
	}{
		"counts":           {judge.Counts, judge.Arm{Bad: 2, Total: 9}, judge.Totals{Bad: 3, Total: 10}, 10},
		"a gauge":          {judge.Gauge, judge.Arm{Value: 2.5}, judge.Totals{Bad: 3.5, Total: 2}, 2},
		"next to no value": {judge.Gauge, judge.Arm{Value: leastValue / 2}, judge.Totals{Bad: 1, Total: 2}, 2},
		"a histogram":      {judge.Histogram, judge.Arm{Cumulative: []float64{1}, Total: 9}, judge.Totals{Bad: 1, Total: 10}, 10},
	} {
		sum, since := judge.Totals{Bad: 1, Total: 1}, 1.0
		(&metric{Metric: judge.Metric{Kind: c.kind}}).total(&sum, &since, c.arm)
		require.Equal(t, c.want, sum, name)
		require.Equal(t, c.since, since, name)
	}
}

func TestWhereAValueHasItsPlace(t *testing.T) {
	m := metric{Metric: judge.Metric{By: "route", Values: 2}, questions: make([]question, 3)}
	var r record
	longest := strings.Repeat("x", mostText)
	for i, c := range []struct {
		value string
		at    int
	}{
		{longest + "x", 0}, // shares the place of those that have none
		{"", 0}, {longest, 1}, {"/", 2}, {longest, 1}, {"/late", 0}, {"/", 2},
	} {
		require.Equal(t, c.at, m.place(&r, c.value), i)
	}
	require.Len(t, r.parts, 3)
	require.Len(t, r.parts[2].comparisons, 3)
	r = record{}
	require.Equal(t, []int{0, 1, 2, 2}, []int{m.place(&r, "a"), m.place(&r, "b"), m.place(&r, "c"), m.place(&r, "d")})
	require.Empty(t, r.parts[2].value)
}

func TestWhatEachKindOfMetricTeaches(t *testing.T) {
	of := func(name string, kind judge.Kind, direction judge.Direction) judge.Metric {
		return judge.Metric{Name: name, Kind: kind, Direction: direction, Objective: 0.5, Weight: 1, Noise: 0.3, Margin: judge.Margin{Relative: 0.25}}
	}
	j, err := New(judge.Settings{FalseRollback: 0.01, FalseAdvance: 0.05, Metrics: []judge.Metric{
		of("memory", judge.Gauge, judge.Increase), of("slo", judge.Objective, judge.Increase), of("errors", judge.Counts, judge.Either),
	}})
	require.NoError(t, err)
	e := j.Begin(nil)
	for n := range 3 {
		e, _ = j.Look(e, judge.Look{Number: n + 1, At: time.Unix(60*int64(n), 0), Length: time.Minute, Weight: 0.5, Observations: []judge.Observation{
			{Metric: "memory", Canary: judge.Arm{Value: 2}, Baseline: judge.Arm{Value: 1}},
			{Metric: "slo", Canary: judge.Arm{Bad: 12, Total: 1000}},
			{Metric: "errors", Canary: judge.Arm{Bad: 12, Total: 1000}, Baseline: judge.Arm{Bad: 10, Total: 1000}},
		}})
	}
	learned := e.Learned()
	require.Len(t, learned, 1, "only counts of two arms do")
	require.Positive(t, learned["errors"].Apart, "of two directions with as many bad events the first one teaches")
}

func TestOfWhatIsTheSameTheFirstIsShown(t *testing.T) {
	either := newMetric(judge.Metric{Kind: judge.Counts, Direction: judge.Either}, 0.01, 1, 0.05)
	d := either.worst(&record{comparisons: make([]comparison, 2)})
	require.Zero(t, d.shown, "neither direction has any evidence")
	slow := newMetric(judge.Metric{Kind: judge.Histogram, Bounds: []float64{1, 2, 3}}, 0.01, 1, 0.05)
	d = slow.worst(&record{comparisons: make([]comparison, 3)})
	require.Zero(t, d.shown, "no bound has any evidence")

	routes := newMetric(judge.Metric{Kind: judge.Counts, By: "route", Values: 4, Noise: 0.3, Margin: judge.Margin{Relative: 0.25}}, 0.01, 1, 0.05)
	r := record{noise: suppose(&routes, nil), partNoise: suppose(&routes, nil), comparisons: make([]comparison, 1)}
	bad, good := judge.Arm{Bad: 300, Total: 1000}, judge.Arm{Bad: 10, Total: 1000}
	parts := []judge.Part{
		{Value: "/broken", Canary: judge.Arm{Bad: -1, Total: 1000}, Baseline: good}, // is left out
		{Value: "/missing", Canary: good, Baseline: judge.Arm{Missing: true}},
		{Value: "/a", Canary: bad, Baseline: good}, {Value: "/b", Canary: bad, Baseline: good},
	}
	for range 3 {
		routes.countParts(&r, parts, seen{seconds: 60, weight: 0.5})
	}
	require.Len(t, r.parts, 2)
	d = routes.worst(&r)
	require.Zero(t, d.part, "both routes have the same evidence")
	require.Greater(t, d.worse, 3.0)
}

func TestAPassRulesOutWhatIsMoreThanTheMargin(t *testing.T) {
	m := newMetric(judge.Metric{Kind: judge.Counts, Margin: judge.Margin{Relative: 0.25}}, 0.01, 1, 0.05)
	rules := func(most float64) float64 {
		v := m.describe(&record{noise: noise{rules: most}, comparisons: make([]comparison, 1)}, &direction{part: none, finding: finding{margin: 1.25}})
		return v.Rules
	}
	require.Equal(t, 1.5, rules(1.5))
	require.Zero(t, rules(1.25), "the margin itself is the margin")
}

func TestOnlyAMetricWithAnAbsoluteMarginHasAFloor(t *testing.T) {
	stored := map[float64]int{}
	for _, absolute := range []float64{0, 0.001} {
		j, err := New(judge.Settings{FalseRollback: 0.01, FalseAdvance: 0.05, Metrics: []judge.Metric{{
			Name: "m", Kind: judge.Counts, Weight: 1, Noise: 0.3, Margin: judge.Margin{Relative: 0.25, Absolute: absolute},
		}}})
		require.NoError(t, err)
		e := j.Begin(nil)
		for n := range 3 {
			e, _ = j.Look(e, judge.Look{Number: n + 1, At: time.Unix(60*int64(n), 0), Length: time.Minute, Weight: 0.5, Observations: []judge.Observation{
				{Metric: "m", Canary: judge.Arm{Bad: 12, Total: 1000}, Baseline: judge.Arm{Bad: 10, Total: 1000}},
			}})
		}
		b, err := e.Encode()
		require.NoError(t, err)
		stored[absolute] = len(b)
		c, model := &e.(*evidence).records[0].comparisons[0], j.metrics[0].model(&e.(*evidence).records[0].noise)
		require.Equal(t, absolute == 0, c.floor == model.BeginFloor())
	}
	require.Less(t, stored[0], stored[0.001], "nothing is stored of what nobody asks")
}
