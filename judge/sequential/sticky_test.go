package sequential_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/judge/sequential"
)

func sticky(name string) judge.Metric {
	m := ratio(name)
	m.Sticky = true
	return m
}

func TestADifferenceThatAFewUsersCanMakeIsUndecided(t *testing.T) {
	worse := counts("m", 75, 5000, 50, 5000) // half again as many errors, for as long as it lasts
	for name, c := range map[string]struct {
		metric judge.Metric
		pasts  []judge.Past
		want   judge.Outcome
	}{
		"where requests divide the arms it fails": {metric: ratio("m"), want: judge.Fail},
		"where users do, nothing says so":         {metric: sticky("m"), want: judge.Inconclusive},
		"where earlier releases ended alike, users are many": {
			metric: sticky("m"), pasts: ended(0.01, -0.02, 0.02), want: judge.Fail},
		"where they ended apart, users are few": {
			metric: sticky("m"), pasts: ended(0.5, -0.4, 0.6), want: judge.Inconclusive},
		"releases that say nothing of it change nothing": {
			metric: sticky("m"), pasts: ended(math.NaN(), math.NaN(), math.NaN()), want: judge.Inconclusive},
	} {
		t.Run(name, func(t *testing.T) {
			j := newJudge(t, settings(nil, c.metric))
			past := j.History(map[string]judge.History{"m": quiet(600)})["m"]
			e := j.Begin(map[string][]judge.Past{"m": append(c.pasts, past)})
			var v judge.Verdict
			for n := 1; n <= 120 && v.Outcome != judge.Fail; n++ {
				e, v = j.Look(e, at(n, 0.5, worse))
			}
			require.Equal(t, c.want, v.Outcome)
			if c.want == judge.Fail {
				require.Zero(t, v.Metrics[0].Users)
				return
			}
			require.InDelta(t, 481, v.Metrics[0].Users, 5, "2 log 20 / (log 1.25)² / ¼")
		})
	}
}

// ended returns releases that ended with these log ratios at half of the users; NaN stands for an unknown one.
func ended(apart ...float64) (out []judge.Past) {
	for _, a := range apart {
		p := judge.Past{Release: true, Rate: 0.01, Apart: a, Unsure: 0.0005, Weight: 0.5}
		for k := range p.Blocks {
			p.Blocks[k] = judge.Blocks{Squares: 3000, Variance: 3000, Weight: 9e5, Fourth: 2.7e10, Count: 10}
		}
		if math.IsNaN(a) {
			p.Apart, p.Unsure, p.Weight = 0, 0, 0
		}
		out = append(out, p)
	}
	return out
}

func TestAFewUsersDoNotMakeAllRequestsFail(t *testing.T) {
	for _, base := range []float64{0.01, 0.05, 0.1, 0.3} { // the more errors stable has, the smaller is the ratio of an outage
		for _, weight := range []float64{0.01, 0.05, 0.25} {
			j := newJudge(t, settings(nil, sticky("m"), ratio("other"), ratio("third")))
			canary, stable := 2000*weight, 2000*(1-weight)
			rest := []judge.Observation{counts("other", 0, canary, 0, stable), counts("third", 0, canary, 0, stable)}
			pasts := map[string][]judge.Past{"m": {j.History(map[string]judge.History{"m": dayOf(base)})["m"]}}
			_, v := run(j, j.Begin(pasts), 1, 18, weight, append(rest, counts("m", canary, canary, math.Round(stable*base), stable))...)
			require.Equal(t, judge.Fail, v.Outcome, "%v of stable's requests fail, the canary has %v", base, weight)
		}
	}
}

// dayOf is a day of a version in service with a constant share of bad requests.
func dayOf(base float64) judge.History {
	h := judge.History{Seconds: 60}
	for i := range 1440 {
		h.Baseline.Bad = append(h.Baseline.Bad, math.Round(12000*base)+float64(i%3)-1)
		h.Baseline.Total = append(h.Baseline.Total, 12000)
	}
	return h
}

func TestAnOutageIsFoundWhereFewRequestsComeAndUsersKeepTheirVersion(t *testing.T) {
	j := newJudge(t, settings(nil, sticky("m")))
	_, v := run(j, j.Begin(nil), 1, 30, 0.05, counts("m", 1, 1, 2, 20))
	require.Equal(t, judge.Fail, v.Outcome, "one request in ten seconds, all of which fail")
}

func TestAnOutageAfterTheWeightHasGrownIsNotBlamedOnNewUsers(t *testing.T) {
	j := newJudge(t, settings(nil, sticky("m")))
	pasts := map[string][]judge.Past{"m": {j.History(map[string]judge.History{"m": dayOf(0.1)})["m"]}}
	e, v := run(j, j.Begin(pasts), 1, 60, 0.01, counts("m", 2, 20, 198, 1980))
	require.NotEqual(t, judge.Fail, v.Outcome)
	_, v = run(j, e, 61, 72, 0.05, counts("m", 100, 100, 190, 1900))
	require.Equal(t, judge.Fail, v.Outcome)
}

func TestLaterReleasesLearnTheFinalWeightWhereUsersDivideTheArms(t *testing.T) {
	for _, c := range []struct {
		metric judge.Metric
		want   float64
	}{{sticky("m"), 0.5}, {ratio("m"), 0}} {
		j := newJudge(t, settings(nil, c.metric))
		e, _ := run(j, j.Begin(nil), 1, 30, 0.5, counts("m", 50, 5000, 50, 5000))
		require.InDelta(t, c.want, e.Learned()["m"].Weight, 0)
	}
}

func TestHowManyUsersADecisionTakesIsSaidBeforehand(t *testing.T) {
	goal := sticky("goal")
	goal.Goal = true
	j := newJudge(t, settings(nil, sticky("m"), ratio("other"), goal))
	find := j.UsersToFind("m", 2, 0.5)
	require.Positive(t, find)
	require.Less(t, find, j.UsersToFind("m", 2, 0.05), "of a twentieth of the users it takes more")
	require.Less(t, find, j.UsersToFind("m", 1.5, 0.5))
	require.InDelta(t, 482, j.UsersToRule("m", sequential.Pace{Canary: 50, Baseline: 50, Base: 0.01, Learned: true}, 0.5), 1)
	for _, none := range []string{"other", "goal", "no such metric"} {
		require.Zero(t, j.UsersToFind(none, 2, 0.5))
		require.Zero(t, j.UsersToRule(none, sequential.Pace{Canary: 50, Baseline: 50, Base: 0.01, Learned: true}, 0.5))
	}
}
