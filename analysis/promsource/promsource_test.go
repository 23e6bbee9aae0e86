package promsource_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/config"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/analysis/promsource"
	"github.com/serindev/serin/engine"
	"github.com/serindev/serin/internal/testbed"
	"github.com/serindev/serin/judge"
)

var _ engine.Source = (*promsource.Source)(nil)

// scrapeEvery is short so that a test sees many scrapes, and long enough for two busy cores.
const scrapeEvery = 500 * time.Millisecond

// exporter is a target with Traefik's series of any services. A restart takes its counters away.
type exporter struct {
	server *httptest.Server
	seen   chan struct{} // one for each scrape, if somebody waits

	mu       sync.Mutex // guards what follows
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	natives  *prometheus.HistogramVec
	gauge    *prometheus.GaugeVec
	handler  http.Handler
}

func newExporter(t testing.TB) *exporter {
	t.Helper()
	e := &exporter{seen: make(chan struct{})}
	e.restart()
	e.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.mu.Lock()
		h := e.handler
		e.mu.Unlock()
		h.ServeHTTP(w, r)
		select {
		case e.seen <- struct{}{}:
		default:
		}
	}))
	t.Cleanup(e.server.Close)
	return e
}

func (e *exporter) restart() {
	e.mu.Lock()
	defer e.mu.Unlock()
	r := prometheus.NewRegistry()
	e.requests = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "traefik_service_requests_total", Help: "h"}, []string{"service", "code"})
	e.seconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "traefik_service_request_duration_seconds", Help: "h",
		Buckets: []float64{0.1, 0.3, 1.2, 5}}, []string{"service"})
	e.natives = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "native_seconds", Help: "h", NativeHistogramBucketFactor: 1.1}, []string{"service"})
	e.gauge = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "depth", Help: "h"}, []string{"arm"})
	r.MustRegister(e.requests, e.seconds, e.natives, e.gauge)
	e.handler = promhttp.HandlerFor(r, promhttp.HandlerOpts{})
}

func (e *exporter) host() string { return strings.TrimPrefix(e.server.URL, "http://") }

// scraped waits until n scrapes were answered from now on.
func (e *exporter) scraped(t testing.TB, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for range n {
		select {
		case <-e.seen:
		case <-ctx.Done():
			require.FailNow(t, "nobody scrapes")
		}
	}
}

func prometheusOf(t testing.TB, e *exporter, every time.Duration) *testbed.Prometheus {
	t.Helper()
	native := fmt.Sprintf("  - job_name: native\n    scrape_native_histograms: true\n    static_configs:\n      - targets: [%q]\n        labels: {kind: native}\n", e.host())
	return testbed.NewPrometheus(t, testbed.PrometheusConfig{ScrapeInterval: every, Extra: native,
		Jobs: []testbed.ScrapeJob{{Name: "traefik", Targets: []string{e.host()}}}})
}

// await waits until a query has a result.
func await(t testing.TB, e *exporter, p *testbed.Prometheus, query string) {
	t.Helper()
	var body struct{ Data struct{ Result []any } }
	for range 100 {
		e.scraped(t, 1)
		resp, err := http.PostForm(p.URL+"/api/v1/query", url.Values{"query": {query}}) //nolint:noctx // it answers at once
		require.NoError(t, err)
		require.NoError(t, json.NewDecoder(resp.Body).Decode(&body))
		require.NoError(t, resp.Body.Close())
		if len(body.Data.Result) > 0 {
			return
		}
	}
	require.FailNow(t, "never: "+query)
}

func source(t testing.TB, c promsource.Config) *promsource.Source {
	t.Helper()
	s, err := promsource.New(c, prometheus.NewRegistry())
	require.NoError(t, err)
	return s
}

func service(i int, arm string) string { return fmt.Sprintf("shop%d-%s@file", i, arm) }

func arms(i int) analysis.Arms {
	names := func(arm string) analysis.Names {
		return analysis.Names{Service: service(i, arm), Vars: map[string][]string{"arm": {arm}}}
	}
	return analysis.Arms{Canary: names("canary"), Baseline: names("stable")}
}

func plan(t testing.TB, i int, metrics ...analysis.Metric) analysis.Plan {
	t.Helper()
	p, err := analysis.NewPlan(analysis.Definition{Metrics: metrics}, arms(i))
	require.NoError(t, err)
	return p
}

// follower takes looks as an engine does, and adds up.
type follower struct {
	t      testing.TB
	source *promsource.Source
	plan   analysis.Plan
	cursor analysis.Cursor
	last   judge.Look
	canary []judge.Arm // sums by metric
}

func follow(t testing.TB, s *promsource.Source, p analysis.Plan) *follower {
	return &follower{t: t, source: s, plan: p, cursor: analysis.NewCursor(time.Now())}
}

func (f *follower) look() judge.Look {
	f.t.Helper()
	at := time.Now()
	answers := f.source.Fetch(f.t.Context(), f.plan.Asks(f.cursor, at))
	b, err := json.Marshal(f.cursor) // as if the daemon had been killed
	require.NoError(f.t, err)
	var kept analysis.Cursor
	require.NoError(f.t, json.Unmarshal(b, &kept))
	f.cursor, f.last = f.plan.Fold(kept, answers, analysis.FoldInput{Number: f.last.Number + 1, At: at, Weight: 0.1})
	if f.canary == nil {
		f.canary = make([]judge.Arm, len(f.last.Observations))
	}
	for i, o := range f.last.Observations {
		f.canary[i].Bad += o.Canary.Bad
		f.canary[i].Total += o.Canary.Total
	}
	return f.last
}

// until takes looks until the sums of a metric are reached, and some more to see that they stay.
func (f *follower) until(e *exporter, metric int, bad, total float64) {
	f.t.Helper()
	for range 40 {
		e.scraped(f.t, 1)
		f.look()
		if f.canary[metric].Bad == bad && f.canary[metric].Total == total {
			break
		}
	}
	e.scraped(f.t, 4)
	f.look()
	require.Equal(f.t, judge.Arm{Bad: bad, Total: total}, f.canary[metric], "last look: %+v", f.last)
}

var errorsMetric = analysis.Metric{Name: "errors", Source: analysis.TraefikErrors()}

func (e *exporter) add(i int, arm, code string, n float64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.requests.WithLabelValues(service(i, arm), code).Add(n)
}

func TestTheFirstErrorsOfANewSeriesAreCountedExactly(t *testing.T) {
	t.Parallel()
	e := newExporter(t)
	e.add(0, "stable", "200", 1000)
	p := prometheusOf(t, e, scrapeEvery)
	await(t, e, p, "count(up == 1) >= 2")
	f := follow(t, source(t, promsource.Config{URL: p.URL}), plan(t, 0, errorsMetric))
	f.look()
	for range 3 { // samples 1, 2, 3
		e.add(0, "canary", "500", 1)
		e.scraped(t, 2) // both jobs scrape this target
	}
	f.until(e, 0, 6, 6) // and so everything is seen by two targets

	e.restart() // Traefik restarts: counters begin anew
	e.add(0, "canary", "500", 2)
	e.add(0, "canary", "200", 5)
	f.until(e, 0, 10, 20)
}

func TestASourceThatGoesAndComesLosesNothing(t *testing.T) {
	t.Parallel()
	e := newExporter(t)
	e.add(0, "stable", "200", 1000)
	e.add(0, "canary", "200", 10)
	p := prometheusOf(t, e, scrapeEvery)
	await(t, e, p, "count(up == 1) >= 2")
	f := follow(t, source(t, promsource.Config{URL: p.URL, Timeout: 2 * time.Second}), plan(t, 0, errorsMetric))
	f.look()
	require.NoError(t, p.Kill())
	e.add(0, "canary", "200", 7)
	at := f.cursor.At
	l := f.look()
	require.Equal(t, judge.Unreachable, l.Observations[0].Absent)
	require.Nil(t, l.Requests)
	require.Equal(t, at, f.cursor.At)
	require.NoError(t, p.Restart(t.Context()))
	e.add(0, "canary", "500", 1)
	f.until(e, 0, 2, 16)
}

// proxy stands in front of a Prometheus, counts queries and makes trouble.
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

func TestFaultsAreToldApart(t *testing.T) { //nolint:funlen // a table
	t.Parallel()
	e := newExporter(t)
	e.add(0, "stable", "200", 1)
	e.add(0, "canary", "200", 1)
	e.mu.Lock()
	e.gauge.WithLabelValues("canary").Set(nan())
	e.gauge.WithLabelValues("stable").Set(3)
	e.mu.Unlock()
	server := prometheusOf(t, e, scrapeEvery)
	await(t, e, server, "count(up == 1) >= 2")
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
		}, metric: errorsMetric, want: judge.Unreachable, detail: "deadline"},
		"answering 500":  {fault: func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "sick", 500) }, metric: errorsMetric, want: judge.Unreachable, detail: "500"},
		"answering 503":  {fault: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }, metric: errorsMetric, want: judge.Unreachable, detail: "503"},
		"answering HTML": {fault: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }, metric: errorsMetric, want: judge.Unreachable},
		"refusing who asks": {fault: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) }, metric: errorsMetric,
			want: judge.Unreachable, detail: "401"},
		"hanging up": {fault: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, metric: errorsMetric, want: judge.Unreachable},
		"a query that it cannot read": {metric: analysis.Metric{Name: "m", Source: analysis.Gauge{Query: `depth{arm="${arm}"} +* 1`}},
			want: judge.NoData, detail: "parse error"},
		"no such series": {metric: analysis.Metric{Name: "m", Source: analysis.Gauge{Query: `nothing{arm="${arm}"}`}},
			want: judge.NoData, detail: "no live series"},
		"a gauge that is NaN": {metric: analysis.Metric{Name: "m", Source: analysis.Gauge{Query: `depth{arm="${arm}"}`}},
			want: judge.NoData, detail: "no finite value"},
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
			l := follow(t, src, plan(t, 0, c.metric)).look()
			require.Equal(t, c.want, l.Observations[0].Absent, l.Observations[0].Detail)
			require.Contains(t, l.Observations[0].Detail, c.detail)
		})
	}
	p.fault.Store(nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	answers := src.Fetch(ctx, plan(t, 0, errorsMetric).Asks(analysis.NewCursor(time.Now()), time.Now()))
	require.ErrorIs(t, answers[0].Err, context.Canceled)
}

func nan() float64 { var z float64; return z / z }

func TestHistogramsAreCountedClassicAndNative(t *testing.T) {
	t.Parallel()
	e := newExporter(t)
	observe := func(i int, seconds ...float64) {
		e.mu.Lock()
		defer e.mu.Unlock()
		for _, s := range seconds {
			e.seconds.WithLabelValues(service(i, "canary")).Observe(s)
			e.natives.WithLabelValues(service(i, "canary")).Observe(s)
			e.natives.WithLabelValues(service(i, "stable")).Observe(0.01)
			e.seconds.WithLabelValues(service(i, "stable")).Observe(0.01)
		}
	}
	observe(0, 0.05, 1)
	p := prometheusOf(t, e, scrapeEvery)
	await(t, e, p, "count(up == 1) >= 2")
	native := analysis.Selector(`native_seconds{service="${service}",kind="native"}`)
	f := follow(t, source(t, promsource.Config{URL: p.URL}), plan(t, 0,
		analysis.Metric{Name: "classic", Source: analysis.Slow{SlowerThan: 300 * time.Millisecond,
			Histogram: `traefik_service_request_duration_seconds_bucket{service="${service}",job="traefik"}`}},
		analysis.Metric{Name: "native", Source: analysis.Slow{Histogram: native, SlowerThan: 500 * time.Millisecond}},
		analysis.Metric{Name: "no bound", Source: analysis.Slow{SlowerThan: 250 * time.Millisecond,
			Histogram: `traefik_service_request_duration_seconds_bucket{service="${service}"}`}}))
	f.look()
	observe(0, 0.2, 0.2, 0.7, 3, 100)
	f.until(e, 0, 3, 5)
	require.Equal(t, judge.Arm{Bad: 3, Total: 5}, f.canary[1])
	require.Contains(t, f.last.Observations[2].Detail, "there are 0.1, 0.3, 1.2, 5")
	e.restart()
	observe(0, 0.2, 2)
	f.until(e, 0, 4, 7)
	require.Equal(t, judge.Arm{Bad: 4, Total: 7}, f.canary[1])
}

func TestQueriesGrowWithTemplatesAndNotWithReleases(t *testing.T) {
	t.Parallel()
	e := newExporter(t)
	const most = 500
	for i := range most {
		e.add(i, "canary", "200", float64(i))
		e.add(i, "stable", "200", 1)
		e.mu.Lock()
		e.seconds.WithLabelValues(service(i, "canary")).Observe(1)
		e.seconds.WithLabelValues(service(i, "stable")).Observe(1)
		e.mu.Unlock()
	}
	prom := prometheusOf(t, e, 2*time.Second) // thousands of series take their time
	await(t, e, prom, fmt.Sprintf("count(traefik_service_requests_total) >= %d", 4*most))
	p := newProxy(t, prom.URL)
	s := source(t, promsource.Config{URL: p.URL, Timeout: time.Minute})
	def := analysis.TraefikWeb()
	queries := map[int]int64{}
	for _, n := range []int{1, most} {
		fs := make([]*follower, n)
		for i := range fs {
			fs[i] = follow(t, s, plan(t, i, def.Metrics...))
		}
		at := time.Now()
		fetch := func() {
			var asks []analysis.Ask
			for _, f := range fs {
				asks = append(asks, f.plan.Asks(f.cursor, at)...)
			}
			answers := s.Fetch(t.Context(), asks)
			require.Len(t, answers, len(asks))
			for _, f := range fs {
				k := len(asks) / n
				f.cursor, f.last = f.plan.Fold(f.cursor, answers[:k], analysis.FoldInput{Number: 1, At: at})
				answers = answers[k:]
				for _, o := range f.last.Observations {
					require.Empty(t, o.Absent, o.Detail)
				}
			}
		}
		for _, f := range fs {
			f.cursor = analysis.NewCursor(at.Add(-time.Second))
		}
		fetch()
		e.add(0, "canary", "200", 5)
		e.add(n-1, "canary", "200", 2)
		e.scraped(t, 6)
		at = time.Now()
		before := p.queries.Load()
		fetch()
		queries[n] = p.queries.Load() - before
		require.Positive(t, fs[n-1].last.Observations[0].Canary.Total)
	}
	require.Equal(t, map[int]int64{1: 2, most: 2}, queries)
}

func TestItsOwnMetricsExistFromTheStart(t *testing.T) {
	r := prometheus.NewRegistry()
	s, err := promsource.New(promsource.Config{URL: "http://127.0.0.1:1"}, r)
	require.NoError(t, err)
	n, err := testutil.GatherAndCount(r)
	require.NoError(t, err)
	require.Equal(t, 5, n) // both kinds of errors
	require.Equal(t, judge.Unreachable, follow(t, s, plan(t, 0, errorsMetric)).look().Observations[0].Absent)
	require.NoError(t, testutil.GatherAndCompare(r, strings.NewReader(`
# HELP serin_prometheus_query_errors_total Queries without a result: Prometheus was unreachable or too slow, or it refused the query.
# TYPE serin_prometheus_query_errors_total counter
serin_prometheus_query_errors_total{kind="refused"} 0
serin_prometheus_query_errors_total{kind="unreachable"} 1
`), "serin_prometheus_query_errors_total"))
	_, err = promsource.New(promsource.Config{URL: "http://127.0.0.1:1"}, r)
	require.Error(t, err)
}

func TestItSignsInAsPrometheusWould(t *testing.T) {
	var got atomic.Value
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got.Store(r.Method + " " + r.Header.Get("Authorization"))
		_, _ = io.WriteString(w, `{"status":"success","data":{"resultType":"matrix","result":[]}}`)
	}))
	defer s.Close()
	src := source(t, promsource.Config{URL: s.URL, HTTP: config.HTTPClientConfig{BasicAuth: &config.BasicAuth{Username: "serin", Password: "pw"}}})
	follow(t, src, plan(t, 0, errorsMetric)).look()
	require.Equal(t, "POST Basic c2VyaW46cHc=", got.Load())

	for _, u := range []string{"", "prometheus:9090", "ftp://x", "http://", "http://a b"} {
		_, err := promsource.New(promsource.Config{URL: u}, prometheus.NewRegistry())
		require.Error(t, err, u)
	}
}

// What we substitute is read by Prometheus's own parser as one label value, whatever it holds.
func TestNothingBreaksOutByPrometheusOwnParser(t *testing.T) {
	t.Parallel()
	p := testbed.NewPrometheus(t, testbed.PrometheusConfig{})
	hostile := []string{"\ufffd", `"`, `\`, `"} or up{a="`, "\n", "`", `'`, `${service}`, `\x22`, "é\u2028\U0001F600", ".*|", `\E`, "a|b", `\\"`, "\t\v\x01\x7f", "#"}
	for _, v := range hostile {
		requireOneValue(t, p.URL, v)
	}
	rapid.Check(t, func(r *rapid.T) {
		requireOneValue(r, p.URL, rapid.StringN(1, 20, 60).Draw(r, "value"))
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

// matchers are those of all vector selectors in a query, by Prometheus's parser.
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
