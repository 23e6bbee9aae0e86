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

func TestAGaugeOfOneArmAtZeroIsALook(t *testing.T) {
	for name, c := range map[string]struct {
		canary, baseline float64
		counts           bool
	}{
		"only the canary is at zero":   {0, 5, true},
		"only the baseline is at zero": {5, 0, true},
		"both are":                     {0, 0, false},
	} {
		compared := comparison{}
		compared.addGauge(&metric{Metric: judge.Metric{Kind: judge.Gauge, Noise: 0.3}}, &statespace.Look{Seconds: 10}, row{c.canary, 1, c.baseline, 1}, 10)
		require.Equal(t, c.counts, compared.spread.levels[0].some, name)
	}
}

func TestEvidenceLeansFromItsBoundsOn(t *testing.T) {
	ofFour := math.Log(4)
	require.Equal(t, judge.BeyondFrom, judge.BeyondFrom-ofFour+ofFour)
	for name, c := range map[string]struct {
		beyond, worse, before, after float64 // before, after: the probability of few users
		leans                        bool
	}{
		"at the odds that lean, with some evidence":                {judge.LeansFrom, 0.1, 0, 0, true},
		"at the odds that lean, without evidence":                  {judge.LeansFrom, 0, 0, 0, false},
		"below the odds that lean":                                 {judge.LeansFrom - 0.1, 9, 0, 0, false},
		"clear at once if users were many":                         {judge.BeyondFrom - ofFour, -1, 0, 0.75, true},
		"nearly clear if users were many":                          {judge.BeyondFrom - ofFour - 0.01, -1, 0, 0.75, false},
		"without evidence even if users were many":                 {judge.BeyondFrom, -ofFour, 0, 0.75, false},
		"few users were supposed from the start":                   {judge.BeyondFrom - ofFour, -1, 0.5, 0.75, false},
		"only few users can explain it, and they explain it all":   {-20, -20, 0, 1, true},
		"many users are likelier now than they were at the start":  {judge.BeyondFrom, 0.1, 0.75, 0, true}, // by the odds as they are
		"nothing but the change towards many users is against it":  {judge.BeyondFrom, 1, 0.99, 0, true},
		"odds that lean with what is against them if users are so": {judge.LeansFrom - 0.1, 1, 0.99, 0, false},
	} {
		d := direction{worse: c.worse, finding: finding{Standing: statespace.Standing{Beyond: c.beyond, Few: c.after}}}
		require.Equal(t, c.leans, d.leaning(c.before), name)
	}
}

func TestAMetricPassesFromItsEvidenceOn(t *testing.T) {
	m := metric{Metric: judge.Metric{Kind: judge.Counts, MinRequests: 1}, failsFrom: 5, passFrom: 3}
	r := record{canary: judge.Totals{Total: 100}, baseline: judge.Totals{Total: 100}}
	outcome := func(noWorse float64) judge.Outcome {
		o, _, _ := m.outcome(&r, &direction{noWorse: noWorse}, standing{}, 0)
		return o
	}
	require.Equal(t, judge.Pass, outcome(3))
	require.Equal(t, judge.Inconclusive, outcome(2.999))
}

func TestTheFloorHasLessToSayOnlyWhereTheRelativeMarginIsWider(t *testing.T) {
	m := metric{Metric: judge.Metric{Margin: judge.Margin{Relative: 0.5, Absolute: 0.25}}}
	require.Equal(t, 0.5, m.floorShare(&noise{rate: 0.5}), "both are the same")
	require.Equal(t, 0.05, m.floorShare(&noise{rate: 0.6}))
}

// The numbers are worked out from the formula in the comment of affords, by another program.
func TestWhatATimeAffords(t *testing.T) {
	half := []judge.Stretch{{Weight: 0.5, Seconds: 1200}}
	fifth := []judge.Stretch{{Weight: 0.2, Seconds: 1200}}
	for name, c := range map[string]struct {
		budget              []judge.Stretch
		events, base, users float64
		relative, arm, want float64
	}{
		"half of the traffic":                      {half, 0.3, 0.01, 0, 0.25, 0, 1.55},
		"a fifth of it":                            {fifth, 0.3, 0.01, 0, 0.25, 0, 1.75},
		"few users, a fifth of it":                 {fifth, 0.3, 0.01, 0.01, 0.25, 0, 3.25},
		"few users, at the weight of the end":      {[]judge.Stretch{{Weight: 0.5, Seconds: 600}, {Weight: 0.2, Seconds: 600}}, 0.3, 0.01, 0.01, 0.25, 0, 3.15},
		"it ends with all of the traffic":          {append(half[:1:1], judge.Stretch{Weight: 1}), 0.3, 0.01, 0, 0.25, 0, 1.55},
		"good versions differ by themselves":       {half, 0.3, 0.01, 0, 0.25, math.Sqrt(0.02), 2.1},
		"just the margin is the margin":            {half, 400.0 / 300, 0.01, 0, 0.25, 0, 0},
		"a wider margin is the margin":             {half, 0.3, 0.01, 0, 0.6, 0, 0},
		"no bad events come":                       {half, 0, 0.01, 0, 0.25, 0, 0},
		"it is not known what share they are":      {half, 0.3, 0, 0, 0.25, 0, 0},
		"no traffic at the canary in all the time": {[]judge.Stretch{{Weight: 0, Seconds: 1200}}, 0.3, 0.01, 0, 0.25, 0, 0},
	} {
		m := metric{Metric: judge.Metric{Kind: judge.Counts, Margin: judge.Margin{Relative: c.relative}}, passFrom: 3}
		model := statespace.Model{Clusters: 1, Users: c.users, Arm: c.arm}
		require.InDelta(t, c.want, m.affords(&model, c.budget, c.events, c.base), 1e-12, name)
	}
}

func TestAPassIsByATimeWhereThePastOfStableIsKnown(t *testing.T) {
	of := func(count float64) (p judge.Past) {
		for i := range p.Blocks {
			p.Blocks[i] = judge.Blocks{Squares: 20 * count, Variance: 20 * count, Weight: count, Fourth: count, Count: count}
		}
		return p
	}
	release, broken := of(100), of(100)
	release.Release, broken.Parts[0].Squares = true, -1
	for name, c := range map[string]struct {
		budgeted, learned bool
		past              judge.Past
		known             bool
	}{
		"a day":                       {true, true, of(100), true},
		"just enough":                 {true, true, of(enough), true},
		"one block too few":           {true, true, of(enough - 1), false},
		"that of a release":           {true, true, release, false},
		"with what cannot be":         {true, true, broken, false},
		"a margin is written":         {false, true, of(100), false},
		"nothing is learned of noise": {true, false, of(100), false},
	} {
		j := &Judge{settings: judge.Settings{Budget: []judge.Stretch{{Weight: 0.5, Seconds: 1200}}}}
		m := metric{Metric: judge.Metric{Kind: judge.Counts, Budgeted: c.budgeted, Margin: judge.Margin{Relative: 0.25}}, comparing: judge.Counts, passFrom: 3}
		rules := j.rules(&m, &noise{learned: c.learned, clusters: 1, rate: 0.01}, []judge.Past{c.past})
		require.Equal(t, c.known, rules > 1.25, name)
	}
}

func TestUsersAreAskedForWhereFewOfThemHoldAMetricBack(t *testing.T) {
	m := metric{Metric: judge.Metric{Kind: judge.Counts}, failsFrom: 5, passFrom: 3}
	needed := func(before, after, noWorse, weight float64) float64 {
		d := direction{noWorse: noWorse, finding: finding{margin: 1.25, Standing: statespace.Standing{Few: after}}}
		return m.usersNeeded(&record{noise: noise{few: before}}, &d, weight)
	}
	require.Positive(t, needed(0.5, fewHolds, 2.9, 0.5))
	require.Zero(t, needed(0.5, fewHolds-0.01, 2.9, 0.5), "it is not likely enough")
	require.Zero(t, needed(0, 1, 2.9, 0.5), "the arms are not divided by users")
	require.Zero(t, needed(0.5, 1, 3, 0.5), "it passes")
	require.Equal(t, needed(0.5, 1, 2.9, 1-leastShare), needed(0.5, 1, 2.9, 1))
}

func TestADryRunHidesNoFail(t *testing.T) {
	v := judge.Verdict{Metrics: []judge.MetricVerdict{{Metric: "a", Outcome: judge.Pass, DryRun: true}, {Metric: "b", Outcome: judge.Fail}}}
	conclude(&v)
	require.Equal(t, judge.Fail, v.Outcome)
}

func TestStoredNumbersKeepToTheirBounds(t *testing.T) {
	var x float64
	r := reader{b: []byte{5}} // one more than the number
	r.number(&x, 0, 3)
	require.True(t, r.failed)
	r = reader{b: []byte{5}}
	r.number(&x, 0, 4)
	require.False(t, r.failed)
	require.Equal(t, 4.0, x)
	r = reader{b: []byte{0, 0, 0, 0, 0, 0, 0, 0x40}} // 2
	r.bits(statespace.Number{At: &x, Hi: 1})
	require.True(t, r.failed)
	w, most := writer{}, float64(mostCount)
	w.number(&most, 0, mostSum)
	require.Len(t, w.b, 9, "what is no exact integer any more is written as its bits")
}

func TestAFailIsPlannedByWhatComesLast(t *testing.T) {
	j := &Judge{metrics: []metric{{Metric: judge.Metric{Name: "errors", Kind: judge.Counts, Margin: judge.Margin{Relative: 0.25}}, failsFrom: 20, passFrom: 3}}}
	pace := Pace{Canary: 100, Baseline: 100, Base: 0.01, Learned: true}
	evidence, odds := (20+statespace.Price(10))*pace.slower(), (judge.BeyondFrom+math.Ln2)*pace.slower()
	p, err := j.Fails("errors", pace, 10)
	require.NoError(t, err)
	require.InDelta(t, evidence, p.Needs, 1e-12, "ten times as bad is far from the margin")
	p, err = j.Fails("errors", pace, 1.26)
	require.NoError(t, err)
	require.InDelta(t, odds, p.Needs, 1e-12, "hardly more than the margin is hard to tell from it")
	for _, times := range []float64{1e-4, 1e4} { // of however many requests
		p, err = j.Fails("errors", Pace{Canary: 100 * times, Baseline: 100 * times, Base: 0.01, Learned: true}, 10)
		require.NoError(t, err)
		require.InDelta(t, evidence, p.Needs, 1e-12, times)
		p, err = j.Fails("errors", Pace{Canary: 100 * times, Baseline: 100 * times, Base: 0.01, Learned: true}, 1.26)
		require.NoError(t, err)
		require.InDelta(t, odds, p.Needs, 1e-12, times)
	}
}

func TestBlocksEndWithTheirLength(t *testing.T) {
	var b teaching
	b.add(60, 3, 1, 30)
	require.Zero(t, b.blocks.Count)
	b.add(60, 4, 1, 30-leastSeconds/2)
	require.Equal(t, 1.0, b.blocks.Count)
	require.Equal(t, 49.0, b.blocks.Squares)
	require.Zero(t, b.deviation)
	b.add(60, 1, 1, 60-leastSeconds)
	require.Equal(t, 2.0, b.blocks.Count, "a length that lacks no more than the least is whole")
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
	for i, worse := range []float64{99, 2, 2.5, 2.5} {
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

func TestWhichMetricsCanBeJudged(t *testing.T) { //nolint:funlen // a table
	ofKind := func(kind judge.Kind, change func(*judge.Metric)) judge.Metric {
		m := judge.Metric{Name: "m", Kind: kind, Margin: judge.Margin{Relative: 0.25}, Weight: 1, Noise: 0.3}
		if change != nil {
			change(&m)
		}
		return m
	}
	bounds := func(b ...float64) func(*judge.Metric) { return func(m *judge.Metric) { m.Bounds = b } }
	margin := func(relative, absolute float64) func(*judge.Metric) {
		return func(m *judge.Metric) { m.Margin = judge.Margin{Relative: relative, Absolute: absolute} }
	}
	by := func(values int) func(*judge.Metric) {
		return func(m *judge.Metric) { m.By, m.Values = "route", values }
	}
	objective := func(rate float64) func(*judge.Metric) { return func(m *judge.Metric) { m.Objective = rate } }
	many := make([]float64, mostBounds+1)
	for i := range many {
		many[i] = float64(i)
	}
	for name, c := range map[string]struct {
		metric judge.Metric
		wrong  string
	}{
		"counts":                               {ofKind(judge.Counts, nil), ""},
		"a rate of all":                        {ofKind(judge.Objective, objective(1)), ""},
		"the smallest rate":                    {ofKind(judge.Objective, objective(1e-12)), ""},
		"a rate above all":                     {ofKind(judge.Objective, objective(1.1)), "not a rate"},
		"a rate of nothing":                    {ofKind(judge.Objective, nil), "not a rate"},
		"no bound":                             {ofKind(judge.Histogram, nil), "0 bounds"},
		"as many bounds as there may be":       {ofKind(judge.Histogram, bounds(many[:mostBounds]...)), ""},
		"too many bounds":                      {ofKind(judge.Histogram, bounds(many...)), "bounds: there have to be"},
		"a bound that is no number":            {ofKind(judge.Histogram, bounds(math.NaN())), "finite and ascend"},
		"a bound without end":                  {ofKind(judge.Histogram, bounds(1, math.Inf(1))), "finite and ascend"},
		"a first bound without end":            {ofKind(judge.Histogram, bounds(math.Inf(-1))), "finite and ascend"},
		"a bound twice":                        {ofKind(judge.Histogram, bounds(1, 1)), "finite and ascend"},
		"bounds that ascend":                   {ofKind(judge.Histogram, bounds(-1, 0, 1)), ""},
		"a label of as many values as may be":  {ofKind(judge.Counts, by(mostValues)), ""},
		"a label of one value":                 {ofKind(judge.Counts, by(1)), ""},
		"a label of too many values":           {ofKind(judge.Counts, by(mostValues+1)), "is for counts of two arms"},
		"a label of no value":                  {ofKind(judge.Counts, by(0)), "is for counts of two arms"},
		"a label of a gauge":                   {ofKind(judge.Gauge, by(1)), "is for counts of two arms"},
		"a budget of counts":                   {ofKind(judge.Counts, func(m *judge.Metric) { m.Budgeted = true }), ""},
		"a budget of a gauge":                  {ofKind(judge.Gauge, func(m *judge.Metric) { m.Budgeted = true }), "budgeted"},
		"a budget for a goal":                  {ofKind(judge.Counts, func(m *judge.Metric) { m.Budgeted, m.Goal = true, true }), "budgeted"},
		"a margin below zero":                  {ofKind(judge.Counts, margin(-1, 0)), "not margins"},
		"a difference of all":                  {ofKind(judge.Counts, margin(0, 1)), ""},
		"a difference above all":               {ofKind(judge.Counts, margin(0.25, 1.1)), "not margins"},
		"a gauge's difference":                 {ofKind(judge.Gauge, margin(1e-3, 5)), ""},
		"a gauge's difference alone":           {ofKind(judge.Gauge, margin(0, 5)), "not margins"},
		"a mean's difference":                  {ofKind(judge.Mean, margin(1e-3, 5)), ""},
		"a mean's difference alone":            {ofKind(judge.Mean, margin(0, 5)), "not margins"},
		"a gauge without any margin":           {ofKind(judge.Gauge, margin(0, 0)), ""},
		"counts with hardly a relative margin": {ofKind(judge.Counts, margin(0, 0.5)), ""},
		"noise without end":                    {ofKind(judge.Counts, func(m *judge.Metric) { m.Noise = math.Inf(1) }), "not numbers"},
		"requests below zero":                  {ofKind(judge.Counts, func(m *judge.Metric) { m.MinRequests = -1 }), "not numbers"},
		"a nearest bound that is no number":    {ofKind(judge.Counts, func(m *judge.Metric) { m.Nearest = math.NaN() }), "not numbers"},
		"a nearest bound without end":          {ofKind(judge.Counts, func(m *judge.Metric) { m.Nearest = math.Inf(1) }), "not numbers"},
		"a weight of nothing":                  {ofKind(judge.Counts, func(m *judge.Metric) { m.Weight = 0 }), "weight 0"},
	} {
		t.Run(name, func(t *testing.T) {
			errs := checkMetric(c.metric)
			if c.wrong == "" {
				require.Empty(t, errs)
				return
			}
			require.Len(t, errs, 1)
			require.ErrorContains(t, errs[0], c.wrong)
		})
	}
}

func TestTheSplitsNoiseAndToleranceAreShares(t *testing.T) {
	good := judge.Metric{Name: "m", Kind: judge.Counts, Margin: judge.Margin{Relative: 0.25}, Weight: 1, Noise: 0.3}
	errOf := func(noise, tolerance float64) error {
		return check(judge.Settings{FalseRollback: 0.05, FalseAdvance: 0.05, Metrics: []judge.Metric{good}, Split: &judge.Split{Noise: noise, Tolerance: tolerance, FalseAlarm: 0.001}})
	}
	require.NoError(t, errOf(0.02, 0.1))
	require.ErrorContains(t, errOf(-1, 0.1), "not a share")
	require.ErrorContains(t, errOf(0.02, -1), "not a share")
	require.EqualError(t, check(judge.Settings{FalseRollback: 0.05, FalseAdvance: 0.05}), "0 metrics: there have to be 1 to 1024")
	most := make([]judge.Metric, mostMetrics)
	for i := range most {
		most[i] = good
		most[i].Name = string(rune('a' + i))
	}
	require.NoError(t, check(judge.Settings{FalseRollback: 0.05, FalseAdvance: 0.05, Metrics: most}))
}

func TestPastsWithinPastsAreReadOnce(t *testing.T) {
	var list pastList
	require.NoError(t, list.UnmarshalJSON([]byte(`[[{"rate":0.5},{"rate":0.25}],{"rate":0.5},{"rate":0.125}]`)))
	require.Len(t, list, 3)
	require.ErrorContains(t, new(pastList).UnmarshalJSON([]byte(`[[5]]`)), "learned")
}

func TestEndingASequenceThatNobodyReadsIsNoMistake(t *testing.T) {
	var ended int
	s := Lines{Ended: func([]judge.Past) { ended++ }}
	s.End()
	require.Zero(t, ended)
	j, err := New(judge.Settings{FalseRollback: 0.05, FalseAdvance: 0.05, Metrics: []judge.Metric{{Name: lineName, Kind: judge.Counts, Margin: judge.Margin{Relative: 0.25}, Weight: 1, Noise: 0.3}}})
	require.NoError(t, err)
	s.sequence = &judged{judge: j, evidence: j.Begin(nil)}
	s.End()
	require.Equal(t, 1, ended)
	s.sequence, s.Ended = &judged{judge: j, evidence: j.Begin(nil)}, nil
	s.End()
	require.Nil(t, s.sequence)
}

func TestAnArmIsBrokenWhereMostOfWhatIsGoodAtTheOtherIsBad(t *testing.T) {
	for _, c := range []struct {
		row  row
		want bool
	}{
		{row{12, 20, 2, 20}, true},
		{row{11, 20, 2, 20}, false}, // just half of what is good at stable
		{row{19, 19, 0, 20}, false}, // too few to tell
		{row{20, 20, 0, 19}, false},
		{row{14, 20, 10, 20}, false},
		{row{16, 20, 10, 20}, true},
		{row{20, 20, 20, 20}, false}, // as bad as stable
		{row{}, false},
	} {
		require.Equal(t, c.want, c.row.broken(), c.row)
	}
}

func TestAPassIsPlannedByTheAbsoluteMarginWhereItIsAboveTheRate(t *testing.T) {
	for name, c := range map[string]struct {
		kind     judge.Kind
		absolute float64
		more     bool
	}{
		"above the rate":             {judge.Counts, 0.02, true},
		"below the rate":             {judge.Counts, 0.001, false},
		"above that of an objective": {judge.Objective, 0.02, false},
	} {
		j := &Judge{metrics: []metric{{Metric: judge.Metric{Name: "m", Kind: c.kind, Objective: 0.01, Margin: judge.Margin{Relative: 0.25, Absolute: c.absolute}}, passFrom: 3}}}
		pace := Pace{Canary: 100, Baseline: 1, Base: 0.01}
		passes, err := j.Passes("m", pace)
		require.NoError(t, err)
		within, err := j.WithinMargin("m", pace)
		require.NoError(t, err)
		if !c.more {
			require.Equal(t, within.Gains, passes.Gains, name)
			continue
		}
		require.Greater(t, passes.Gains, within.Gains, "a baseline with few requests tells little of the ratio")
		require.InDelta(t, 100*(0.01*math.Log(0.5)-0.01+0.02), passes.Gains, 1e-12, name)
	}
}

func TestHowManyUsersItTakesPaysForTheSearchOfTheRatio(t *testing.T) {
	j := &Judge{metrics: []metric{{Metric: judge.Metric{Name: "m", Kind: judge.Counts, Sticky: true}, comparing: judge.Counts, failsFrom: 20}}}
	require.Equal(t, math.Ceil(2*(20+statespace.Price(2))/(math.Ln2*math.Ln2*0.2*0.8)), j.UsersToFind("m", 2, 0.2))
}
