// Package sequential is the judge that may be asked after every scrape: is the canary worse than its baseline?
//
// Over a whole release it rolls back a canary that is no worse with a chance of at most α, however often it looks,
// and it passes one that is worse by its margin with a chance of at most β. One construction serves error ratios,
// objectives, gauges, histograms and the traffic's split: a grid of ratios, a likelihood, an estimate of noise, and
// mixtures of likelihood ratios. spec/sequential-judge.md has the formulas; the sources stand beside the lines that
// need them.
//
// It does not know where the counts come from, nor what follows from a verdict. Start reading at [New], then at
// comparison, trial and metric, which hold each other in this order.
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
	anew        anew
	fingerprint uint64
}

// anew is how often fresh comparisons begin and how many are kept.
type anew struct {
	every time.Duration
	live  int
}

func (a anew) on() bool { return a.every > 0 && a.live > 0 }

// mostMetrics and mostBounds bound what one look may cost.
const (
	mostMetrics = 1024
	mostBounds  = 256
)

// New makes a judge. The error names everything that is wrong with the settings: chances outside of 0 to 1, metrics
// without a name or with one twice, unknown kinds and directions, bounds that do not ascend, numbers that are not
// finite. A metric without weight is refused too, because it could never fail.
func New(s judge.Settings) (*Judge, error) {
	if err := check(s); err != nil {
		return nil, err
	}
	j := &Judge{settings: s, anew: anew{every: s.FreshEvery, live: s.FreshLive}}
	weights := 0.0
	for _, m := range s.Metrics {
		weights += m.Weight
	}
	for _, m := range s.Metrics {
		m.Bounds = slices.Clone(m.Bounds)
		j.metrics = append(j.metrics, newMetric(m, s.FalseRollback*m.Weight/weights, s.FalseAdvance))
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
	if s.FreshLive < 0 || s.FreshLive > maxFresh || s.FreshEvery < 0 {
		wrong("freshLive %d, freshEvery %v: 0 to %d comparisons, no negative time", s.FreshLive, s.FreshEvery, maxFresh)
	}
	if p := s.Split; p != nil {
		chance("split.falseAlarm", p.FalseAlarm)
		if !between(p.Noise, 0, 1e3) || !between(p.Tolerance, 0, 1e3) {
			wrong("split noise %v, tolerance %v: not a share", p.Noise, p.Tolerance)
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
	switch m.Direction {
	case judge.Increase, judge.Decrease, judge.Either, "":
	default:
		wrong("unknown direction %q", m.Direction)
	}
	if !between(m.Margin.Relative, 0, 1e6) || m.Margin.Absolute != 0 && !between(m.Margin.Absolute, 1e-12, 1) {
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
	judged  int      // looks that were judged
	first   int64    // Unix nanoseconds: the end of the first of them
	weight  float64  // the canary's share that was in force during the last of them
	records []record // one a metric
	split   split
}

// Begin returns the evidence of a scope before its first look. Pasts that cannot be used (numbers that are not
// finite, noise below the model's) are left out, and only the newest 64 of a metric are kept.
func (j *Judge) Begin(pasts map[string][]judge.Past) judge.Evidence {
	return &evidence{judge: j, records: j.newRecords(pasts)}
}

func (j *Judge) newRecords(pasts map[string][]judge.Past) []record {
	records := make([]record, len(j.metrics))
	for i := range j.metrics {
		m := &j.metrics[i]
		records[i] = record{trials: make([]trial, len(m.questions)), pasts: usable(m.comparing, pasts[m.Name])}
	}
	return records
}

// mine is e as this judge's own; another judge's evidence is a mistake of the program.
func (j *Judge) mine(e judge.Evidence) *evidence {
	own, ok := e.(*evidence)
	if !ok || own.judge.fingerprint != j.fingerprint {
		panic("sequential: evidence of another judge")
	}
	return own
}

// Look folds l into e and says what follows. A look that is excluded leaves the evidence as it is, its weight too,
// and is inconclusive. A weight that is not between 0 and 1 counts as the one before.
func (j *Judge) Look(e judge.Evidence, l judge.Look) (judge.Evidence, judge.Verdict) {
	before := j.mine(e)
	if !between(l.Weight, 0, 1) {
		l.Weight = before.weight
	}
	if l.Excluded != "" {
		return before, j.excluded(before, l)
	}
	after := before.clone()
	after.turn(l)
	if j.settings.Split != nil && l.Requests != nil {
		after.split.add(*l.Requests, l.Weight, momentOf(l).seconds)
	}
	v := j.judged(after, l)
	v.SampleRatio = after.sampleRatio()
	return after, v
}

// judged counts the look in every metric of e, which is not yet handed out, and says what follows.
func (j *Judge) judged(e *evidence, l judge.Look) judge.Verdict {
	v := j.verdict(l)
	for i := range j.metrics {
		m, r := &j.metrics[i], &e.records[i]
		s := standing{elapsed: time.Duration(l.At.UnixNano() - e.first)}
		s.reason, s.detail = m.count(r, observation(l.Observations, m.Name), l, j.anew)
		v.Metrics[i] = m.decide(r, s, j.anew, j.settings.PassAfter)
		v.Enough = v.Enough && (m.Optional || m.enough(r))
		v.Learned = v.Learned && len(r.pasts) > 0
	}
	conclude(&v)
	return v
}

// verdict is the beginning of the look's verdict.
func (j *Judge) verdict(l judge.Look) judge.Verdict {
	return judge.Verdict{
		Look: l.Number, At: l.At, Enough: true, Learned: true, Metrics: make([]judge.MetricVerdict, len(j.metrics)),
	}
}

// leastSeconds is the shortest that a look is taken for, so that noise by the minute stays finite.
const leastSeconds = 1e-3

// noExposure stands for a look that has data, and no requests in it.
const noExposure judge.Reason = "no-exposure"

// exposed says whether an observation has any exposure that can be compared.
func (m *metric) exposed(o *judge.Observation) judge.Reason {
	if m.Kind != judge.Gauge && (o.Canary.Total == 0 || m.Kind != judge.Objective && o.Baseline.Total == 0) {
		return noExposure
	}
	return ""
}

func observation(all []judge.Observation, metric string) *judge.Observation {
	for i := range all {
		if all[i].Metric == metric {
			return &all[i]
		}
	}
	return nil
}

// excluded is the verdict of a look that is shown and not judged: the numbers are those of the evidence so far.
// There is enough data only if it is for the weight that is in force now.
func (j *Judge) excluded(e *evidence, l judge.Look) judge.Verdict {
	v := j.verdict(l)
	v.Outcome, v.Reason, v.Enough = judge.Inconclusive, l.Excluded, l.Weight == e.weight
	for i := range j.metrics {
		m, r := &j.metrics[i], &e.records[i]
		v.Metrics[i] = m.decide(r, standing{reason: l.Excluded}, j.anew, j.settings.PassAfter)
		v.Leaning = v.Leaning || v.Metrics[i].Leaning
		v.Enough = v.Enough && (m.Optional || m.enough(r))
		v.Learned = v.Learned && len(r.pasts) > 0
	}
	if l.Weight == e.weight {
		v.SampleRatio = e.sampleRatio()
	}
	return v
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

// turn counts the look and notices a change of weight: exposure, the split and what is learned begin anew, and so
// does a comparison of every metric at its next data.
func (e *evidence) turn(l judge.Look) {
	e.judged++
	if e.judged == 1 {
		e.first, e.weight = l.At.UnixNano(), l.Weight
	}
	if e.weight == l.Weight {
		return
	}
	e.weight, e.split = l.Weight, split{}
	for i := range e.records {
		r := &e.records[i]
		r.changed, r.sinceCanary, r.sinceBaseline = true, 0, 0
	}
}

func (e *evidence) sampleRatio() *judge.SampleRatio {
	if e.judge.settings.Split == nil {
		return nil
	}
	return e.split.verdict(*e.judge.settings.Split, e.weight)
}

// Learned is what each metric's comparison has shown of its noise, for the weight that is in force, if that has been
// so for 64 looks at least. Ask before the weight changes to keep one past for every weight. Of several trials (bounds,
// directions) the noisiest teaches.
func (e *evidence) Learned() map[string]judge.Past {
	learned := map[string]judge.Past{}
	for i := range e.records {
		m, best := &e.judge.metrics[i], judge.Past{}
		for k := range e.records[i].trials {
			if p, ok := e.records[i].trials[k].lesson(m.comparing); ok && p.Noise > best.Noise {
				best = p
			}
		}
		if best.Looks > 0 {
			learned[m.Name] = best
		}
	}
	return learned
}
