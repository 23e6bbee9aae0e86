package engine

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the daemon's own series. Label values are bounded by the configuration: rollouts, their metrics, the
// two arms, the kinds of events.
type metrics struct {
	*series
	writes        *prometheus.HistogramVec
	inForce       *prometheus.HistogramVec
	looks, missed prometheus.Counter
	slot          prometheus.Histogram
}

func newMetrics(r prometheus.Registerer) *metrics {
	seconds := func(name, help string) prometheus.HistogramOpts {
		return prometheus.HistogramOpts{Namespace: "serin", Name: name, Help: help, Buckets: prometheus.ExponentialBuckets(0.001, 4, 8)}
	}
	m := &metrics{
		series: newSeries(),
		writes: prometheus.NewHistogramVec(seconds("traffic_write_seconds", "Time to write the gateway's configuration."), []string{"rollout"}),
		inForce: prometheus.NewHistogramVec(seconds("traffic_in_force_seconds",
			"Time from a write until every queried replica serves it."), []string{"rollout"}),
		looks: prometheus.NewCounter(prometheus.CounterOpts{Namespace: "serin", Name: "looks_total", Help: "Looks taken."}),
		missed: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "serin", Name: "looks_missed_total", Help: "Slots that were skipped because the daemon was late.",
		}),
		slot: prometheus.NewHistogram(seconds("look_slot_seconds", "Time for all looks of a slot together.")),
	}
	r.MustRegister(m.series, m.writes, m.inForce, m.looks, m.missed, m.slot)
	return m
}

func (m *metrics) wrote(name string, err error, took time.Duration) {
	if err != nil {
		m.failedToWrite(name)
		return
	}
	m.writes.WithLabelValues(name).Observe(took.Seconds())
}

func (m *metrics) looked(n int, took time.Duration) {
	m.looks.Add(float64(n))
	m.slot.Observe(took.Seconds())
}
