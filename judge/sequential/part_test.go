package sequential_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/judge/sequential"
)

// byRoute is the error ratio, also judged by route.
func byRoute(values int) judge.Metric {
	m := ratio("errors")
	m.By, m.Values = "route", values
	return m
}

// route is what one route had: x of n bad at the canary, y of m at the baseline.
type route struct {
	value      string
	x, n, y, m float64
}

func of(routes ...route) judge.Observation {
	o := judge.Observation{Metric: "errors"}
	for _, r := range routes {
		o.Parts = append(o.Parts, judge.Part{Value: r.value, Canary: judge.Arm{Bad: r.x, Total: r.n}, Baseline: judge.Arm{Bad: r.y, Total: r.m}})
		o.Canary.Bad, o.Canary.Total = o.Canary.Bad+r.x, o.Canary.Total+r.n
		o.Baseline.Bad, o.Baseline.Total = o.Baseline.Bad+r.y, o.Baseline.Total+r.m
	}
	return o
}

func TestARouteThatAlwaysFailsIsNamedThoughTheWholeHardlyShowsIt(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	j := newJudge(t, settings(nil, byRoute(20)))
	whole := newJudge(t, settings(nil, ratio("errors")))
	e, f := j.Begin(nil), whole.Begin(nil)
	var v, w judge.Verdict
	n := 0
	for n < 120 && v.Outcome != judge.Fail {
		n++
		dead := float64(rng.IntN(2)) / 2 // a request in 40 seconds, and 19 at the baseline
		if dead > 0 {
			dead = float64(rng.IntN(2))
		}
		o := of(route{"/", float64(rng.IntN(2)), 50, float64(5 + rng.IntN(9)), 950}, route{"/dead", dead, dead, 0, 5})
		e, v = j.Look(e, at(n, 0.05, o))
		f, w = whole.Look(f, at(n, 0.05, o))
	}
	require.Equal(t, judge.Fail, v.Outcome, text(t, v))
	require.Less(t, n, 120)
	m := v.Metrics[0]
	require.Equal(t, "/dead", m.Value)
	require.Equal(t, `errors of route "/dead"`, v.DecisiveName())
	require.Equal(t, m.Canary.Bad, m.Canary.Total, "the numbers are the route's")
	require.Equal(t, judge.Inconclusive, w.Outcome, "the whole alone")
	require.Less(t, w.Metrics[0].LogEvidence.Worse, 1.0)
}

func TestWhatIsShownIsTheWholeWhileNoValueStandsOut(t *testing.T) {
	j := newJudge(t, settings(nil, byRoute(5)))
	_, v := run(j, j.Begin(nil), 1, 30, 0.5, of(route{"/", 10, 1000, 10, 1000}, route{"/cart", 3, 300, 3, 300}))
	require.Empty(t, v.Metrics[0].By)
	require.InDelta(t, 30*1300, v.Metrics[0].Canary.Total, 0)
	require.Equal(t, "errors", v.Metrics[0].Named())
}

func TestAFaultOfTheWholeIsFoundByTheWhole(t *testing.T) {
	j := newJudge(t, settings(nil, byRoute(5)))
	_, v := run(j, j.Begin(nil), 1, 30, 0.5, of(route{"/", 40, 1000, 10, 1000}, route{"/cart", 40, 1000, 10, 1000}))
	require.Equal(t, judge.Fail, v.Outcome)
	require.Empty(t, v.Metrics[0].By)
}

func TestValuesWithoutAPlaceAreJudgedTogether(t *testing.T) {
	j := newJudge(t, settings(nil, byRoute(2)))
	var routes []route
	for i := range 6 {
		r := route{fmt.Sprint("/", i), 1, 200, 1, 200}
		if i >= 2 {
			r.x = 40
		}
		routes = append(routes, r)
	}
	routes[0].n, routes[0].m, routes[0].x, routes[0].y = 1e5, 1e5, 4000, 4000 // so that the whole says nothing
	e, v := run(j, j.Begin(nil), 1, 40, 0.5, of(routes...))
	require.Equal(t, judge.Fail, v.Outcome, text(t, v))
	m := v.Metrics[0]
	require.Equal(t, "route", m.By)
	require.Empty(t, m.Value)
	require.InDelta(t, 40*800, m.Canary.Total, 0, "four routes have no place of their own")
	require.Contains(t, m.Named(), "a route that is not judged by itself")
	restored, err := j.Decode(encode(t, e))
	require.NoError(t, err)
	require.Equal(t, encode(t, e), encode(t, restored))
}

// The evidence is a mean of e-values over a number of places that is fixed beforehand, half of it for the whole.
func TestTheEvidenceIsTheMeanOverTheWholeAndAllPlaces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.IntRange(1, 4).Draw(t, "values")
		j, alone := newJudge(t, settings(nil, byRoute(values))), newJudge(t, settings(nil, ratio("errors")))
		e, f := j.Begin(nil), alone.Begin(nil)
		for n := range 20 {
			o := of(route{"/", float64(rapid.IntRange(0, 9).Draw(t, "x")), 500, 5, 500})
			var v, w judge.Verdict
			e, v = j.Look(e, at(n+1, 0.5, o))
			f, w = alone.Look(f, at(n+1, 0.5, o))
			// The only value is the whole: its e-value has half of the stake, and its place's share of the other half.
			one, share := math.Exp(w.Metrics[0].LogEvidence.Worse), 0.5/float64(values+1)
			require.InEpsilon(t, math.Exp(v.Metrics[0].LogEvidence.Worse), (0.5+share)*one+share*float64(values), 1e-9)
			require.Equal(t, w.Metrics[0].LogEvidence.NoWorse, v.Metrics[0].LogEvidence.NoWorse, "a pass is of the whole")
		}
	})
}

func TestLaterReleasesLearnHowMuchTheValuesWander(t *testing.T) {
	j := newJudge(t, settings(nil, byRoute(3)))
	rng := rand.New(rand.NewPCG(3, 4))
	e := j.Begin(nil)
	for n := range 180 {
		a, b := float64(rng.IntN(20)), float64(rng.IntN(20))
		e, _ = j.Look(e, at(n+1, 0.5, of(route{"/", a, 1000, b, 1000}, route{"/cart", 5, 500, 5, 500})))
	}
	learned := e.Learned()["errors"]
	require.NotZero(t, learned.Parts[0].Count)
	require.InDelta(t, 2*learned.Blocks[0].Count, learned.Parts[0].Count, 0, "blocks of two values")
}

func TestAHistoryShowsHowMuchEachValueWandersAroundItsOwnRate(t *testing.T) {
	j := newJudge(t, settings(nil, byRoute(3)))
	h := judge.History{Seconds: 60, Parts: make([]judge.Sums, 2)}
	for range 60 {
		h.Baseline.Bad, h.Baseline.Total = append(h.Baseline.Bad, 110), append(h.Baseline.Total, 2000)
		for i, bad := range []float64{100, 10} {
			h.Parts[i].Bad, h.Parts[i].Total = append(h.Parts[i].Bad, bad), append(h.Parts[i].Total, 1000)
		}
	}
	p := j.History(map[string]judge.History{"errors": h})["errors"]
	require.InDelta(t, 120, p.Parts[0].Count, 0)
	require.Less(t, p.Parts[0].Squares, 0.1, "each is as its own rate makes expect")
	h.Parts[0].Bad = h.Parts[0].Bad[1:]
	require.Empty(t, j.History(map[string]judge.History{"errors": h}), "lists of unequal length say nothing")
}

func TestByIsForCountsOfTwoArms(t *testing.T) {
	for _, m := range []judge.Metric{
		{Name: "a", Kind: judge.Gauge, Weight: 1, By: "route", Values: 1},
		{Name: "a", Kind: judge.Counts, Weight: 1, By: "route"},
		{Name: "a", Kind: judge.Counts, Weight: 1, By: "route", Values: 1000},
	} {
		_, err := sequential.New(settings(nil, m))
		require.ErrorContains(t, err, `by "route"`)
	}
}

// The label was added after a release in which the whole never wandered: of its values nothing is known, and there is no noise
// to be scaled.
func TestValuesOfWhichNothingIsKnownAreJudgedWhereTheWholeNeverWandered(t *testing.T) {
	quiet := judge.Blocks{Squares: 10, Variance: 100, Weight: 1000, Fourth: 1e5, Count: 50}
	past := judge.Past{Release: true, Rate: 0.01, Blocks: [3]judge.Blocks{quiet, quiet, quiet}}
	j := newJudge(t, settings(nil, byRoute(3)))
	e := j.Begin(map[string][]judge.Past{"errors": {past}})
	var v judge.Verdict
	for n := 1; n <= 60; n++ {
		times := 1.0
		if n > 36 {
			times = 5
		}
		e, v = j.Look(e, at(n, 0.5, of(route{"/a", 10 * times, 1000, 10, 1000}, route{"/b", 10 * times, 1000, 10, 1000})))
		require.False(t, math.IsNaN(v.Metrics[0].LogEvidence.Worse), "look %d", n)
	}
	require.Equal(t, judge.Fail, v.Outcome, text(t, v))
}
