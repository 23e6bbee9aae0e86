package web

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/server"
)

func TestAQuantileIsDrawnWithItsBandsAndSaidInWords(t *testing.T) {
	verdict := func(canary judge.QuantileBand) judge.MetricVerdict {
		return judge.MetricVerdict{Metric: "latency", Kind: judge.Histogram, Bound: 0.3, Ratio: 2, Margin: 1.25,
			Canary: judge.Totals{Bad: 20, Total: 100, Rate: 0.2}, Baseline: judge.Totals{Bad: 10, Total: 100, Rate: 0.1},
			Quantiles: []judge.Quantile{{Of: 0.99, Canary: canary, Baseline: judge.QuantileBand{Value: 0.24, Lower: 0.2, Upper: 0.3}}}}
	}
	known, open := verdict(judge.QuantileBand{Value: 0.41, Lower: 0.31, Upper: 0.5}), verdict(judge.QuantileBand{Value: 0.41, Lower: 0.31})
	var looks []server.Look
	for i, m := range []judge.MetricVerdict{open, known} {
		l := server.Look{}
		l.Number, l.At, l.Length = i+1, time.Unix(int64(10*i), 0), 10*time.Second
		l.Verdict.Metrics = []judge.MetricVerdict{m}
		looks = append(looks, l)
	}
	m := newMetric("0", looks, &known)
	require.Equal(t, "p99 went from 0.24 to 0.41, at least 0.31 and at most 0.50", m.Quantiles)
	require.Contains(t, string(m.Quantile), "p99, canary")
	c := quantileChart("0", looks, &known)
	require.InDelta(t, 0.41, c.Lines[0].Points[1].Value, 0)
	require.InDelta(t, 0.31, c.Bands[0].Ranges[1].Lower, 0)
	require.InDelta(t, 0.5, c.Bands[0].Ranges[1].Upper, 0)
	require.InDelta(t, c.Y.Max, c.Bands[0].Ranges[0].Upper, 0, "nothing was known from above")
	require.InDelta(t, 0.24, c.Lines[1].Points[0].Value, 0)

	known.Kind, known.Quantiles = judge.Counts, nil
	require.Empty(t, newMetric("0", looks, &known).Quantile)
}
