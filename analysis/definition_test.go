package analysis_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/share"
)

func TestADefinitionSurvivesItsJSON(t *testing.T) {
	d := analysis.Definition{Name: "all", PassAfter: new(time.Minute), Budget: []analysis.Stretch{{Weight: 0.5, For: time.Minute}}, Metrics: []analysis.Metric{
		{Name: "a", Source: analysis.Ratio{Bad: `b{x="${service}"}`, Total: `t{x="${service}"}`}, Margin: analysis.Margin{Relative: new(share.Share(0))}},
		{Name: "b", Source: analysis.TraefikLatency(time.Second), Baseline: analysis.Fixed{Rate: 0.01}, Replicas: "pod"},
		{Name: "e", Source: analysis.Ratio{Bad: "b", Total: "t"}, By: "route", Values: 7, Budgeted: true},
		{Name: "c", Source: analysis.Distribution{Histogram: "h", Bounds: []float64{1, 2}, Nearest: 2}, Baseline: analysis.Concurrent{}},
		{Name: "f", Source: analysis.Mean{Sum: "s", Count: "n"}, Margin: analysis.Margin{Absolute: new(share.Share(5))}},
		{Name: "d", Source: analysis.Gauge{Query: "g"}, Baseline: analysis.Offset{By: time.Hour}, Direction: judge.Either, Goal: true, Optional: true},
	}}
	for _, want := range []analysis.Definition{d, d.Defaults()} {
		b, err := json.Marshal(want)
		require.NoError(t, err)
		var got analysis.Definition
		require.NoError(t, json.Unmarshal(b, &got))
		require.Equal(t, want, got)
	}
	require.Equal(t, d.Defaults(), d.Defaults().Defaults())
	var m analysis.Metric
	for _, bad := range []string{`{"source":{"kind":"magic"}}`, `{}`, `{"source":{"kind":"gauge"},"baseline":{"kind":"magic"}}`, `{"source":3}`} {
		require.Error(t, json.Unmarshal([]byte(bad), &m), bad)
	}
	_, err := json.Marshal(analysis.Metric{})
	require.Error(t, err)
}

func TestKindsHaveDefaultsOfTheirOwn(t *testing.T) {
	d := analysis.Definition{Metrics: []analysis.Metric{
		{Name: "good", Source: analysis.Ratio{Good: "g", Total: "t"}},
		{Name: "gauge", Source: analysis.Gauge{Query: "q"}},
		{Name: "latency", Source: analysis.Distribution{Histogram: "h", Bounds: []float64{1, 2}, Nearest: 1}},
		{Name: "mean", Source: analysis.Mean{Sum: "s", Count: "n"}},
	}}
	m := d.Judge(1).Metrics
	require.Equal(t, judge.Decrease, m[0].Direction)
	require.Equal(t, judge.Metric{Name: "gauge", Kind: judge.Gauge, Margin: judge.Margin{Relative: 0.2}, Direction: judge.Increase, Weight: 1, Noise: 0.3}, m[1])
	require.Equal(t, judge.Histogram, m[2].Kind)
	require.Equal(t, []float64{1, 2}, m[2].Bounds)
	require.InDelta(t, 1, m[2].Nearest, 0)
	require.Equal(t, judge.Metric{Name: "mean", Kind: judge.Mean, Margin: judge.Margin{Relative: 0.2}, Direction: judge.Increase, Weight: 1, Noise: 0.3, MinRequests: 100}, m[3])
}

func TestAllProblemsOfADefinitionAreFoundAtOnce(t *testing.T) {
	minus := share.Share(-1)
	d := analysis.Definition{Interval: -1, FalseRollback: 1, FalseAdvance: 0.9, Settle: time.Hour, PassAfter: new(-time.Second), Metrics: []analysis.Metric{
		{Source: analysis.Ratio{Bad: "b", Good: "g", Total: `t{`}, Margin: analysis.Margin{Relative: &minus}},
		{Name: "x", Source: analysis.Gauge{Query: `g{a="${nobody}"}`}, Baseline: analysis.Fixed{Rate: 2}, Direction: "up"},
		{Name: "x", Source: analysis.Distribution{Histogram: "h", Bounds: []float64{2, 1}, Nearest: 3}},
		{Name: "y"},
		{Name: "z", Source: analysis.Ratio{Good: "g", Total: "t"}, Baseline: analysis.Offset{By: -1}, Weight: -1},
	}}
	joined, ok := d.Validate().(interface{ Unwrap() []error }) //nolint:errorlint // the parts are wanted
	require.True(t, ok)
	var paths []string
	for _, err := range joined.Unwrap() {
		var p *analysis.Problem
		require.ErrorAs(t, err, &p)
		paths = append(paths, p.Path)
	}
	for _, want := range []string{"interval", "falseRollback", "falseAdvance", "settle", "passAfter", "metrics[0].name", "metrics[0].ratio",
		"metrics[0].ratio.total", "metrics[0].margin.relative", "metrics[1].gauge.query", "metrics[1].baseline.fixed", "metrics[1].direction",
		"metrics[2].name", "metrics[2].bounds", "metrics[2].nearest", "metrics[3]", "metrics[4].baseline.offset", "metrics[4].weight"} {
		require.Contains(t, paths, want)
	}
	require.Error(t, analysis.Definition{}.Validate())
}

func TestALabelOfReplicasHasToDistinguishThem(t *testing.T) {
	own := analysis.Ratio{Bad: `b{version="${version}"}`, Total: `t{version="${version}"}`}
	for name, c := range map[string]struct {
		metric analysis.Metric
		says   string
	}{
		"a label of the service's own series": {analysis.Metric{Source: own}, ""},
		"a selector of a gauge":               {analysis.Metric{Source: analysis.Gauge{Query: `g{version="${version}"}`}}, ""},
		"an expression of a gauge":            {analysis.Metric{Source: analysis.Gauge{Query: `max(g{version="${version}"})`}}, "needs a gauge whose query is a selector"},
		"a mean":                              {analysis.Metric{Source: analysis.Mean{Sum: `s{version="${version}"}`, Count: `n{version="${version}"}`}}, "the replicas of a mean are not told apart"},
		"the gateway's series":                {analysis.Metric{Source: analysis.TraefikErrors()}, "the gateway's replicas"},
		"the gateway's histogram":             {analysis.Metric{Source: analysis.TraefikLatency(time.Second)}, "the gateway's replicas"},
		"an earlier time":                     {analysis.Metric{Source: own, Baseline: analysis.Offset{By: time.Hour}}, "have other names"},
		"no label":                            {analysis.Metric{Source: own, Replicas: `pod="x"`}, "not the name of a label"},
		"no label at all":                     {analysis.Metric{Source: own, Replicas: "po d"}, "not the name of a label"},
	} {
		t.Run(name, func(t *testing.T) {
			c.metric.Name = "m"
			if c.metric.Replicas == "" {
				c.metric.Replicas = "pod"
			}
			err := analysis.Definition{Split: analysis.Split{Off: true}, Metrics: []analysis.Metric{c.metric}}.Validate()
			if c.says == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, "metrics[0].replicas")
			require.ErrorContains(t, err, c.says)
		})
	}
}

func TestARolloutsParametersMayBeUsed(t *testing.T) {
	d := analysis.Definition{Split: analysis.Split{Off: true}, Metrics: []analysis.Metric{{Name: "m", Source: analysis.Gauge{Query: `max(m{t="${tenant}",pod=~"${pods}"})`}}}}
	require.Error(t, d.Validate())
	require.NoError(t, d.Validate("tenant"))
	require.Equal(t, []string{"pods", "tenant"}, d.Variables())
}

func TestMergingTakesWhatIsStrictest(t *testing.T) {
	metric := func(name string) analysis.Metric {
		return analysis.Metric{Name: name, Source: analysis.Gauge{Query: `m{arm="${arm}"}`}}
	}
	a := analysis.Definition{Name: "a", Split: analysis.Tested(), Interval: 5 * time.Second, FalseRollback: 0.02, MinRequests: 50, WarmUp: new(2 * time.Minute), PassAfter: new(time.Minute),
		Metrics: []analysis.Metric{metric("x"), metric("y")}}
	b := analysis.Definition{Name: "b", FalseAdvance: 0.01, PassAfter: new(time.Hour), Settle: time.Second, Metrics: []analysis.Metric{metric("y"), metric("z")}}
	m := analysis.Merge(a, b)
	require.Equal(t, "a+b", m.Name)
	require.Equal(t, 5*time.Second, m.Interval)
	require.InDelta(t, 0.01, float64(m.FalseRollback), 0)
	require.InDelta(t, 0.01, float64(m.FalseAdvance), 0)
	require.InDelta(t, 100, m.MinRequests, 0)
	require.Equal(t, 2*time.Minute, *m.WarmUp)
	require.Equal(t, analysis.DefaultSettle, m.Settle)
	require.Equal(t, time.Hour, *m.PassAfter)
	var names []string
	for _, x := range m.Metrics {
		names = append(names, x.Name)
	}
	require.Equal(t, []string{"x", "a/y", "b/y", "z"}, names)
	require.NoError(t, m.Validate())
	require.Equal(t, "y", a.Metrics[1].Name)
	require.Nil(t, analysis.Merge(a, analysis.Definition{Name: "c"}).PassAfter)
	require.Equal(t, analysis.Definition{}.Defaults(), analysis.Merge())
}
