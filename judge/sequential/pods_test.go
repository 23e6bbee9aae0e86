package sequential_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/judge/sequential"
)

// differing is a past of a steady service of so many pods whose rates differ by spread.
func differing(j *sequential.Judge, pods int, spread float64) map[string][]judge.Past {
	past := j.History(map[string]judge.History{"m": dayOf(0.05)})["m"]
	past.Replicas, past.Spread, past.Clusters = pods, spread, 1
	return map[string][]judge.Past{"m": {past}}
}

// fleet draws the rate of an arm of so many pods that differ by spread for life, relative to the version's.
func fleet(r *rand.Rand, pods int, spread float64) float64 {
	sum := 0.0
	for range pods {
		sum += math.Max(0, 1+spread*r.NormFloat64())
	}
	return sum / float64(pods)
}

// alike runs good releases of twenty minutes at much traffic, with pods that differ by a fifth, twenty of stable's and so many
// of the canary's. It returns how many passed, and the last verdict on one that did not.
func alike(t *testing.T, j *sequential.Judge, releases, pods int) (passed int, undecided judge.Verdict) {
	const spread, requests, base = 0.2, 20_000, 0.05
	for i := range releases {
		r := rand.New(rand.NewPCG(11, uint64(i)))
		rates := [2]float64{base * fleet(r, pods, spread), base * fleet(r, 20, spread)}
		of := func(mean float64) float64 { return math.Max(0, math.Round(mean+math.Sqrt(mean)*r.NormFloat64())) }
		e, v := j.Begin(differing(j, 20, spread)), judge.Verdict{}
		for n := 1; n <= 120 && v.Outcome != judge.Pass && v.Outcome != judge.Fail; n++ {
			look := at(n, 0.5, counts("m", of(requests*rates[0]), requests, of(requests*rates[1]), requests))
			for range pods {
				look.Replicas = append(look.Replicas, judge.Replica{Age: 3600, Total: 1})
			}
			e, v = j.Look(e, look)
		}
		require.NotEqual(t, judge.Fail, v.Outcome, "release %d", i)
		if v.Outcome == judge.Pass {
			passed++
		} else {
			undecided = v
		}
	}
	return passed, undecided
}

func TestWithAsManyPodsAsItSaysAMarginIsDecided(t *testing.T) {
	const releases = 30
	j := newJudge(t, settings(nil, ratio("m")))
	few, v := alike(t, j, releases, 1)
	require.LessOrEqual(t, few, releases/5)
	pods := v.Metrics[0].Pods
	require.NotNil(t, pods)
	require.Equal(t, judge.Pods{Canary: 18, Stable: 20, Spread: 0.2}, *pods)
	enough, _ := alike(t, j, releases, int(pods.Canary))
	t.Logf("of %d good releases %d passed with one pod, %d with %v", releases, few, enough, pods.Canary)
	require.GreaterOrEqual(t, enough, releases*6/10, "four in five in the long run")
}

func TestPodsAreAskedForOnlyWhereTimeDoesNotHelp(t *testing.T) {
	said := func(spread float64, stable, looks int) *judge.Pods {
		j := newJudge(t, settings(nil, ratio("m")))
		_, v := run(j, j.Begin(differing(j, stable, spread)), 1, looks, 0.5, counts("m", 600, 10000, 500, 10000))
		require.Equal(t, judge.Inconclusive, v.Outcome)
		return v.Metrics[0].Pods
	}
	require.NotNil(t, said(0.2, 20, 100))
	require.Nil(t, said(0.2, 20, 1), "the next looks tell more")
	require.Nil(t, said(0.02, 20, 20), "one is enough")
	require.Nil(t, said(0.2, 0, 100), "nobody knows how many there are")
	none := said(0.2, 3, 100)
	require.NotNil(t, none)
	require.Zero(t, none.Canary, "stable's own are too few")
}

func TestPodsThatAreAlikeAreNotWhatHoldsANarrowMarginBack(t *testing.T) {
	narrow := ratio("m")
	narrow.Margin = judge.Margin{Relative: 0.1}
	j := newJudge(t, settings(nil, narrow))
	for _, spread := range []float64{0, 0.02} {
		_, v := run(j, j.Begin(differing(j, 20, spread)), 1, 100, 0.5, counts("m", 600, 10000, 550, 10000))
		require.Equal(t, judge.Inconclusive, v.Outcome)
		require.Nil(t, v.Metrics[0].Pods, "with pods that differ by %v", spread)
		p := sequential.Pace{Canary: 50, Baseline: 50, Base: 0.05, Learned: true, Pasts: differing(j, 20, spread)["m"]}
		rules, finds := j.Pods("m", p, 2)
		require.Nil(t, rules)
		require.Nil(t, finds)
	}
}

func TestHowManyPodsADecisionTakesIsSaidBeforehand(t *testing.T) {
	j := newJudge(t, settings(nil, ratio("m")))
	p := sequential.Pace{Canary: 50, Baseline: 50, Base: 0.05, Learned: true, Pasts: differing(j, 20, 0.2)["m"]}
	rules, finds := j.Pods("m", p, 2)
	require.Equal(t, &judge.Pods{Canary: 18, Stable: 20, Spread: 0.2}, rules)
	require.Less(t, finds.Canary, rules.Canary)
	p.Pasts = nil
	rules, finds = j.Pods("m", p, 2)
	require.Nil(t, rules)
	require.Nil(t, finds)
	rules, _ = j.Pods("no such metric", p, 2)
	require.Nil(t, rules)
}
