package sourcetest

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/serindev/serin/internal/await"
)

// Exporter is a target that serves Traefik's series of any services with Prometheus's own client library.
type Exporter struct {
	// URL is the address of its metrics.
	URL string

	seen chan struct{} // one for each scrape, if a test waits

	mu       sync.Mutex // guards what follows
	down     bool
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	natives  *prometheus.HistogramVec
	gauge    *prometheus.GaugeVec
	handler  http.Handler
}

// NewExporter starts an exporter, which ends with the test.
func NewExporter(t testing.TB) *Exporter {
	t.Helper()
	e := &Exporter{seen: make(chan struct{})}
	e.Restart()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.mu.Lock()
		h, down := e.handler, e.down
		e.mu.Unlock()
		if down {
			panic(http.ErrAbortHandler)
		}
		h.ServeHTTP(w, r)
		select {
		case e.seen <- struct{}{}:
		default:
		}
	}))
	t.Cleanup(server.Close)
	e.URL = server.URL + "/metrics"
	return e
}

// Restart removes its counters, as a restart of Traefik does.
func (e *Exporter) Restart() {
	e.mu.Lock()
	defer e.mu.Unlock()
	r := prometheus.NewRegistry()
	e.requests = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "traefik_service_requests_total", Help: "h"}, []string{"service", "code"})
	e.seconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "traefik_service_request_duration_seconds", Help: "h",
		Buckets: []float64{0.1, 0.3, 1.2, 5}}, []string{"service"})
	e.natives = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "native_seconds", Help: "h", NativeHistogramBucketFactor: 1.1,
	}, []string{"service"})
	e.gauge = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "depth", Help: "h"}, []string{"arm"})
	r.MustRegister(e.requests, e.seconds, e.natives, e.gauge)
	e.handler = promhttp.HandlerFor(r, promhttp.HandlerOpts{})
}

// Down makes it drop every connection, or answer again.
func (e *Exporter) Down(down bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.down = down
}

// Host is its host and port.
func (e *Exporter) Host() string {
	return strings.TrimSuffix(strings.TrimPrefix(e.URL, "http://"), "/metrics")
}

// Add counts n requests of an arm of the i-th service, with a status code.
func (e *Exporter) Add(i int, arm, code string, n float64) { e.AddTo(Service(i, arm), code, n) }

// AddTo counts n requests of any service.
func (e *Exporter) AddTo(service, code string, n float64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.requests.WithLabelValues(service, code).Add(n)
}

// Observe counts requests with the given seconds, in a classic histogram and in a native one.
func (e *Exporter) Observe(i int, arm string, seconds ...float64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range seconds {
		e.seconds.WithLabelValues(Service(i, arm)).Observe(s)
		e.natives.WithLabelValues(Service(i, arm)).Observe(s)
	}
}

// Gauge sets the gauge depth of an arm.
func (e *Exporter) Gauge(arm string, value float64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.gauge.WithLabelValues(arm).Set(value)
}

// Forget removes the series of an arm of the i-th service, as Traefik does with a removed service.
func (e *Exporter) Forget(i int, arm string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.requests.DeletePartialMatch(prometheus.Labels{"service": Service(i, arm)})
	e.gauge.DeleteLabelValues(arm)
}

// Scraped waits for n further scrapes.
func (e *Exporter) Scraped(t testing.TB, n int) {
	t.Helper()
	for range n {
		await.Receive(t, e.seen, "nobody scrapes")
	}
}
