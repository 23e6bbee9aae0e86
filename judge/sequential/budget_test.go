package sequential_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/judge/sequential"
)

// budgeted is the error ratio that has to be decided within the given seconds, with half of the traffic at the canary.
func budgeted(seconds float64) judge.Settings {
	m := ratio("errors")
	m.Budgeted = true
	s := settings(nil, m)
	s.Budget = []judge.Stretch{{Weight: 0.5, Seconds: seconds}}
	return s
}

// quiet is a day of a version in service with the given bad events a minute, 1% of its requests.
func quiet(bad float64) judge.History {
	h := judge.History{Seconds: 60}
	for i := range 1440 {
		h.Baseline.Bad = append(h.Baseline.Bad, bad+float64(i%3)-1)
		h.Baseline.Total = append(h.Baseline.Total, 100*bad)
	}
	return h
}

func ruled(t require.TestingT, s judge.Settings, h judge.History) float64 {
	j := newJudge(t, s)
	_, v := j.Look(j.Begin(past(j, h)), at(1, 0.5, counts("errors", 0, 10, 0, 10)))
	return v.Metrics[0].Rules
}

func past(j *sequential.Judge, h judge.History) map[string][]judge.Past {
	out := map[string][]judge.Past{}
	for name, p := range j.History(map[string]judge.History{"errors": h}) {
		out[name] = append(out[name], p)
	}
	return out
}

func TestMoreTimeAndMoreTrafficRuleOutLess(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seconds, bad := rapid.Float64Range(60, 7200).Draw(t, "seconds"), float64(rapid.IntRange(3, 300).Draw(t, "bad"))
		one := ruled(t, budgeted(seconds), quiet(bad))
		for _, other := range []float64{ruled(t, budgeted(2*seconds), quiet(bad)), ruled(t, budgeted(seconds), quiet(2*bad))} {
			require.LessOrEqual(t, other, one)
		}
		require.LessOrEqual(t, one, 10.0)
		require.True(t, one == 0 || one > 1.25, "within the margin it is the margin: %v", one)
	})
}

func TestAPassByATimeRulesOutWhatItSaysAndComesInThatTime(t *testing.T) {
	s := budgeted(1200)
	j, strict := newJudge(t, s), newJudge(t, settings(nil, ratio("errors")))
	pasts := past(j, quiet(18)) // 30 requests a second
	e, f := j.Begin(pasts), strict.Begin(pasts)
	var v, w judge.Verdict
	n := 0
	for n < 120 && v.Outcome != judge.Pass {
		n++
		o := counts("errors", float64(n%4), 150, float64((n+2)%4), 150)
		e, v = j.Look(e, at(n, 0.5, o))
		f, w = strict.Look(f, at(n, 0.5, o))
	}
	require.Equal(t, judge.Pass, v.Outcome)
	require.Equal(t, judge.Inconclusive, w.Outcome, "by its margin it would wait longer")
	m := v.Metrics[0]
	require.Greater(t, m.Rules, 1.5)
	require.Less(t, m.Rules, 3.0)
	require.InDelta(t, 1.25, m.Margin, 1e-9, "a fail is by the margin")
	require.Equal(t, w.Metrics[0].LogEvidence.Worse, m.LogEvidence.Worse, "and needs the same")
	restored, err := j.Decode(encode(t, e))
	require.NoError(t, err)
	_, again := j.Look(restored, at(n+1, 0.5, counts("errors", 1, 150, 1, 150)))
	require.InDelta(t, m.Rules, again.Metrics[0].Rules, 0)
}

func TestWhereNothingIsKnownOfTheTrafficAPassIsByTheMargin(t *testing.T) {
	require.Zero(t, ruled(t, budgeted(60), judge.History{Seconds: 60}))
	require.Zero(t, ruled(t, settings(nil, ratio("errors")), quiet(3)), "nobody has given a time")
}

// restless is the same day of a service whose rate alternates every five minutes between half and one and a half times
// its mean.
func restless(bad float64) judge.History {
	h := quiet(bad)
	for i := range h.Baseline.Bad {
		h.Baseline.Bad[i] = bad * (0.5 + float64(i/5%2))
	}
	return h
}

func TestWhatATimeRulesOutIsPlannedAsItIsJudged(t *testing.T) {
	s := budgeted(1200)
	j := newJudge(t, s)
	pace := sequential.Pace{Canary: 15, Baseline: 15, Base: 0.01, Learned: true}
	require.InDelta(t, ruled(t, s, quiet(18)), j.Rules("errors", pace), 0.1, "without the past by the pace, for events that come one by one")
	for name, h := range map[string]judge.History{"quiet": quiet(18), "wandering": restless(18)} {
		pace.Pasts = past(j, h)["errors"]
		require.InDelta(t, ruled(t, s, h), j.Rules("errors", pace), 0, "%s: with the past it is what the judge takes", name)
	}
	require.Greater(t, ruled(t, s, restless(18)), ruled(t, s, quiet(18))+0.5)
	pace.Learned = false
	require.Zero(t, j.Rules("errors", pace), "a release of which nothing is known passes by the margin")
}

func TestHowSoonAPassByATimeIsPlanned(t *testing.T) {
	j := newJudge(t, budgeted(1200))
	pace := sequential.Pace{Canary: 15, Baseline: 15, Base: 0.01, Learned: true}
	p, err := j.WithinMargin("errors", pace)
	require.NoError(t, err)
	strict, ok := p.Time()
	require.True(t, ok)
	require.Greater(t, strict, 30*time.Minute)
	p, err = j.Passes("errors", pace)
	require.NoError(t, err)
	soon, ok := p.Time()
	require.True(t, ok)
	require.Less(t, soon, 20*time.Minute)
}

func TestNoPassRulesOutMoreBadRequestsThanThereAre(t *testing.T) {
	half := judge.History{Seconds: 60}
	for i := range 1440 {
		half.Baseline.Bad = append(half.Baseline.Bad, float64(1+i%3))
		half.Baseline.Total = append(half.Baseline.Total, 4)
	}
	require.InDelta(t, 2, ruled(t, budgeted(600), half), 1e-9, "half of them are bad at stable")
	fewer := budgeted(600)
	fewer.Metrics[0].Direction = judge.Decrease
	require.Less(t, ruled(t, fewer, half), 0.5, "there may be ten times fewer of what is wanted")
}
