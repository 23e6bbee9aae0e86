package promsource_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/analysis/promsource"
	"github.com/serindev/serin/analysis/sourcetest"
	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/judge"
)

// field.md, F7: an answer without series names the query that was sent and what exists instead.
func TestAMissingSeriesIsExplainedByWhatExists(t *testing.T) {
	t.Parallel()
	e := sourcetest.NewExporter(t)
	e.Add(0, "stable", "200", 1)
	e.Add(0, "canary", "200", 1)
	server := prometheusOf(t, sourcetest.Interval, e)
	answers(t, e, server, "up == 1")
	p := newProxy(t, server.URL)
	src := source(t, promsource.Config{URL: p.URL})
	ratio := func(total analysis.Selector) analysis.Metric {
		return analysis.Metric{Name: "m", Source: analysis.Ratio{Bad: total, Total: total}}
	}
	for name, c := range map[string]struct {
		metric analysis.Metric
		says   string
	}{
		"the metric": {ratio(`traefik_service_request_total{service="${service}"}`),
			`no live series of traefik_service_request_total{service="shop0-canary@file"} (there is no metric traefik_service_request_total; the nearest is traefik_service_requests_total)`},
		"a metric with no similar one": {ratio(`orders_total{arm="${arm}"}`), `no live series of orders_total{arm="canary"} (there is no metric orders_total)`},
		"a label": {ratio(`traefik_service_requests_total{servce="${service}"}`),
			`no live series of traefik_service_requests_total{servce="shop0-canary@file"} (the series of traefik_service_requests_total have no label servce; the nearest is service)`},
		"a label that a Prometheus has renamed": {ratio(`up{job="traefik",ob="${service}"}`), "the series of up have no label ob; the nearest is job"},
		"a value":                               {ratio(`traefik_service_requests_total{service="${service}",code="20"}`), `(there is code="200")`},
		"a value with no similar one": {ratio(`traefik_service_requests_total{service="${service}",job="nothing-like-it"}`),
			"(there is job of traefik)"},
	} {
		t.Run(name, func(t *testing.T) {
			f := sourcetest.Follow(t, src, sourcetest.Plan(t, 0, c.metric))
			await.Until(t, c.says, func() string { // the explanation may come too late for a look
				o := f.Look().Observations[0]
				require.Equal(t, judge.NoData, o.Absent)
				if strings.Contains(o.Detail, c.says) {
					return ""
				}
				return o.Detail
			})
		})
	}
	p.with(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/v1/query" {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte(`{"status":"success","data":{"resultType":"matrix","result":[]}}`))
	})
	l := sourcetest.Follow(t, src, sourcetest.Plan(t, 0, ratio(`orders_total{arm="${arm}"}`))).Look()
	require.Contains(t, l.Observations[0].Detail, "there is no metric orders_total", "what was found is not looked for at each look")
	l = sourcetest.Follow(t, source(t, promsource.Config{URL: p.URL}), sourcetest.Plan(t, 0, sourcetest.Errors())).Look()
	require.Equal(t, judge.NoData, l.Observations[0].Absent, "a hint that cannot be had is no reason")
	require.NotContains(t, l.Observations[0].Detail, "(")
}

// field.md, F7: one source of several clusters, or several sources.
func TestEachMetricIsFetchedFromTheSourceThatItNames(t *testing.T) {
	t.Parallel()
	edge, shop := sourcetest.NewExporter(t), sourcetest.NewExporter(t)
	edge.Add(0, "stable", "200", 10)
	edge.Add(0, "canary", "200", 10)
	shop.Add(0, "stable", "500", 20)
	shop.Add(0, "canary", "500", 20)
	one, two := prometheusOf(t, sourcetest.Interval, edge), prometheusOf(t, sourcetest.Interval, shop)
	answers(t, edge, one, "up == 1")
	answers(t, shop, two, "up == 1")
	registry := prometheus.NewRegistry()
	sources := promsource.Sources{}
	for name, c := range map[string]promsource.Config{"": {URL: one.URL}, "shop": {URL: two.URL}, "away": {URL: "http://127.0.0.1:1", Timeout: time.Second}} {
		s, err := promsource.New(c, registry)
		require.NoError(t, err, "they share their metrics")
		sources[name] = s
	}
	named := func(name, from string) analysis.Metric {
		m := sourcetest.Errors()
		m.Name, m.From = name, from
		return m
	}
	p := sourcetest.Plan(t, 0, named("own", ""), named("shop", "shop"), named("away", "away"), named("nowhere", "shp"))
	begin := time.Now()
	cursor := analysis.NewCursor(begin)
	at := begin.Add(time.Millisecond)
	cursor, _ = p.Fold(cursor, sources.Fetch(t.Context(), p.Asks(cursor, at)), analysis.FoldInput{Number: 1, At: at})
	edge.Add(0, "canary", "200", 3)
	shop.Add(0, "canary", "500", 5)
	edge.Scraped(t, 4)
	shop.Scraped(t, 4)
	at = time.Now()
	_, l := p.Fold(cursor, sources.Fetch(t.Context(), p.Asks(cursor, at)), analysis.FoldInput{Number: 2, At: at})
	require.InDelta(t, 3, l.Observations[0].Canary.Total, 0)
	require.InDelta(t, 0, l.Observations[0].Canary.Bad, 0)
	require.InDelta(t, 5, l.Observations[1].Canary.Bad, 0)
	require.Equal(t, judge.Unreachable, l.Observations[2].Absent)
	require.Equal(t, judge.NoData, l.Observations[3].Absent)
	require.Contains(t, l.Observations[3].Detail, `the daemon has no source "shp"; it has away, shop`)
	require.NotNil(t, l.Requests, "the split is of the daemon's own")
}
