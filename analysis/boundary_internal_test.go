package analysis

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
)

func TestACountIsExactUpTo2To53(t *testing.T) {
	require.True(t, counts(0, mostCount))
	require.False(t, counts(mostCount+2))
	require.False(t, counts(-1))
	require.False(t, counts(math.NaN()))
}

func TestBoundsOfSeveralMetricsAreUnited(t *testing.T) {
	require.Equal(t, []float64{1, 2, 3}, union([]float64{1, 3}, []float64{2, 3}))
	require.Equal(t, []float64{2}, union(nil, []float64{2}))
}

func TestABucketBelowZeroIsDividedLogarithmically(t *testing.T) {
	h := Histogram{Count: 10, Buckets: []Bucket{{Lower: -8, Upper: -2, Count: 10}}}
	require.Equal(t, 5.0, h.AtMost(-4))
}

func TestABoundIsMatchedInAllItsDigits(t *testing.T) {
	require.Equal(t, `0\.250*`, boundPattern(0.25))
	require.Equal(t, `0\.000010*|1e-05`, boundPattern(1e-5))
}

func TestOfTwoBoundsThatAreEquallyNearTheLowerOneIsCountedBy(t *testing.T) {
	require.Equal(t, 1, nearestBound(Distribution{Bounds: []float64{1, 2, 4}, Nearest: 3}))
	require.Equal(t, 2, nearestBound(Distribution{Bounds: []float64{1, 2, 4}, Nearest: 5}))
}

func TestALabelValueHasAPlaceOfItsOwnUnlessItIsTooLong(t *testing.T) {
	d := byValue{}
	longest := strings.Repeat("a", longestValue)
	d.add(longest, 0, 1, 2)
	d.add(longest+"a", 0, 1, 3)
	require.Equal(t, 2.0, d[longest][0].Total)
	require.Equal(t, 3.0, d[others][0].Total)
}

func route(name string) Labels { return Labels{{Name: "route", Value: name}} }

func TestSlowRequestsOfANativeHistogramAreDividedByValue(t *testing.T) {
	p := Plan{bounds: [][]float64{{0.1}}}
	r := &reading{metric: Metric{Source: Slow{}, By: "route"}}
	main := &tally{series: []Series{{Labels: route("a")}, {Labels: route("b")}}, counts: []float64{10, 4}, below: [][]float64{{7}, {4}}}
	into := byValue{}
	p.divideSlow(r, &armInputs{bounds: []float64{0.1}}, main, into, 0)
	require.Equal(t, judge.Arm{Bad: 3, Total: 10}, into["a"][0])
	require.Equal(t, judge.Arm{Total: 4}, into["b"][0])
}

func TestAHistogramNeedsEveryBoundUnlessItHasNoSamples(t *testing.T) {
	p := Plan{inputs: []input{{text: "h_bucket"}}}
	check := func(have []float64, all bool) lack {
		next := NewCursor(epoch).clone()
		_, l := p.checkBounds(&armInputs{bounds: []float64{0.1, 0.2}}, judge.Arm{Cumulative: []float64{0, 0}}, have, all, &next)
		return l
	}
	require.Empty(t, check(nil, false), "it is live, and nothing was scraped")
	require.Empty(t, check([]float64{0.1, 0.2}, true))
	require.Equal(t, "h_bucket has no bucket with the bound 0.1; there are none", check(nil, true).detail)
	require.Equal(t, "h_bucket has no bucket with the bound 0.2; there are 0.1", check([]float64{0.1}, true).detail)
}

func TestABoundThatIsNotInTheBaselinesHistogramIsNoticed(t *testing.T) {
	p := Plan{inputs: []input{{text: "h_bucket"}, {text: "h_bucket"}}, metrics: []reading{{
		metric: Metric{Name: "slow"}, canary: armInputs{main: 0, bounds: []float64{0.1}}, baseline: armInputs{main: 1, bounds: []float64{0.1}},
	}}}
	classic := func(bounds ...string) Answer {
		var a Answer
		for _, le := range append(bounds, "+Inf") {
			a.Series = append(a.Series, Series{Labels: Labels{{Name: "le", Value: le}}, Samples: []Sample{{V: 1}}})
		}
		return a
	}
	native := Answer{Series: []Series{{Samples: []Sample{{H: &Histogram{}}}}}}
	other := classic("0.2", "0.3")
	mixed := Answer{Series: append(slices.Clone(native.Series), other.Series...)}
	wrong := []string{"slow: h_bucket has no bucket with the bound 0.1; there are 0.2, 0.3"}
	for name, c := range map[string]struct {
		baseline Answer
		wants    []string
	}{
		"it has other bounds":                  {other, wrong},
		"it has the bound":                     {classic("0.1", "0.3"), nil},
		"it has the bound in other digits":     {classic("0.10"), nil},
		"nothing was exported":                 {Answer{}, nil},
		"the source did not answer":            {Answer{Series: other.Series, Err: errNoAnswer}, nil},
		"a native histogram has every bound":   {native, nil},
		"one that is both has every bound too": {mixed, nil},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.wants, p.WrongBounds([]Answer{classic("7"), c.baseline}))
		})
	}
	require.Nil(t, p.WrongBounds(nil), "nothing was asked")
	require.Nil(t, p.WrongBounds([]Answer{other}), "the baseline was not asked")
	p.metrics[0].baseline.bounds = []float64{0.1, 0.4}
	require.Equal(t, wrong, p.WrongBounds([]Answer{classic("7"), other}), "one sentence says it")
	p.metrics[0].fixed, p.metrics[0].baseline = true, noInputs
	require.Equal(t, wrong, p.WrongBounds([]Answer{other}), "a metric with a fixed baseline has the canary's histogram only")
}

func TestAGaugeIsTheMeanOfItsFiniteValues(t *testing.T) {
	p := Plan{inputs: []input{{text: "queue"}}}
	arm, l := p.observeGauge(0, &tally{series: []Series{{}, {Samples: []Sample{{V: math.NaN()}}}, {Samples: []Sample{{V: 3}}}}})
	require.Empty(t, l)
	require.Equal(t, 3.0, arm.Value)
	_, l = p.observeGauge(0, &tally{hint: "there is queue_length"})
	require.Equal(t, "no live series of {} (there is queue_length)", l.detail)
	_, l = p.observeGauge(0, &tally{})
	require.Equal(t, "no live series of {}", l.detail)
	_, l = p.observeGauge(0, &tally{series: []Series{{Samples: []Sample{{V: math.Inf(1)}}}}})
	require.Equal(t, "queue has no finite value", l.detail)
}

func TestAMetricWithAFixedRateHidesNoMistakeOfAnother(t *testing.T) {
	same := Names{Service: "shop@file"}
	_, err := NewPlan(Definition{Metrics: []Metric{
		{Name: "slo", Source: TraefikErrors(), Baseline: Fixed{Rate: 0.01}}, errorsMetric(),
	}, Split: Split{Off: true}}, Arms{Canary: same, Baseline: same})
	require.ErrorContains(t, err, "metric errors")
}

func TestAFalseAlarmIsSharedByTheMetrics(t *testing.T) {
	p, err := NewPlan(Definition{Metrics: []Metric{errorsMetric(), {Name: "slo", Source: TraefikErrors(), Baseline: Fixed{Rate: 0.01}}}, Split: Split{Off: true, FalseAlarm: 0.01}}, arms)
	require.NoError(t, err)
	require.Equal(t, 0.005, p.falseAlarm)
}

func TestWhichVariableOfASelectorAnArmIsAskedBy(t *testing.T) {
	n := Names{Service: "shop@file", Vars: map[string][]string{"job": {"web"}, "zone": {"a"}}}
	for selector, want := range map[string]string{
		`x{job="${job}",service="${service}"}`: "service",
		`x{zone!="${service}",job="${job}"}`:   "job",
		`x{job="${job}"}`:                      "job",
		`x{zone=~"${zone}",job="${job}"}`:      "job",
		`x{zone="${zone}-${zone}"}`:            "",
		`x{zone="a${zone}"}`:                   "",
		`x{zone="plain"}`:                      "",
	} {
		s, err := parseSelector(selector)
		require.NoError(t, err)
		var in input
		require.NoError(t, in.bind(s, n))
		require.Equal(t, want, in.template.By, selector)
	}
}

func TestAClassicHistogramKeepsItsMatchersAndAsksForItsBuckets(t *testing.T) {
	p, err := NewPlan(Definition{Metrics: []Metric{{
		Name: "slow", Source: Slow{Histogram: `seconds_bucket{service="${service}",code="200"}`, SlowerThan: 300 * time.Millisecond},
	}}, Split: Split{Off: true}}, arms)
	require.NoError(t, err)
	require.Equal(t, `code="200",le=~"0\\.30*|\\+Inf"`, p.inputs[0].template.Matchers)
}

func TestAGaugeOfASelectorIsNoExpression(t *testing.T) {
	p, err := NewPlan(Definition{Metrics: []Metric{{Name: "queue", Source: Gauge{Query: `queue{service="${service}"}`}}}, Split: Split{Off: true}}, arms)
	require.NoError(t, err)
	require.Equal(t, "queue", p.inputs[0].template.Name)
	require.Empty(t, p.inputs[0].template.Expression)
}

func TestWhichMetricsNeedAPrometheus(t *testing.T) {
	d := Definition{Metrics: []Metric{
		{Name: "elsewhere", Source: Gauge{Query: "rate(x[5m])"}, From: "prometheus"},
		{Name: "plain", Source: Gauge{Query: `queue{pod="a"}`}},
		{Name: "computed", Source: Gauge{Query: "rate(x[5m])"}},
	}}
	out := d.NeedsPrometheus(func(from string) bool { return from == "" })
	require.Len(t, out, 1)
	require.Contains(t, out[0], "metric computed")
}

func TestMatchersNeedValidLabelNames(t *testing.T) {
	for _, label := range []string{"a-b", "__name__"} {
		_, err := EqualMatchers(map[string]string{label: "x"})
		require.ErrorContains(t, err, "is not the name of a label")
	}
}

func TestSeveralPatternsStandInOneValue(t *testing.T) {
	text, err := Names{Patterns: map[string]string{"pods": "a|b"}}.into("${pods}-${pods}", "=~")
	require.NoError(t, err)
	require.Equal(t, "(?:a|b)-(?:a|b)", text)
}

func TestAPlaceholderStandsInNoQuotedName(t *testing.T) {
	for _, text := range []string{`{"${service}"}`, `{a,"${service}"}`, `a="${service}"`} {
		_, err := Names{Service: "x"}.substituteExpression(text)
		require.ErrorContains(t, err, "and nowhere else", text)
	}
}

func TestLettersAndBytesOfSelectors(t *testing.T) {
	_, err := parseSelector("AZaz09")
	require.NoError(t, err)
	_, err = unquote(`"\x80"`)
	require.ErrorContains(t, err, "is not valid UTF-8")
}

func TestAnEarlierStandingIsEarlier(t *testing.T) {
	s := Standing{Settled: at(100)}.Earlier(time.Minute)
	require.Equal(t, at(40), s.Settled)
	require.True(t, s.Warm.IsZero())
}

func TestALookWithoutMetricsMayBeOfTheWarmUp(t *testing.T) {
	l := judge.Look{At: at(10), Length: 10 * time.Second}
	Standing{Warm: at(60)}.Mark(&l, nil)
	require.Equal(t, judge.WarmingUp, l.Excluded)
}

func TestACursorSurvivesEncoding(t *testing.T) {
	require.Equal(t, []byte{0}, appendValue(nil, 0), "most counters are small whole numbers")
	c := NewCursor(epoch).clone()
	c.asked[7] = asked{until: epoch.UnixMilli() - 5000, seen: epoch.UnixMilli() - 7000, answered: true}
	b, err := json.Marshal(c)
	require.NoError(t, err)
	var back Cursor
	require.NoError(t, json.Unmarshal(b, &back))
	require.Equal(t, c.asked, back.asked)
}

func TestAScrapingIsNamedByWhatScrapedAndByItsAddress(t *testing.T) {
	require.Equal(t, "instance=a:80,job=web", scraping(Labels{{Name: "instance", Value: "a:80"}, {Name: "job", Value: "web"}, {Name: "route", Value: "/cart"}}))
}

// Two series with one address and two jobs belong to two processes if another label differs as well.
func TestTwoProcessesAtOneAddressAreBothCounted(t *testing.T) {
	of := func(job, shard string, samples ...Sample) Series {
		return Series{Labels: Labels{{Name: "instance", Value: "a:80"}, {Name: "job", Value: job}, {Name: "shard", Value: shard}}, Samples: samples}
	}
	count := func() *counter {
		next := NewCursor(epoch).clone()
		return &counter{points: next.series, low: next.low, fallen: next.fallen, repeats: map[uint64]repeat{}}
	}
	sample := Sample{T: at(10).UnixMilli(), V: 5}
	skip, _ := count().repeated([]Series{of("x", "1", sample), of("y", "2", sample)})
	require.Equal(t, []bool{false, false}, skip)
	skip, who := count().repeated([]Series{of("x", "1", sample), of("y", "1", sample), of("x", "1")})
	require.Equal(t, []bool{false, true, false}, skip)
	require.Equal(t, "instance=a:80,job=y", who)
	for _, both := range [][]Series{ // if they were one process, no later sample would be lower than an earlier one
		{of("x", "1", Sample{T: at(60).UnixMilli(), V: 1}), of("y", "1", sample)},
		{of("x", "1", sample), of("y", "1", Sample{T: at(60).UnixMilli(), V: 1})},
	} {
		skip, _ = count().repeated(both)
		require.Equal(t, []bool{false, false}, skip)
	}
}

func TestEventsThatMayBeAbsentAreNotLookedForElsewhere(t *testing.T) {
	absent := Ratio{Bad: `failed_total{service="${service}"}`, Total: `requests_total{service="${service}"}`, AbsentZero: true}
	p, err := NewPlan(Definition{Metrics: []Metric{{Name: "errors", Source: absent}}, Split: Split{Off: true}}, arms)
	require.NoError(t, err)
	for _, in := range p.inputs {
		require.NotContains(t, in.text, "count(")
	}
}

func TestAHistoryIsAskedForWithTheSamplesBeforeIt(t *testing.T) {
	h, err := NewHistory(Definition{Metrics: []Metric{errorsMetric()}}, arms.Baseline)
	require.NoError(t, err)
	require.Equal(t, at(0).Add(-HistoryPart-Stale), h.Asks(at(0))[0].From)
}

func TestAnArmThatLacksAVariableKeepsNoQueryFromTheOther(t *testing.T) {
	orders := Metric{Name: "orders", Source: Ratio{Bad: `failed_total{arm="${arm}"}`, Total: `orders_total{arm="${arm}"}`}}
	out := Queries(Definition{Metrics: []Metric{orders}}, Arms{Baseline: Names{Vars: map[string][]string{"arm": {"baseline"}}}})
	require.Len(t, out, 1)
	require.Equal(t, "baseline", out[0].Arm)
}

func TestSamplesThatCannotBeCountsAreReported(t *testing.T) {
	p, err := NewPlan(Definition{Metrics: []Metric{errorsMetric()}, Split: Split{Off: true}}, arms)
	require.NoError(t, err)
	_, l := looks(t, p, world{series: []made{series(ok200, "-5:100 5:NaN 8:110"), series(stable, "-5:100 5:110")}}, 10)
	require.Contains(t, l[0].Observations[0].Detail, "1 samples of")
	require.Contains(t, l[0].Observations[0].Detail, "are no counts")
}

func TestWhichMetricsAreOfUsersWhoKeepTheirVersion(t *testing.T) {
	latency := Distribution{Histogram: `seconds_bucket{service="${service}"}`, Bounds: []float64{0.1, 0.3}}
	d := Definition{Metrics: []Metric{
		errorsMetric(), {Name: "latency", Source: latency}, {Name: "queue", Source: Gauge{Query: "queue"}},
		{Name: "slo", Source: TraefikErrors(), Baseline: Fixed{Rate: 0.01}}, {Name: "yesterday", Source: TraefikErrors(), Baseline: Offset{By: time.Hour}},
		{Name: "users", Source: TraefikErrors(), Clusters: "user"},
	}}
	for _, users := range []bool{false, true} {
		d.ByUsers = users
		var sticky []string
		for _, m := range d.Judge(1).Metrics {
			if m.Sticky {
				sticky = append(sticky, m.Name)
			}
		}
		if !users {
			require.Empty(t, sticky)
			continue
		}
		require.Equal(t, []string{"errors", "latency"}, sticky)
	}
}
