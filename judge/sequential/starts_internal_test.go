package sequential

import (
	"math"
	"testing"

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
