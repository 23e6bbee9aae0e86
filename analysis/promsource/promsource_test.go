package promsource_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/config"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/analysis/promsource"
	"github.com/serindev/serin/analysis/sourcetest"
	"github.com/serindev/serin/engine"
	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/traffic/traefik"
)

var _ engine.Source = (*promsource.Source)(nil)

// prometheusOf scrapes exporters as one job, including native histograms.
func prometheusOf(t testing.TB, every time.Duration, exporters ...*sourcetest.Exporter) *testbed.Prometheus {
	t.Helper()
	var hosts []string
	for _, e := range exporters {
		hosts = append(hosts, e.Host())
	}
	targets, err := json.Marshal(hosts)
	require.NoError(t, err)
	setting, args := nativeHistograms(t)
	job := fmt.Sprintf("  - job_name: traefik\n%s    static_configs: [{targets: %s}]\n", setting, targets)
	return testbed.NewPrometheus(t, testbed.PrometheusConfig{ScrapeInterval: every, Extra: job, Args: args})
}

// nativeHistograms returns what makes Prometheus scrape native histograms: a setting of the job, or a flag for Prometheus 2.
func nativeHistograms(t testing.TB) (setting string, args []string) {
	t.Helper()
	path, err := testbed.Tool("prometheus")
	require.NoError(t, err)
	version, err := exec.CommandContext(t.Context(), path, "--version").CombinedOutput() //nolint:gosec // of this test
	require.NoError(t, err)
	if strings.Contains(string(version), "version 2.") {
		return "", []string{"--enable-feature=native-histograms"}
	}
	return "    scrape_native_histograms: true\n", nil
}

// answers waits until a query has a result.
func answers(t testing.TB, e *sourcetest.Exporter, p *testbed.Prometheus, query string) {
	t.Helper()
	await.Until(t, query, func() string {
		e.Scraped(t, 1)
		resp, err := http.PostForm(p.URL+"/api/v1/query", url.Values{"query": {query}}) //nolint:noctx // it answers at once
		require.NoError(t, err)
		var body struct{ Data struct{ Result []any } }
		require.NoError(t, json.NewDecoder(resp.Body).Decode(&body))
		require.NoError(t, resp.Body.Close())
		if len(body.Data.Result) > 0 {
			return ""
		}
		return "no result"
	})
}

func source(t testing.TB, c promsource.Config) *promsource.Source {
	t.Helper()
	s, err := promsource.New(c, prometheus.NewRegistry())
	require.NoError(t, err)
	return s
}

func TestItPassesTheSuiteOfSources(t *testing.T) {
	t.Parallel()
	sourcetest.Run(t, func(t *testing.T, exporters ...*sourcetest.Exporter) sourcetest.Backend {
		p := prometheusOf(t, sourcetest.Interval, exporters...)
		answers(t, exporters[0], p, fmt.Sprintf("count(up == 1) == %d", len(exporters)))
		return sourcetest.Backend{
			Source: source(t, promsource.Config{URL: p.URL, Timeout: time.Minute}),
			Out:    func(t *testing.T) { require.NoError(t, p.Kill()) },
			Back:   func(t *testing.T) { require.NoError(t, p.Restart(t.Context())) },
		}
	})
}

// field.md, 13, on a real Prometheus: a ServiceMonitor and an annotation give a target different labels.
func TestATargetOfTwoJobsIsCountedOnce(t *testing.T) {
	t.Parallel()
	e := sourcetest.NewExporter(t)
	job := func(name, labels string) string {
		return fmt.Sprintf("  - job_name: %s\n    static_configs: [{targets: [%q]%s}]\n", name, e.Host(), labels)
	}
	p := testbed.NewPrometheus(t, testbed.PrometheusConfig{
		ScrapeInterval: sourcetest.Interval, Extra: job("traefik", "") + job("pods", `, labels: {namespace: gateway, pod: traefik-1}`),
	})
	e.AddTo("canary@file", "200", 1000)
	e.AddTo("stable@file", "200", 1000)
	answers(t, e, p, `count(traefik_service_requests_total) == 4`)
	d := analysis.Definition{Metrics: []analysis.Metric{{Name: "errors", Source: analysis.Ratio{
		Bad: `traefik_service_requests_total{service="${service}",code=~"5.."}`, Total: `traefik_service_requests_total{service="${service}"}`,
	}}}, Split: analysis.Split{Requests: `traefik_service_requests_total{service="${service}"}`}}
	plan, err := analysis.NewPlan(d, analysis.Arms{Canary: analysis.Names{Service: "canary@file"}, Baseline: analysis.Names{Service: "stable@file"}})
	require.NoError(t, err)
	s, cursor := source(t, promsource.Config{URL: p.URL}), analysis.NewCursor(time.Now().Add(-sourcetest.Interval))
	counted, asked := judge.Look{}, judge.Requests{}
	for range 12 {
		e.AddTo("canary@file", "200", 50)
		e.AddTo("stable@file", "500", 50)
		e.Scraped(t, 4) // both jobs have
		at := time.Now()
		cursor, counted = plan.Fold(cursor, s.Fetch(t.Context(), plan.Asks(cursor, at)), analysis.FoldInput{At: at})
		require.Empty(t, counted.Observations[0].Absent, counted.Observations[0].Detail)
		asked.Canary += counted.Requests.Canary
		asked.Baseline += counted.Observations[0].Baseline.Bad
	}
	require.Contains(t, counted.Observations[0].Detail, "scrapes as well; they are counted once")
	require.LessOrEqual(t, asked.Canary, 12*50.0)
	require.LessOrEqual(t, asked.Baseline, 12*50.0)
	require.Greater(t, asked.Canary, 9*50.0)
	require.Greater(t, asked.Baseline, 9*50.0)
}

// proxy sits in front of a Prometheus, counts queries and injects faults.
type proxy struct {
	*httptest.Server
	queries atomic.Int64
	fault   atomic.Pointer[http.HandlerFunc]
}

func newProxy(t testing.TB, to string) *proxy {
	t.Helper()
	u, err := url.Parse(to)
	require.NoError(t, err)
	p := &proxy{}
	next := httputil.NewSingleHostReverseProxy(u)
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.queries.Add(1)
		if f := p.fault.Load(); f != nil {
			(*f)(w, r)
			return
		}
		next.ServeHTTP(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *proxy) with(f http.HandlerFunc) { p.fault.Store(&f) }

func TestFaultsAreDistinguished(t *testing.T) { //nolint:funlen // a table
	t.Parallel()
	e := sourcetest.NewExporter(t)
	e.Add(0, "stable", "200", 1)
	server := prometheusOf(t, sourcetest.Interval, e)
	answers(t, e, server, "up == 1")
	p := newProxy(t, server.URL)
	src := source(t, promsource.Config{URL: p.URL})
	hasty := source(t, promsource.Config{URL: p.URL, Timeout: 300 * time.Millisecond})
	release := make(chan struct{})
	defer close(release)
	cases := map[string]struct {
		fault  http.HandlerFunc
		metric analysis.Metric
		want   judge.Reason
		detail string
	}{
		"too slow": {fault: func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			select {
			case <-r.Context().Done():
			case <-release:
			}
		}, metric: sourcetest.Errors(), want: judge.Unreachable, detail: "deadline"},
		"answering 500":  {fault: func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "sick", 500) }, metric: sourcetest.Errors(), want: judge.Unreachable, detail: "500"},
		"answering 503":  {fault: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }, metric: sourcetest.Errors(), want: judge.Unreachable, detail: "503"},
		"answering HTML": {fault: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }, metric: sourcetest.Errors(), want: judge.Unreachable},
		"refusing the credentials": {fault: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) }, metric: sourcetest.Errors(),
			want: judge.Unreachable, detail: "401"},
		"hanging up": {fault: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, metric: sourcetest.Errors(), want: judge.Unreachable},
		"a query that it cannot parse": {metric: analysis.Metric{Name: "m", Source: analysis.Gauge{Query: `depth{arm="${arm}"} +* 1`}},
			want: judge.NoData, detail: "parse error"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p.fault.Store(nil)
			if c.fault != nil {
				p.with(c.fault)
			}
			src := src
			if name == "too slow" {
				src = hasty
			}
			l := sourcetest.Follow(t, src, sourcetest.Plan(t, 0, c.metric)).Look()
			require.Equal(t, c.want, l.Observations[0].Absent, l.Observations[0].Detail)
			require.Contains(t, l.Observations[0].Detail, c.detail)
		})
	}
}

func TestNoErrorShowsASecretOfTheAddress(t *testing.T) {
	t.Parallel()
	port, err := testbed.FreePort()
	require.NoError(t, err)
	src := source(t, promsource.Config{URL: fmt.Sprintf("http://ann:secret@127.0.0.1:%d/?token=secret", port)})
	detail := sourcetest.Follow(t, src, sourcetest.Plan(t, 0, sourcetest.Errors())).Look().Observations[0].Detail
	require.Contains(t, detail, "connection refused")
	require.NotContains(t, detail, "secret")
	_, err = src.MetricNames(t.Context())
	require.ErrorContains(t, err, "connection refused")
	require.NotContains(t, err.Error(), "secret")
	_, err = promsource.New(promsource.Config{URL: "ftp://ann:secret@prom/?token=secret"}, prometheus.NewRegistry())
	require.ErrorContains(t, err, "expected http://")
	require.NotContains(t, err.Error(), "secret")
}

func TestQueriesGrowWithTemplatesAndNotWithReleases(t *testing.T) {
	t.Parallel()
	e := sourcetest.NewExporter(t)
	const most = 100
	for i := range most {
		for _, arm := range []string{"canary", "stable"} {
			e.Add(i, arm, "200", 1)
			e.Observe(i, arm, 1)
		}
	}
	prom := prometheusOf(t, 2*time.Second, e) // that many series take a while
	answers(t, e, prom, fmt.Sprintf("count(traefik_service_requests_total) >= %d", 2*most))
	p := newProxy(t, prom.URL)
	s := source(t, promsource.Config{URL: p.URL, Timeout: time.Minute})
	def := traefik.Series{}.Web()
	queries := map[int]int64{}
	for _, n := range []int{1, most} {
		fs := make([]*sourcetest.Follower, n)
		for i := range fs {
			fs[i] = sourcetest.Follow(t, s, sourcetest.Plan(t, i, def.Metrics...))
		}
		at := time.Now()
		fetch := func() {
			var asks []analysis.Ask
			for _, f := range fs {
				asks = append(asks, f.Plan.Asks(f.Cursor, at)...)
			}
			answers := s.Fetch(t.Context(), asks)
			require.Len(t, answers, len(asks))
			for _, f := range fs {
				k := len(asks) / n
				f.Cursor, f.Last = f.Plan.Fold(f.Cursor, answers[:k], analysis.FoldInput{Number: 1, At: at})
				answers = answers[k:]
			}
		}
		for _, f := range fs {
			f.Cursor = analysis.NewCursor(at.Add(-time.Second))
		}
		fetch()
		e.Add(0, "canary", "200", 5)
		e.Add(n-1, "canary", "200", 2)
		e.Scraped(t, 6)
		// A busy machine now and then misses a scrape of that many series: this repeats until one is in time.
		for canary := 0.0; canary == 0; canary = fs[n-1].Last.Observations[0].Canary.Total {
			e.Scraped(t, 1)
			at = time.Now()
			before := p.queries.Load()
			fetch()
			queries[n] = p.queries.Load() - before
		}
		for _, f := range fs {
			for _, o := range f.Last.Observations {
				require.Empty(t, o.Absent, o.Detail)
			}
		}
	}
	require.Equal(t, map[int]int64{1: 2, most: 2}, queries)
}

func TestItsOwnMetricsExistFromTheStart(t *testing.T) {
	r := prometheus.NewRegistry()
	s, err := promsource.New(promsource.Config{URL: "http://127.0.0.1:1"}, r)
	require.NoError(t, err)
	n, err := testutil.GatherAndCount(r)
	require.NoError(t, err)
	require.Equal(t, 6, n) // both kinds of errors
	require.Equal(t, judge.Unreachable, sourcetest.Follow(t, s, sourcetest.Plan(t, 0, sourcetest.Errors())).Look().Observations[0].Absent)
	require.NoError(t, testutil.GatherAndCompare(r, strings.NewReader(`
# HELP serin_prometheus_query_errors_total Queries without a result: Prometheus was unreachable or too slow, or it refused the query.
# TYPE serin_prometheus_query_errors_total counter
serin_prometheus_query_errors_total{kind="refused"} 0
serin_prometheus_query_errors_total{kind="unreachable"} 1
`), "serin_prometheus_query_errors_total"))
	_, err = promsource.New(promsource.Config{URL: "http://127.0.0.1:2"}, r)
	require.NoError(t, err, "a second source counts into the same")
}

func TestItSignsInAsPrometheusWould(t *testing.T) {
	var got atomic.Value
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got.Store(r.Method + " " + r.Header.Get("Authorization"))
		_, _ = io.WriteString(w, `{"status":"success","data":{"resultType":"matrix","result":[]}}`)
	}))
	defer s.Close()
	src := source(t, promsource.Config{URL: s.URL, HTTP: config.HTTPClientConfig{BasicAuth: &config.BasicAuth{Username: "serin", Password: "pw"}}})
	sourcetest.Follow(t, src, sourcetest.Plan(t, 0, sourcetest.Errors())).Look()
	require.Equal(t, "POST Basic c2VyaW46cHc=", got.Load())

	for _, u := range []string{"", "prometheus:9090", "ftp://x", "http://", "http://a b"} {
		_, err := promsource.New(promsource.Config{URL: u}, prometheus.NewRegistry())
		require.Error(t, err, u)
	}
}

// Prometheus's own parser reads every substituted value as one label value.
func TestNothingBreaksOutByPrometheusOwnParser(t *testing.T) {
	t.Parallel()
	p := testbed.NewPrometheus(t, testbed.PrometheusConfig{})
	hostile := []string{"\ufffd", `"`, `\`, `"} or up{a="`, "\n", "`", `'`, `${service}`, `\x22`, "é\u2028\U0001F600", ".*|", `\E`, "a|b", `\\"`, "\t\v\x01\x7f", "#"}
	for _, v := range hostile {
		requireOneValue(t, p.URL, v)
	}
	rapid.Check(t, func(r *rapid.T) {
		value := rapid.StringN(1, 20, 60).Draw(r, "value")
		requireOneValue(r, p.URL, strings.ReplaceAll(value, ",", ";")) // a comma separates an arm's services
	})
}

func requireOneValue(t require.TestingT, base, value string) {
	names := analysis.Names{Service: value, Vars: map[string][]string{"v": {value}}}
	plan, err := analysis.NewPlan(analysis.Definition{Split: analysis.Split{Off: true}, Metrics: []analysis.Metric{
		{Name: "a", Source: analysis.Ratio{Bad: `b{k="${v}"}`, Total: `m{service="${service}",other="${v}"}`}, Baseline: analysis.Fixed{Rate: 0.1}},
		{Name: "g", Source: analysis.Gauge{Query: `sum(m{service="${service}"}) / 2`}, Baseline: analysis.Offset{By: time.Hour}},
	}}, analysis.Arms{Canary: names, Baseline: names})
	require.NoError(t, err)
	now := time.Now()
	asks := plan.Asks(analysis.NewCursor(now.Add(-time.Second)), now)
	m := asks[0].Template.Query([]string{asks[0].Value}, time.Minute)
	require.Equal(t, []string{"__name__=m", "other=" + value, "service=" + value}, matchers(t, base, m), m)
	g := asks[3].Template.Query(nil, 0)
	require.Equal(t, []string{"__name__=m", "service=" + value}, matchers(t, base, g), g)
}

// matchers returns those of all vector selectors in a query, according to Prometheus's parser.
func matchers(t require.TestingT, base, query string) []string {
	resp, err := http.PostForm(base+"/api/v1/parse_query", url.Values{"query": {query}}) //nolint:noctx // rapid's T has no context
	require.NoError(t, err)
	defer resp.Body.Close() //nolint:errcheck // read to its end
	var body struct {
		Status string
		Error  string
		Data   any
	}
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&body))
	require.Equal(t, "success", body.Status, "%s: %s", query, body.Error)
	return collect(body.Data, nil)
}

func collect(node any, out []string) []string {
	switch n := node.(type) {
	case map[string]any:
		if list, ok := n["matchers"].([]any); ok {
			for _, x := range list {
				m := x.(map[string]any)
				out = append(out, fmt.Sprint(m["name"], m["type"], m["value"]))
			}
			slices.Sort(out)
			return out
		}
		for _, v := range n {
			out = collect(v, out)
		}
	case []any:
		for _, v := range n {
			out = collect(v, out)
		}
	}
	return out
}
