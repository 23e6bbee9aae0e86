package web

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/server"
)

func TestAMetricDecidedByOneRouteShowsThatRoute(t *testing.T) {
	cart := judge.MetricVerdict{Metric: "errors", Kind: judge.Counts, By: "route", Value: "/cart", Ratio: 9, Lower: 3, Upper: 30, Margin: 1.25,
		Canary: judge.Totals{Bad: 9, Total: 10, Rate: 0.9}, Baseline: judge.Totals{Bad: 1, Total: 10, Rate: 0.1}}
	whole := judge.MetricVerdict{Metric: "errors", Kind: judge.Counts, Ratio: 1, Lower: 0.5, Upper: 2, Margin: 1.25,
		Canary: judge.Totals{Bad: 10, Total: 1000}, Baseline: judge.Totals{Bad: 10, Total: 1000}}
	var looks []server.Look
	for i, m := range []judge.MetricVerdict{whole, cart} {
		looks = append(looks, server.Look{Number: i + 1, At: time.Unix(int64(i*10), 0), Verdict: judge.Verdict{Metrics: []judge.MetricVerdict{m}},
			Observations: []judge.Observation{{Metric: "errors", Canary: judge.Arm{Bad: 5, Total: 500}, Baseline: judge.Arm{Bad: 5, Total: 500},
				Parts: []judge.Part{{Value: "/", Canary: judge.Arm{Total: 490}}, {Value: "/cart", Canary: judge.Arm{Bad: 5, Total: 10}, Baseline: judge.Arm{Total: 10}}}}}})
	}
	m := newMetric("0", looks, &cart)
	require.Equal(t, `share of route "/cart"`, m.Kind)
	require.Equal(t, "9 of 10", m.Canary.Counts)
	canary, baseline := armValues(looks, &cart, &judge.MetricVerdict{})
	require.InDelta(t, 0.5, canary, 0, "the looks count the route alone")
	require.Zero(t, baseline)
	canary, _ = armValues(looks, &whole, &judge.MetricVerdict{})
	require.InDelta(t, 0.01, canary, 0)
	line := sequenceChart("0", looks, &cart).Lines[0]
	require.NotEqual(t, line.Points[0].Value, line.Points[0].Value, "the whole's ratio is not on the route's line") //nolint:testifylint // NaN
	require.InDelta(t, 9, line.Points[1].Value, 0)
}
