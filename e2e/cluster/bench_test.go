package cluster

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/await"
)

// idle is a rollout that has never had a release: a route of its own to a Service without pods.
const idle = `apiVersion: serin.dev/v1alpha1
kind: Rollout
metadata: {name: NAME}
spec:
  traffic: {traefik: {namespace: NAMESPACE, route: {host: NAME.example.com, entryPoints: [web]}, verify: {api: "TRAEFIK"}}}
  stable: {deployment: NAME, service: {name: NAME, port: 80}}
  canary: {deployment: NAME-canary, service: {name: NAME-canary, port: 80}}
  analysis: traefik-web
  steps: [{gray: {weights: [5%], hold: 10m}}, {promote: {}}]
---
`

// counted is Traefik's API behind a proxy that counts requests.
func (w *world) counted(tb testing.TB) (address string, asked *atomic.Int64) {
	tb.Helper()
	asked = new(atomic.Int64)
	to, err := url.Parse(w.traefik.API)
	require.NoError(tb, err)
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		proxy.ServeHTTP(rw, r)
	}))
	tb.Cleanup(server.Close)
	return server.URL, asked
}

// BenchmarkAtRest measures, per minute, a daemon with a hundred rollouts that has nothing to do: CPU seconds, memory,
// and the requests to the API server and to Traefik's API. Traefik is asked once in five minutes for each rollout, so
// most minutes have no request at all.
func BenchmarkAtRest(b *testing.B) {
	const rollouts = 100
	w := newPlace(b, example{name: "idle", meddled: true, empty: true})
	api, asked := w.counted(b)
	services, documents := strings.Builder{}, strings.Builder{}
	for i := range rollouts {
		name := fmt.Sprintf("shop-%d", i)
		for _, s := range []string{name, name + "-canary"} {
			fmt.Fprintf(&services, "{apiVersion: v1, kind: Service, metadata: {name: %s}, spec: {selector: {app: %[1]s}, ports: [{port: 80}]}}\n---\n", s)
		}
		documents.WriteString(strings.NewReplacer("NAMESPACE", w.pro, "NAME", name, "TRAEFIK", api).Replace(idle))
	}
	w.c.Apply(b, w.pro, services.String())
	w.configureWith(b, map[string]string{"idle.yaml": documents.String()})
	w.begin(b)
	w.settled(b, rollouts)
	cpu, traefik, server := w.cpu(b), asked.Load(), w.between.requests()
	for b.Loop() {
		time.Sleep(time.Minute)
	}
	minutes := b.Elapsed().Minutes()
	b.ReportMetric((w.cpu(b)-cpu)/minutes, "CPU-s/min")
	b.ReportMetric(w.resident(b), "MiB")
	b.ReportMetric(float64(asked.Load()-traefik)/minutes, "traefik-requests/min")
	b.ReportMetric(float64(w.between.requests()-server)/minutes, "api-requests/min")
	b.ReportMetric(0, "ns/op")
}

// settled waits until every rollout is in force, and for a while longer.
func (w *world) settled(tb testing.TB, rollouts int) {
	tb.Helper()
	await.Until(tb, "every rollout is in force", func() string {
		var all []view
		if status, text := w.get("/api/v1/rollouts", &all); status != http.StatusOK {
			return text
		}
		n := 0
		for _, v := range all {
			if v.Confirmation == "in force" {
				n++
			}
		}
		if n == rollouts {
			return ""
		}
		return fmt.Sprintf("%d of %d", n, rollouts)
	})
	time.Sleep(20 * time.Second)
}

// requests is how many requests the daemon has sent so far.
func (b *between) requests() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.asked
}

// ticks a second are the unit of /proc/PID/stat (proc(5), sysconf(_SC_CLK_TCK), 100 on Linux).
const ticks = 100

// cpu is the daemon's CPU time in seconds.
func (w *world) cpu(tb testing.TB) float64 {
	tb.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", w.daemon.PID()))
	require.NoError(tb, err)
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	used := 0.0
	for _, f := range fields[11:13] { // utime and stime
		n, err := strconv.ParseFloat(f, 64)
		require.NoError(tb, err)
		used += n
	}
	return used / ticks
}

// resident is the daemon's memory, in MiB.
func (w *world) resident(tb testing.TB) float64 {
	tb.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.daemon.PID()))
	require.NoError(tb, err)
	_, rest, found := strings.Cut(string(text), "VmRSS:")
	require.True(tb, found)
	kib, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	require.NoError(tb, err)
	return kib / 1024
}
