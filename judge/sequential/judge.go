// Package sequential is the judge that may be asked after every scrape: is the canary worse than its baseline?
//
// Over a whole release it rolls back a canary that is no worse with a chance of at most α, however often it looks,
// and it passes one that is worse by its margin with a chance of at most β. Package statespace computes the evidence
// for one pair of counts. This package builds metrics from such comparisons (error ratios, objectives, gauges and
// histograms, each in its worse direction) and divides one α among them. docs/statistics.md has the formulas and the
// measurements.
//
// It knows neither where the counts come from nor what follows from a verdict. Start reading at [New], then go on with
// comparison, metric and decide.
package sequential

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/serindev/serin/judge"
)

// Judge judges the looks of one evidence scope by its settings. It has no state and may be used from several
// goroutines.
type Judge struct {
	settings    judge.Settings
	metrics     []metric
	fingerprint uint64
}

// mostMetrics and mostBounds bound the cost of a look.
const (
	mostMetrics = 1024
	mostBounds  = 256
	mostValues  = 256
)

// New makes a judge. The error names everything that is wrong with the settings: chances outside of 0 to 1, metrics
// without a name or with the name of another, unknown kinds and directions, bounds that do not ascend, numbers that are
// not finite. A metric without weight is refused too, because it could never fail.
func New(s judge.Settings) (*Judge, error) {
	if err := check(s); err != nil {
		return nil, err
	}
	j := &Judge{settings: s}
	weights := 0.0
	for _, m := range s.Metrics {
		if !m.DryRun {
			weights += m.Weight
		}
	}
	for _, m := range s.Metrics {
		m.Bounds = slices.Clone(m.Bounds)
		share := m.Weight / weights
		if m.DryRun { // the share that it would have if it decided as well
			share = m.Weight / (weights + m.Weight)
		}
		j.metrics = append(j.metrics, newMetric(m, s.FalseRollback, share, s.FalseAdvance))
	}
	j.settings.Metrics = nil
	j.fingerprint = fingerprint(j.metrics)
	return j, nil
}

func check(s judge.Settings) error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	chance := func(name string, x float64) {
		if !(x >= 1e-12 && x < 1) {
			wrong("%s %v: not a chance between 0 and 1", name, x)
		}
	}
	chance("falseRollback", s.FalseRollback)
	chance("falseAdvance", s.FalseAdvance)
	if len(s.Metrics) == 0 || len(s.Metrics) > mostMetrics {
		wrong("%d metrics: there have to be 1 to %d", len(s.Metrics), mostMetrics)
	}
	if !slices.ContainsFunc(s.Metrics, func(m judge.Metric) bool { return !m.DryRun }) && len(s.Metrics) > 0 {
		wrong("all metrics are dry runs: at least one has to decide")
	}
	if p := s.Split; p != nil {
		chance("split.falseAlarm", p.FalseAlarm)
		if !between(p.Noise, 0, 1e3) || !between(p.Tolerance, 0, 1e3) {
			wrong("split noise %v, tolerance %v: not a share", p.Noise, p.Tolerance)
		}
	}
	for i, b := range s.Budget {
		if !between(b.Weight, leastShare, 1-leastShare) || !between(b.Seconds, leastSeconds, mostSum) {
			wrong("budget[%d]: %v seconds at the weight %v: not a time at a weight", i, b.Seconds, b.Weight)
		}
	}
	seen := map[string]bool{}
	for i, m := range s.Metrics {
		if m.Name == "" || seen[m.Name] {
			wrong("metrics[%d]: name %q is empty or used twice", i, m.Name)
		}
		seen[m.Name] = true
		for _, err := range checkMetric(m) {
			wrong("metric %q: %w", m.Name, err)
		}
	}
	return errors.Join(errs...)
}

func checkMetric(m judge.Metric) (errs []error) {
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	switch m.Kind {
	case judge.Counts, judge.Gauge, judge.Mean:
	case judge.Objective:
		if !(m.Objective >= 1e-12 && m.Objective <= 1) {
			wrong("objective %v: not a rate between 0 and 1", m.Objective)
		}
	case judge.Histogram:
		if len(m.Bounds) == 0 || len(m.Bounds) > mostBounds {
			wrong("%d bounds: there have to be 1 to %d", len(m.Bounds), mostBounds)
		}
		for i, b := range m.Bounds {
			if math.IsNaN(b) || math.IsInf(b, 0) || i > 0 && b <= m.Bounds[i-1] {
				wrong("bounds[%d] %v: bounds are finite and ascend", i, b)
			}
		}
	default:
		wrong("unknown kind %q", m.Kind)
	}
	if m.By != "" && (m.Kind != judge.Counts || m.Values < 1 || m.Values > mostValues) {
		wrong("by %q with %d values: is for counts of two arms, with 1 to %d values", m.By, m.Values, mostValues)
	}
	if m.Budgeted && (m.Kind != judge.Counts || m.Goal) {
		wrong("budgeted: is for counts of two arms, and not for a goal")
	}
	switch m.Direction {
	case judge.Increase, judge.Decrease, judge.Either, "":
	default:
		wrong("unknown direction %q", m.Direction)
	}
	most, added := 1.0, m.Kind == judge.Gauge || m.Kind == judge.Mean
	if added {
		most = 1e12
	}
	if !between(m.Margin.Relative, 0, 1e6) || m.Margin.Absolute != 0 && !between(m.Margin.Absolute, 1e-12, most) ||
		added && m.Margin.Absolute > 0 && m.Margin.Relative < 1e-3 {
		wrong("margin %v relative, %v absolute: not margins", m.Margin.Relative, m.Margin.Absolute)
	}
	if !between(m.Weight, 1e-6, 1e6) {
		wrong("weight %v: has to be above 0, or the metric can never fail", m.Weight)
	}
	if !between(m.Noise, 0, 1e3) || !between(m.MinRequests, 0, mostCount) || math.IsNaN(m.Nearest) || math.IsInf(m.Nearest, 0) {
		wrong("noise %v, minRequests %v, nearest %v: not numbers that can be used", m.Noise, m.MinRequests, m.Nearest)
	}
	return errs
}

func between(x, lo, hi float64) bool { return x >= lo && x <= hi }

// evidence is the accumulated state of a scope. It is never changed once it has been returned.
type evidence struct {
	judge   *Judge
	looks   int
	first   int64    // Unix nanoseconds: the end of the first of them, see keepTime
	weight  float64  // the canary's share that was in force during the last of them
	records []record // one a metric
	split   split
	// again: the evidence was begun again in the middle of a release.
	again bool
}

// Begin returns the evidence of a scope before its first look. Pasts that cannot be used are left out.
func (j *Judge) Begin(pasts map[string][]judge.Past) judge.Evidence {
	e := &evidence{judge: j, records: make([]record, len(j.metrics))}
	for i := range j.metrics {
		m := &j.metrics[i]
		e.records[i] = record{comparisons: make([]comparison, len(m.questions)), noise: suppose(m, pasts[m.Name])}
		e.records[i].noise.rules = j.rules(m, &e.records[i].noise, pasts[m.Name])
		if m.By != "" {
			e.records[i].partNoise = supposeParts(m, pasts[m.Name])
		}
	}
	return e
}

// mine returns e as evidence of this kind of judge; that of another kind is a programming error.
func (j *Judge) mine(e judge.Evidence) *evidence {
	own, ok := e.(*evidence)
	if !ok || own.judge.fingerprint != j.fingerprint {
		panic("sequential: evidence of another judge")
	}
	return own
}

// Look implements [judge.Judge]. An excluded look counts like any other; its verdict is inconclusive unless the
// evidence fails. A weight outside of 0 to 1 counts as the previous one.
func (j *Judge) Look(e judge.Evidence, l judge.Look) (judge.Evidence, judge.Verdict) {
	before := j.mine(e)
	if !between(l.Weight, 0, 1) {
		l.Weight = before.weight
	}
	after := before.clone()
	after.turn(&l)
	seconds := max(leastSeconds, min(l.Length.Seconds(), longestLook))
	if j.settings.Split != nil && l.Requests != nil && l.Excluded == "" {
		after.split.add(*l.Requests, l.Weight, seconds)
	}
	v := j.judged(after, &l, seconds)
	v.SampleRatio = after.sampleRatio()
	if after.again {
		v.Begun = begunAgain
	}
	return after, v
}

// begunAgain is the remark on verdicts whose evidence could not be carried over from an earlier version.
const begunAgain = "the evidence gathered by an earlier version of Serin could not be used; gathering began again during this release"

// judged counts the look in every metric of e, which has not been returned yet, and gives the verdict.
func (j *Judge) judged(e *evidence, l *judge.Look, seconds float64) judge.Verdict {
	v := judge.Verdict{
		Look: l.Number, At: l.At, Enough: l.Excluded == "", Learned: true, Metrics: make([]judge.MetricVerdict, len(j.metrics)),
	}
	found := make([]direction, len(j.metrics))
	for i := range j.metrics {
		m, r := &j.metrics[i], &e.records[i]
		s := standing{elapsed: time.Duration(l.At.UnixNano() - e.first), excluded: l.Excluded}
		if o := observation(l.Observations, m.Name); o != nil && o.Absent == judge.WarmingUp {
			s.excluded, v.Enough = judge.WarmingUp, v.Enough && m.DryRun
		}
		s.reason, s.detail = m.count(r, l, seconds, s.elapsed.Seconds())
		found[i] = m.worst(r)
		v.Metrics[i] = m.decide(r, &found[i], s, j.PassWait())
		v.Metrics[i].Users = m.usersNeeded(r, &found[i], e.weight)
		v.Metrics[i].Pods = m.podsNeeded(r, &found[i], v.Metrics[i].Outcome)
		v.Enough = v.Enough && (m.Optional || m.DryRun || m.enough(r))
		v.Learned = v.Learned && (m.DryRun || r.noise.learned || m.Kind == judge.Mean) // which supposes no noise
	}
	j.together(&v, found)
	for i := range v.Metrics { // a canary that has just started misses no data
		if m := &v.Metrics[i]; l.Excluded != "" && m.Outcome == judge.Inconclusive {
			m.Reason = l.Excluded
		}
	}
	conclude(&v)
	return v
}

// leastSeconds is the shortest length assumed of a look, so that noise per minute stays finite.
const leastSeconds = 1e-3

// noExposure is the reason for looks that have data but no requests although there should be some.
const noExposure judge.Reason = "no-exposure"

// exposed reports whether an observation has any exposure that can be compared.
func (m *metric) exposed(o *judge.Observation) bool {
	return m.Kind == judge.Gauge || o.Canary.Total > 0 && (m.Kind == judge.Objective || o.Baseline.Total > 0)
}

func observation(all []judge.Observation, metric string) *judge.Observation {
	for i := range all {
		if all[i].Metric == metric {
			return &all[i]
		}
	}
	return nil
}

// clone copies e, whose size does not depend on the number of looks.
func (e *evidence) clone() *evidence {
	c := *e
	c.records = make([]record, len(e.records))
	for i := range e.records {
		c.records[i] = e.records[i].clone()
	}
	return &c
}

// turn counts the look and handles a change of weight: exposure and the split begin again, a fault may begin, and the
// part of the canary that serves the additional traffic has just started, unless the ages of its replicas say better.
func (e *evidence) turn(l *judge.Look) {
	e.looks++
	if e.looks == 1 {
		e.first, e.weight = l.At.UnixNano(), l.Weight
	} else {
		e.keepTime(l)
	}
	if e.weight == l.Weight {
		return
	}
	starts := 0.0
	if _, known := started(l); !known && l.Weight > e.weight {
		starts = (l.Weight - e.weight) / l.Weight
	}
	e.weight, e.split = l.Weight, split{}
	for i := range e.records {
		r := &e.records[i]
		r.turned, r.sinceCanary, r.sinceBaseline = true, 0, 0
		r.starts = 1 - (1-r.starts)*(1-starts)
	}
}

// keepTime moves the time of the first look when the clock has jumped, so that a pass waits for time covered by looks.
// A clock that was set ahead leaves a single long look, as does an outage of the source. It counts as half of the time
// at most, since what the canary did within it cannot be resolved.
func (e *evidence) keepTime(l *judge.Look) {
	if beyond := l.Length - max(e.judge.PassWait()/2, time.Minute); beyond > 0 {
		e.first += int64(beyond)
	}
	e.first = min(e.first, l.At.UnixNano())
}

func (e *evidence) sampleRatio() *judge.SampleRatio {
	if e.judge.settings.Split == nil {
		return nil
	}
	return e.split.verdict(*e.judge.settings.Split, e.weight)
}

// Learned returns the noise that each metric's comparisons have shown over the whole release. Of several comparisons
// (bounds, directions) the one with the most bad events is used.
func (e *evidence) Learned() map[string]judge.Past {
	learned := map[string]judge.Past{}
	for i := range e.records {
		m := &e.judge.metrics[i]
		if m.comparing != judge.Counts {
			continue
		}
		var best judge.Past
		for k := range e.records[i].comparisons {
			if p, ok := e.records[i].comparisons[k].lesson(m, &e.records[i].noise); ok && p.Blocks[0].Variance > best.Blocks[0].Variance {
				best = p
			}
		}
		if best.Release {
			for k := range e.records[i].parts {
				e.records[i].parts[k].teach(&best)
			}
			if m.Sticky {
				best.Weight = e.weight
			}
			learned[m.Name] = best
		}
	}
	return learned
}
