package sequential_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/serindev/serin/judge"
)

// errorsAnd returns the default error ratio, and a second metric like it if asked for.
func errorsAnd(second bool) []judge.Metric {
	m := judge.Metric{Name: "errors", Kind: judge.Counts, Margin: judge.Margin{Relative: 0.25, Absolute: 0.001},
		Direction: judge.Increase, Weight: 1, Noise: 0.3, MinRequests: 100}
	if !second {
		return []judge.Metric{m}
	}
	slow := m
	slow.Name = "slow"
	return []judge.Metric{m, slow}
}

func BenchmarkSequential(b *testing.B) {
	for _, c := range []struct {
		name    string
		metrics []judge.Metric
	}{
		{"one ratio", errorsAnd(false)},
		{"two ratios", errorsAnd(true)},
	} {
		b.Run(c.name, func(b *testing.B) {
			j := newJudge(b, judge.Settings{FalseRollback: 0.01, FalseAdvance: 0.05, Metrics: c.metrics,
				Split: &judge.Split{Noise: 0.02, FalseAlarm: 0.001, Tolerance: 0.1}})
			rng := rand.New(rand.NewPCG(1, 2))
			look := func(n int) judge.Look {
				l := judge.Look{Number: n, At: begin.Add(time.Duration(n) * 10 * time.Second), Length: 10 * time.Second, Weight: 0.05,
					Requests: &judge.Requests{Canary: 50, Baseline: 950}}
				for _, m := range c.metrics {
					l.Observations = append(l.Observations, judge.Observation{Metric: m.Name,
						Canary: judge.Arm{Bad: float64(rng.IntN(3)), Total: 50}, Baseline: judge.Arm{Bad: float64(rng.IntN(20)), Total: 950}})
				}
				return l
			}
			e := j.Begin(nil)
			for n := range 500 {
				e, _ = j.Look(e, look(n+1))
			}
			l := look(501)
			encoded := encode(b, e)
			b.ReportAllocs()
			b.ReportMetric(float64(len(encoded)), "B/evidence")
			for b.Loop() {
				j.Look(e, l)
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	j := newJudge(b, judge.Settings{FalseRollback: 0.01, FalseAdvance: 0.05, Metrics: errorsAnd(false)})
	e := j.Begin(nil)
	for n := range 500 {
		e, _ = j.Look(e, judge.Look{At: begin.Add(time.Duration(n) * 10 * time.Second), Length: 10 * time.Second, Observations: []judge.Observation{
			{Metric: "errors", Canary: judge.Arm{Bad: float64(n % 3), Total: 50}, Baseline: judge.Arm{Bad: float64(n % 20), Total: 950}}}})
	}
	encoded := encode(b, e)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := j.Decode(encoded); err != nil {
			b.Fatal(err)
		}
	}
}
