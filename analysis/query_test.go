package analysis_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/analysis"
)

func TestQueriesForPeople(t *testing.T) {
	arms := analysis.Arms{
		Canary:   analysis.Names{Service: "c@file", Vars: map[string][]string{"arm": {"canary"}}},
		Baseline: analysis.Names{Service: "s@file", Vars: map[string][]string{"arm": {"stable"}}},
	}
	def := analysis.Definition{Metrics: []analysis.Metric{
		{Name: "orders", Source: analysis.Ratio{Good: `orders_total{service="${service}"}`, Total: `visits_total{service="${service}"}`}, From: "eu"},
		{Name: "slow", Source: analysis.Slow{Histogram: `seconds_bucket{service="${service}"}`, SlowerThan: 300 * time.Millisecond}},
		{Name: "latency", Source: analysis.Distribution{Histogram: `seconds_bucket{service="${service}"}`, Bounds: []float64{1}}},
		{Name: "memory", Source: analysis.Gauge{Query: `max by (pod) (memory{service="${service}"})`}},
		{Name: "objective", Source: analysis.Ratio{Bad: `bad_total{service="${service}"}`, Total: `all_total{service="${service}"}`}, Baseline: analysis.Fixed{Rate: 0.01}},
		{Name: "revenue", Source: analysis.Mean{Sum: `orders_sum{service="${service}"}`, Count: `orders_count{service="${service}"}`}},
		{Name: "unknown", Source: analysis.Mean{Sum: `orders_sum{version="${version}"}`, Count: `orders_count{service="${service}"}`}},
		{Name: "unknown", Source: analysis.Gauge{Query: `memory{version="${version}"}`}},
	}}
	var canary []string
	for _, q := range analysis.Queries(def, arms) {
		require.NotEqual(t, "unknown", q.Metric, "a variable without a value asks nothing")
		if q.Arm == "canary" {
			canary = append(canary, q.Text)
		} else {
			require.NotEqual(t, "objective", q.Metric)
			require.Contains(t, q.Text, "s@file")
		}
	}
	require.Equal(t, []string{
		`sum(increase(orders_total{service="c@file"}[5m])) / sum(increase(visits_total{service="c@file"}[5m]))`,
		`1 - sum(increase(seconds_bucket{service="c@file",le="0.3"}[5m])) / sum(increase(seconds_bucket{service="c@file",le="+Inf"}[5m]))`,
		`sum by (le) (increase(seconds_bucket{service="c@file"}[5m]))`,
		`avg(max by (pod) (memory{service="c@file"}))`,
		`sum(increase(bad_total{service="c@file"}[5m])) / sum(increase(all_total{service="c@file"}[5m]))`,
		`sum(increase(orders_sum{service="c@file"}[5m])) / sum(increase(orders_count{service="c@file"}[5m]))`,
	}, canary)
	require.Equal(t, "eu", analysis.Queries(def, arms)[0].Source)
}
