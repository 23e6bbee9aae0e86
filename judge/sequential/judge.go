// Package sequential is the judge that may be asked after every scrape: is the canary worse than its baseline?
//
// Over a whole release it rolls back a canary that is no worse with a chance of at most α, however often it looks,
// and it passes one that is worse by its margin with a chance of at most β. Package statespace holds the evidence of one
// pair of counts; here metrics are made of such comparisons: error ratios, objectives, gauges, histograms, each in the
// direction that is worse, together within one α. docs/statistics.md has the formulas and what was measured.
//
// It does not know where the counts come from, nor what follows from a verdict. Start reading at [New], then at
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

// Judge judges the looks of one evidence scope by the settings that it was made of. It has no state and may be
// used from several goroutines.
type Judge struct {
	settings    judge.Settings
	metrics     []metric
	fingerprint uint64
}

// mostMetrics and mostBounds bound what one look may cost.
const (
	mostMetrics = 1024
	mostBounds  = 256
	mostValues  = 256
)

// New makes a judge. The error names everything that is wrong with the settings: chances outside of 0 to 1, metrics
// without a name or with one twice, unknown kinds and directions, bounds that do not ascend, numbers that are not
// finite. A metric without weight is refused too, because it could never fail.
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
		if m.DryRun { // what it would have if it decided as well
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
		wrong("all metrics are dry runs: one at least has to decide")
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
			wrong("metrics[%d]: name %q is empty or there twice", i, m.Name)
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
	case judge.Counts, judge.Gauge:
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
	most := 1.0
	if m.Kind == judge.Gauge {
		most = 1e12
	}
	if !between(m.Margin.Relative, 0, 1e6) || m.Margin.Absolute != 0 && !between(m.Margin.Absolute, 1e-12, most) ||
		m.Kind == judge.Gauge && m.Margin.Absolute > 0 && m.Margin.Relative < 1e-3 {
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

// evidence is the accumulated state of a scope. It is never changed once it has been handed out.
type evidence struct {
	judge   *Judge
	looks   int
	first   int64    // Unix nanoseconds: the end of the first of them, see keepTime
	weight  float64  // the canary's share that was in force during the last of them
	records []record // one a metric
	split   split
	// again: the evidence was begun again in the midst of a release.
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

// mine is e as this judge's own; another judge's evidence is a mistake of the program.
func (j *Judge) mine(e judge.Evidence) *evidence {
	own, ok := e.(*evidence)
	if !ok || own.judge.fingerprint != j.fingerprint {
		panic("sequential: evidence of another judge")
	}
	return own
}

// Look folds l into e and says what follows. A look that is excluded counts as any other; it is inconclusive unless the
// evidence fails. A weight that is not between 0 and 1 counts as the one before.
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

// begunAgain is what verdicts say that rest on evidence which an earlier version has lost.
const begunAgain = "the evidence gathered by an earlier version of Serin could not be used; gathering began again during this release"

// judged counts the look in every metric of e, which is not yet handed out, and says what follows.
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
		v.Enough = v.Enough && (m.Optional || m.DryRun || m.enough(r))
		v.Learned = v.Learned && (m.DryRun || r.noise.learned)
	}
	j.together(&v, found)
	for i := range v.Metrics { // nothing is missed of a canary that has just started
		if m := &v.Metrics[i]; l.Excluded != "" && m.Outcome == judge.Inconclusive {
			m.Reason = l.Excluded
		}
	}
	conclude(&v)
	return v
}

// leastSeconds is the shortest that a look is taken for, so that noise by the minute stays finite.
const leastSeconds = 1e-3

// noExposure stands for looks that have data, and no requests in them although there should be some.
const noExposure judge.Reason = "no-exposure"

// exposed says whether an observation has any exposure that can be compared.
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

// clone copies e. Its size does not depend on how many looks it has seen.
func (e *evidence) clone() *evidence {
	c := *e
	c.records = make([]record, len(e.records))
	for i := range e.records {
		c.records[i] = e.records[i].clone()
	}
	return &c
}

// turn counts the look and notices a change of weight: exposure and the split begin again, a fault may begin, and what
// the canary has more of the traffic than before has just started.
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
	if l.Weight > e.weight {
		starts = (l.Weight - e.weight) / l.Weight
	}
	e.weight, e.split = l.Weight, split{}
	for i := range e.records {
		r := &e.records[i]
		r.turned, r.sinceCanary, r.sinceBaseline = true, 0, 0
		r.starts = 1 - (1-r.starts)*(1-starts)
	}
}

// keepTime moves the time of the first look where the clock has jumped, so that a pass has waited for time that looks have
// shown. One that was set ahead leaves a single long look, as does an outage of the source; it counts as half of the
// time at most, since what a canary did within it cannot be told apart.
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

// Learned is what each metric's comparisons have shown of its noise over the whole release. Of several (bounds,
// directions) the one with the most bad events teaches.
func (e *evidence) Learned() map[string]judge.Past {
	learned := map[string]judge.Past{}
	for i := range e.records {
		m := &e.judge.metrics[i]
		if m.comparing != judge.Counts {
			continue
		}
		var best judge.Past
		for k := range e.records[i].comparisons {
			if p, ok := e.records[i].comparisons[k].lesson(); ok && p.Blocks[0].Variance > best.Blocks[0].Variance {
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
