package sequential_test

import (
	"compress/gzip"
	"encoding/json"
	"math"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/judge/sequential"
)

// The golden data is the reference's of spec/sequential-judge.md; its form is in testdata/sequential/README.md.

type goldenMetric struct {
	Kind          string       `json:"kind"`
	FalseRollback float64      `json:"falseRollback"`
	FalseAdvance  float64      `json:"falseAdvance"`
	Margin        judge.Margin `json:"margin"`
	Noise         float64      `json:"noise"`
	MinRequests   float64      `json:"minRequests"`
	Objective     float64      `json:"objective"`
	Bounds        []float64    `json:"bounds"`
	Anew          *struct {
		Seconds float64 `json:"seconds"`
		Live    int     `json:"live"`
	} `json:"anew"`
}

type goldenArm struct {
	Bad        float64   `json:"bad"`
	Total      float64   `json:"total"`
	Value      float64   `json:"value"`
	Cumulative []float64 `json:"cumulative"`
}

type goldenLook struct {
	Canary   goldenArm `json:"canary"`
	Baseline goldenArm `json:"baseline"`
	Weight   float64   `json:"weight"`
}

type goldenExpected struct {
	Ratio, Noise, Margin, Bound, Lower, Upper *float64
	LogEvidence                               struct{ Worse, NoWorse, Whole *float64 }
	Fresh                                     *int
	Verdict                                   string
}

type golden struct {
	Name     string           `json:"name"`
	Metric   goldenMetric     `json:"metric"`
	Seconds  float64          `json:"seconds"`
	Looks    []goldenLook     `json:"looks"`
	Expected []goldenExpected `json:"expected"`
}

func readGolden[T any](t testing.TB, name string) (data T) {
	f, err := os.Open("../../testdata/sequential/" + name + ".json.gz")
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	require.NoError(t, json.NewDecoder(z).Decode(&data))
	return data
}

// settings makes a judge's settings of a golden metric, which has no wait before a pass.
func (g golden) settings() judge.Settings {
	var atOnce time.Duration
	s := judge.Settings{FalseRollback: g.Metric.FalseRollback, FalseAdvance: g.Metric.FalseAdvance, PassAfter: &atOnce}
	m := judge.Metric{
		Name: "metric", Kind: judge.Kind(g.Metric.Kind), Margin: g.Metric.Margin, Direction: judge.Increase, Weight: 1,
		Noise: g.Metric.Noise, MinRequests: g.Metric.MinRequests, Objective: g.Metric.Objective, Bounds: g.Metric.Bounds,
	}
	if s.FalseAdvance == 0 { // anew.json looks for faults only
		never := 1000 * time.Hour
		s.FalseAdvance, s.PassAfter = 0.05, &never
	}
	if a := g.Metric.Anew; a != nil {
		s.FreshEvery, s.FreshLive = time.Duration(a.Seconds*float64(time.Second)), a.Live
	}
	s.Metrics = []judge.Metric{m}
	return s
}

func (g golden) looks() []judge.Look {
	length := time.Duration(g.Seconds * float64(time.Second))
	begin := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	arm := func(a goldenArm) judge.Arm {
		return judge.Arm{Bad: a.Bad, Total: a.Total, Value: a.Value, Cumulative: a.Cumulative}
	}
	var looks []judge.Look
	for i, l := range g.Looks {
		look := judge.Look{Number: i + 1, At: begin.Add(time.Duration(i+1) * length), Length: length, Weight: l.Weight}
		look.Observations = []judge.Observation{{Metric: "metric", Canary: arm(l.Canary), Baseline: arm(l.Baseline)}}
		looks = append(looks, look)
	}
	return looks
}

func near(want, got float64) bool {
	return math.Abs(want-got) <= 1e-9*max(1, math.Abs(want))
}

func requireNear(t *testing.T, want *float64, got float64, what string, look int) {
	t.Helper()
	if want != nil && !near(*want, got) {
		require.Failf(t, "differs", "look %d: %s is %v, the reference has %v", look, what, got, *want)
	}
}

func (e goldenExpected) require(t *testing.T, v judge.Verdict) {
	t.Helper()
	m := v.Metrics[0]
	requireNear(t, e.Ratio, m.Leading, "ratio", v.Look)
	requireNear(t, e.Noise, m.Noise, "noise", v.Look)
	requireNear(t, e.Margin, m.Margin, "margin", v.Look)
	requireNear(t, e.Bound, m.Bound, "bound", v.Look)
	requireNear(t, e.Lower, m.Lower, "lower", v.Look)
	requireNear(t, e.Upper, m.Upper, "upper", v.Look)
	requireNear(t, e.LogEvidence.Worse, m.LogEvidence.Worse, "worse", v.Look)
	requireNear(t, e.LogEvidence.Whole, m.LogEvidence.Whole, "whole", v.Look)
	requireNear(t, e.LogEvidence.NoWorse, m.LogEvidence.NoWorse, "noWorse", v.Look)
	if e.Fresh != nil {
		require.Equal(t, *e.Fresh, m.Fresh, "look %d", v.Look)
	}
	require.Equal(t, e.Verdict, string(v.Outcome), "look %d", v.Look)
}

// spec/sequential-judge.md, Numbers that a re-implementation has to agree with.
func TestEveryLookAgreesWithTheReference(t *testing.T) {
	for _, file := range []string{"sequences", "more", "anew"} {
		for _, g := range readGolden[[]golden](t, file) {
			if g.Metric.Kind == "split" { // see split_test.go
				continue
			}
			t.Run(g.Name, func(t *testing.T) {
				j, err := sequential.New(g.settings())
				require.NoError(t, err)
				e := j.Begin(nil)
				require.Len(t, g.Expected, len(g.Looks))
				for i, l := range g.looks() {
					var v judge.Verdict
					e, v = j.Look(e, l)
					g.Expected[i].require(t, v)
				}
			})
		}
	}
}
