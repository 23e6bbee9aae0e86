package scrape_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/config"
	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/analysis/scrape"
	"github.com/serindev/serin/analysis/sourcetest"
	"github.com/serindev/serin/engine"
	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/traffic/traefik"
)

var _ engine.Source = (*scrape.Source)(nil)

// run starts a source, which ends with the test.
func run(t *testing.T, c scrape.Config) *scrape.Source {
	t.Helper()
	if c.Interval == 0 {
		c.Interval = sourcetest.Interval
	}
	s, err := scrape.New(c, prometheus.NewRegistry())
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.ErrorIs(t, <-ended, context.Canceled)
	})
	return s
}

func TestItPassesTheSuiteOfSources(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]func(exporters []*sourcetest.Exporter) scrape.Config{
		"targets": func(exporters []*sourcetest.Exporter) (c scrape.Config) {
			for _, e := range exporters {
				c.Targets = append(c.Targets, e.URL)
			}
			return c
		},
		"those of a service": func(exporters []*sourcetest.Exporter) (c scrape.Config) {
			service := newService("shop")
			service.now(exporters...)
			return scrape.Config{Services: []scrape.Service{service.Service}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			passesTheSuite(t, config)
		})
	}
}

func passesTheSuite(t *testing.T, config func(exporters []*sourcetest.Exporter) scrape.Config) {
	sourcetest.Run(t, func(t *testing.T, exporters ...*sourcetest.Exporter) sourcetest.Backend {
		c := config(exporters)
		s := run(t, c)
		for _, e := range exporters {
			e.Scraped(t, 1)
		}
		down := func(down bool) {
			for _, e := range exporters {
				e.Down(down)
			}
			if down {
				await.True(t, func() bool { return unreachable(t, s) })
			}
		}
		return sourcetest.Backend{Source: s, Out: func(*testing.T) { down(true) }, Back: func(*testing.T) { down(false) }}
	})
}

// unreachable reports whether a look now would find no readable target.
func unreachable(t *testing.T, s *scrape.Source) bool {
	f := sourcetest.Follow(t, s, sourcetest.Plan(t, 0, sourcetest.Errors()))
	return f.Look().Observations[0].Absent == judge.Unreachable
}

func TestItCountsWhatARealTraefikHasServed(t *testing.T) {
	t.Parallel()
	proxy := testbed.NewTraefik(t, testbed.TraefikConfig{})
	backend := testbed.NewBackend(t, testbed.Behaviour{Version: "v1", ErrorRate: 0.2})
	s := run(t, scrape.Config{Targets: []string{proxy.Metrics}})
	route := filepath.Join(t.TempDir(), "shop.yaml")
	require.NoError(t, os.WriteFile(route, fmt.Appendf(nil, `http:
  routers:
    canary: {rule: "Path(`+"`/canary`"+`)", service: shop0-canary, entryPoints: [web]}
    stable: {rule: "Path(`+"`/stable`"+`)", service: shop0-stable, entryPoints: [web]}
  services:
    shop0-canary: {loadBalancer: {servers: [{url: %[1]q}]}}
    shop0-stable: {loadBalancer: {servers: [{url: %[1]q}]}}
`, backend.URL), 0o600))
	require.NoError(t, os.Rename(route, filepath.Join(proxy.Directory, "shop.yaml")))
	get := func(path string) int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, proxy.URL("web")+path, nil)
		require.NoError(t, err)
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer res.Body.Close()
		_, err = io.Copy(io.Discard, res.Body)
		require.NoError(t, err)
		return res.StatusCode
	}
	await.True(t, func() bool { return get("/stable") != http.StatusNotFound })
	f := sourcetest.Follow(t, s, sourcetest.Plan(t, 0, traefik.Series{}.Web().Metrics...))
	f.Look()
	want := judge.Arm{}
	for range 100 {
		want.Total++
		if get("/canary") >= http.StatusInternalServerError {
			want.Bad++
		}
	}
	require.Positive(t, want.Bad)
	await.True(t, func() bool {
		f.Look()
		return f.Canary[0].Total >= want.Total
	})
	require.Equal(t, want, f.Canary[0])
	require.Equal(t, want.Total, f.Canary[1].Total)
}

func TestALookWaitsForTheScrapeUnderWay(t *testing.T) {
	t.Parallel()
	asked, answer := make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case asked <- struct{}{}:
		case <-r.Context().Done():
			return
		}
		select {
		case <-answer:
		case <-r.Context().Done():
		}
		_, _ = io.WriteString(w, "depth{arm=\"canary\"} 3\n")
	}))
	t.Cleanup(server.Close)
	s := run(t, scrape.Config{Targets: []string{server.URL}, Interval: time.Hour})
	<-asked
	looked := make(chan judge.Look)
	f := sourcetest.Follow(t, s, sourcetest.Plan(t, 0, analysis.Metric{Name: "m", Source: analysis.Gauge{Query: `depth{arm="${arm}"}`}}))
	go func() { looked <- f.Look() }()
	select {
	case <-looked:
		require.Fail(t, "it did not wait")
	case <-time.After(50 * time.Millisecond):
	}
	close(answer)
	require.Equal(t, 3.0, (<-looked).Observations[0].Canary.Value)
}

func TestATargetThatCannotBeReadSaysWhy(t *testing.T) {
	t.Parallel()
	several := atomic.Int64{}
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		want    string
	}{
		"an error":   {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "sick", http.StatusServiceUnavailable) }, "it answers 503"},
		"a web page": {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }, `Content-Type "text/html`},
		"no metrics": {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello there\n") }, "read its metrics: text format parsing error in line 1"},
		"hanging up": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "EOF"},
		"too large": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, strings.Repeat("# "+strings.Repeat("x", 1022)+"\n", 17<<10))
		}, "larger than 16 MiB"},
		"too many series": {func(w http.ResponseWriter, _ *http.Request) {
			for i := range scrape.MaxValues + 1 {
				_, _ = fmt.Fprintf(w, "m{i=\"%d\"} 1\n", i)
			}
		}, "more than 5000; for so many use a Prometheus"},
		"several processes by turns": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = fmt.Fprintf(w, "process_start_time_seconds %d\nm 1\n", 1000+several.Add(1)%2)
		}, "several processes answer at this address by turns"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(c.handler)
			t.Cleanup(server.Close)
			s := run(t, scrape.Config{Targets: []string{server.URL}, Interval: 50 * time.Millisecond})
			f := sourcetest.Follow(t, s, sourcetest.Plan(t, 0, sourcetest.Errors()))
			var o judge.Observation
			await.True(t, func() bool {
				o = f.Look().Observations[0]
				return o.Absent == judge.Unreachable && strings.Contains(o.Detail, "scrape "+server.URL+": ") && strings.Contains(o.Detail, c.want)
			}, "%s", func() string { return o.Detail })
		})
	}
}

func TestAProbeNamesTheTargetsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	good := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "m 1\n") }))
	t.Cleanup(good.Close)
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }))
	t.Cleanup(page.Close)
	s, err := scrape.New(scrape.Config{Targets: []string{good.URL, "http://serin:pw@127.0.0.1:1/metrics", page.URL}}, prometheus.NewRegistry())
	require.NoError(t, err)
	wrong := s.Probe(t.Context())
	require.Len(t, wrong, 2)
	require.ErrorContains(t, wrong[0], "127.0.0.1:1/metrics cannot be read: dial tcp 127.0.0.1:1: connect: connection refused")
	require.NotContains(t, wrong[0].Error(), "pw")
	require.ErrorContains(t, wrong[1], page.URL+` cannot be read: it answers with Content-Type "text/html`)
}

// Before a release its past is asked for in parts, of which a Serin that was just started knows nothing.
func TestThePastBeforeItsStartIsEmptyAndNoError(t *testing.T) {
	t.Parallel()
	e := sourcetest.NewExporter(t)
	e.Add(0, "stable", "200", 1)
	s := run(t, scrape.Config{Targets: []string{e.URL}})
	e.Scraped(t, 2)
	plan := sourcetest.Plan(t, 0, sourcetest.Errors())
	for back, series := range map[time.Duration]int{time.Hour: 0, 0: 1} {
		at := time.Now().Add(-back)
		asks := plan.Asks(analysis.NewCursor(at.Add(-time.Minute)), at)
		n := 0
		for _, a := range s.Fetch(t.Context(), asks) {
			require.NoError(t, a.Err)
			n = max(n, len(a.Series))
		}
		require.Equal(t, series, n, back)
	}
}

func TestPasswordsAreSentAndNotShown(t *testing.T) {
	t.Parallel()
	got := make(chan string, 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got <- r.Header.Get("Authorization") + " " + r.Header.Get("Accept")
		w.WriteHeader(http.StatusUnauthorized)
	}))
	t.Cleanup(server.Close)
	s := run(t, scrape.Config{Targets: []string{strings.Replace(server.URL, "//", "//serin:pw@", 1) + "/metrics?token=pw"}})
	require.Contains(t, <-got, "Basic c2VyaW46cHc= application/vnd.google.protobuf")
	await.True(t, func() bool { return unreachable(t, s) })
	f := sourcetest.Follow(t, s, sourcetest.Plan(t, 0, sourcetest.Errors()))
	detail := f.Look().Observations[0].Detail
	require.Contains(t, detail, "401")
	require.NotContains(t, detail, "pw")
	run(t, scrape.Config{Targets: []string{server.URL}, HTTP: config.HTTPClientConfig{BearerToken: "abc"}})
	for {
		if strings.HasPrefix(<-got, "Bearer abc ") {
			return
		}
	}
}

func TestInvalidTargetsAreRefusedAtTheStart(t *testing.T) {
	many := make([]string, scrape.MaxTargets+1)
	for i := range many {
		many[i] = fmt.Sprintf("http://127.0.0.1:%d/metrics", 9000+i)
	}
	for want, targets := range map[string][]string{
		"scrape 0 targets":             nil,
		"scrape 33 targets":            many,
		`scrape "traefik:8082"`:        {"traefik:8082"},
		`scrape "ftp://x/metrics"`:     {"ftp://x/metrics"},
		"another target has this host": {"http://a:1/metrics", "http://a:1/other?token=pw"},
		"an address cannot be parsed":  {"http://a:pw/metrics"},
	} {
		_, err := scrape.New(scrape.Config{Targets: targets}, prometheus.NewRegistry())
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "pw")
	}
}

func TestItsOwnMetricsExistFromTheStart(t *testing.T) {
	r := prometheus.NewRegistry()
	_, err := scrape.New(scrape.Config{Targets: []string{"http://127.0.0.1:1"}}, r)
	require.NoError(t, err)
	n, err := testutil.GatherAndCount(r)
	require.NoError(t, err)
	require.Equal(t, 5, n)
	_, err = scrape.New(scrape.Config{Targets: []string{"http://127.0.0.1:2"}}, r)
	require.NoError(t, err, "a second source counts into the same")
}
