package engine

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/judge/sequential"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/store"
	"github.com/serindev/serin/traffic/traefik"
)

// learner is an engine on a store of its own, with a release whose scope "gray" has these looks.
func learner(t *testing.T, looks []judge.Look) (*Engine, *release) {
	t.Helper()
	s, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "serin.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	e := New(Options{
		Store: s, Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
		NewJudge: func(s judge.Settings) (judge.Judge, error) { return sequential.New(s) },
	})
	began := time.Date(2026, 11, 24, 3, 0, 0, 0, time.UTC)
	first := rollout.Started{Meta: rollout.Meta{Seq: 1, At: began, By: "ann"}, Rollout: "shop"}
	rec := record.Release{ID: "01A", Rollout: "shop", Plan: []byte("{}"), Version: 1, Phase: rollout.Active, StartedBy: "ann", StartedAt: began}
	require.NoError(t, s.Create(t.Context(), rec, first))
	require.NoError(t, s.SaveSnapshot(t.Context(), "01A", "gray", 0, []byte("before the first look")))
	records := make([]record.LookRecord, len(looks))
	for i := range looks {
		records[i] = record.LookRecord{Release: "01A", Scope: "gray", Look: looks[i], Cursor: []byte("{}")}
	}
	require.NoError(t, s.SaveLooks(t.Context(), records))
	r := &release{record: rec, plan: record.Plan{
		Rollout:  rollout.Definition{Name: "shop", Scopes: []rollout.Scope{{Name: "gray"}}},
		Analyses: map[string]analysis.Definition{"gray": traefik.Series{}.Web()},
	}}
	r.state.EndedAt = began.Add(time.Hour)
	return e, r
}

// steady are looks of ten seconds at one weight.
func steady(from, n int, weight float64) []judge.Look {
	out := make([]judge.Look, n)
	for i := range out {
		canary, baseline := 1000*weight, 1000*(1-weight)
		out[i] = judge.Look{
			Number: from + i, At: time.Date(2026, 11, 24, 3, 0, 10*(from+i), 0, time.UTC), Length: 10 * time.Second, Weight: weight,
			Observations: []judge.Observation{{
				Metric: "errors",
				Canary: judge.Arm{Bad: float64(i % 7), Total: canary}, Baseline: judge.Arm{Bad: float64(i % 5), Total: baseline},
			}},
		}
	}
	return out
}

func TestNoiseIsLearnedFromAllWeightsOfARelease(t *testing.T) {
	looks := steady(1, 30, 0.05)
	looks = append(looks, steady(31, 20, 0.1)...)
	looks = append(looks, steady(51, 500, 0.25)...)
	e, r := learner(t, looks)
	require.NoError(t, e.looks.teach(t.Context(), r))
	learned, err := e.o.Store.Learned(t.Context(), "shop")
	require.NoError(t, err)
	require.Len(t, learned, 1)
	l := learned[0]
	require.Equal(t, "errors", l.Metric)
	require.Equal(t, "concurrent", l.Baseline)
	require.Equal(t, 0.25, l.Weight)
	require.Equal(t, "01A", l.Release)
	require.True(t, l.Past.Release)
	require.Equal(t, 91.0, l.Past.Blocks[0].Count, "minutes of all weights")
}

// A person may release a version although it is worse. Later releases must not take the difference for noise.
func TestNothingIsLearnedFromAMetricThatFailed(t *testing.T) {
	e, r := learner(t, steady(1, 500, 0.25))
	require.NoError(t, e.o.Store.SaveLooks(t.Context(), []record.LookRecord{{
		Release: "01A", Scope: "gray", Look: steady(501, 1, 0.25)[0], Cursor: []byte("{}"),
		Verdict: judge.Verdict{Look: 501, Outcome: judge.Fail, Metrics: []judge.MetricVerdict{{Metric: "errors", Outcome: judge.Fail}}},
	}}))
	require.NoError(t, e.looks.teach(t.Context(), r))
	learned, err := e.o.Store.Learned(t.Context(), "shop")
	require.NoError(t, err)
	require.Empty(t, learned)
}

func TestThePastOfAnotherBaselineIsIgnored(t *testing.T) {
	def := analysis.Definition{Metrics: []analysis.Metric{{Name: "errors", Baseline: analysis.Fixed{}}, {Name: "slow"}}}
	past := func(n float64) judge.Past { return judge.Past{Release: true, Rate: n / 10} }
	learned := []record.Learned{
		{Metric: "errors", Baseline: "concurrent", Past: past(1)},
		{Metric: "errors", Baseline: "fixed", Past: past(2)},
		{Metric: "slow", Baseline: "concurrent", Past: past(3)},
		{Metric: "gone", Baseline: "concurrent", Past: past(4)},
		{Metric: "slow", Baseline: "copied", Past: past(5)},
	}
	require.Equal(t, map[string][]judge.Past{"errors": {past(2)}, "slow": {past(3)}}, pasts(def, learned, false))
	require.Equal(t, map[string][]judge.Past{"errors": {past(2)}, "slow": {past(5)}}, pasts(def, learned, true), "of copies")
}

// Copies are of the baseline's own requests, so that a few users with many retries are in both arms. Noise learned
// there must not make a release to users look calmer than it will be.
func TestNoiseLearnedFromCopiesIsForCopiesOnly(t *testing.T) {
	e, r := learner(t, steady(1, 500, 0.25))
	r.plan.Rollout.Steps = rollout.Steps{rollout.Mirror{Name: "copies", Scope: "gray"}}
	require.NoError(t, e.looks.teach(t.Context(), r))
	learned, err := e.o.Store.Learned(t.Context(), "shop")
	require.NoError(t, err)
	require.Len(t, learned, 1)
	require.Equal(t, "copied", learned[0].Baseline)
}
