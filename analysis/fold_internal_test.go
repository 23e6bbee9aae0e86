package analysis

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/share"
)

const (
	ok200  = `traefik_service_requests_total{service="canary@file",code="200"}`
	bad500 = `traefik_service_requests_total{service="canary@file",code="500"}`
	stable = `traefik_service_requests_total{service="stable@file",code="200"}`
)

var everyTen = "-20 -10 0 10 20 30 40 50 60 70 80 90 100 110 120"

func errorsMetric() Metric { return Metric{Name: "errors", Source: TraefikErrors()} }

// counting is one case: looks end at ends, and bad and all are the canary's sums over them.
type counting struct {
	series   []made
	scrapes  string
	ends     []float64
	bad, all float64
}

func countings() map[string]counting { //nolint:funlen // a table
	return map[string]counting{
		"increments between samples count": {
			series: []made{series(ok200, "-5:100 5:110 15:125 25:125")}, ends: []float64{10, 20, 30}, all: 25,
		},
		"samples before counting began are bases only": {
			series: []made{series(ok200, "-25:1 -15:50 -5:100")}, ends: []float64{10}, all: 0,
		},
		"a new series with samples 1, 2, 3 on a scraped target is exactly 3": {
			series:  []made{series(ok200, "-5:100 5:100 15:100"), series(bad500, "5:1 15:2 25:3")},
			scrapes: "-5 5 15 25", ends: []float64{10, 20, 30}, bad: 3, all: 3,
		},
		"the same in one window": {
			series:  []made{series(ok200, "-5:100 5:100 15:100"), series(bad500, "5:1 15:2 25:3")},
			scrapes: "-5 5 15 25", ends: []float64{30}, bad: 3, all: 3,
		},
		"a new series on a target that was never scraped before is a base": {
			series: []made{series(bad500, "5:7 15:9")}, scrapes: "5 15", ends: []float64{10, 20}, bad: 2, all: 2,
		},
		"a scrape at the time of the first sample itself does not show that there was nothing before": {
			series: []made{series(bad500, "5:7")}, scrapes: "5", ends: []float64{10}, bad: 0,
		},
		"a new series counts whole after looks without it": {
			series:  []made{series(ok200, "-5:10 5:11 15:12"), series(bad500, "15:4 25:5")},
			scrapes: "-5 5 15 25", ends: []float64{10, 20, 30}, bad: 5, all: 7,
		},
		"a reset counts the value after it": {
			series: []made{series(ok200, "-5:100 5:110 15:3 25:5")}, ends: []float64{10, 20, 30}, all: 15,
		},
		"two resets in one window count both": {
			series: []made{series(ok200, "-5:100 5:2 15:1 25:5")}, ends: []float64{30}, all: 7,
		},
		"a gap in the scrapes counts the difference over it": {
			series: []made{series(ok200, "-5:100 995:160")}, scrapes: "-5 995", ends: []float64{10, 20, 1000}, all: 60,
		},
		"a series that vanished while its target was scraped begins again, even above its last value": {
			series:  []made{series(bad500, "-5:100 5:101 995:150")},
			scrapes: "-5 5 100 200 300 400 500 995", ends: []float64{10, 200, 500, 1000}, bad: 151, all: 151,
		},
		"a series that vanished and came back below its last value is a reset without further asks": {
			series: []made{series(bad500, "-5:100 5:101 95:2")}, ends: []float64{10, 100}, bad: 3, all: 3,
		},
		"samples twice and out of order count once": {
			series: []made{series(ok200, "-5:10 5:12 5:12 4:11 15:13")}, ends: []float64{10, 20}, all: 3,
		},
		"NaN, infinite and negative values are skipped": {
			series: []made{series(ok200, "-5:10 1:NaN 2:+Inf 3:-1 5:12")}, ends: []float64{10}, all: 2,
		},
		"a value that stays counts nothing": {
			series: []made{series(ok200, "-5:10 5:10 15:10")}, ends: []float64{10, 20}, all: 0,
		},
		"counts beyond 2^31 are exact": {
			series: []made{series(ok200, "-5:9007199254740000 5:9007199254740991")}, ends: []float64{10}, all: 991,
		},
		"windows shorter than the scrape interval count nothing twice": {
			series: []made{series(ok200, "-5:10 5:12 15:15")}, ends: []float64{1, 3, 5, 7, 9, 11, 13, 15, 17}, all: 5,
		},
	}
}

func TestCountsAreExact(t *testing.T) {
	for name, c := range countings() {
		t.Run(name, func(t *testing.T) {
			_, ls := looks(t, plan(t, errorsMetric()), world{series: c.series, scrapes: c.scrapes}, c.ends...)
			bad, all := total(ls, 0)
			require.Equal(t, c.bad, bad, "bad") //nolint:testifylint // exact integers
			require.Equal(t, c.all, all, "all") //nolint:testifylint // exact integers
		})
	}
}

func TestEveryLabelSetHasItsOwnCount(t *testing.T) {
	w := world{series: []made{
		series(ok200, "-5:10 5:12"), series(bad500, "-5:3 5:4"), series(stable, "-5:1000 5:1190"),
		series(`traefik_service_requests_total{service="stable@file",code="503"}`, "-5:1 5:2"),
		series(`traefik_service_requests_total{service="other@file",code="503"}`, "-5:1 5:200"),
	}}
	_, ls := looks(t, plan(t, errorsMetric()), w, 10)
	require.Equal(t, judge.Arm{Bad: 1, Total: 3}, ls[0].Observations[0].Canary)
	require.Equal(t, judge.Arm{Bad: 1, Total: 191}, ls[0].Observations[0].Baseline)
	require.Equal(t, &judge.Requests{Canary: 3, Baseline: 191}, ls[0].Requests)
	require.Empty(t, ls[0].Observations[0].Absent)
	require.Equal(t, 10*time.Second, ls[0].Length)
	require.Equal(t, at(10), ls[0].At)
	require.InDelta(t, 0.05, ls[0].Weight, 0)
}

func TestTheSampleRatioSharesItsAskWithTheErrors(t *testing.T) {
	p := plan(t, errorsMetric())
	asks := p.Asks(NewCursor(epoch), at(10))
	require.Len(t, asks, 2)
	require.Equal(t, asks[0].Template, asks[1].Template)
	require.Equal(t, `traefik_service_requests_total{service=~"canary@file|stable@file"}[310000ms]`,
		asks[0].Template.Query([]string{"canary@file", "stable@file"}, asks[0].To.Sub(asks[0].From)))
}

func TestNothingAndZeroAreDifferent(t *testing.T) {
	p := plan(t, errorsMetric())
	t.Run("live series that do not move are measured zeros", func(t *testing.T) {
		_, ls := looks(t, p, world{series: []made{series(ok200, "-5:10 5:10"), series(stable, "-5:1 5:9")}}, 10, 20)
		for _, l := range ls {
			require.Empty(t, l.Observations[0].Absent)
			require.False(t, l.Observations[0].Canary.Missing)
		}
	})
	t.Run("an arm without series is missing, but the split is known all the same", func(t *testing.T) {
		_, ls := looks(t, p, world{series: []made{series(stable, "-5:1 5:9")}}, 10)
		o := ls[0].Observations[0]
		require.Equal(t, judge.NoData, o.Absent)
		require.True(t, o.Canary.Missing)
		require.False(t, o.Baseline.Missing)
		require.Contains(t, o.Detail, "canary: no live series of traefik_service_requests_total")
		require.Equal(t, &judge.Requests{Baseline: 8}, ls[0].Requests)
	})
	t.Run("series that went away are missing once they are stale", func(t *testing.T) {
		_, ls := looks(t, p, world{series: []made{series(ok200, "-5:10 5:12"), series(stable, "-5:1 5:9")}}, 10, 200, 306)
		require.Empty(t, ls[1].Observations[0].Absent)
		require.Equal(t, judge.NoData, ls[2].Observations[0].Absent)
		require.Nil(t, ls[2].Requests)
	})
	t.Run("nothing at all is no data and no split", func(t *testing.T) {
		_, ls := looks(t, p, world{}, 10)
		require.Equal(t, judge.NoData, ls[0].Observations[0].Absent)
		require.Nil(t, ls[0].Requests)
	})
}

func TestAnUnreachableSourceMovesNothing(t *testing.T) {
	p := plan(t, errorsMetric())
	down := errors.New("connection refused")
	w := world{series: []made{series(ok200, "-5:10 5:12 15:13 25:20"), series(bad500, "15:1 25:2"), series(stable, "-5:10 5:12 15:13 25:20")},
		scrapes: everyTen + " -5 5 15 25"}
	broken := w
	broken.err = func(Ask) (error, bool) { return down, false }
	c, l := p.Fold(NewCursor(epoch), broken.answer(t, p.Asks(NewCursor(epoch), at(10))), FoldInput{Number: 1, At: at(10)})
	require.Equal(t, epoch, c.At)
	require.Equal(t, judge.Unreachable, l.Observations[0].Absent)
	require.Contains(t, l.Observations[0].Detail, "connection refused")
	require.Nil(t, l.Requests)
	c, l = p.Fold(c, broken.answer(t, p.Asks(c, at(20))), FoldInput{Number: 2, At: at(20)})
	require.Equal(t, 20*time.Second, l.Length)
	c, l = p.Fold(c, w.answer(t, p.Asks(c, at(30))), FoldInput{Number: 3, At: at(30)})
	require.Equal(t, 30*time.Second, l.Length)
	require.Equal(t, judge.Arm{Bad: 2, Total: 12}, l.Observations[0].Canary)
	require.Equal(t, at(30), c.At)
}

func TestOneUnansweredAskIsAskedAgainForItsOwnWindow(t *testing.T) {
	p := plan(t, errorsMetric(), Metric{Name: "orders", Source: Ratio{Good: `orders_total{arm="${arm}"}`, Total: `sessions_total{arm="${arm}"}`}})
	w := world{series: []made{
		series(ok200, "-5:10 5:12 15:13"), series(stable, "-5:10 5:12 15:13"),
		series(`orders_total{arm="canary"}`, "-5:1 5:2 15:4"), series(`orders_total{arm="baseline"}`, "-5:1 5:2 15:4"),
		series(`sessions_total{arm="canary"}`, "-5:1 5:5 15:9"), series(`sessions_total{arm="baseline"}`, "-5:1 5:2 15:4"),
	}}
	half := w
	half.err = func(a Ask) (error, bool) {
		if a.Template.Name == "sessions_total" {
			return errors.New("timeout"), false
		}
		return nil, false
	}
	c, l := p.Fold(NewCursor(epoch), half.answer(t, p.Asks(NewCursor(epoch), at(10))), FoldInput{Number: 1, At: at(10)})
	require.Equal(t, judge.Unreachable, l.Observations[1].Absent)
	require.Equal(t, judge.Arm{Total: 2}, l.Observations[0].Canary)
	_, l = p.Fold(c, w.answer(t, p.Asks(c, at(20))), FoldInput{Number: 2, At: at(20)})
	require.Equal(t, judge.Arm{Total: 1}, l.Observations[0].Canary)
	require.InDelta(t, 8, l.Observations[1].Canary.Total, 0, "both windows")
	require.InDelta(t, 3, l.Observations[1].Canary.Bad, 0, "of both windows as well")
}

func TestARefusedQueryIsNoDataAndLosesNoIncrement(t *testing.T) {
	p := plan(t, errorsMetric())
	w := world{series: []made{series(ok200, "-5:10 5:12 15:13 25:20"), series(stable, "-5:10 5:12 15:13 25:20")}}
	bad := w
	bad.err = func(Ask) (error, bool) { return errors.New("too many samples"), true }
	c, first := p.Fold(NewCursor(epoch), w.answer(t, p.Asks(NewCursor(epoch), at(10))), FoldInput{Number: 1, At: at(10)})
	c, l := p.Fold(c, bad.answer(t, p.Asks(c, at(20))), FoldInput{Number: 2, At: at(20)})
	require.Equal(t, judge.NoData, l.Observations[0].Absent)
	require.Contains(t, l.Observations[0].Detail, "refuses")
	_, last := p.Fold(c, w.answer(t, p.Asks(c, at(30))), FoldInput{Number: 3, At: at(30)})
	_, all := total([]judge.Look{first, last}, 0)
	require.InDelta(t, 10, all, 0)
}

func TestAWrongNumberOfAnswersIsUnreachable(t *testing.T) {
	p := plan(t, errorsMetric())
	_, l := p.Fold(NewCursor(epoch), nil, FoldInput{Number: 1, At: at(10)})
	require.Equal(t, judge.Unreachable, l.Observations[0].Absent)
}

// field.md, F8: a counter that begins with the first failure held a canary without failures forever.
func TestAnEventCounterOfItsOwnMayBeginWithTheFirstEvent(t *testing.T) {
	ratio := Ratio{Bad: `crashes_total{arm="${arm}",kind="crash"}`, Total: `jobs_total{arm="${arm}"}`}
	jobs := []made{series(`jobs_total{arm="canary"}`, "-5:1 5:5"), series(`jobs_total{arm="baseline"}`, "-5:1 5:5")}
	zero := judge.Arm{Total: 4}
	for name, c := range map[string]struct {
		absentZero bool
		events     []made
		canary     judge.Arm
		absent     judge.Reason
	}{
		"a counter that no arm has may be misspelt":       {absent: judge.NoData, canary: judge.Arm{Missing: true}},
		"unless it is said to be zero":                    {absentZero: true, canary: zero},
		"the baseline has it: the canary has had none":    {events: []made{series(`crashes_total{arm="baseline",kind="crash"}`, "-5:1 5:3")}, canary: zero},
		"another version has it":                          {events: []made{series(`crashes_total{arm="other",kind="crash"}`, "-5:1 5:3")}, canary: zero},
		"a similar counter may be the one that was meant": {events: []made{series(`crashes_total{arm="baseline",kind="panic"}`, "-5:1 5:3")}, canary: judge.Arm{Missing: true}, absent: judge.NoData},
		"its own is counted":                              {events: []made{series(`crashes_total{arm="canary",kind="crash"}`, "-5:1 5:3")}, canary: judge.Arm{Bad: 2, Total: 4}},
	} {
		t.Run(name, func(t *testing.T) {
			r := ratio
			r.AbsentZero = c.absentZero
			_, ls := looks(t, plan(t, Metric{Name: "crashes", Source: r}), world{series: slices.Concat(jobs, c.events)}, 10)
			o := ls[0].Observations[0]
			require.Equal(t, c.absent, o.Absent, o.Detail)
			require.Equal(t, c.canary, o.Canary)
			if c.absent != "" {
				require.Contains(t, o.Detail, `no live series of crashes_total{kind="crash",arm="canary"}`, "as it was asked")
			}
		})
	}
}

func TestWithoutExposureNoEventsAreNoZero(t *testing.T) {
	p := plan(t, Metric{Name: "crashes", Source: Ratio{Bad: `crashes_total{arm="${arm}"}`, Total: `jobs_total{arm="${arm}"}`, AbsentZero: true}})
	_, ls := looks(t, p, world{}, 10)
	require.Equal(t, judge.NoData, ls[0].Observations[0].Absent)
	require.True(t, ls[0].Observations[0].Canary.Missing)
}

func bucket(arm, le, samples string) made {
	return series(fmt.Sprintf(`traefik_service_request_duration_seconds_bucket{service=%q,le=%q}`, arm, le), samples)
}

func TestSlowRequestsAreThoseAboveTheBound(t *testing.T) {
	p := plan(t, Metric{Name: "slow", Source: TraefikLatency(300 * time.Millisecond)})
	for name, le := range map[string]string{"as Prometheus writes it": "0.3", "with a zero more": "0.30"} {
		t.Run(name, func(t *testing.T) {
			w := world{series: []made{
				bucket("canary@file", "0.1", "-5:0 5:1 15:2"), bucket("canary@file", le, "-5:10 5:17 15:20"), bucket("canary@file", "+Inf", "-5:10 5:20 15:24"),
				bucket("stable@file", "0.1", "-5:0 5:1 15:2"), bucket("stable@file", le, "-5:10 5:17 15:20"), bucket("stable@file", "+Inf", "-5:10 5:20 15:24"),
			}}
			_, ls := looks(t, p, w, 10, 20)
			require.Equal(t, judge.Arm{Bad: 3, Total: 10}, ls[0].Observations[0].Canary)
			require.Equal(t, judge.Arm{Bad: 1, Total: 4}, ls[1].Observations[0].Canary)
		})
	}
}

func TestAfterTheFirstLookOnlyTheBucketsThatCountAreAsked(t *testing.T) {
	p := plan(t, Metric{Name: "slow", Source: TraefikLatency(time.Second)})
	w := world{series: []made{bucket("canary@file", "1.0", "-5:0 5:1"), bucket("canary@file", "+Inf", "-5:0 5:1"),
		bucket("stable@file", "1", "-5:0 5:1"), bucket("stable@file", "+Inf", "-5:0 5:1")}}
	c, ls := looks(t, p, w, 10)
	require.Empty(t, ls[0].Observations[0].Absent)
	require.Equal(t, `traefik_service_request_duration_seconds_bucket{le=~"1(?:\\.0*)?|\\+Inf",service="canary@file"}[10000ms]`,
		p.Asks(c, at(20))[0].Template.Query([]string{"canary@file"}, 10*time.Second))
}

func TestABoundThatIsNoBucketNamesTheExistingOnes(t *testing.T) {
	p := plan(t, Metric{Name: "slow", Source: TraefikLatency(250 * time.Millisecond)})
	w := world{series: []made{
		bucket("canary@file", "0.1", "-5:0 5:1 15:2"), bucket("canary@file", "1.2", "-5:0 5:1 15:2"), bucket("canary@file", "0.3", "-5:0 5:1 15:2"), bucket("canary@file", "+Inf", "-5:0 5:1 15:2"),
		bucket("stable@file", "0.3", "-5:0 5:1 15:2"), bucket("stable@file", "+Inf", "-5:0 5:1 15:2"),
	}}
	_, ls := looks(t, p, w, 10, 20)
	for _, l := range ls {
		require.Equal(t, judge.NoData, l.Observations[0].Absent)
		require.Contains(t, l.Observations[0].Detail, "no bucket with the bound 0.25; there are 0.1, 0.3, 1.2")
	}
}

func TestADistributionIsCountedAtEveryBound(t *testing.T) {
	p := plan(t, Metric{Name: "latency", Source: Distribution{Histogram: TraefikLatency(time.Second).Histogram, Bounds: []float64{0.1, 0.3}}})
	var all []made
	for _, arm := range []string{"canary@file", "stable@file"} {
		all = append(all, bucket(arm, "0.1", "-5:0 5:4"), bucket(arm, "0.3", "-5:0 5:7"), bucket(arm, "1.2", "-5:0 5:8"), bucket(arm, "+Inf", "-5:0 5:9"))
	}
	_, ls := looks(t, p, world{series: all}, 10)
	require.Equal(t, judge.Arm{Total: 9, Cumulative: []float64{4, 7}}, ls[0].Observations[0].Canary)
}

func TestAMetricThatIsNoHistogramIsReported(t *testing.T) {
	p := plan(t, Metric{Name: "slow", Source: Slow{Histogram: `d{service="${service}"}`, SlowerThan: time.Second}})
	w := world{series: []made{series(`d{service="canary@file"}`, "-5:0 5:1"), series(`d{service="stable@file"}`, "-5:0 5:1")}}
	_, ls := looks(t, p, w, 10)
	require.Contains(t, ls[0].Observations[0].Detail, "is not a histogram")
	require.Equal(t, judge.NoData, ls[0].Observations[0].Absent)
}

func native(arm string, samples ...Sample) made {
	return made{selector: fmt.Sprintf(`d{service=%q}`, arm), samples: samples}
}

func nativeAt(second float64, buckets ...Bucket) Sample {
	h := &Histogram{Buckets: buckets}
	for _, b := range buckets {
		h.Count += b.Count
	}
	return Sample{T: at(second).UnixMilli(), H: h}
}

func TestNativeHistogramsAreCountedLikeClassicOnes(t *testing.T) {
	p := plan(t, Metric{Name: "slow", Source: Slow{Histogram: `d{service="${service}"}`, SlowerThan: time.Second}})
	low, high := func(n float64) Bucket { return Bucket{0.5, 1, n} }, func(n float64) Bucket { return Bucket{1, 2, n} }
	steady := native("stable@file", nativeAt(-5, low(1)), nativeAt(5, low(5)), nativeAt(15, low(9)))
	cases := map[string]struct {
		canary made
		want   []judge.Arm
	}{
		"increments":                         {native("canary@file", nativeAt(-5, low(1), high(1)), nativeAt(5, low(5), high(3)), nativeAt(15, low(6), high(3))), []judge.Arm{{Bad: 2, Total: 6}, {Bad: 0, Total: 1}}},
		"a reset counts the whole new value": {native("canary@file", nativeAt(-5, low(9), high(9)), nativeAt(5, low(4), high(3)), nativeAt(15, low(5), high(4))), []judge.Arm{{Bad: 3, Total: 7}, {Bad: 1, Total: 2}}},
		"buckets that became coarser are no reset": {
			native("canary@file", nativeAt(-5, low(8)), nativeAt(5, Bucket{0.5, 2, 9}), nativeAt(15, Bucket{0.5, 2, 11})), []judge.Arm{{Bad: 1, Total: 1}, {Bad: 1, Total: 2}},
		},
		"a first appearance on a scraped target counts whole": {native("canary@file", nativeAt(5, low(2), high(1)), nativeAt(15, low(3), high(1))), []judge.Arm{{Bad: 1, Total: 3}, {Bad: 0, Total: 1}}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, ls := looks(t, p, world{series: []made{c.canary, steady}, scrapes: "-5 5 15"}, 10, 20)
			require.Equal(t, c.want, []judge.Arm{ls[0].Observations[0].Canary, ls[1].Observations[0].Canary})
		})
	}
}

// The values are those of Prometheus's histogram_fraction, promql/promqltest/testdata/native_histograms.test and its
// comments: an exponential bucket is divided on a logarithmic scale.
func TestABoundInsideANativeBucketIsInterpolated(t *testing.T) {
	cases := map[string]struct {
		h     Histogram
		bound float64
		want  float64
	}{
		"the upper end belongs to the bucket":                 {Histogram{100, []Bucket{{1, 2, 100}}}, 2, 100},
		"the lower end does not":                              {Histogram{100, []Bucket{{1, 2, 100}}}, 1, 0},
		"the geometric middle is half":                        {Histogram{100, []Bucket{{1, 4, 100}}}, 2, 50},
		"negative buckets are mirrored":                       {Histogram{100, []Bucket{{-4, -1, 100}}}, -2, 50},
		"around zero it is linear":                            {Histogram{100, []Bucket{{-1, 3, 100}}}, 1, 50},
		"from zero it is linear":                              {Histogram{100, []Bucket{{0, 4, 100}}}, 1, 25},
		"nothing is within a bound above the last finite one": {Histogram{100, []Bucket{{4, math.Inf(1), 100}}}, 1000, 0},
		"it is rounded down":                                  {Histogram{3, []Bucket{{1, 4, 3}}}, 2, 1},
		"no buckets":                                          {Histogram{}, 2, 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) { require.InDelta(t, c.want, c.h.AtMost(c.bound), 1e-9) })
	}
}

func TestGaugesAreMeansOverTheSeriesOfAnArm(t *testing.T) {
	p := plan(t, Metric{Name: "memory", Source: Gauge{Query: `mem{version="${version}"}`}, Optional: true})
	w := world{series: []made{
		series(`mem{version="v2",pod="a"}`, "5:10"), series(`mem{version="v2",pod="b"}`, "5:30"), series(`mem{version="v2",pod="c"}`, "5:NaN"),
		series(`mem{version="v1",pod="d"}`, "5:8"),
	}}
	_, ls := looks(t, p, w, 10, 304, 400)
	require.InDelta(t, 20, ls[0].Observations[0].Canary.Value, 0)
	require.InDelta(t, 8, ls[0].Observations[0].Baseline.Value, 0)
	require.Empty(t, ls[1].Observations[0].Absent)
	require.Equal(t, judge.NoData, ls[2].Observations[0].Absent)

	_, ls = looks(t, p, world{series: []made{series(`mem{version="v2"}`, "5:NaN"), series(`mem{version="v1"}`, "5:1")}}, 10)
	require.Contains(t, ls[0].Observations[0].Detail, "no finite value")
}

func TestAMeanIsWhatTheSumHasGrownByAndTheNumberOfValues(t *testing.T) {
	p := plan(t, Metric{Name: "orders", Source: Mean{Sum: `order_total_sum{version="${version}"}`, Count: `order_total_count{version="${version}"}`}})
	w := world{series: []made{
		series(`order_total_sum{version="v2"}`, "-5:100 5:142.5"), series(`order_total_count{version="v2"}`, "-5:7 5:9"),
		series(`order_total_sum{version="v1"}`, "-5:1000 5:1090.25"), series(`order_total_count{version="v1"}`, "-5:70 5:75"),
	}}
	_, ls := looks(t, p, w, 10)
	require.Equal(t, judge.Observation{Metric: "orders", Canary: judge.Arm{Bad: 42.5, Total: 2}, Baseline: judge.Arm{Bad: 90.25, Total: 5}}, ls[0].Observations[0])

	w.series = w.series[1:2]
	_, ls = looks(t, p, w, 10)
	require.Equal(t, judge.NoData, looksAbsent(ls), "a number of values without their sum is no mean of nothing")
}

func looksAbsent(ls []judge.Look) judge.Reason { return ls[0].Observations[0].Absent }

func TestAFixedBaselineLooksAtTheCanaryAlone(t *testing.T) {
	m := errorsMetric()
	m.Baseline = Fixed{Rate: share.Share(0.001)}
	d := Definition{Metrics: []Metric{m}, Split: Split{Off: true}}
	p, err := NewPlan(d, arms)
	require.NoError(t, err)
	require.Len(t, p.Asks(NewCursor(epoch), at(10)), 1)
	_, ls := looks(t, p, world{series: []made{series(bad500, "-5:1 5:3")}}, 10)
	require.Equal(t, judge.Observation{Metric: "errors", Canary: judge.Arm{Bad: 2, Total: 2}}, ls[0].Observations[0])
	s := d.Judge(2)
	require.Equal(t, judge.Objective, s.Metrics[0].Kind)
	require.InDelta(t, 0.005, s.FalseRollback, 1e-12)
	require.InDelta(t, 1, s.Metrics[0].Margin.Relative, 0)
	require.Nil(t, s.Split)
}

func TestAnOffsetBaselineIsTheSameWindowAtAnotherTime(t *testing.T) {
	m := Metric{Name: "errors", Source: Ratio{Bad: `e{v="${version}",code="5"}`, Total: `e{v="${version}"}`}, Baseline: Offset{By: time.Hour}}
	p := plan(t, m)
	w := world{series: []made{
		series(`e{v="v2",code="5"}`, "-5:1 5:2 15:4"),
		series(`e{v="v1",code="5"}`, "-3605:1 -3595:6 -3585:8 -5:50 5:100 15:900"),
	}}
	c, ls := looks(t, p, w, 10, 20)
	require.Equal(t, judge.Arm{Bad: 5, Total: 5}, ls[0].Observations[0].Baseline)
	require.Equal(t, judge.Arm{Bad: 2, Total: 2}, ls[1].Observations[0].Baseline)
	require.Equal(t, judge.Arm{Bad: 2, Total: 2}, ls[1].Observations[0].Canary)
	ask := p.Asks(c, at(30))[1]
	require.Equal(t, at(-3580), ask.From)
	require.Equal(t, at(-3570), ask.To)
}

func TestARequestCounterThatDoesNotDistinguishTheArmsIsRefused(t *testing.T) {
	for _, m := range []Metric{
		{Name: "e", Source: Ratio{Bad: `e{code="5"}`, Total: `e{}`}},
		{Name: "g", Source: Gauge{Query: `avg(mem)`}},
	} {
		_, err := NewPlan(Definition{Split: Tested(), Metrics: []Metric{m}}, arms)
		require.ErrorContains(t, err, "both arms would be measured by the same series")
	}
	_, err := NewPlan(Definition{Split: Tested(), Metrics: []Metric{errorsMetric()}}, Arms{Canary: arms.Canary})
	require.ErrorContains(t, err, "${service} has no value")
}

func TestTheWindowAfterALongOutageIsBounded(t *testing.T) {
	p := plan(t, errorsMetric())
	w := world{series: []made{series(ok200, "-5:100 5:110 86395:5000"), series(stable, "-5:100 5:110 86395:5000")}}
	c, _ := looks(t, p, w, 10)
	ask := p.Asks(c, at(86400))[0]
	require.Equal(t, MaxWindow, ask.To.Sub(ask.From))
	_, ls := looks(t, p, w, 10, 86400)
	_, all := total(ls, 0)
	require.InDelta(t, 4900, all, 0)
}

func TestVanishedSeriesAreForgotten(t *testing.T) {
	p := plan(t, errorsMetric())
	w := world{series: []made{series(ok200, "-5:100 5:110"), series(stable, "-5:1 5:2 120000:5")}}
	c, _ := looks(t, p, w, 10)
	require.Len(t, c.series, 2)
	c, _ = looks(t, p, w, 10, 120010)
	require.Len(t, c.series, 1)
}

func TestATimeThatIsNotAfterTheCursorCountsNothing(t *testing.T) {
	p := plan(t, errorsMetric())
	w := world{series: []made{series(ok200, "-5:100 5:110 15:120"), series(stable, "-5:1 5:2")}}
	c, ls := looks(t, p, w, 20, 10, 20)
	_, all := total(ls, 0)
	require.InDelta(t, 20, all, 0)
	require.Equal(t, at(20), c.At)
}

func TestACursorSurvivesItsJSON(t *testing.T) {
	p := plan(t, errorsMetric())
	w := world{series: []made{series(ok200, "-5:100 5:110.5"), series(stable, "-5:1 5:9007199254740991"), series(bad500, "-5:0 5:0 15:0 18:0"),
		series(`traefik_service_requests_total{service="canary@file",code="404"}`, "-5:100 15:100 18:3")}}
	c, _ := looks(t, p, w, 10, 20)
	require.NotEmpty(t, c.fallen)
	b, err := json.Marshal(c)
	require.NoError(t, err)
	var back Cursor
	require.NoError(t, json.Unmarshal(b, &back))
	require.Equal(t, c, back)
	again, err := json.Marshal(back)
	require.NoError(t, err)
	require.Equal(t, b, again)
	var empty Cursor
	b, err = json.Marshal(NewCursor(epoch))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &empty))
	require.Equal(t, epoch, empty.At)
	for _, bad := range []string{`{}`, `{"version":2}`, `{"version":1,"asked":"AQ","series":"AA"}`, `{"version":1,"asked":"AA","series":"/w"}`, `{"version":1,"asked":"%"}`, `7`} {
		require.Error(t, json.Unmarshal([]byte(bad), &empty), bad)
	}
}

func FuzzCursor(f *testing.F) {
	f.Add([]byte(`{"version":1,"at":"2026-03-01T12:00:00Z","asked":"AA","series":"AA"}`))
	f.Add([]byte(`{"version":1,"at":"2026-03-01T12:00:00Z","asked":"AA","series":"AQAAAAAAAAABAgE/8AAAAAAAAA"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var c, again Cursor
		if json.Unmarshal(b, &c) != nil {
			require.Zero(t, c)
			return
		}
		first, err := json.Marshal(c)
		if err != nil {
			return // a time that JSON cannot write
		}
		require.NoError(t, json.Unmarshal(first, &again))
		second, err := json.Marshal(again)
		require.NoError(t, err)
		require.Equal(t, first, second)
	})
}

// After a restart, Traefik has no series of a status code until it answers with that code again. By then the new count
// may be above the old one. The series of other codes show the restart.
func TestASeriesThatComesBackHigherAfterARestartCountsAsAWhole(t *testing.T) {
	for name, c := range map[string]struct {
		ok, bad string
		counted float64
	}{
		"a restart that the series of another code shows":  {"-5:1000 5:1010 15:1020 60:5 75:10 90:20", "-5:0 5:3 15:3 90:9", 12},
		"one that shows in the same answer":                {"-5:1000 5:1010 15:1020 92:5 97:10", "-5:0 5:3 15:3 97:9", 12},
		"no restart: it was left out of a scrape":          {"-5:1000 5:1010 15:1020 60:1025 75:1030 90:1040", "-5:0 5:3 15:3 90:9", 9},
		"a restart after it had already been missing":      {"-5:1000 5:1010 15:1020 30:1030 60:5 75:10 90:20", "-5:0 5:3 15:3 90:9", 9},
		"it comes back in the scrape that shows a restart": {"-5:1000 5:1010 15:1020 60:5 75:10 90:20", "-5:0 5:3 15:3 60:9", 9},
		"an exporter whose series have times of their own": {"-5:1000 5:1010 14:1020 60:5 75:10 90:20", "-5:0 5:3 15:3 90:9", 9},
		"two restarts, of which only the last one shows":   {"-5:1000 5:1010 15:1020 30:5 45:50 60:5 90:20", "-5:0 5:3 15:3 90:9", 9},
	} {
		t.Run(name, func(t *testing.T) {
			w := world{series: []made{series(bad500, c.bad), series(ok200, c.ok), series(stable, "-5:1 5:1 15:1 60:1 75:1 90:1")}}
			_, ls := looks(t, plan(t, errorsMetric()), w, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100)
			bad, _ := total(ls, 0)
			require.Equal(t, c.counted, bad)
		})
	}
}

// Counts do not depend on whether windows come one by one or joined, including resets, first appearances and outages of
// scraping. Only a reset that the views of two servers could explain may count for less if an answer ends before it.
func TestWindowsOneByOneCountTheSameAsJoined(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		p, err := NewPlan(Definition{Split: Tested(), Metrics: []Metric{errorsMetric()}}, arms)
		require.NoError(r, err)
		far := rapid.Bool().Draw(r, "far")
		w := drawWorld(r, far)
		var ends []float64
		for end := 0.0; end < 300; {
			end += float64(rapid.IntRange(1, 60).Draw(r, "window"))
			ends = append(ends, end)
		}
		_, single := looks(t, p, w, ends...)
		_, joined := looks(t, p, w, ends[len(ends)-1])
		bad, all := total(single, 0)
		badJoined, allJoined := total(joined, 0)
		require.InDelta(r, trueCount(w, at(ends[len(ends)-1])), allJoined, 0)
		if !far {
			require.LessOrEqual(r, all, allJoined, "never too much")
			require.LessOrEqual(r, bad, badJoined, "never too much")
			return
		}
		require.InDelta(r, allJoined, all, 0)
		require.InDelta(r, badJoined, bad, 0)
	})
}

// drawWorld makes series of a target that is scraped every 10 s except during an outage; each begins at some time and
// may be reset to a smaller value, with far to a far smaller one.
func drawWorld(r *rapid.T, far bool) world {
	w := world{series: []made{series(stable, "-5:1")}}
	outFrom := rapid.IntRange(0, 300).Draw(r, "from")
	outTo := outFrom + rapid.IntRange(0, 240).Draw(r, "out") // shorter than Stale
	var scrapes []int
	for s := -25; s < 400; s += 10 {
		if s < outFrom || s > outTo {
			scrapes = append(scrapes, s)
			w.scrapes += fmt.Sprintf("%d ", s)
		}
	}
	for i, selector := range []string{ok200, bad500, `traefik_service_requests_total{service="canary@file",code="503"}`} {
		begin, v := rapid.IntRange(-30, 300).Draw(r, fmt.Sprintf("begin%d", i)), 0
		m := made{selector: selector}
		for _, s := range scrapes {
			if s < begin {
				continue
			}
			least, most := 1, v-1
			if far {
				least, most = farBelow, (v-1)/2
			}
			if v >= least && rapid.IntRange(0, 9).Draw(r, "reset") == 0 {
				v = rapid.IntRange(0, most).Draw(r, "after")
			} else {
				v += rapid.IntRange(0, 20).Draw(r, "more")
			}
			m.samples = append(m.samples, Sample{T: at(float64(s)).UnixMilli(), V: float64(v)})
		}
		w.series = append(w.series, m)
	}
	return w
}

// One counter without a reset, read through two servers behind one address whose views differ by less than Skew: no
// more is counted than happened, and no less than the view of the server that is behind.
func TestOfTwoServersBehindOneAddressNoneMakesAReset(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		p, err := NewPlan(Definition{Split: Tested(), Metrics: []Metric{errorsMetric()}}, arms)
		require.NoError(r, err)
		start, rate := rapid.IntRange(0, 1_000_000).Draw(r, "start"), rapid.IntRange(0, 5).Draw(r, "rate")
		value := func(second int) float64 { return float64(start + rate*(second+100)) }
		late := rapid.IntRange(0, 20).Draw(r, "late")
		views := [2]string{}
		for s := -25; s < 400; s += 10 {
			views[0] += fmt.Sprintf("%d:%v ", s, value(s))
			views[1] += fmt.Sprintf("%d:%v ", s+3, value(s+3-late))
		}
		c, sum, end := NewCursor(epoch), 0.0, 0.0
		for n := 1; end < 300; n++ {
			end += float64(rapid.IntRange(1, 60).Draw(r, "window"))
			view := views[rapid.IntRange(0, 1).Draw(r, "server")]
			w := world{series: []made{series(ok200, view), series(stable, view)}}
			var l judge.Look
			c, l = p.Fold(c, w.answer(t, p.Asks(c, at(end))), FoldInput{Number: n, At: at(end)})
			sum += l.Observations[0].Canary.Total
		}
		if start+rate*(75-late) < farBelow {
			return // the views of so small a counter may differ by half of it
		}
		require.LessOrEqual(r, sum, value(int(end))-value(-25-late))
		require.GreaterOrEqual(r, sum, value(int(end)-60-late)-value(3)-float64(rate*late))
	})
}

// trueCount is the number of events from second 0 to the end of the looks, by the samples alone.
func trueCount(w world, end time.Time) float64 {
	sum := 0.0
	for _, m := range w.series[1:] {
		before, known := 0.0, false
		for i, x := range m.samples {
			first := i == 0 && x.T > at(-25).UnixMilli()
			if x.T > epoch.UnixMilli() && x.T <= end.UnixMilli() && (known || first) {
				sum += x.V
				if x.V >= before {
					sum -= before
				}
			}
			before, known = x.V, true
		}
	}
	return sum
}

func TestFoldDoesNotChangeItsCursor(t *testing.T) {
	p := plan(t, errorsMetric())
	w := world{series: []made{series(ok200, "-5:100 5:110 15:120"), series(stable, "-5:1 5:2")}}
	c, _ := looks(t, p, w, 10)
	before := c.clone()
	answers := w.answer(t, p.Asks(c, at(20)))
	kept := slices.Clone(answers)
	_, first := p.Fold(c, answers, FoldInput{Number: 2, At: at(20)})
	require.Equal(t, before, c)
	require.Equal(t, kept, answers)
	_, second := p.Fold(c, answers, FoldInput{Number: 2, At: at(20)})
	require.Equal(t, first, second)
}

func BenchmarkPlanAsksAndFold(b *testing.B) {
	def := Definition{Split: Tested(), Metrics: []Metric{errorsMetric(), {Name: "slow", Source: TraefikLatency(300 * time.Millisecond)}}}
	p, err := NewPlan(def, arms)
	require.NoError(b, err)
	var all []made
	for _, arm := range []string{"canary@file", "stable@file"} {
		for _, code := range []string{"200", "302", "404", "500"} {
			all = append(all, series(fmt.Sprintf(`traefik_service_requests_total{service=%q,code=%q}`, arm, code), "-5:1 5:2 15:3"))
			for _, le := range []string{"0.1", "0.3", "1.2", "5.0", "+Inf"} {
				all = append(all, series(fmt.Sprintf(`traefik_service_request_duration_seconds_bucket{service=%q,code=%q,le=%q}`, arm, code, le), "-5:1 5:2 15:3"))
			}
		}
	}
	w, t := world{series: all}, &testing.T{}
	c, _ := looks(t, p, w, 10)
	answers := w.answer(t, p.Asks(c, at(20)))
	encoded, err := json.Marshal(c)
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		p.Asks(c, at(20))
		p.Fold(c, answers, FoldInput{Number: 2, At: at(20)})
	}
	b.ReportMetric(float64(len(encoded)), "cursor-bytes")
	b.ReportMetric(float64(len(c.series)), "series")
}
