package promsource_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/analysis/promsource"
	"github.com/serindev/serin/analysis/sourcetest"
)

func TestARangeIsAskedAtEachStepAndWithBothEnds(t *testing.T) {
	t.Parallel()
	e := sourcetest.NewExporter(t)
	e.Add(0, "stable", "200", 1)
	e.Add(0, "stable", "500", 1)
	server := prometheusOf(t, sourcetest.Interval, e)
	answers(t, e, server, `traefik_service_requests_total{job="traefik"}`)
	p := newProxy(t, server.URL)
	s := source(t, promsource.Config{URL: p.URL})
	to := time.Now().Truncate(time.Second).Add(time.Second) // the first scrape may be younger than the second's begin
	from := to.Add(-3 * time.Minute)

	a := s.Range(t.Context(), "vector(7)", from, to, time.Minute)
	require.NoError(t, a.Err)
	require.Len(t, a.Series, 1)
	require.Empty(t, a.Series[0].Labels)
	var times []int64
	for _, x := range a.Series[0].Samples {
		require.Equal(t, 7.0, x.V)
		times = append(times, x.T)
	}
	require.Equal(t, []int64{from.UnixMilli(), from.UnixMilli() + 60_000, from.UnixMilli() + 120_000, to.UnixMilli()}, times)

	a = s.Range(t.Context(), `last_over_time(traefik_service_requests_total{service="shop0-stable@file",job="traefik"}[1h])`, to, to.Add(time.Minute), time.Minute)
	require.NoError(t, a.Err)
	require.Len(t, a.Series, 2)
	for _, x := range a.Series {
		require.Empty(t, x.Labels.Get("__name__"))
		require.NotEmpty(t, x.Labels.Get("code"))
	}

	a = s.Range(t.Context(), "nothing", from, to, time.Minute)
	require.NoError(t, a.Err)
	require.Empty(t, a.Series)

	a = s.Range(t.Context(), "sum(", from, to, time.Minute)
	require.ErrorContains(t, a.Err, "parse error")
	require.True(t, a.Refused)

	a = s.Range(t.Context(), "native_seconds", from, to, time.Minute)
	require.NoError(t, a.Err, "there are none yet")

	names, err := s.MetricNames(t.Context())
	require.NoError(t, err)
	require.Contains(t, names, "traefik_service_requests_total")

	p.with(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	a = s.Range(t.Context(), "vector(7)", from, to, time.Minute)
	require.Error(t, a.Err)
	require.False(t, a.Refused)
	_, err = s.MetricNames(t.Context())
	require.ErrorContains(t, err, "names of metrics")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, s.Range(ctx, "vector(7)", from, to, time.Minute).Err, context.Canceled)
}
