package engine

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
)

// metrics are the daemon's own series. Label values are bounded by the configuration: rollouts, their metrics, the
// two arms, the kinds of events.
type metrics struct {
	weight, gateAge, phase     *prometheus.GaugeVec
	noDataAge                  *prometheus.GaugeVec
	outcome, ratio, bound      *prometheus.GaugeVec
	rate, samples, evidence    *prometheus.GaugeVec
	sampleRatioAlarm           *prometheus.GaugeVec
	exposureAlarm              *prometheus.GaugeVec
	events, drift, writeErrors *prometheus.CounterVec
	releases                   *prometheus.CounterVec
	writes                     *prometheus.HistogramVec
	inForce                    *prometheus.HistogramVec
	looks, missed              prometheus.Counter
	slot                       prometheus.Histogram
}

func newMetrics(r prometheus.Registerer) *metrics {
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "serin", Name: name, Help: help}, append([]string{"rollout"}, labels...))
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "serin", Name: name, Help: help}, append([]string{"rollout"}, labels...))
	}
	seconds := func(name, help string) prometheus.HistogramOpts {
		return prometheus.HistogramOpts{Namespace: "serin", Name: name, Help: help, Buckets: prometheus.ExponentialBuckets(0.001, 4, 8)}
	}
	m := &metrics{
		weight:           gauge("canary_weight_ratio", "The canary's requested share of the main route."),
		gateAge:          gauge("gate_age_seconds", "How long the open gate has been waiting; 0 without one."),
		noDataAge:        gauge("no_data_age_seconds", "How long a release that is analysed has had no new data, or no answer from its source; 0 while it has.", "why"),
		phase:            gauge("release_phase", "1 for the phase of the newest release.", "phase"),
		outcome:          gauge("verdict", "1 for the verdict of the newest look at a metric.", "metric", "outcome"),
		ratio:            gauge("comparison_ratio", "Estimate of canary's rate over baseline's, and the margin with which it is compared.", "metric", "what"),
		bound:            gauge("comparison_bound_ratio", "Confidence sequence of that ratio.", "metric", "side"),
		rate:             gauge("arm_rate", "Rate or mean of an arm over the scope.", "metric", "arm"),
		samples:          gauge("arm_samples", "Exposure of an arm over the scope: requests.", "metric", "arm"),
		evidence:         gauge("evidence_log", "Natural logarithm of the e-values.", "metric", "against"),
		sampleRatioAlarm: gauge("sample_ratio_alarm", "1 while the observed split is not the weight in force."),
		exposureAlarm:    gauge("exposure_alarm", "1 while a metric's counts of the arms contradict the requests that they got."),
		events:           counter("events_total", "Events of releases.", "event"),
		releases:         counter("releases_total", "Releases that have ended, by outcome.", "outcome"),
		drift:            counter("drift_total", "External changes of the gateway's configuration that were reverted."),
		writeErrors:      counter("traffic_write_errors_total", "Writes of the gateway's configuration that failed."),
		writes:           prometheus.NewHistogramVec(seconds("traffic_write_seconds", "Time to write the gateway's configuration."), []string{"rollout"}),
		inForce:          prometheus.NewHistogramVec(seconds("traffic_in_force_seconds", "Time from a write until every queried replica serves it."), []string{"rollout"}),
		looks:            prometheus.NewCounter(prometheus.CounterOpts{Namespace: "serin", Name: "looks_total", Help: "Looks taken."}),
		missed:           prometheus.NewCounter(prometheus.CounterOpts{Namespace: "serin", Name: "looks_missed_total", Help: "Slots that were skipped because the daemon was late."}),
		slot:             prometheus.NewHistogram(seconds("look_slot_seconds", "Time for all looks of a slot together.")),
	}
	r.MustRegister(m.weight, m.gateAge, m.noDataAge, m.phase, m.outcome, m.ratio, m.bound, m.rate, m.samples, m.evidence,
		m.sampleRatioAlarm, m.exposureAlarm, m.events, m.releases, m.drift, m.writeErrors, m.writes, m.inForce, m.looks, m.missed, m.slot)
	return m
}

// show sets the series of a view.
func (m *metrics) show(name string, v record.View, now time.Time) {
	m.weight.WithLabelValues(name).Set(float64(v.Target.Weight))
	age := 0.0
	if v.Gate != "" {
		age = now.Sub(v.GateSince).Seconds()
	}
	m.gateAge.WithLabelValues(name).Set(age)
	m.noDataAge.WithLabelValues(name, "noData").Set(since(v.State, v.State.NoDataSince, now))
	m.noDataAge.WithLabelValues(name, "unreachable").Set(since(v.State, v.State.UnreachableSince, now))
	for _, p := range []rollout.Phase{rollout.Active, rollout.RollingBack, rollout.PhaseEnded} {
		m.phase.WithLabelValues(name, string(p)).Set(is(v.State.Phase == p))
	}
	for _, o := range []rollout.Outcome{rollout.Released, rollout.RolledBack, rollout.Cancelled, rollout.OutcomeSuperseded, rollout.Failed} {
		m.releases.WithLabelValues(name, string(o))
	}
	m.drift.WithLabelValues(name)
	m.writeErrors.WithLabelValues(name)
	verdict := v.State.Look
	m.sampleRatioAlarm.WithLabelValues(name).Set(is(v.State.Alarm && verdict.SampleRatio != nil && verdict.SampleRatio.Alarm))
	m.exposureAlarm.WithLabelValues(name).Set(is(v.State.Alarm && len(verdict.Contradictions) > 0))
}

func (m *metrics) verdict(name string, v judge.Verdict) {
	for _, r := range v.Metrics {
		for _, o := range []judge.Outcome{judge.Pass, judge.Fail, judge.Inconclusive} {
			m.outcome.WithLabelValues(name, r.Metric, string(o)).Set(is(r.Outcome == o))
		}
		m.ratio.WithLabelValues(name, r.Metric, "estimate").Set(r.Ratio)
		m.ratio.WithLabelValues(name, r.Metric, "margin").Set(r.Margin)
		m.bound.WithLabelValues(name, r.Metric, "lower").Set(r.Lower)
		m.bound.WithLabelValues(name, r.Metric, "upper").Set(r.Upper)
		for arm, t := range map[string]judge.Totals{"canary": r.Canary, "baseline": r.Baseline} {
			m.rate.WithLabelValues(name, r.Metric, arm).Set(t.Rate)
			m.samples.WithLabelValues(name, r.Metric, arm).Set(t.Total)
		}
		m.evidence.WithLabelValues(name, r.Metric, "no-worse").Set(r.LogEvidence.Worse)
		m.evidence.WithLabelValues(name, r.Metric, "worse-by-margin").Set(r.LogEvidence.NoWorse)
	}
}

func (m *metrics) event(name string, e rollout.Event) {
	m.events.WithLabelValues(name, rollout.Kind(e)).Inc()
	if e, ok := e.(rollout.Ended); ok {
		m.releases.WithLabelValues(name, string(e.Outcome)).Inc()
	}
}

func (m *metrics) wrote(name string, err error, took time.Duration) {
	if err != nil {
		m.writeErrors.WithLabelValues(name).Inc()
		return
	}
	m.writes.WithLabelValues(name).Observe(took.Seconds())
}

func (m *metrics) looked(n int, took time.Duration) {
	m.looks.Add(float64(n))
	m.slot.Observe(took.Seconds())
}

// since is the time since a release time; 0 unless the release is active.
func since(s rollout.State, at, now time.Time) float64 {
	if at.IsZero() || s.Phase != rollout.Active {
		return 0
	}
	return s.Clock(now).Sub(at).Seconds()
}

func is(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
