package sequential_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/judge/sequential"
)

// ratios are n error ratios with the default settings.
func ratios(n int) (all []judge.Metric) {
	for i := range n {
		all = append(all, judge.Metric{Name: fmt.Sprint("errors ", i), Kind: judge.Counts, Margin: judge.Margin{Relative: 0.25, Absolute: 0.001},
			Direction: judge.Increase, Weight: 1, Noise: 0.3, MinRequests: 100})
	}
	return all
}

// pastsOf returns a day of history for each metric, quiet or with waves of five minutes. With waves the model has more
// worlds.
func pastsOf(j *sequential.Judge, metrics []judge.Metric, wave float64) map[string][]judge.Past {
	of := map[string]judge.History{}
	for _, m := range metrics {
		h := judge.History{Seconds: 60}
		rng := rand.New(rand.NewPCG(3, 4))
		for i := range 1440 {
			h.Baseline.Total = append(h.Baseline.Total, 60_000)
			h.Baseline.Bad = append(h.Baseline.Bad, math.Round(600*math.Exp(wave*math.Sin(float64(i)/5))+24*rng.NormFloat64()))
		}
		of[m.Name] = h
	}
	out := map[string][]judge.Past{}
	for name, p := range j.History(of) {
		out[name] = []judge.Past{p}
	}
	return out
}

func BenchmarkSequential(b *testing.B) {
	for _, c := range []struct {
		name    string
		metrics []judge.Metric
		wave    float64
	}{
		{"one ratio", ratios(1), 0},
		{"two ratios", ratios(2), 0},
		{"three ratios", ratios(3), 0},
		{"three ratios, a restless history", ratios(3), 0.4},
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
			e := j.Begin(pastsOf(j, c.metrics, c.wave))
			for n := range 100 {
				e, _ = j.Look(e, look(n+1))
			}
			l := look(101)
			encoded := encode(b, e)
			b.ReportAllocs()
			keeps, used := held(j, e, l), cpu(b)
			for b.Loop() {
				j.Look(e, l)
			}
			b.ReportMetric(float64((cpu(b)-used).Microseconds())/float64(b.N), "cpu-µs/look")
			b.ReportMetric(float64(len(encoded)), "B/evidence")
			b.ReportMetric(keeps, "B/release")
		})
	}
}

// cpu is the processor time that the process has used, which depends less on other load than wall time does.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// held is how much memory the evidence of one release takes.
func held(j *sequential.Judge, e judge.Evidence, l judge.Look) float64 {
	const releases = 500
	all := make([]judge.Evidence, releases)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range all {
		all[i], _ = j.Look(e, l)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(all)
	return float64(after.HeapAlloc-before.HeapAlloc) / releases
}

func BenchmarkDecode(b *testing.B) {
	j := newJudge(b, judge.Settings{FalseRollback: 0.01, FalseAdvance: 0.05, Metrics: ratios(1)})
	e := j.Begin(nil)
	for n := range 500 {
		e, _ = j.Look(e, judge.Look{At: begin.Add(time.Duration(n) * 10 * time.Second), Length: 10 * time.Second, Observations: []judge.Observation{
			{Metric: "errors 0", Canary: judge.Arm{Bad: float64(n % 3), Total: 50}, Baseline: judge.Arm{Bad: float64(n % 20), Total: 950}}}})
	}
	encoded := encode(b, e)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := j.Decode(encoded); err != nil {
			b.Fatal(err)
		}
	}
}
