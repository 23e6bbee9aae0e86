package sequential

import (
	"cmp"
	"math"
	"time"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/judge/statespace"
)

// passAfterDefault is how long after the first look a pass may be given at the earliest, because arms that drift over
// minutes need time to show it.
const passAfterDefault = 10 * time.Minute

// standing is what the decision about a metric needs in addition to its evidence.
type standing struct {
	reason   judge.Reason // why the metric could not be judged in this look; empty otherwise
	detail   string
	elapsed  time.Duration // since the first look
	excluded judge.Reason
}

// direction is the joint result of the comparisons of one direction.
type direction struct {
	finding
	shown int // index of the comparison with the largest evidence
	part  int // index of the value of the label By that it belongs to, none for the whole
	// worse is the mean of their e-values against "no worse", noWorse the smallest of the e-values for a pass.
	worse, noWorse float64
	// leans: the estimate is beyond the margin and the odds for that are high enough; or they would be if the arms had
	// many users, which is no evidence, but no reason for more traffic either.
	leans bool
}

// fails reports whether the metric fails with the given evidence, which was made comparable with the threshold.
func (d *direction) fails(evidence, from float64) bool {
	return evidence >= from && d.Beyond >= judge.BeyondFrom
}

// ask combines the comparisons from index lo up to hi, which are those of one direction.
func (m *metric) ask(r *record, lo, hi int) direction {
	d := direction{worse: math.Inf(-1), noWorse: math.Inf(1)}
	model := m.model(&r.noise)
	share := m.floorShare(&r.noise)
	most := math.Inf(-1)
	for i := lo; i < hi; i++ {
		q := m.questions[i]
		f := r.comparisons[i].find(m, &model, share)
		weighed := f.Worse + math.Log(q.share*m.whole)
		d.worse = statespace.LogAdd(d.worse, weighed)
		d.noWorse = min(d.noWorse, f.NoWorse)
		if weighed > most {
			most, d.finding, d.shown = weighed, f, i
		}
	}
	d.part = none
	if m.By != "" {
		m.askParts(r, lo, hi, &d)
	}
	d.leans = d.leaning(r.noise.few)
	return d
}

// leaning reports whether both the evidence and the odds lean towards worse, or would be clear with many users. few is
// the prior probability of few users.
func (d *direction) leaning(few float64) bool {
	many := math.Log((1 - few) / max(1-d.Few, 1e-12)) // how much more evidence there would be
	return d.Beyond >= judge.LeansFrom && d.worse > 0 || d.Beyond+many >= judge.BeyondFrom && d.worse+many > 0
}

// worst is the direction that is shown: the one with more evidence or, if both have the same, the one with the larger
// odds. A metric for which both directions are worse passes only if both directions let it.
func (m *metric) worst(r *record) direction {
	if m.Direction != judge.Either {
		return m.ask(r, 0, len(m.questions))
	}
	half := len(m.questions) / 2
	more, fewer := m.ask(r, 0, half), m.ask(r, half, len(m.questions))
	shown := more
	if fewer.worse > more.worse || fewer.worse == more.worse && fewer.Beyond > more.Beyond {
		shown = fewer
	}
	shown.noWorse = min(more.noWorse, fewer.noWorse)
	return shown
}

// floorShare is the share of the evidence for a pass that concerns the absolute margin alone. With common bad events
// that margin says next to nothing.
func (m *metric) floorShare(n *noise) float64 {
	if n.rate > 0 && n.rate*m.Margin.Relative > m.Margin.Absolute {
		return 0.05
	}
	return 0.5
}

// margin is m, the ratio from which the worse arm is worse by the metric's margin.
func (m *metric) margin(c *comparison) float64 {
	relative := 1 + m.Margin.Relative
	if m.comparing != judge.Counts {
		return relative
	}
	return max(relative, 1+m.Margin.Absolute/c.baselineRate())
}

// decide gives the verdict on one metric.
func (m *metric) decide(r *record, d *direction, s standing, passAfter time.Duration) judge.MetricVerdict {
	v := m.describe(r, d)
	v.Outcome, v.Reason, v.Detail = m.outcome(r, d, s, passAfter)
	return v
}

// together fails the metric with the most weighted evidence if all metrics reach the threshold together although none
// does alone: a weighted mean of e-values is an e-value, and no weighted part of it exceeds it.
//
// Vovk and Wang, E-values: calibration, combination and applications, Ann. Statist. 49 (2021), 1736–1754.
func (j *Judge) together(v *judge.Verdict, found []direction) {
	sum, most, at := math.Inf(-1), math.Inf(-1), 0
	for i := range found {
		if j.metrics[i].DryRun {
			continue
		}
		w := found[i].worse + j.metrics[i].stake
		sum = statespace.LogAdd(sum, w)
		if w > most {
			most, at = w, i
		}
	}
	m := &v.Metrics[at]
	if m.Outcome != judge.Fail && judgeable(m.Reason) && found[at].fails(sum, math.Log(1/j.settings.FalseRollback)) {
		m.Outcome, m.Reason = judge.Fail, ""
		m.Detail = cmp.Or(m.Detail, "by the evidence of all metrics together")
	}
}

// judgeable reports whether a metric had data in this look.
func judgeable(r judge.Reason) bool {
	return r != judge.NoData && r != judge.Unreachable
}

// outcome chooses the first reason that applies. A look without exposure leaves the evidence as it was, so it takes
// back no failure; but there is no pass without data.
func (m *metric) outcome(r *record, d *direction, s standing, passAfter time.Duration) (judge.Outcome, judge.Reason, string) {
	fails := d.fails(d.worse, m.failsFrom)
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
	case s.excluded != "":
		return judge.Inconclusive, s.excluded, s.detail
	case passes && s.elapsed >= passAfter:
		return judge.Pass, "", s.detail
	case !m.enough(r):
		return judge.Inconclusive, judge.TooFew, s.detail
	case m.notPositive(r):
		return judge.Inconclusive, judge.NotPositive, cmp.Or(s.detail, "the mean to compare with is not positive")
	case passes:
		return judge.Inconclusive, judge.Waiting, s.detail
	}
	return judge.Inconclusive, judge.Undecided, s.detail
}

// sufficient reports whether an arm has the exposure that a pass needs; for a gauge a single look will do.
func (m *metric) sufficient(exposure float64) bool {
	if m.Kind == judge.Gauge {
		return exposure > 0
	}
	return exposure > 0 && exposure >= m.MinRequests
}

// enough reports whether each arm has sufficient exposure since the weight changed.
func (m *metric) enough(r *record) bool {
	return m.sufficient(r.sinceCanary) && (m.Kind == judge.Objective || m.sufficient(r.sinceBaseline))
}

// notPositive reports that the mean with which a gauge is compared is not positive, so that nothing can be divided by
// it.
func (m *metric) notPositive(r *record) bool {
	if m.Kind != judge.Gauge {
		return false
	}
	for i := range r.comparisons {
		if r.comparisons[i].total[2] <= 0 {
			return true
		}
	}
	return false
}

// describe writes a direction's numbers the way people read them: canary's rate over baseline's, even if fewer is
// worse.
func (m *metric) describe(r *record, d *direction) judge.MetricVerdict {
	v := judge.MetricVerdict{
		Metric: m.Name, Kind: m.Kind, Optional: m.Optional, Goal: m.Goal, DryRun: m.DryRun, Canary: r.canary, Baseline: r.baseline,
		Ratio: d.Ratio, Lower: d.lower, Upper: d.upper, Margin: d.margin, Leading: d.Leading, Noise: d.Noise,
		LogEvidence: judge.LogEvidence{
			Worse: d.worse, FailsFrom: m.failsFrom, NoWorse: d.noWorse, PassFrom: m.passFrom, Beyond: finite(d.Beyond),
		},
		Leaning: d.leans,
	}
	if r.noise.rules > d.margin {
		v.Rules = r.noise.rules
	}
	q, c := m.questions[d.shown], &r.comparisons[d.shown]
	if d.part != none {
		p := &r.parts[d.part]
		c, v.By, v.Value = &p.comparisons[d.shown], m.By, p.value
		v.Canary, v.Baseline = c.sums(q)
	}
	if q.exchange {
		v.Ratio, v.Leading, v.Margin = inverse(d.Ratio), inverse(d.Leading), inverse(d.margin)
		v.Lower, v.Upper, v.Rules = inverse(d.upper), inverse(d.lower), inverse(v.Rules)
	}
	switch m.Kind {
	case judge.Histogram:
		v.Bound, v.Quantiles = m.Bounds[q.bound], m.quantilesOf(r)
		v.Canary, v.Baseline = c.sums(q)
	case judge.Objective:
		v.Baseline = judge.Totals{Rate: m.Objective}
	case judge.Counts, judge.Gauge, judge.Mean:
	}
	v.Canary.Rate = rate(v.Canary)
	if m.Kind != judge.Objective {
		v.Baseline.Rate = rate(v.Baseline)
	}
	if m.Kind == judge.Gauge {
		v.Canary.Bad, v.Baseline.Bad = 0, 0
	}
	m.lower(&v)
	return v
}

// fewHolds is the probability from which the world of few users counts as the reason that holds a metric back.
const fewHolds = 0.8

// usersNeeded is how many users with bad events it would take to decide if few users may be the explanation: to
// distinguish the margin from no difference with the evidence that a pass needs.
func (m *metric) usersNeeded(r *record, d *direction, weight float64) float64 {
	if r.noise.few == 0 || d.Few < fewHolds || d.fails(d.worse, m.failsFrom) || d.noWorse >= m.passFrom {
		return 0
	}
	w := max(leastShare, min(weight, 1-leastShare))
	return math.Ceil(min(statespace.UsersFor(max(d.margin, r.noise.rules), m.passFrom, w), mostCount))
}

// podsNeeded is how many pods it would take to decide if the difference between pods is what holds the metric back: the
// ratio of the arms is known better than good versions with this many pods agree.
func (m *metric) podsNeeded(r *record, d *direction, outcome judge.Outcome) *judge.Pods {
	n := &r.noise
	if n.replicas == 0 || m.comparing != judge.Counts || outcome != judge.Inconclusive || !r.comparisons[d.shown].begun {
		return nil
	}
	arm := m.model(n).Arm
	if _, variance := r.comparisons[d.shown].state.Ended(); variance > arm*arm/4 || arm <= leastArm {
		return nil // time will tell more, or the pods are as alike as any are supposed to be
	}
	pods := m.pods(n.spread, n.replicas, max(d.margin, n.rules), m.passFrom)
	if pods.Canary > 0 && pods.Canary <= float64(max(n.canary, 1)) {
		return nil
	}
	return pods
}

// pods is how many pods it takes to tell a ratio from none with the given evidence.
func (m *metric) pods(spread float64, stable int, ratio, evidence float64) *judge.Pods {
	out := &judge.Pods{Stable: float64(stable), Spread: spread}
	if statespace.Known(ratio, evidence) >= leastArm {
		out.Canary = statespace.PodsFor(ratio, evidence, spread, out.Stable)
	}
	return out
}

// lower turns ratios of raised means into ratios of the means themselves, which people see. There are none if the
// baseline's mean is not positive.
func (m *metric) lower(v *judge.MetricVerdict) {
	raised, mean := m.raised(), v.Baseline.Rate
	if raised == 0 || !(mean > 0) {
		return
	}
	for _, ratio := range []*float64{&v.Ratio, &v.Leading, &v.Margin, &v.Lower, &v.Upper} {
		*ratio = max(0, (*ratio*(mean+raised)-raised)/mean)
	}
}

// sums returns a comparison's totals without rates: for a histogram the requests above the question's bound, for a
// label's value those that belong to it.
func (c *comparison) sums(q question) (canary, baseline judge.Totals) {
	canary, baseline = judge.Totals{Bad: c.total[0], Total: c.total[1]}, judge.Totals{Bad: c.total[2], Total: c.total[3]}
	if q.exchange {
		return baseline, canary
	}
	return canary, baseline
}

// inverse is 1/r, or 0 if r is not positive.
func inverse(r float64) float64 {
	if r <= 0 {
		return 0
	}
	return min(1/r, math.MaxFloat64)
}

// finite bounds the logarithm of odds to numbers that JSON has.
func finite(x float64) float64 { return max(-math.MaxFloat64, min(math.MaxFloat64, x)) }

// rate is bad events over exposure, or a gauge's mean over its looks; 0 without data.
func rate(t judge.Totals) float64 {
	if t.Total == 0 {
		return 0
	}
	return max(min(t.Bad/t.Total, math.MaxFloat64), -math.MaxFloat64)
}

// rank is the order of the reasons that hold a release back; the release has the first one that applies.
var rank = map[judge.Reason]int{
	judge.Unreachable: 0, judge.NoData: 1, judge.WarmingUp: 2, judge.TooFew: 3, judge.NotPositive: 4, judge.Waiting: 5,
	judge.Undecided: 6,
}

// conclude combines the verdicts of the metrics: one that fails makes the whole fail, and all that are not optional
// have to pass. If every metric is optional, at least one has to pass, since no data is never a pass. A dry run has no
// say.
func conclude(v *judge.Verdict) {
	v.Outcome = judge.Pass
	required, passed := 0, 0
	for i := range v.Metrics {
		v.Leaning = v.Leaning || v.Metrics[i].Leaning && !v.Metrics[i].DryRun
	}
	for i := range v.Metrics {
		m := &v.Metrics[i]
		if m.DryRun {
			continue
		}
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
		if m.Outcome == judge.Pass || m.DryRun || m.Optional && required > 0 {
			continue
		}
		if v.Outcome == judge.Pass || rank[m.Reason] < rank[v.Reason] {
			v.Outcome, v.Reason, v.Decisive = judge.Inconclusive, m.Reason, m.Metric
		}
	}
}
