package engine

import (
	"maps"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
)

// series are the gauges and counters of each rollout. What they show is kept, and they are made of it when somebody reads
// them: a series of client_golang's own takes 450 bytes, and a rollout with three metrics has sixty.
type series struct {
	weight, gateAge, noDataAge, phase    *prometheus.Desc
	outcome, ratio, bound                *prometheus.Desc
	rate, samples, evidence              *prometheus.Desc
	sampleRatioAlarm, exposureAlarm      *prometheus.Desc
	events, releases, drift, writeErrors *prometheus.Desc

	mu       sync.Mutex // guards rollouts
	rollouts map[string]*shown
}

// shown is what the series of one rollout show.
type shown struct {
	mu sync.Mutex // guards what follows

	weight, gateAge, noData, unreachable float64
	phase                                rollout.Phase
	sampleRatioAlarm, exposureAlarm      bool
	verdicts                             map[string]*judge.MetricVerdict // the newest of each metric
	events                               map[string]float64              // how many of each kind
	ended                                map[rollout.Outcome]float64
	drift, writeErrors                   float64
}

func newSeries() *series {
	of := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("serin_"+name, help, append([]string{"rollout"}, labels...), nil)
	}
	return &series{
		weight:  of("canary_weight_ratio", "The canary's requested share of the main route."),
		gateAge: of("gate_age_seconds", "How long the open gate has been waiting; 0 without one."),
		noDataAge: of("no_data_age_seconds",
			"How long a release that is analysed has had no new data, or no answer from its source; 0 while it has.", "why"),
		phase:   of("release_phase", "1 for the phase of the newest release.", "phase"),
		outcome: of("verdict", "1 for the verdict of the newest look at a metric.", "metric", "outcome"),
		ratio: of("comparison_ratio",
			"Estimate of canary's rate over baseline's, and the margin with which it is compared.", "metric", "what"),
		bound:            of("comparison_bound_ratio", "Confidence sequence of that ratio.", "metric", "side"),
		rate:             of("arm_rate", "Rate or mean of an arm over the scope.", "metric", "arm"),
		samples:          of("arm_samples", "Exposure of an arm over the scope: requests.", "metric", "arm"),
		evidence:         of("evidence_log", "Natural logarithm of the e-values.", "metric", "against"),
		sampleRatioAlarm: of("sample_ratio_alarm", "1 while the observed split is not the weight in force."),
		exposureAlarm:    of("exposure_alarm", "1 while a metric's counts of the arms contradict the requests that they got."),
		events:           of("events_total", "Events of releases.", "event"),
		releases:         of("releases_total", "Releases that have ended, by outcome.", "outcome"),
		drift:            of("drift_total", "External changes of the gateway's configuration that were reverted."),
		writeErrors:      of("traffic_write_errors_total", "Writes of the gateway's configuration that failed."),
		rollouts:         map[string]*shown{},
	}
}

// change lets f change what a rollout shows.
func (s *series) change(name string, f func(*shown)) {
	s.mu.Lock()
	of := s.rollouts[name]
	if of == nil {
		of = &shown{verdicts: map[string]*judge.MetricVerdict{}, events: map[string]float64{}, ended: map[rollout.Outcome]float64{}}
		s.rollouts[name] = of
	}
	s.mu.Unlock()
	of.mu.Lock()
	defer of.mu.Unlock()
	f(of)
}

// show shows a view.
func (s *series) show(name string, v record.View, now time.Time) {
	age := 0.0
	if v.Gate != "" {
		age = now.Sub(v.GateSince).Seconds()
	}
	look := v.State.Look
	s.change(name, func(of *shown) {
		of.weight, of.gateAge, of.phase = float64(v.Target.Weight), age, v.State.Phase
		of.noData, of.unreachable = since(v.State, v.State.NoDataSince, now), since(v.State, v.State.UnreachableSince, now)
		of.sampleRatioAlarm = v.State.Alarm && look.SampleRatio != nil && look.SampleRatio.Alarm
		of.exposureAlarm = v.State.Alarm && len(look.Contradictions) > 0
	})
}

func (s *series) verdict(name string, v judge.Verdict) {
	s.change(name, func(of *shown) {
		for i := range v.Metrics {
			of.verdicts[v.Metrics[i].Metric] = &v.Metrics[i]
		}
	})
}

func (s *series) event(name string, e rollout.Event) {
	s.change(name, func(of *shown) {
		of.events[rollout.Kind(e)]++
		if e, ok := e.(rollout.Ended); ok {
			of.ended[e.Outcome]++
		}
	})
}

func (s *series) drifted(name string) { s.change(name, func(of *shown) { of.drift++ }) }

func (s *series) failedToWrite(name string) { s.change(name, func(of *shown) { of.writeErrors++ }) }

// Describe implements [prometheus.Collector].
func (s *series) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		s.weight, s.gateAge, s.noDataAge, s.phase, s.outcome, s.ratio, s.bound, s.rate, s.samples, s.evidence,
		s.sampleRatioAlarm, s.exposureAlarm, s.events, s.releases, s.drift, s.writeErrors,
	} {
		to <- d
	}
}

// emit hands over one series of a rollout, with the values of its other labels.
type emit func(d *prometheus.Desc, x float64, labels ...string)

// Collect implements [prometheus.Collector].
func (s *series) Collect(to chan<- prometheus.Metric) {
	s.mu.Lock()
	rollouts := maps.Clone(s.rollouts)
	s.mu.Unlock()
	for name, of := range rollouts {
		as := func(kind prometheus.ValueType) emit {
			return func(d *prometheus.Desc, x float64, labels ...string) {
				to <- prometheus.MustNewConstMetric(d, kind, x, append([]string{name}, labels...)...)
			}
		}
		of.mu.Lock()
		s.collect(of, as(prometheus.GaugeValue), as(prometheus.CounterValue))
		of.mu.Unlock()
	}
}

// collect makes the series of one rollout.
func (s *series) collect(of *shown, gauge, counter emit) {
	gauge(s.weight, of.weight)
	gauge(s.gateAge, of.gateAge)
	gauge(s.noDataAge, of.noData, "noData")
	gauge(s.noDataAge, of.unreachable, "unreachable")
	for _, p := range []rollout.Phase{rollout.Active, rollout.RollingBack, rollout.PhaseEnded} {
		gauge(s.phase, is(of.phase == p), string(p))
	}
	gauge(s.sampleRatioAlarm, is(of.sampleRatioAlarm))
	gauge(s.exposureAlarm, is(of.exposureAlarm))
	for _, v := range of.verdicts {
		s.collectVerdict(v, gauge)
	}
	for kind, n := range of.events {
		counter(s.events, n, kind)
	}
	for _, o := range []rollout.Outcome{rollout.Released, rollout.RolledBack, rollout.Cancelled, rollout.OutcomeSuperseded, rollout.Failed} {
		counter(s.releases, of.ended[o], string(o))
	}
	counter(s.drift, of.drift)
	counter(s.writeErrors, of.writeErrors)
}

// collectVerdict makes the series of one metric of a rollout.
func (s *series) collectVerdict(v *judge.MetricVerdict, gauge emit) {
	for _, o := range []judge.Outcome{judge.Pass, judge.Fail, judge.Inconclusive} {
		gauge(s.outcome, is(v.Outcome == o), v.Metric, string(o))
	}
	gauge(s.ratio, v.Ratio, v.Metric, "estimate")
	gauge(s.ratio, v.Margin, v.Metric, "margin")
	gauge(s.bound, v.Lower, v.Metric, "lower")
	gauge(s.bound, v.Upper, v.Metric, "upper")
	gauge(s.rate, v.Canary.Rate, v.Metric, "canary")
	gauge(s.rate, v.Baseline.Rate, v.Metric, "baseline")
	gauge(s.samples, v.Canary.Total, v.Metric, "canary")
	gauge(s.samples, v.Baseline.Total, v.Metric, "baseline")
	gauge(s.evidence, v.LogEvidence.Worse, v.Metric, "no-worse")
	gauge(s.evidence, v.LogEvidence.NoWorse, v.Metric, "worse-by-margin")
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
