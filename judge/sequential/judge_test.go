package sequential_test

import (
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/judge/sequential"
)

var (
	_ judge.Judge = (*sequential.Judge)(nil)

	atOnce = new(time.Duration)
)

func ratio(name string) judge.Metric {
	return judge.Metric{Name: name, Kind: judge.Counts, Direction: judge.Increase, Weight: 1, Noise: 0.3,
		Margin: judge.Margin{Relative: 0.25, Absolute: 0.001}, MinRequests: 100}
}

func settings(passAfter *time.Duration, metrics ...judge.Metric) judge.Settings {
	return judge.Settings{FalseRollback: 0.01, FalseAdvance: 0.05, PassAfter: passAfter, Metrics: metrics}
}

func counts(metric string, xc, nc, xb, nb float64) judge.Observation {
	return judge.Observation{Metric: metric, Canary: judge.Arm{Bad: xc, Total: nc}, Baseline: judge.Arm{Bad: xb, Total: nb}}
}

func at(n int, weight float64, o ...judge.Observation) judge.Look {
	return judge.Look{Number: n, At: begin.Add(time.Duration(n) * 10 * time.Second), Length: 10 * time.Second, Weight: weight, Observations: o}
}

// run feeds the same observations to the looks from..to and returns the last verdict.
func run(j *sequential.Judge, e judge.Evidence, from, to int, weight float64, o ...judge.Observation) (judge.Evidence, judge.Verdict) {
	var v judge.Verdict
	for n := from; n <= to; n++ {
		e, v = j.Look(e, at(n, weight, o...))
	}
	return e, v
}

// The order of the reasons.
func TestAVerdictIsWhatItsMetricsSay(t *testing.T) {
	wide := counts("a", 0, 20000, 0, 20000)
	good, bad := counts("a", 100, 20000, 100, 20000), counts("a", 200, 2000, 10, 2000)
	optional := ratio("b")
	optional.Optional = true
	goodB := counts("b", 100, 20000, 100, 20000)
	absent := func(r judge.Reason) judge.Observation {
		return judge.Observation{Metric: "b", Absent: r, Detail: "why"}
	}
	for _, c := range []struct {
		name     string
		settings judge.Settings
		looks    int
		o        []judge.Observation
		outcome  judge.Outcome
		reason   judge.Reason
		decisive string
		enough   bool
	}{
		{"two good metrics pass", settings(atOnce, ratio("a"), ratio("b")), 180, []judge.Observation{good, goodB}, judge.Pass, "", "", true},
		{"one bad metric fails the whole", settings(atOnce, ratio("b"), ratio("a")), 60, []judge.Observation{bad, goodB}, judge.Fail, "", "a", true},
		{"a bad optional metric fails the whole", settings(atOnce, ratio("a"), optional), 60,
			[]judge.Observation{good, counts("b", 200, 2000, 10, 2000)}, judge.Fail, "", "b", true},
		{"a fail stands next to a source that cannot be reached", settings(atOnce, ratio("a"), ratio("b")), 60,
			[]judge.Observation{bad, absent(judge.Unreachable)}, judge.Fail, "", "a", false},
		{"an unreachable metric holds the pass back", settings(atOnce, ratio("a"), ratio("b")), 60,
			[]judge.Observation{good, absent(judge.Unreachable)}, judge.Inconclusive, judge.Unreachable, "b", false},
		{"a metric without an observation has no data", settings(atOnce, ratio("a"), ratio("b")), 60,
			[]judge.Observation{good}, judge.Inconclusive, judge.NoData, "b", false},
		{"an optional metric without data does not hold back", settings(atOnce, ratio("a"), optional), 180,
			[]judge.Observation{good, absent(judge.NoData)}, judge.Pass, "", "", true},
		{"only optional metrics and none with data do not pass", settings(atOnce, optional), 60,
			[]judge.Observation{absent(judge.NoData)}, judge.Inconclusive, judge.NoData, "b", true},
		{"too few requests come before undecided", settings(atOnce, ratio("a"), ratio("b")), 1,
			[]judge.Observation{counts("a", 1, 2000, 1, 2000), counts("b", 0, 20, 0, 2000)}, judge.Inconclusive, judge.TooFew, "b", false},
		{"a look without requests has no data", settings(atOnce, ratio("a")), 1,
			[]judge.Observation{counts("a", 0, 0, 1, 2000)}, judge.Inconclusive, judge.NoData, "a", false},
		{"a pass before its time waits", settings(nil, ratio("a")), 60, []judge.Observation{wide}, judge.Inconclusive, judge.Waiting, "a", true},
		{"a pass is given ten minutes after the first look", settings(nil, ratio("a")), 61, []judge.Observation{wide}, judge.Pass, "", "", true},
		{"little data is undecided", settings(atOnce, ratio("a")), 1, []judge.Observation{counts("a", 3, 200, 3, 200)}, judge.Inconclusive, judge.Undecided, "a", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := newJudge(t, c.settings)
			_, v := run(j, j.Begin(nil), 1, c.looks, 0.5, c.o...)
			require.Equal(t, c.outcome, v.Outcome, text(t, v))
			require.Equal(t, c.reason, v.Reason)
			require.Equal(t, c.decisive, v.Decisive)
			require.Equal(t, c.enough, v.Enough)
		})
	}
}

// gauge, events and slow draw looks of a canary and a baseline that differ by the given ratio.
func gauge(c, b float64) func(*rand.Rand) judge.Observation {
	return func(r *rand.Rand) judge.Observation {
		return judge.Observation{Metric: "m", Canary: judge.Arm{Value: c + r.Float64()}, Baseline: judge.Arm{Value: b + r.Float64()}}
	}
}

func events(c, b int) func(*rand.Rand) judge.Observation {
	return func(r *rand.Rand) judge.Observation {
		return counts("m", float64(c+r.IntN(5)), 1000, float64(b+r.IntN(5)), 1000)
	}
}

func slow(c, b float64) func(*rand.Rand) judge.Observation {
	return func(r *rand.Rand) judge.Observation {
		arm := func(above float64) judge.Arm {
			above += float64(r.IntN(5))
			return judge.Arm{Total: 1000, Cumulative: []float64{500, 1000 - above, 1000}}
		}
		return judge.Observation{Metric: "m", Canary: arm(c), Baseline: arm(b)}
	}
}

func TestEachKindAndDirectionFindsItsOwnFault(t *testing.T) {
	for _, c := range []struct {
		name      string
		kind      judge.Kind
		direction judge.Direction
		goal      bool
		draw      func(*rand.Rand) judge.Observation
		want      judge.Outcome
	}{
		{"more errors are worse", judge.Counts, judge.Increase, false, events(40, 10), judge.Fail},
		{"fewer errors are fine", judge.Counts, judge.Increase, false, events(10, 40), judge.Pass},
		{"fewer successes are worse", judge.Counts, judge.Decrease, false, events(10, 40), judge.Fail},
		{"more successes are fine", judge.Counts, judge.Decrease, false, events(40, 10), judge.Pass},
		{"either direction fails on more", judge.Counts, judge.Either, false, events(40, 10), judge.Fail},
		{"either direction fails on fewer", judge.Counts, judge.Either, false, events(10, 40), judge.Fail},
		{"either direction passes without a change", judge.Counts, judge.Either, false, events(100, 100), judge.Pass},
		{"a goal is reached by fewer errors", judge.Counts, judge.Increase, true, events(10, 40), judge.Pass},
		{"a goal is not reached by no change", judge.Counts, judge.Increase, true, events(40, 40), judge.Inconclusive},
		{"a goal fails as any other", judge.Counts, judge.Increase, true, events(80, 20), judge.Fail},
		{"more than the objective", judge.Objective, judge.Increase, false, events(40, 0), judge.Fail},
		{"less than the objective", judge.Objective, judge.Increase, false, events(2, 0), judge.Pass},
		{"fewer than an objective that has to be reached", judge.Objective, judge.Decrease, false, events(2, 0), judge.Fail},
		{"more memory is worse", judge.Gauge, judge.Increase, false, gauge(15, 10), judge.Fail},
		{"the same memory is fine", judge.Gauge, judge.Increase, false, gauge(10, 10), judge.Pass},
		{"less throughput is worse", judge.Gauge, judge.Decrease, false, gauge(6, 10), judge.Fail},
		{"slower at one bound is worse", judge.Histogram, judge.Increase, false, slow(60, 10), judge.Fail},
		{"no slower at any bound is fine", judge.Histogram, judge.Increase, false, slow(100, 100), judge.Pass},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := judge.Metric{Name: "m", Kind: c.kind, Direction: c.direction, Goal: c.goal, Weight: 1, Noise: 0.3, MinRequests: 100,
				Margin: judge.Margin{Relative: 0.25, Absolute: 0.001}}
			switch c.kind {
			case judge.Histogram:
				m.Bounds = []float64{0.1, 0.3, 1.2}
			case judge.Objective:
				m.Objective, m.Margin = 0.01, judge.Margin{}
			case judge.Gauge:
				m.Margin.Absolute = 0
			}
			j := newJudge(t, settings(atOnce, m))
			e, rng := j.Begin(nil), rand.New(rand.NewPCG(7, 8))
			var v judge.Verdict
			for n := range 250 {
				e, v = j.Look(e, at(n+1, 0.5, c.draw(rng)))
			}
			require.Equal(t, c.want, v.Outcome, text(t, v))
			if c.kind == judge.Histogram && c.want == judge.Fail {
				require.Equal(t, 0.3, v.Metrics[0].Bound)
			}
		})
	}
}

// The tolerance is 25% of the baseline's mean and 2 more.
func TestAGaugesAbsoluteMarginIsInItsUnit(t *testing.T) {
	for _, c := range []struct {
		name             string
		canary, baseline float64
		want             judge.Outcome
	}{
		{"restarts where the baseline has none, fewer than the margin", 0.2, 0, judge.Pass},
		{"restarts where the baseline has none, more than the margin", 9, 0, judge.Fail},
		{"within both margins together", 11, 10, judge.Pass},
		{"beyond both", 20, 10, judge.Fail},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := judge.Metric{Name: "m", Kind: judge.Gauge, Weight: 1, Noise: 0.3, Margin: judge.Margin{Relative: 0.25, Absolute: 2}}
			j := newJudge(t, settings(atOnce, m))
			e := j.Begin(nil)
			var v judge.Verdict
			for n := range 250 {
				e, v = j.Look(e, at(n+1, 0.5, judge.Observation{
					Metric: "m", Canary: judge.Arm{Value: c.canary}, Baseline: judge.Arm{Value: c.baseline},
				}))
			}
			require.Equal(t, c.want, v.Outcome, text(t, v))
			got := v.Metrics[0]
			require.InDelta(t, c.canary, got.Canary.Rate, 1e-9)
			if c.baseline > 0 {
				require.InDelta(t, c.canary/c.baseline, got.Ratio, 1e-3, "what people see is the means' own")
				require.InDelta(t, 1.25+2/c.baseline, got.Margin, 1e-9)
			}
		})
	}
}

func TestAFaultThatBeginsLateIsFoundThoughAnHourWasGood(t *testing.T) {
	j := newJudge(t, settings(nil, ratio("m")))
	e, v := run(j, j.Begin(nil), 1, 360, 0.5, counts("m", 50, 5000, 50, 5000))
	require.Equal(t, judge.Pass, v.Outcome)
	_, v = run(j, e, 361, 420, 0.5, counts("m", 250, 5000, 50, 5000))
	require.Equal(t, judge.Fail, v.Outcome, text(t, v))
	require.InDelta(t, 5, v.Metrics[0].Leading, 2)
	require.Less(t, v.Metrics[0].Ratio, 3.0, "over all of it")
}

func TestOverwhelmingEvidenceFailsInTheFirstLooksEvenInAWarmUp(t *testing.T) {
	j := newJudge(t, settings(nil, ratio("m")))
	l := at(1, 0.05, counts("m", 30, 30, 3, 600))
	l.Excluded = judge.WarmingUp
	e, v := j.Look(j.Begin(nil), l)
	if v.Outcome != judge.Fail {
		l.Number, l.At = 2, l.At.Add(l.Length)
		_, v = j.Look(e, l)
	}
	require.Equal(t, judge.Fail, v.Outcome, text(t, v))
	require.True(t, v.Leaning)
	require.False(t, v.Enough)
}

func TestBaselineRequestsWaitForALookInWhichTheCanaryHasSome(t *testing.T) {
	s := settings(nil, ratio("m"))
	s.Metrics[0].Margin.Absolute = 0
	j := newJudge(t, s)
	apart, _ := run(j, j.Begin(nil), 1, 3, 0.5, counts("m", 0, 0, 5, 500))
	_, v := j.Look(apart, at(4, 0.5, counts("m", 2, 20, 5, 500)))
	require.Equal(t, 20.0, v.Metrics[0].Baseline.Bad)
	require.InDelta(t, 10, v.Metrics[0].Ratio, 4, "2 of 20 against 20 of 2000, not against 5 of 500")
}

func TestACanaryThatIsMuchBetterNeverFails(t *testing.T) {
	j := newJudge(t, settings(nil, ratio("m")))
	e := j.Begin(map[string][]judge.Past{"m": {{Rate: 0.01, Blocks: [3]judge.Blocks{{Squares: 100, Variance: 100, Weight: 100, Fourth: 1, Count: 1000}}}}})
	var v judge.Verdict
	for n := range 360 {
		canary := 20.0
		if n > 180 {
			canary = 100 // as good as the baseline, after having been better
		}
		e, v = j.Look(e, at(n+1, 0.5, counts("m", canary, 10000, 100, 10000)))
		require.NotEqual(t, judge.Fail, v.Outcome, "look %d: %s", n+1, text(t, v))
	}
}

func TestOneIncidentIsNoFaultAndAFaultThatStaysIs(t *testing.T) {
	j := newJudge(t, settings(nil, ratio("m")))
	good, outage := counts("m", 5, 500, 95, 9500), counts("m", 500, 500, 95, 9500)
	past := map[string][]judge.Past{"m": {{Rate: 0.01, Blocks: [3]judge.Blocks{{Squares: 1000, Variance: 1000, Weight: 1000, Fourth: 1, Count: 1440}}}}}
	e, _ := run(j, j.Begin(past), 1, 100, 0.05, good)
	e, v := run(j, e, 101, 101, 0.05, outage)
	require.NotEqual(t, judge.Fail, v.Outcome, "a restart of ten seconds")
	_, v = run(j, e, 102, 160, 0.05, good)
	require.NotEqual(t, judge.Fail, v.Outcome)
	_, v = run(j, e, 102, 108, 0.05, outage)
	require.Equal(t, judge.Fail, v.Outcome)
}

func TestMetricsThatLeanTogetherFailTogether(t *testing.T) {
	alone, two := newJudge(t, settings(nil, ratio("a"), ratio("b"))), newJudge(t, settings(nil, ratio("a"), ratio("b")))
	fails := func(j *sequential.Judge, o ...judge.Observation) int {
		e := j.Begin(nil)
		for n := 1; n <= 360; n++ {
			var v judge.Verdict
			if e, v = j.Look(e, at(n, 0.5, o...)); v.Outcome == judge.Fail {
				return n
			}
		}
		return 360
	}
	a, b := counts("a", 3, 100, 10, 1000), counts("b", 3, 100, 10, 1000)
	require.Less(t, fails(two, a, b), fails(alone, a, counts("b", 1, 100, 10, 1000)))
}

func TestAReleaseTeachesTheNextOne(t *testing.T) {
	j := newJudge(t, settings(nil, ratio("m")))
	rng := rand.New(rand.NewPCG(1, 2))
	quiet := func(n int) judge.Evidence {
		e := j.Begin(nil)
		for i := range n {
			e, _ = j.Look(e, at(i+1, 0.5, counts("m", float64(95+rng.IntN(10)), 10000, float64(95+rng.IntN(10)), 10000)))
		}
		return e
	}
	require.Empty(t, quiet(11).Learned(), "less than two minutes")
	learned := quiet(60).Learned()
	require.True(t, learned["m"].Release)
	require.InDelta(t, 0.01, learned["m"].Rate, 0.001)
	_, first := run(j, j.Begin(nil), 1, 1, 0.5, counts("m", 100, 10000, 100, 10000))
	_, later := run(j, j.Begin(map[string][]judge.Past{"m": {learned["m"]}}), 1, 1, 0.5, counts("m", 100, 10000, 100, 10000))
	require.False(t, first.Learned)
	require.True(t, later.Learned)
	require.Less(t, later.Metrics[0].Noise, first.Metrics[0].Noise/2, "a quiet service is known to be quiet")
}

func TestAnExcludedLookCountsAndWithholdsAPass(t *testing.T) {
	j := newJudge(t, settings(atOnce, ratio("m")))
	e, v := run(j, j.Begin(nil), 1, 60, 0.5, counts("m", 0, 20000, 0, 20000))
	require.Equal(t, judge.Pass, v.Outcome)
	l := at(61, 0.5, counts("m", 0, 20000, 0, 20000))
	after, w := j.Look(e, l)
	l.Excluded = judge.WarmingUp
	again, v := j.Look(e, l)
	require.Equal(t, encode(t, after), encode(t, again))
	require.Equal(t, judge.Pass, w.Outcome)
	require.Equal(t, judge.Inconclusive, v.Outcome)
	require.Equal(t, judge.WarmingUp, v.Reason)
	require.False(t, v.Enough)
}

func TestACanaryThatIsWarmingUpMissesNoData(t *testing.T) {
	j := newJudge(t, settings(nil, ratio("m")))
	for name, o := range map[string]judge.Observation{
		"no requests yet":    counts("m", 0, 0, 3, 600),
		"no series yet":      {Metric: "m", Canary: judge.Arm{Missing: true}, Absent: judge.NoData},
		"no reason is given": {Metric: "other"},
	} {
		t.Run(name, func(t *testing.T) {
			l := at(1, 0.05, o)
			l.Excluded = judge.WarmingUp
			_, v := j.Look(j.Begin(nil), l)
			require.Equal(t, judge.Inconclusive, v.Outcome)
			require.Equal(t, judge.WarmingUp, v.Reason)
			require.Equal(t, judge.WarmingUp, v.Metrics[0].Reason)
		})
	}
}

func TestEvidenceOfThePreviousJudgeBeginsAgainAndSaysSo(t *testing.T) {
	j := newJudge(t, settings(nil, ratio("m")))
	for earlier := range byte(2) {
		e, err := j.Decode(append([]byte{'s', 'q', 1 + earlier}, make([]byte, 100)...))
		require.NoError(t, err)
		_, v := run(j, e, 7, 7, 0.5, counts("m", 100, 10000, 100, 10000))
		require.Contains(t, v.Begun, "began again")
		e, err = j.Decode(encode(t, e))
		require.NoError(t, err)
		_, v = run(j, e, 8, 8, 0.5, counts("m", 100, 10000, 100, 10000))
		require.NotEmpty(t, v.Begun)
	}
	_, err := j.Decode(append([]byte{'s', 'q', 9}, make([]byte, 100)...))
	require.ErrorContains(t, err, "version 9")
}

// evidenceOf returns the evidence that an earlier version wrote into a file, in three states: as stored, as decoded,
// and decoded again after it was encoded in the present form.
func evidenceOf(t *testing.T, j *sequential.Judge, file string) (stored []byte, before, again judge.Evidence) {
	t.Helper()
	stored, err := os.ReadFile(file) //nolint:gosec // one of testdata
	require.NoError(t, err)
	before, err = j.Decode(stored)
	require.NoError(t, err)
	again, err = j.Decode(encode(t, before))
	require.NoError(t, err, "it is written in the present form from now on")
	require.Equal(t, encode(t, before), encode(t, again))
	_, err = j.Decode(append(slices.Clone(stored), 0))
	require.Error(t, err)
	return stored, before, again
}

// testdata/evidence-5 was written by the release before users could be few, evidence-6 by the one before arms could be
// strained, evidence-7 by the one before starts were learned: 30 looks of settings(nil, ratio("m")).
func TestEvidenceOfTheLastVersionsContinues(t *testing.T) {
	j := newJudge(t, settings(nil, ratio("m")))
	for _, file := range []string{"testdata/evidence-5", "testdata/evidence-6", "testdata/evidence-7"} {
		t.Run(file, func(t *testing.T) {
			b, _, again := evidenceOf(t, j, file)
			_, same := run(j, j.Begin(nil), 1, 31, 0.5, counts("m", 100, 20000, 100, 20000))
			_, v := run(j, again, 31, 31, 0.5, counts("m", 100, 20000, 100, 20000))
			require.Empty(t, v.Begun)
			require.Equal(t, same.Metrics[0].Canary, v.Metrics[0].Canary)
			require.InDelta(t, same.Metrics[0].Ratio, v.Metrics[0].Ratio, 1e-6)
			require.InDelta(t, same.Metrics[0].LogEvidence.NoWorse, v.Metrics[0].LogEvidence.NoWorse, 0.1)
			_, v = run(j, again, 31, 90, 0.5, counts("m", 1000, 20000, 100, 20000))
			require.Equal(t, judge.Fail, v.Outcome)
			_, err := newJudge(t, settings(nil, sticky("m"))).Decode(b)
			require.ErrorIs(t, err, sequential.ErrOtherMetrics, "of a plan in which users keep their version it is not taken up")
		})
	}
}

// testdata/evidence-3 and evidence-4 were written by earlier releases: 30 looks of settings(nil, ratio("m")). They
// continue without what those versions did not know, such as noise that both arms share.
func TestEvidenceOfAnEarlierVersionContinues(t *testing.T) {
	j := newJudge(t, settings(nil, ratio("m")))
	good, bad := counts("m", 100, 20000, 100, 20000), counts("m", 1000, 20000, 100, 20000)
	var first judge.Verdict
	for _, file := range []string{"testdata/evidence-3", "testdata/evidence-4"} {
		_, before, again := evidenceOf(t, j, file)
		_, v := run(j, before, 31, 31, 0.5, good)
		require.Empty(t, v.Begun)
		require.InDelta(t, 1, v.Metrics[0].Ratio, 0.02)
		if first.Look == 0 {
			first = v
		}
		require.Equal(t, first, v, "both have seen the same")
		_, v = run(j, again, 31, 90, 0.5, bad)
		require.Equal(t, judge.Fail, v.Outcome)
	}
}

func TestADryRunIsJudgedAndDecidesNothing(t *testing.T) {
	dry := ratio("dry")
	dry.DryRun = true
	bad := counts("dry", 200, 2000, 10, 2000)
	good := counts("a", 100, 20000, 100, 20000)
	j := newJudge(t, settings(atOnce, ratio("a"), dry))
	_, v := run(j, j.Begin(nil), 1, 180, 0.5, good, bad)
	require.Equal(t, judge.Pass, v.Outcome)
	require.False(t, v.Leaning)
	require.Equal(t, judge.Fail, v.Metrics[1].Outcome)
	require.True(t, v.Metrics[1].DryRun)
	require.InDelta(t, 4.6052, v.Metrics[0].LogEvidence.FailsFrom, 1e-4, "it has no share of the chance")
	require.InDelta(t, 5.2983, v.Metrics[1].LogEvidence.FailsFrom, 1e-4, "as if it had")

	_, v = run(j, j.Begin(nil), 1, 180, 0.5, good) // no data of the dry run
	require.Equal(t, judge.Pass, v.Outcome)

	_, v = run(j, j.Begin(nil), 1, 20, 0.5, counts("a", 200, 2000, 10, 2000), counts("dry", 100, 20000, 100, 20000))
	require.Equal(t, judge.Fail, v.Outcome)

	_, err := sequential.New(settings(nil, dry))
	require.ErrorContains(t, err, "at least one has to decide")
}

func TestChancesAreDividedByWeightAndDirection(t *testing.T) {
	heavy, both := ratio("heavy"), ratio("both")
	heavy.Weight, both.Direction = 3, judge.Either
	j := newJudge(t, settings(atOnce, heavy, both))
	_, v := run(j, j.Begin(nil), 1, 1, 0.5)
	require.InDelta(t, 4.8929, v.Metrics[0].LogEvidence.FailsFrom, 1e-4) // log(1/0.0075)
	require.InDelta(t, 6.6846, v.Metrics[1].LogEvidence.FailsFrom, 1e-4) // log(2/0.0025)
}

func TestEvidenceOfOtherMetricsIsRefused(t *testing.T) {
	j, k := newJudge(t, settings(nil, ratio("a"))), newJudge(t, settings(nil, ratio("b")))
	_, err := k.Decode(encode(t, j.Begin(nil)))
	require.ErrorIs(t, err, sequential.ErrOtherMetrics)
	require.Panics(t, func() { k.Look(j.Begin(nil), judge.Look{}) })
}

func TestEveryFaultOfTheSettingsIsNamedAtOnce(t *testing.T) {
	m := ratio("")
	m.Kind, m.Weight = "rate", 0
	_, err := sequential.New(judge.Settings{FalseRollback: 2, FalseAdvance: 0, Metrics: []judge.Metric{m}})
	for _, part := range []string{"falseRollback 2", "falseAdvance 0", `name ""`, `unknown kind "rate"`, "weight 0"} {
		require.ErrorContains(t, err, part)
	}
}
