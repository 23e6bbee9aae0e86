package spinnaker_test

import (
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
	"github.com/serindev/serin/spinnaker"
)

// scrapes is how many scrapes a test waits for.
const scrapes = 40

// scrapedShop returns the address of a Prometheus that has scraped three services for a while: a base, one like it, and
// one that is three times as slow.
func scrapedShop(t *testing.T) string {
	t.Helper()
	registry := prometheus.NewRegistry()
	latency := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "latency_seconds", Help: "h"}, []string{"service", "zone", "code"})
	registry.MustRegister(latency)
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test's noise
	seen := make(chan struct{}, 1000)
	handler := promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
	exporter := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for service, mean := range map[string]float64{"base@file": 0.2, "good@file": 0.2, "slow@file": 0.6} {
			for _, code := range []string{"200", "404"} {
				latency.WithLabelValues(service, "eu-1", code).Set(mean * (1 + 0.05*random.NormFloat64()))
			}
		}
		handler.ServeHTTP(w, r)
		seen <- struct{}{}
	}))
	t.Cleanup(exporter.Close)
	server := testbed.NewPrometheus(t, testbed.PrometheusConfig{ScrapeInterval: 500 * time.Millisecond, Jobs: []testbed.ScrapeJob{
		{Name: "shop", Targets: []string{strings.TrimPrefix(exporter.URL, "http://")}},
	}})
	for range scrapes {
		await.Receive(t, seen, "Prometheus does not scrape")
	}
	return server.URL
}

// query is a metric with the given fields in its query.
func query(name string, fields map[string]any) map[string]any {
	m := metric(name, nil)
	fields["type"] = "prometheus"
	m["query"] = fields
	return m
}

// everyKindOfQuery is a config with a whole query, a named filter, an inline filter, and a resource type.
func everyKindOfQuery() map[string]any {
	c := config("", nil,
		query("inline", map[string]any{"customInlineTemplate": `PromQL:avg(latency_seconds{service="${scope}"})`}),
		query("by code", map[string]any{"metricName": "latency_seconds", "customFilterTemplate": "service", "groupByFields": []string{"code"}}),
		query("bound", map[string]any{"metricName": "latency_seconds", "labelBindings": []string{`code="200"`},
			"customInlineTemplate": `service="${scope}",zone=~"${location}-.*"`}),
		query("by zone", map[string]any{"metricName": "latency_seconds", "resourceType": "aws_ec2_instance", "labelBindings": []string{`service!=""`}}),
	)
	c["templates"] = map[string]any{"service": `service="${scope}"`}
	return c
}

// The whole path: an exporter, scrapes, a config of Kayenta's with every kind of query, range queries, pairs, both
// judges.
func TestAConfigIsJudgedBySamplesOfARealPrometheus(t *testing.T) {
	t.Parallel()
	began := time.Now().Truncate(time.Second)
	s := newService(t, spinnaker.Options{Store: openStore(t), Metrics: sourceOf(t, scrapedShop(t))})

	c := everyKindOfQuery()
	run := func(experiment, judge string, options map[string]any) map[string]any {
		c["judge"] = map[string]any{"name": judge, "judgeConfigurations": options}
		r := execution("base@file", experiment)
		for _, side := range []string{"controlScope", "experimentScope"} {
			at := pointer(r, "/scopes/default/"+side).(map[string]any)
			at["start"], at["end"] = began.UTC().Format(time.RFC3339), time.Now().UTC().Format(time.RFC3339Nano)
			at["step"], at["location"] = 1, "eu"
		}
		return s.judged(t, c, r, map[string]string{"application": "shop"})
	}
	// Our exporter has no label asg_groupName, so "by zone" has no data. One of five pairs without data fails nothing.
	{
		good, slow := run("good@file", "", nil), run("slow@file", "", nil)
		require.Equal(t, "Pass", pointer(good, "/result/judgeResult/score/classification"), "%v", good["exception"])
		require.Equal(t, "Fail", pointer(slow, "/result/judgeResult/score/classification"))
		labels := map[string][]string{}
		for _, r := range pointer(slow, "/result/judgeResult/results").([]any) {
			name := pointer(r, "/name").(string)
			labels[name] = append(labels[name], pointer(r, "/classification").(string))
		}
		require.Equal(t, map[string][]string{"inline": {"High"}, "by code": {"High", "High"}, "bound": {"High"}, "by zone": {"Nodata"}}, labels)
		_, pairs := s.do(t, http.MethodGet, "/metricSetPairList/"+slow["metricSetPairListId"].(string), nil, nil)
		require.Equal(t, `avg(latency_seconds{service="slow@file"}) by (code)`, pointer(pairs, "/1/attributes/experiment/query"))
		require.Equal(t, map[string]any{"code": "200"}, pointer(pairs, "/1/tags"))
	}
	c["metrics"] = c["metrics"].([]map[string]any)[:3]
	// Twenty seconds are too short with the default noise, and long enough for arms that are known to be quiet.
	doubt := run("good@file", sequentialJudge, map[string]any{"passAfterMins": 0})
	require.Contains(t, pointer(doubt, "/result/judgeResult/score/classificationReason"), "Inconclusive")
	now := map[string]any{"passAfterMins": 0, "noise": 0.02}
	good, slow := run("good@file", sequentialJudge, now), run("slow@file", sequentialJudge, now)
	require.Equal(t, "succeeded", good["status"], "%v", good["exception"])
	require.Equal(t, "Pass", pointer(good, "/result/judgeResult/score/classification"), "%v", pointer(good, "/result/judgeResult/score"))
	require.Equal(t, "Fail", pointer(slow, "/result/judgeResult/score/classification"))

	c["metrics"] = []map[string]any{query("broken", map[string]any{"customInlineTemplate": "PromQL:avg("})}
	broken := run("good@file", "", nil)
	require.Equal(t, "terminal", broken["status"])
	require.Contains(t, pointer(broken, "/exception/details/errors/0"), "parse error")
	_, names := s.do(t, http.MethodGet, "/metadata/metricsService", map[string]string{"filter": "LATENCY"}, nil)
	require.Equal(t, []any{map[string]any{"name": "latency_seconds"}}, names)
}
