package sequential

import (
	"cmp"
	"math"
	"slices"

	"github.com/serindev/serin/judge"
)

// metric is how one metric is judged, fixed by the settings.
type metric struct {
	judge.Metric
	comparing judge.Kind // the kind of its comparisons: a histogram's are counts
	questions []question // one a trial
	failsFrom float64    // log(1/α) of each direction
	stake     float64    // log of its share of α, halved if both directions can fail
	passFrom  float64    // log(1/β)
	whole     float64    // the share of the whole in the mean of e-values, and of each value of the label By
	part      float64
}

// question is what one comparison of a metric tests.
type question struct {
	// exchange: fewer is worse, so the arms change places.
	exchange bool
	bound    int     // index of the histogram's bound
	share    float64 // of the mean of e-values of its direction
}

// newMetric is a metric with its share of the chance alpha.
func newMetric(m judge.Metric, alpha, share, beta float64) metric {
	out := metric{Metric: m, comparing: m.Kind, stake: math.Log(share), passFrom: math.Log(1 / beta), whole: 1}
	if m.By != "" {
		out.whole, out.part = wholeShare, (1-wholeShare)/float64(m.Values+1)
	}
	directions := []bool{m.Direction == judge.Decrease}
	if m.Direction == judge.Either {
		directions = []bool{false, true}
		out.stake -= math.Ln2
	}
	out.failsFrom = math.Log(1/alpha) - out.stake
	for _, exchange := range directions {
		if m.Kind != judge.Histogram {
			out.questions = append(out.questions, question{exchange: exchange, share: 1})
			continue
		}
		out.comparing = judge.Counts
		for b, share := range shares(m.Bounds, m.Nearest) {
			out.questions = append(out.questions, question{exchange: exchange, bound: b, share: share})
		}
	}
	return out
}

// shares divides 1 among the bounds: equally, but half goes to the one nearest to the objective if one is given.
func shares(bounds []float64, objective float64) []float64 {
	s := slices.Repeat([]float64{1 / float64(len(bounds))}, len(bounds))
	if objective == 0 || len(bounds) == 1 {
		return s
	}
	nearest := 0
	for b := range bounds {
		s[b] = 0.5 / float64(len(bounds)-1)
		if math.Abs(bounds[b]-objective) < math.Abs(bounds[nearest]-objective) {
			nearest = b
		}
	}
	s[nearest] = 0.5
	return s
}

// record is the accumulated state of one metric.
type record struct {
	noise       noise
	comparisons []comparison // one a question
	partNoise   noise
	parts       []part // the values of the label By that have occurred
	// The arms' sums over all looks with data, including those in which only one arm had any.
	canary, baseline judge.Totals
	// Exposure of each arm since the weight changed (a gauge's is its looks).
	sinceCanary, sinceBaseline float64
	// turned and starts: whether the weight has changed since the last look with data, and which share of the canary
	// has started since.
	turned bool
	starts float64
	looks  int // with data
	// quiet is the time in seconds of the looks with data since the last one in which each arm had exposure.
	quiet float64
}

// clone copies r, so that later looks do not change it.
func (r *record) clone() record {
	c := *r
	c.comparisons = slices.Clone(r.comparisons)
	c.parts = slices.Clone(r.parts)
	for i := range c.parts {
		c.parts[i].comparisons = slices.Clone(c.parts[i].comparisons)
	}
	return c
}

// absence says why an observation cannot be counted; empty if it can be. Impossible numbers count as missing.
func (m *metric) absence(o *judge.Observation) (judge.Reason, string) {
	switch {
	case o == nil:
		return judge.NoData, ""
	case o.Absent != "" && o.Absent != judge.WarmingUp:
		return o.Absent, o.Detail
	case !m.usable(o.Canary):
		return judge.NoData, cmp.Or(o.Detail, "nothing of the canary")
	case m.Kind != judge.Objective && !m.usable(o.Baseline):
		return judge.NoData, cmp.Or(o.Detail, "nothing of the baseline")
	}
	return "", o.Detail
}

// usable reports whether an arm has the data that the metric needs.
func (m *metric) usable(a judge.Arm) bool {
	switch {
	case a.Missing:
		return false
	case m.Kind == judge.Gauge:
		return math.Abs(a.Value) <= mostValue
	case m.Kind != judge.Histogram:
		return isCount(a.Bad) && isCount(a.Total)
	}
	if len(a.Cumulative) != len(m.Bounds) || !isCount(a.Total) {
		return false
	}
	for _, c := range a.Cumulative {
		if !isCount(c) || c > a.Total {
			return false
		}
	}
	return true
}

// mostCount is the largest count of a look, beyond which floats are not exact integers. leastCount is the smallest one
// above 0: counts need not be integers, but products of them must not vanish.
const (
	mostCount  = 1 << 53
	leastCount = 1e-9
)

func isCount(x float64) bool { return x == 0 || x >= leastCount && x <= mostCount }

// mostValue bounds a gauge's value, leastValue is the size below which it counts as 0, so that squares neither
// overflow nor vanish.
const (
	mostValue  = 1e60
	leastValue = 1e-60
)

func value(x float64) float64 {
	if math.Abs(x) < leastValue {
		return 0
	}
	return x
}

// row returns what an observation contributes to a comparison.
func (m *metric) row(q question, o *judge.Observation) row {
	c, b := m.sums(q, o.Canary), m.sums(q, o.Baseline)
	switch {
	case m.Kind == judge.Objective:
		return row{c[0], c[1], 0, c[1] * m.Objective}
	case q.exchange:
		c, b = b, c
	}
	return row{c[0], c[1], b[0], b[1]}
}

// sums returns an arm's bad events or value, and its exposure. A histogram's bad events are those above the bound, even
// if these are most requests: the reference does not take the complement either.
func (m *metric) sums(q question, a judge.Arm) [2]float64 {
	switch {
	case m.Kind == judge.Gauge:
		return [2]float64{value(a.Value) + m.raised(), 1}
	case m.Kind == judge.Mean:
		return [2]float64{a.Bad + m.raised()*a.Total, a.Total}
	case m.Kind != judge.Histogram:
		return [2]float64{a.Bad, a.Total}
	}
	return [2]float64{a.Total - a.Cumulative[q.bound], a.Total}
}

// raised is added to both means of a gauge, or to each value of a mean, before they are compared. It turns an absolute margin into a relative one: x
// exceeds (1 + r) y + a if and only if x + a/r exceeds (1 + r) (y + a/r). So a mean of zero can be compared as well.
func (m *metric) raised() float64 {
	if m.Kind != judge.Gauge && m.Kind != judge.Mean || m.Margin.Absolute == 0 {
		return 0
	}
	return m.Margin.Absolute / m.Margin.Relative
}

// absolute is the rate with which the worse arm alone is compared, 0 for none (counts only).
func (m *metric) absolute() float64 {
	if m.comparing != judge.Counts {
		return 0
	}
	return m.Margin.Absolute
}

// count counts a look's observation of the metric. The reason says why the metric cannot be judged by it, and is empty
// if it can. elapsed is the time since the first look.
func (m *metric) count(r *record, l *judge.Look, seconds, elapsed float64) (judge.Reason, string) {
	o := observation(l.Observations, m.Name)
	reason, detail := m.absence(o)
	if fresh, ok := started(l); ok { // without an observation, the next one has what just started
		r.starts = max(r.starts, fresh)
	}
	if reason != "" {
		m.wait(r, seconds)
		return reason, detail
	}
	if r.looks == 0 {
		r.noise.canary, r.partNoise.canary, r.starts = len(l.Replicas), len(l.Replicas), 1
	}
	r.looks++
	model := m.model(&r.noise)
	s := seen{seconds: seconds, starts: r.starts, turned: r.turned, weight: l.Weight, rules: r.noise.rules}
	for i := range r.comparisons {
		q := m.questions[i]
		r.comparisons[i].add(m, q, model, r.noise.learned, m.row(q, o), s)
	}
	if m.By != "" {
		m.countParts(r, o.Parts, s)
	}
	r.turned, r.starts = false, 0
	m.total(&r.canary, &r.sinceCanary, o.Canary)
	if m.Kind != judge.Objective {
		m.total(&r.baseline, &r.sinceBaseline, o.Baseline)
	}
	if m.exposed(o) {
		r.quiet = 0
		return "", detail
	}
	r.quiet += seconds
	detail = cmp.Or(detail, "no requests in this look")
	if r.silent(o, elapsed+seconds) {
		return noExposure, detail
	}
	return "", detail
}

// If requests are rare, a look without any is chance. It is a lack of data once quietMost of them were expected, or
// quietLong has passed.
const (
	quietMost = 5.0 // with so many expected, the chance of none is 1%
	quietLong = 600 // seconds
)

// silent reports whether an arm without exposure in an observation should have had some. The first look was elapsed
// seconds ago.
func (r *record) silent(o *judge.Observation, elapsed float64) bool {
	if r.quiet >= quietLong {
		return true
	}
	lacks := func(a judge.Arm, sum judge.Totals) bool {
		return a.Total == 0 && (sum.Total == 0 || sum.Total*r.quiet >= quietMost*elapsed)
	}
	return lacks(o.Canary, r.canary) || lacks(o.Baseline, r.baseline)
}

// wait advances the time without data.
func (m *metric) wait(r *record, seconds float64) {
	if r.looks == 0 {
		return
	}
	model := m.model(&r.noise)
	for i := range r.comparisons {
		r.comparisons[i].wait(&model, seconds)
	}
	m.waitParts(r, seconds)
}

// started is the share of the canary whose replicas started within the look, if replicas can be distinguished. It is 0
// for totals that are not counts.
func started(l *judge.Look) (share float64, ok bool) {
	all, young := 0.0, 0.0
	for _, r := range l.Replicas {
		if !isCount(r.Total) {
			return 0, false
		}
		all += r.Total
		if r.Age <= l.Length.Seconds() {
			young += r.Total
		}
	}
	if !(all > 0) {
		return 0, false
	}
	return young / all, true
}

// total adds an arm's look to its sums. A histogram's bad events are those of the bound that is shown.
func (m *metric) total(t *judge.Totals, since *float64, a judge.Arm) {
	if m.Kind == judge.Gauge {
		t.Bad += value(a.Value)
		t.Total++
		*since++
		return
	}
	if m.Kind != judge.Histogram {
		t.Bad += a.Bad
	}
	t.Total += a.Total
	*since += a.Total
}
