package sequential_test

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/judge/sequential"
)

var begin = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// drawSettings draws settings with one to three metrics of any kind.
func drawSettings(t *rapid.T) judge.Settings {
	s := judge.Settings{
		FalseRollback: rapid.SampledFrom([]float64{0.01, 0.3}).Draw(t, "alpha"), FalseAdvance: 0.05,
	}
	if rapid.Bool().Draw(t, "split") {
		s.Split = &judge.Split{Noise: 0.02, FalseAlarm: 0.001, Tolerance: 0.1}
	}
	if rapid.Bool().Draw(t, "at once") {
		s.PassAfter = new(time.Duration)
	}
	for i := range rapid.IntRange(1, 3).Draw(t, "metrics") {
		m := judge.Metric{
			Name:      fmt.Sprintf("m%d", i),
			Kind:      rapid.SampledFrom([]judge.Kind{judge.Counts, judge.Objective, judge.Gauge, judge.Histogram, judge.Mean}).Draw(t, "kind"),
			Direction: rapid.SampledFrom([]judge.Direction{judge.Increase, judge.Decrease, judge.Either}).Draw(t, "direction"),
			Margin:    judge.Margin{Relative: 0.25}, Weight: float64(i + 1), Noise: 0.3, MinRequests: 10,
			Goal: rapid.Bool().Draw(t, "goal"), Cold: rapid.Bool().Draw(t, "cold"), Optional: rapid.Bool().Draw(t, "optional"),
		}
		switch m.Kind {
		case judge.Objective:
			m.Objective = 0.01
		case judge.Histogram:
			m.Bounds, m.Nearest = []float64{0.1, 0.3, 1.2}, 0.3
		}
		if m.Kind == judge.Counts || m.Kind == judge.Histogram {
			m.Margin.Absolute = rapid.SampledFrom([]float64{0, 0.001}).Draw(t, "absolute")
		}
		if m.Kind == judge.Counts && !m.Goal && rapid.Bool().Draw(t, "budgeted") {
			m.Budgeted, s.Budget = true, []judge.Stretch{{Weight: 0.05, Seconds: 600}, {Weight: 0.5, Seconds: 600}}
		}
		if m.Kind == judge.Counts && rapid.Bool().Draw(t, "by") {
			m.By, m.Values = "route", rapid.IntRange(1, 3).Draw(t, "values")
		}
		s.Metrics = append(s.Metrics, m)
	}
	return s
}

// edges are numbers at which arithmetic tends to break.
var edges = []float64{0, 1, 2, 1 << 53, 1 << 52, math.NaN(), math.Inf(1), math.Inf(-1), -1, math.Copysign(0, -1),
	math.MaxFloat64, math.SmallestNonzeroFloat64, 1e60, 1e-60, -1e-60, 0.1, 1e15 + 0.5}

func drawNumber(t *rapid.T, wild bool, most int) float64 {
	if wild && rapid.IntRange(0, 2).Draw(t, "edge") == 0 {
		return rapid.SampledFrom(edges).Draw(t, "number")
	}
	return float64(rapid.IntRange(0, most).Draw(t, "count"))
}

func drawArm(t *rapid.T, m judge.Metric, wild bool) judge.Arm {
	a := judge.Arm{Missing: rapid.IntRange(0, 15).Draw(t, "missing") == 0}
	switch m.Kind {
	case judge.Gauge:
		a.Value = drawNumber(t, wild, 1000)
	case judge.Histogram:
		rest := rapid.IntRange(0, 500).Draw(t, "total")
		a.Total = float64(rest)
		for range m.Bounds {
			rest = rapid.IntRange(0, rest).Draw(t, "above")
			a.Cumulative = append(a.Cumulative, a.Total-float64(rest))
		}
		if wild && rapid.Bool().Draw(t, "break") {
			a.Cumulative[0], a.Total = drawNumber(t, wild, 9), drawNumber(t, wild, 9)
		}
	default:
		a.Total = drawNumber(t, wild, 5000)
		a.Bad = drawNumber(t, wild, 60)
	}
	return a
}

func drawLook(t *rapid.T, s judge.Settings, n int, wild bool) judge.Look {
	l := judge.Look{
		Number: n, At: begin.Add(time.Duration(n) * 10 * time.Second), Length: 10 * time.Second,
		Weight: rapid.SampledFrom([]float64{0.05, 0.05, 0.05, 0.5}).Draw(t, "weight"),
	}
	if rapid.IntRange(0, 9).Draw(t, "excluded") == 0 {
		l.Excluded = judge.WarmingUp
	}
	if wild {
		l.Weight = rapid.SampledFrom(append([]float64{0.05, 0.5}, edges...)).Draw(t, "wild weight")
		l.Length = rapid.SampledFrom([]time.Duration{10 * time.Second, 0, -1, 1, math.MaxInt64}).Draw(t, "length")
	}
	if rapid.Bool().Draw(t, "seen") {
		l.Requests = &judge.Requests{Canary: drawNumber(t, wild, 100), Baseline: drawNumber(t, wild, 100)}
	}
	for _, m := range s.Metrics {
		o := judge.Observation{Metric: m.Name, Canary: drawArm(t, m, wild), Baseline: drawArm(t, m, wild)}
		if m.By != "" {
			for _, value := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"", "/", "/a", "/b", "/c"}), 0, 5, rapid.ID).Draw(t, "values") {
				o.Parts = append(o.Parts, judge.Part{Value: value, Canary: drawArm(t, m, wild), Baseline: drawArm(t, m, wild)})
			}
		}
		o.Absent = rapid.SampledFrom([]judge.Reason{"", "", "", "", "", "", judge.NoData, judge.Unreachable}).Draw(t, "absent")
		if rapid.IntRange(0, 15).Draw(t, "there") > 0 {
			l.Observations = append(l.Observations, o)
		}
	}
	return l
}

func drawPasts(t *rapid.T, s judge.Settings) map[string][]judge.Past {
	if rapid.Bool().Draw(t, "nothing learned") {
		return nil
	}
	pasts := map[string][]judge.Past{}
	for _, m := range s.Metrics {
		for range rapid.IntRange(0, 4).Draw(t, "pasts") {
			p := judge.Past{
				Release: rapid.Bool().Draw(t, "release"), Rate: rapid.SampledFrom([]float64{0, 0.01, math.NaN()}).Draw(t, "rate"),
				Replicas: rapid.IntRange(0, 20).Draw(t, "replicas"), Spread: rapid.SampledFrom([]float64{0, 0.2, -1}).Draw(t, "spread"),
				Clusters: rapid.SampledFrom([]float64{0, 1, 20}).Draw(t, "clusters"), Incident: rapid.SampledFrom([]float64{0, 60}).Draw(t, "incident"),
			}
			for i := range p.Blocks {
				p.Blocks[i] = judge.Blocks{
					Squares: rapid.SampledFrom([]float64{0, 1.5, 2000, math.NaN(), math.Inf(1)}).Draw(t, "squares"), Variance: 100,
					Weight: rapid.SampledFrom([]float64{0, 1000}).Draw(t, "weight"), Fourth: 1e5, Count: float64(rapid.IntRange(0, 50).Draw(t, "count")),
				}
			}
			if rapid.Bool().Draw(t, "of parts") {
				p.Parts = p.Blocks
			}
			pasts[m.Name] = append(pasts[m.Name], p)
		}
	}
	return pasts
}

func text(t require.TestingT, v any) string {
	b, err := json.Marshal(v) // refuses NaN and infinities
	require.NoError(t, err, "%+v", v)
	return string(b)
}

func newJudge(t require.TestingT, s judge.Settings) *sequential.Judge {
	j, err := sequential.New(s)
	require.NoError(t, err)
	return j
}

func encode(t require.TestingT, e judge.Evidence) []byte {
	b, err := e.Encode()
	require.NoError(t, err)
	return b
}

func TestVerdictsAreFiniteAndEvidenceSurvivesEncodingWhateverTheData(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSettings(t)
		wild := rapid.Bool().Draw(t, "wild")
		j := newJudge(t, s)
		stream := j.Begin(drawPasts(t, s))
		stored := stream
		for n := range rapid.IntRange(1, 90).Draw(t, "looks") {
			l := drawLook(t, s, n+1, wild)
			before := encode(t, stream)
			after, v := j.Look(stream, l)
			require.Equal(t, before, encode(t, stream), "Look changes the evidence that it is given")
			_, again := j.Look(stream, l)
			require.Equal(t, text(t, v), text(t, again), "the same look twice")

			if rapid.IntRange(0, 5).Draw(t, "restart") == 0 {
				restored, err := j.Decode(encode(t, stored))
				require.NoError(t, err)
				stored = restored
			}
			var w judge.Verdict
			stored, w = j.Look(stored, l)
			require.Equal(t, text(t, v), text(t, w), "a restart shows")
			require.Equal(t, encode(t, after), encode(t, stored))
			require.Equal(t, text(t, after.Learned()), text(t, stored.Learned()))
			stream = after
		}
	})
}

func TestWithoutDataThereIsNeitherPassNorFail(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSettings(t)
		j := newJudge(t, s)
		e := j.Begin(drawPasts(t, s))
		for n := range 40 {
			l := drawLook(t, s, n+1, false)
			for i := range l.Observations {
				o := &l.Observations[i]
				switch rapid.IntRange(0, 3).Draw(t, "how") {
				case 0:
					o.Absent = judge.NoData
				case 1:
					o.Absent = judge.Unreachable
				case 2:
					o.Canary.Missing = true
				default: // no requests, or for a gauge nothing
					o.Canary, o.Parts = judge.Arm{Value: math.NaN(), Cumulative: make([]float64, 3)}, nil
				}
			}
			var v judge.Verdict
			e, v = j.Look(e, l)
			require.Equal(t, judge.Inconclusive, v.Outcome)
			require.False(t, v.Enough && slices.ContainsFunc(s.Metrics, func(m judge.Metric) bool { return !m.Optional }))
			for _, m := range v.Metrics {
				require.Equal(t, judge.Inconclusive, m.Outcome)
			}
		}
	})
}

func TestExchangingTheArmsMirrorsTheVerdict(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSettings(t)
		for i := range s.Metrics {
			m := &s.Metrics[i]
			if m.Kind == judge.Objective { // has one arm only
				m.Kind, m.Objective = judge.Counts, 0
			}
		}
		mirrored := s
		mirrored.Metrics = slices.Clone(s.Metrics)
		for i := range mirrored.Metrics {
			m := &mirrored.Metrics[i]
			m.Direction = map[judge.Direction]judge.Direction{
				judge.Increase: judge.Decrease, judge.Decrease: judge.Increase, judge.Either: judge.Either}[m.Direction]
		}
		j, k := newJudge(t, s), newJudge(t, mirrored)
		pasts := drawPasts(t, s)
		e, f := j.Begin(pasts), k.Begin(pasts)
		for n := range rapid.IntRange(1, 60).Draw(t, "looks") {
			l := drawLook(t, s, n+1, false)
			l.Requests = nil
			exchanged := l
			exchanged.Observations = slices.Clone(l.Observations)
			for i := range exchanged.Observations {
				o := &exchanged.Observations[i]
				o.Canary, o.Baseline = o.Baseline, o.Canary
				o.Parts = slices.Clone(o.Parts)
				for k, part := range o.Parts {
					o.Parts[k].Canary, o.Parts[k].Baseline = part.Baseline, part.Canary
				}
			}
			var v, w judge.Verdict
			e, v = j.Look(e, l)
			f, w = k.Look(f, exchanged)
			require.Equal(t, v.Outcome, w.Outcome)
			require.Equal(t, v.Reason, w.Reason)
			for i, a := range v.Metrics {
				b := w.Metrics[i]
				for _, e := range [][2]float64{
					{a.LogEvidence.Worse, b.LogEvidence.Worse}, {a.LogEvidence.NoWorse, b.LogEvidence.NoWorse}, {a.LogEvidence.Beyond, b.LogEvidence.Beyond},
				} {
					require.False(t, math.IsNaN(e[0]) || math.IsNaN(e[1]))
					require.InDelta(t, e[0], e[1], 1e-9*max(1, math.Abs(e[0])))
				}
				require.Equal(t, a.Canary, b.Baseline)
				if s.Metrics[i].Direction != judge.Either && a.Ratio > 0 && b.Ratio > 0 {
					require.InEpsilon(t, a.Ratio, 1/b.Ratio, 1e-12)
					require.InEpsilon(t, a.Lower, 1/b.Upper, 1e-12)
					require.InEpsilon(t, a.Margin, 1/b.Margin, 1e-12)
				}
			}
		}
	})
}

func TestTheScaleOfAGaugeDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := judge.Settings{FalseRollback: 0.01, FalseAdvance: 0.05, PassAfter: new(time.Duration),
			Metrics: []judge.Metric{{Name: "m", Kind: judge.Gauge, Margin: judge.Margin{Relative: 0.2}, Weight: 1, Noise: 0.3}}}
		j := newJudge(t, s)
		scale := rapid.SampledFrom([]float64{1e-9, 1.0 / 1024, 3, 1e9, 1e30}).Draw(t, "scale")
		e, f := j.Begin(nil), j.Begin(nil)
		for n := range rapid.IntRange(1, 60).Draw(t, "looks") {
			c, b := rapid.Float64Range(0.5, 2).Draw(t, "canary"), rapid.Float64Range(0.5, 2).Draw(t, "baseline")
			look := func(scale float64) judge.Look {
				return judge.Look{Number: n, At: begin.Add(time.Duration(n) * 10 * time.Second), Length: 10 * time.Second, Observations: []judge.Observation{
					{Metric: "m", Canary: judge.Arm{Value: c * scale}, Baseline: judge.Arm{Value: b * scale}}}}
			}
			var v, w judge.Verdict
			e, v = j.Look(e, look(1))
			f, w = j.Look(f, look(scale))
			require.Equal(t, v.Outcome, w.Outcome)
			require.InDelta(t, v.Metrics[0].Ratio, w.Metrics[0].Ratio, 1e-9)
			require.InDelta(t, v.Metrics[0].LogEvidence.Worse, w.Metrics[0].LogEvidence.Worse, 1e-6)
			require.InDelta(t, v.Metrics[0].LogEvidence.NoWorse, w.Metrics[0].LogEvidence.NoWorse, 1e-6)
		}
	})
}

func FuzzDecode(f *testing.F) {
	s := judge.Settings{FalseRollback: 0.01, FalseAdvance: 0.05,
		Split: &judge.Split{Noise: 0.02, FalseAlarm: 0.001, Tolerance: 0.1},
		Metrics: []judge.Metric{
			{Name: "errors", Kind: judge.Counts, Margin: judge.Margin{Relative: 0.25, Absolute: 0.001}, Weight: 1, Noise: 0.3},
			{Name: "memory", Kind: judge.Gauge, Direction: judge.Decrease, Margin: judge.Margin{Relative: 0.2}, Weight: 1, Noise: 0.3},
			{Name: "slo", Kind: judge.Objective, Objective: 0.01, Weight: 1, Noise: 0.3},
		}}
	j := newJudge(f, s)
	look := func(n int) judge.Look {
		return judge.Look{Number: n, At: begin.Add(time.Duration(n) * 10 * time.Second), Length: 10 * time.Second, Weight: 0.1,
			Requests: &judge.Requests{Canary: 10, Baseline: 90}, Observations: []judge.Observation{
				{Metric: "errors", Canary: judge.Arm{Bad: float64(n % 3), Total: 100}, Baseline: judge.Arm{Bad: 5, Total: 900}},
				{Metric: "memory", Canary: judge.Arm{Value: 3.5}, Baseline: judge.Arm{Value: 3.25}},
				{Metric: "slo", Canary: judge.Arm{Bad: 1, Total: 100}},
			}}
	}
	e := j.Begin(map[string][]judge.Past{"errors": {{Blocks: [3]judge.Blocks{{Squares: 2, Variance: 1, Weight: 1, Fourth: 1, Count: 9}}}}})
	f.Add(encode(f, e))
	for n := range 70 {
		e, _ = j.Look(e, look(n+1))
		if n == 0 || n == 5 || n == 69 {
			f.Add(encode(f, e))
		}
	}
	f.Add([]byte("sq"))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := j.Decode(b)
		if err != nil {
			require.Nil(t, e)
			return
		}
		if b[2] != encode(t, j.Begin(nil))[2] { // evidence of an earlier judge begins again
			require.NotNil(t, e)
			return
		}
		require.Equal(t, b, encode(t, e))
		after, v := j.Look(e, look(71))
		text(t, v)
		text(t, e.Learned())
		text(t, after.Learned())
	})
}

func TestBrokenEvidenceIsRefusedOrJudgedWithoutHarm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSettings(t)
		j := newJudge(t, s)
		e := j.Begin(drawPasts(t, s))
		for n := range rapid.IntRange(0, 20).Draw(t, "looks") {
			e, _ = j.Look(e, drawLook(t, s, n+1, false))
		}
		b := encode(t, e)
		for range rapid.IntRange(1, 4).Draw(t, "faults") {
			b[rapid.IntRange(11, len(b)-1).Draw(t, "where")] ^= byte(rapid.IntRange(1, 255).Draw(t, "bits"))
		}
		if rapid.Bool().Draw(t, "cut") {
			b = b[:rapid.IntRange(0, len(b)).Draw(t, "length")]
		}
		broken, err := j.Decode(b)
		if err != nil {
			require.Nil(t, broken)
			return
		}
		require.Equal(t, b, encode(t, broken))
		after, v := j.Look(broken, drawLook(t, s, 21, false))
		text(t, v)
		text(t, after.Learned())
	})
}
