package sequential

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/judge/statespace"
)

func coldMetric() *metric {
	return &metric{Metric: judge.Metric{Kind: judge.Counts, Cold: true, Margin: judge.Margin{Relative: 0.25, Absolute: 0.01}, Noise: 0.3}, comparing: judge.Counts}
}

// began is what a release teaches of its start, whose canary is so many times as slow for its first two minutes.
func began(t *testing.T, m *metric, times float64) float64 {
	n := suppose(m, nil)
	c := comparison{}
	for look := range 60 {
		bad, s := 20.0, seen{seconds: 10, weight: 0.5}
		if look == 0 {
			s.starts = 1
		}
		if look < 12 {
			bad *= times
		}
		c.add(m, question{share: 1}, m.model(&n), true, row{bad, 1000, 20, 1000}, s)
	}
	p, ok := c.lesson(m, &n)
	require.True(t, ok)
	return p.Began
}

func TestAReleaseTeachesHowItBegan(t *testing.T) {
	m := coldMetric()
	require.Less(t, began(t, m, 1), -1.0, "warm")
	require.Greater(t, began(t, m, 4), 1.0, "cold")
	require.LessOrEqual(t, began(t, m, 8), mostOfOne, "no release says more")
	m.Cold = false
	require.Zero(t, began(t, m, 4), "errors are never cold")
}

func TestStartsAreBelievedToBeWarmOnlyWhereTheyWere(t *testing.T) {
	blocks := [len(statespace.Lengths)]judge.Blocks{{Squares: 1, Variance: 1, Weight: 1, Fourth: 1, Count: 2}}
	for name, c := range map[string]struct {
		began []float64
		want  float64
	}{
		"nothing known":                          {nil, 0},
		"releases that say nothing":              {[]float64{0, 0}, 0},
		"a warm one":                             {[]float64{-1}, mayBeCold},
		"a cold one":                             {[]float64{1}, 0},
		"any number of warm ones and a cold one": {[]float64{-3, -3, -3, -3, 3}, 0},
		"warm ones after it":                     {[]float64{3, -2, -2}, mayBeCold},
		"what is impossible":                     {[]float64{-30, math.NaN()}, 0},
	} {
		var pasts []judge.Past
		for _, b := range c.began {
			pasts = append(pasts, judge.Past{Release: true, Blocks: blocks, Began: b})
		}
		require.InDelta(t, c.want, suppose(coldMetric(), pasts).chill, 0, name)
		m := coldMetric()
		m.Goal = true
		require.Zero(t, suppose(m, pasts).chill, name)
	}
}

// A source that does not answer while a pod restarts must not hide the restart: the next answer has its requests, too.
func TestAStartInALookWithoutAnObservationCountsInTheNext(t *testing.T) {
	m := coldMetric()
	m.Name, m.questions = "m", []question{{share: 1}}
	r := record{noise: suppose(m, nil), comparisons: make([]comparison, 1)}
	old, restarted := judge.Replica{Age: 3000, Total: 1}, judge.Replica{Age: 5, Total: 1}
	seen := judge.Observation{Metric: "m", Canary: judge.Arm{Bad: 20, Total: 1000}, Baseline: judge.Arm{Bad: 20, Total: 1000}}
	absent := judge.Observation{Metric: "m", Absent: judge.Unreachable}
	look := func(seconds float64, o judge.Observation, replicas ...judge.Replica) float64 {
		l := judge.Look{Length: 10 * time.Second, Weight: 0.5, Replicas: replicas, Observations: []judge.Observation{o}}
		m.count(&r, &l, seconds, 0)
		return r.comparisons[0].young.share
	}
	require.InDelta(t, 1, look(10, seen, old, old), 0, "all of it starts with the first traffic")
	require.InDelta(t, 0, look(5000, seen, old, old), 1e-9)
	look(10, absent, old, restarted)
	look(10, absent)
	require.InDelta(t, 0.5, look(10, seen), 1e-9)
	require.InDelta(t, 0, look(5000, seen, old, old), 1e-9)
}

func TestACanaryAgesWhileNothingIsSeen(t *testing.T) {
	m := coldMetric()
	n := suppose(m, nil)
	model := m.model(&n)
	c := comparison{}
	c.add(m, question{share: 1}, model, true, row{20, 1000, 20, 1000}, seen{seconds: 10, starts: 1})
	c.wait(&model, 600)
	c.add(m, question{share: 1}, model, true, row{80, 1000, 20, 1000}, seen{seconds: 10})
	require.Equal(t, row{20, 1000, 20, 1000}, c.young.sums, "ten minutes later it is not young")
}
