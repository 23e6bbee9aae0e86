package server

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/serindev/serin/tell"
)

// metrics of the API itself.
type metrics struct {
	requests       *prometheus.HistogramVec
	actions        *prometheus.CounterVec
	signInFailures prometheus.Counter
	auditErrors    prometheus.Counter
	streams        prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "serin_http_request_duration_seconds", Help: "Time of the API's answers, without event streams.",
			Buckets: []float64{.001, .005, .025, .1, .5, 2.5, 10},
		}, []string{"method", "code"}),
		actions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "serin_actions_total", Help: "What people and programs asked for, by action and whether it was done or refused.",
		}, []string{"action", "result"}),
		signInFailures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "serin_sign_in_failures_total", Help: "Requests with a missing, wrong or throttled token.",
		}),
		auditErrors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "serin_audit_errors_total", Help: "Actions that could not be written to the audit log at once; " +
				"they are in the daemon's log, and written when the store takes them.",
		}),
		streams: prometheus.NewGauge(prometheus.GaugeOpts{Name: "serin_event_streams", Help: "Event streams that are open."}),
	}
	r.MustRegister(m.requests, m.actions, m.signInFailures, m.auditErrors, m.streams)
	for _, a := range tell.Actions {
		for _, result := range []string{"done", "refused"} {
			m.actions.WithLabelValues(a.Name, result)
		}
	}
	return m
}

// observe counts a request. Methods are bounded: a client may send any word as one.
func (m *metrics) observe(r *http.Request, status int, took time.Duration) {
	method := r.Method
	switch method {
	case http.MethodGet, http.MethodPost, http.MethodHead:
	default:
		method = "other"
	}
	if isStream(r) {
		return
	}
	m.requests.WithLabelValues(method, strconv.Itoa(status)).Observe(took.Seconds())
}
