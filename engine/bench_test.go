package engine

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/analysis/promsource"
	"github.com/serindev/serin/internal/testbed"
	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/judge/sequential"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/share"
	"github.com/serindev/serin/store"
	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/traefik"
)

// benchInterval is the interval of the looks and of the scrapes, Serin's default: long enough for a slot of 10,000, so
// that at every size each look has one scrape to read. benchSlots are measured after two for warming up.
const (
	benchInterval = 10 * time.Second
	benchSlots    = 5
)

// named is a router that only answers the names of arms: no traffic flows in this benchmark.
type named struct {
	Router
	name string
}

func (n named) Labels(traffic.Lane) (canary, stable string) {
	return n.name + "-canary@file", n.name + "-stable@file"
}

// BenchmarkSlot takes the looks of many releases at once: it queries a real Prometheus, judges three metrics, and
// writes everything to SQLite. The sizes are close enough to show the cost of one more release. CPU time is that of
// this process, which depends less on other load than wall time.
func BenchmarkSlot(b *testing.B) {
	for _, releases := range []int{1, 100, 1000, 10_000} {
		b.Run(fmt.Sprintf("releases=%d", releases), func(b *testing.B) { benchSlot(b, releases) })
	}
}

func benchSlot(b *testing.B, releases int) {
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { expose(w, releases) }))
	defer target.Close()
	prom := testbed.NewPrometheus(b, testbed.PrometheusConfig{
		ScrapeInterval: benchInterval,
		Jobs:           []testbed.ScrapeJob{{Name: "traefik", Targets: []string{strings.TrimPrefix(target.URL, "http://")}}},
	})
	e := benchEngine(b, prom.URL)
	loops := make([]*loop, releases)
	for i := range loops {
		loops[i] = benchRelease(b, e, fmt.Sprintf("r%05d", i))
	}
	var before, after runtime.MemStats
	var took, worst, used time.Duration
	b.ResetTimer()
	for slot := range benchSlots + 2 {
		at := time.Now().Truncate(benchInterval).Add(benchInterval)
		time.Sleep(time.Until(at)) // the slots of a real daemon: this is a benchmark, not a test
		if slot == 2 {
			runtime.ReadMemStats(&before)
			queried.Store(0)
			used = cpu(b)
		}
		begin := time.Now()
		e.looks.slot(b.Context(), benchInterval, at)
		if slot >= 2 {
			took += time.Since(begin)
			worst = max(worst, time.Since(begin))
		}
		for _, l := range loops {
			heard(b, l)
		}
	}
	runtime.ReadMemStats(&after)
	used = cpu(b) - used
	queries := float64(queried.Load())
	looks := float64(benchSlots * releases)
	b.ReportMetric(float64(took.Milliseconds())/benchSlots, "ms/slot")
	b.ReportMetric(float64(worst.Milliseconds()), "worst-ms/slot")
	b.ReportMetric(float64(used.Milliseconds())/benchSlots, "cpu-ms/slot")
	b.ReportMetric(float64(took.Microseconds())/looks, "µs/look")
	b.ReportMetric(queries/benchSlots, "queries/slot")
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/looks, "allocs/look")
	b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/looks, "B/look")
	b.ReportMetric(float64(after.HeapInuse)/(1<<20), "heap-MB") // including garbage
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(e)
	b.ReportMetric(float64(after.HeapAlloc)/(1<<20), "live-MB")
	b.ReportMetric(0, "ns/op")
}

// heard makes a loop process its mail as if it were running.
func heard(b *testing.B, l *loop) {
	mail := l.mail
	l.mail = nil
	for _, f := range mail {
		f(b.Context())
	}
	require.NotNil(b, l.rel.verdict)
	l.e.looks.rehearse(b.Context(), l.e.looks.subjects[l.rel.record.ID])
}

// cpu is the processor time that this process has used.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// queried counts the queries that reach Prometheus.
var queried atomic.Int64

func benchEngine(b *testing.B, url string) *Engine {
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		queried.Add(1)
		req, err := http.NewRequestWithContext(r.Context(), r.Method, url+r.URL.RequestURI(), r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		req.Header = r.Header.Clone()
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer res.Body.Close()
		maps.Copy(w.Header(), res.Header)
		w.WriteHeader(res.StatusCode)
		_, _ = io.Copy(w, res.Body)
	}))
	b.Cleanup(proxy.Close)
	s, err := store.Open(b.Context(), "sqlite:"+filepath.Join(b.TempDir(), "serin.db"))
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, s.Close()) })
	registry := prometheus.NewRegistry()
	source, err := promsource.New(promsource.Config{URL: proxy.URL, Timeout: time.Minute}, registry)
	require.NoError(b, err)
	return New(Options{
		Store: s, Source: source, Log: slog.New(slog.DiscardHandler), Registerer: registry,
		NewJudge: func(s judge.Settings) (judge.Judge, error) { return sequential.New(s) },
	})
}

// benchRelease brings one release to a weight that is in force, and takes its looks.
func benchRelease(b *testing.B, e *Engine, name string) *loop {
	series := traefik.Series{}
	def := series.Web()
	very := def.Metrics[1]
	very.Name, very.Source = "very-slow-requests", series.Latency(5*time.Second)
	def.Metrics = append(def.Metrics, very)
	def.Interval, def.Settle, def.WarmUp = benchInterval, benchInterval, new(time.Duration)
	d := rollout.Definition{
		Name: name, Revision: "a1", Stable: traffic.Backend{Servers: []string{"http://a"}}, Canary: traffic.Backend{Servers: []string{"http://b"}},
		Steps:  rollout.Steps{rollout.Gray{Name: "gray", Weights: []share.Share{0.5}, Scope: "gray", Hold: time.Hour}, rollout.Promote{Name: "promote"}},
		Scopes: []rollout.Scope{{Name: "gray"}},
	}
	l := newLoop(e, name)
	l.gw.router = named{name: name}
	r := &release{plan: record.Plan{Rollout: d, Analyses: map[string]analysis.Definition{"gray": def}}}
	plan, err := json.Marshal(r.plan)
	require.NoError(b, err)
	r.record = record.Release{ID: "01" + name, Rollout: name, Revision: "a1", Plan: plan, Phase: rollout.Active, Version: 1, StartedBy: "bench", StartedAt: time.Now()}
	events := []rollout.Event{
		rollout.Started{Rollout: name, Revision: "a1"},
		rollout.StepEntered{Name: "gray", What: rollout.StageGray, Scope: "gray"},
		rollout.InForce{Turn: 2, How: "api"},
	}
	var appended []rollout.Event
	for i, event := range events {
		event = event.With(rollout.Meta{Seq: i + 1, At: time.Now().Add(-time.Hour), By: "bench"})
		r.state, err = r.state.Apply(event)
		require.NoError(b, err)
		if i == 0 {
			require.NoError(b, e.o.Store.Create(b.Context(), r.record, event))
		} else {
			appended = append(appended, event)
		}
	}
	require.NoError(b, e.o.Store.Append(b.Context(), r.record, 1, appended...))
	l.rel, l.ready = r, true
	require.NoError(b, e.looks.follow(context.Background(), l, r, r.state.Target(&d, r.record.ID)))
	return l
}

var exposed atomic.Int64

// expose writes the metrics that Traefik would have for n rollouts; every scrape has a few more requests.
func expose(w io.Writer, n int) {
	t := exposed.Add(1)
	out := bufio.NewWriter(w)
	defer out.Flush() //nolint:errcheck // Prometheus notices a truncated scrape itself
	fmt.Fprintln(out, "# TYPE traefik_service_requests_total counter")
	for i := range n {
		for _, arm := range []string{"canary", "stable"} {
			fmt.Fprintf(out, "traefik_service_requests_total{code=\"200\",method=\"GET\",protocol=\"http\",service=\"r%05d-%s@file\"} %d\n", i, arm, 500*t)
			fmt.Fprintf(out, "traefik_service_requests_total{code=\"500\",method=\"GET\",protocol=\"http\",service=\"r%05d-%s@file\"} %d\n", i, arm, 2*t)
		}
	}
	fmt.Fprintln(out, "# TYPE traefik_service_request_duration_seconds histogram")
	for i := range n {
		for _, arm := range []string{"canary", "stable"} {
			for _, le := range []string{"0.1", "0.3", "1.2", "5", "+Inf"} {
				fmt.Fprintf(out, "traefik_service_request_duration_seconds_bucket{code=\"200\",method=\"GET\",protocol=\"http\",service=\"r%05d-%s@file\",le=%q} %d\n", i, arm, le, 500*t)
			}
		}
	}
}
