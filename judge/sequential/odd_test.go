package sequential_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
)

func TestAbsurdCountsLeaveVerdictsFiniteAndEvidenceThatCanBeDecoded(t *testing.T) {
	const most = 1 << 53
	for name, c := range map[string]struct {
		metric judge.Metric
		look   func(n int) judge.Look
	}{
		"one arm is alone for an hour with the largest counts there are, then the other has requests": {
			metric: judge.Metric{Kind: judge.Counts, Direction: judge.Decrease, Margin: judge.Margin{Relative: 0.25, Absolute: 1e-12}},
			look: func(n int) judge.Look {
				canary := judge.Arm{}
				if n >= 360 {
					canary = judge.Arm{Bad: 1, Total: 50}
				}
				return judge.Look{Observations: []judge.Observation{
					{Canary: canary, Baseline: judge.Arm{Bad: most, Total: most}}}}
			},
		},
		"replicas whose requests have no sum": {
			metric: judge.Metric{Kind: judge.Counts, Cold: true},
			look: func(int) judge.Look {
				return judge.Look{
					Replicas:     []judge.Replica{{Age: 1, Total: math.MaxFloat64}, {Age: 1, Total: math.MaxFloat64}},
					Observations: []judge.Observation{{Canary: judge.Arm{Bad: 1, Total: 50}, Baseline: judge.Arm{Bad: 9, Total: 950}}},
				}
			},
		},
		"replicas of which one takes requests back": {
			metric: judge.Metric{Kind: judge.Counts, Cold: true},
			look: func(int) judge.Look {
				return judge.Look{
					Replicas:     []judge.Replica{{Age: 1, Total: -1e9}, {Age: 99, Total: 1e9 + 1}},
					Observations: []judge.Observation{{Canary: judge.Arm{Bad: 1, Total: 50}, Baseline: judge.Arm{Bad: 9, Total: 950}}},
				}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c.metric.Name, c.metric.Weight, c.metric.Noise = "m", 1, 0.3
			j := newJudge(t, judge.Settings{FalseRollback: 0.01, FalseAdvance: 0.05, Metrics: []judge.Metric{c.metric}})
			e := j.Begin(nil)
			for n := range 400 {
				l := c.look(n)
				l.Number, l.At, l.Length, l.Weight = n+1, begin.Add(time.Duration(n)*10*time.Second), 10*time.Second, 0.05
				l.Observations[0].Metric = "m"
				var v judge.Verdict
				e, v = j.Look(e, l)
				text(t, v)
				if n%20 == 0 {
					_, err := j.Decode(encode(t, e))
					require.NoError(t, err, "look %d", n+1)
				}
			}
		})
	}
}

func TestAPastThatSaysNothingLeavesTheAssumedNoise(t *testing.T) {
	some := func(b judge.Blocks) [3]judge.Blocks { return [3]judge.Blocks{b, b, b} }
	for name, c := range map[string]struct {
		kind judge.Kind
		past judge.Past
	}{
		"without weight":                        {judge.Counts, judge.Past{Blocks: some(judge.Blocks{Squares: 900, Variance: 9, Count: 9})}},
		"without fourth powers":                 {judge.Counts, judge.Past{Blocks: some(judge.Blocks{Squares: 900, Variance: 9, Weight: 9, Count: 9})}},
		"two arms, of one that is alone":        {judge.Objective, judge.Past{Release: true, Blocks: some(judge.Blocks{Squares: 900, Variance: 9, Weight: 9, Fourth: 9, Count: 9})}},
		"a release without weight":              {judge.Counts, judge.Past{Release: true, Blocks: some(judge.Blocks{Squares: 900, Variance: 9, Count: 9})}},
		"of an earlier version, which is empty": {judge.Counts, judge.Past{}},
	} {
		t.Run(name, func(t *testing.T) {
			m := judge.Metric{Name: "m", Kind: c.kind, Weight: 1, Noise: 0.3}
			if c.kind == judge.Objective {
				m.Objective = 0.01
			}
			j := newJudge(t, judge.Settings{FalseRollback: 0.01, FalseAdvance: 0.05, Metrics: []judge.Metric{m}})
			noise := func(pasts ...judge.Past) judge.Verdict {
				_, v := j.Look(j.Begin(map[string][]judge.Past{"m": pasts}), judge.Look{Number: 1, At: begin, Length: 10 * time.Second})
				return v
			}
			require.False(t, noise(c.past).Learned)
			require.InDelta(t, noise().Metrics[0].Noise, noise(c.past).Metrics[0].Noise, 1e-12)
		})
	}
}
