package sequential

import (
	"math"
	"time"

	"github.com/serindev/serin/judge"
)

// Without a passAfter of the user's a pass may be given this long after the first look: arms that drift for
// minutes need time to show it, more where nothing is known of how they drift.
const (
	passAfterLearned  = 10 * time.Minute
	passAfterSupposed = 30 * time.Minute
)

// standing is what the decision about a metric needs to know beside its evidence.
type standing struct {
	reason  judge.Reason // why the metric could not be judged in this look; empty otherwise
	detail  string
	elapsed time.Duration // since the first look that was judged
}

// decide says what follows for one metric.
func (m *metric) decide(r *record, s standing, anew anew, passAfter *time.Duration) judge.MetricVerdict {
	d, fails := m.worst(r, anew)
	v := m.describe(r, d)
	v.Outcome, v.Reason, v.Detail = m.outcome(r, d, fails, s, passAfter)
	return v
}

// worst is the direction that is shown, the one that fails or else has the more evidence, and whether any fails.
// A metric that may go neither way needs both to let it pass.
func (m *metric) worst(r *record, anew anew) (shown direction, fails bool) {
	if m.Direction != judge.Either {
		d := m.ask(r, 0, len(m.questions), anew)
		return d, d.fails
	}
	half := len(m.questions) / 2
	more, fewer := m.ask(r, 0, half, anew), m.ask(r, half, len(m.questions), anew)
	shown = more
	if fewer.fails && !more.fails || fewer.fails == more.fails && fewer.worse > more.worse {
		shown = fewer
	}
	shown.noWorse = min(more.noWorse, fewer.noWorse)
	return shown, more.fails || fewer.fails
}

// outcome puts the reasons in order. A look without exposure counts and leaves the evidence as it was, so it takes
// back no failure; but there is no pass without data.
func (m *metric) outcome(r *record, d direction, fails bool, s standing, passAfter *time.Duration) (judge.Outcome, judge.Reason, string) {
	if s.reason != "" && (s.reason != noExposure || !fails) {
		reason := s.reason
		if reason == noExposure {
			reason = judge.NoData
		}
		return judge.Inconclusive, reason, s.detail
	}
	passes := d.noWorse >= m.passFrom && m.sufficient(r.canary.Total) &&
		(m.Kind == judge.Objective || m.sufficient(r.baseline.Total))
	switch {
	case fails:
		return judge.Fail, "", s.detail
	case passes && s.elapsed >= m.passAfter(r, passAfter):
		return judge.Pass, "", s.detail
	case !m.enough(r):
		return judge.Inconclusive, judge.TooFew, s.detail
	case m.notPositive(r):
		return judge.Inconclusive, judge.NotPositive, orElse(s.detail, "the mean to compare with is not positive")
	case passes:
		return judge.Inconclusive, judge.Waiting, s.detail
	}
	return judge.Inconclusive, judge.Undecided, s.detail
}

func (m *metric) passAfter(r *record, set *time.Duration) time.Duration {
	switch {
	case set != nil:
		return *set
	case len(r.pasts) > 0:
		return passAfterLearned
	}
	return passAfterSupposed
}

// sufficient says whether an arm has the exposure that a pass needs; a gauge's is its looks, and one will do.
func (m *metric) sufficient(exposure float64) bool {
	if m.Kind == judge.Gauge {
		return exposure > 0
	}
	return exposure > 0 && exposure >= m.MinRequests
}

// enough says whether each arm has sufficient exposure since the weight changed.
func (m *metric) enough(r *record) bool {
	return m.sufficient(r.sinceCanary) && (m.Kind == judge.Objective || m.sufficient(r.sinceBaseline))
}

// notPositive says that a gauge's mean to compare with cannot be divided by.
func (m *metric) notPositive(r *record) bool {
	if m.Kind != judge.Gauge {
		return false
	}
	for i := range r.trials {
		if r.trials[i].whole.total[2] <= 0 {
			return true
		}
	}
	return false
}

// describe writes a direction's numbers the way people read them: canary's rate over baseline's, also where fewer
// is worse.
func (m *metric) describe(r *record, d direction) judge.MetricVerdict {
	v := judge.MetricVerdict{
		Metric: m.Name, Kind: m.Kind, Optional: m.Optional, Goal: m.Goal, Canary: r.canary, Baseline: r.baseline,
		Ratio: d.ratio, Lower: d.lower, Upper: d.upper, Margin: d.margin, Leading: d.leading, Noise: d.phi,
		LogEvidence: judge.LogEvidence{
			Worse: d.worse, Whole: d.whole, FailsFrom: m.failsFrom, NoWorse: d.noWorse, PassFrom: m.passFrom,
			Beyond: d.beyond,
		},
		Leaning: d.leading >= d.margin && d.beyond >= judge.LeansFrom,
		Fresh:   r.begun,
	}
	q, t := m.questions[d.shown], &r.trials[d.shown]
	if q.exchange {
		v.Ratio, v.Leading, v.Margin = inverse(d.ratio), inverse(d.leading), inverse(d.margin)
		v.Lower, v.Upper = inverse(d.upper), inverse(d.lower)
	}
	switch m.Kind {
	case judge.Histogram:
		v.Bound = m.Bounds[q.bound]
		m.describeBound(q, t, &v)
	case judge.Objective:
		v.Baseline = judge.Totals{Rate: m.Objective}
	case judge.Counts, judge.Gauge:
	}
	v.Canary.Rate = rate(v.Canary)
	if m.Kind != judge.Objective {
		v.Baseline.Rate = rate(v.Baseline)
	}
	if m.Kind == judge.Gauge {
		v.Canary.Bad, v.Baseline.Bad = 0, 0
	}
	return v
}

// describeBound fills in the bad events of a histogram: those above the bound that is shown.
func (m *metric) describeBound(q question, t *trial, v *judge.MetricVerdict) {
	c, b := [2]float64{t.whole.total[0], t.whole.total[1]}, [2]float64{t.whole.total[2], t.whole.total[3]}
	if q.exchange {
		c, b = b, c
	}
	v.Canary = judge.Totals{Bad: c[0], Total: c[1]}
	v.Baseline = judge.Totals{Bad: b[0], Total: b[1]}
}

// rate is bad events over exposure, a gauge's mean over its looks; 0 while there is nothing.
func rate(t judge.Totals) float64 {
	if t.Total == 0 {
		return 0
	}
	return max(min(t.Bad/t.Total, math.MaxFloat64), -math.MaxFloat64)
}

// rank is the order of the reasons that hold a release back: the first of them is the release's.
var rank = map[judge.Reason]int{
	judge.Unreachable: 0, judge.NoData: 1, judge.TooFew: 2, judge.NotPositive: 3, judge.Waiting: 4, judge.Undecided: 5,
}

// conclude puts the verdicts of the metrics together: one that fails makes the whole fail, and all that are not
// optional have to pass. Where every metric is optional, one at least has to: no data is never a pass.
func conclude(v *judge.Verdict) {
	v.Outcome = judge.Pass
	required, passed := 0, 0
	for i := range v.Metrics {
		v.Leaning = v.Leaning || v.Metrics[i].Leaning
	}
	for i := range v.Metrics {
		m := &v.Metrics[i]
		if m.Outcome == judge.Fail {
			v.Outcome, v.Reason, v.Decisive = judge.Fail, "", m.Metric
			return
		}
		if !m.Optional {
			required++
		}
		if m.Outcome == judge.Pass {
			passed++
		}
	}
	if required == 0 && passed > 0 {
		return
	}
	for i := range v.Metrics {
		m := &v.Metrics[i]
		if m.Outcome == judge.Pass || m.Optional && required > 0 {
			continue
		}
		if v.Outcome == judge.Pass || rank[m.Reason] < rank[v.Reason] {
			v.Outcome, v.Reason, v.Decisive = judge.Inconclusive, m.Reason, m.Metric
		}
	}
}
