package kayenta

import (
	"math"
	"slices"
	"sync"
)

// desk is working memory for judging pairs one after another. The zero value is ready to use.
type desk struct {
	x, y  []float64 // canary and baseline of the current pair, prepared
	ranks rankSum
}

// desks holds unused desks. No result shares their memory.
var desks = sync.Pool{New: func() any { return new(desk) }}

// judge implements the section "Each metric". [Judge] always passes the same tol and level; the reference's own tests of
// this step use others.
func (k *desk) judge(p Pair, tol, level float64) (MetricResult, error) {
	s := p.Settings
	if s.RemoveOutliers && !(s.OutlierFactor > 0) {
		return MetricResult{}, ErrOutlierFactor
	}
	k.prepare(p)
	x, y := k.x, k.y
	m := MetricResult{
		Name: p.Name, ID: p.ID, Tags: p.Tags, Groups: p.Groups, Muted: s.Muted,
		Experiment: describe(x), Control: describe(y), Label: Pass, Ratio: 1,
	}
	switch {
	case len(x) == 0 || len(y) == 0:
		m.judgeEmpty(s)
	case m.Experiment.Min == m.Control.Min && m.Experiment.Max == m.Control.Max && identical(x, y):
		m.Reason = "The Canary and Baseline data are identical"
	case constant(x) && constant(y) && x[0] == y[0]:
		// Both hold one value, the same, but not equally often: the reference gives no reason here.
	default:
		k.compare(&m, s, tol, level)
	}
	return m, nil
}

// judgeEmpty labels a metric with at least one arm without points. With ReplaceNaN it passes whatever MustHaveData says. An
// arm of NaNs only does not come here then, as it consists of zeros.
func (m *MetricResult) judgeEmpty(s Settings) {
	if s.ReplaceNaN {
		return
	}
	m.Reason = "Missing data for " + m.Name
	m.Label, m.Critical = Nodata, s.Critical
	if s.MustHaveData && !s.Critical {
		m.Label = NodataFailMetric
	}
}

// A NaN effect satisfies every threshold. A NaN threshold is satisfied by no other effect.
func atLeast(effect, threshold float64) bool { return math.IsNaN(effect) || effect >= threshold }
func atMost(effect, threshold float64) bool  { return math.IsNaN(effect) || effect <= threshold }

// compare labels a metric whose arms are neither empty nor identical.
func (k *desk) compare(m *MetricResult, s Settings, tol, level float64) {
	d, ratio := k.shift(*m, tol, level)
	// All points can be tied only if the baseline has a single value.
	if m.Control.Min == m.Control.Max && !d.comparable() {
		m.Label, m.Reason, m.Ratio = Error, "Metric Classification Failed", math.NaN()
		return
	}
	m.Compared, m.Ratio = true, ratio
	effect := ratio
	if s.CLES {
		effect = d.cles()
	}
	m.classify(&d, effect, s)
}

// shift returns the shift between the current arms and the ratio of their means, which are in m. If both arms are
// constant, noise is added to both.
func (k *desk) shift(m MetricResult, tol, level float64) (d shift, ratio float64) {
	x, y := k.x, k.y
	canary, baseline := m.Experiment.Mean, m.Control.Mean
	if constant(x) && constant(y) {
		x, y = noisy(x, y)
		canary, baseline = mean(x), mean(y)
	}
	d = shift{x: x, y: y, apart: canary - baseline, tol: tol, level: level, ranks: &k.ranks}
	return d, meanRatio(canary, baseline)
}

// classify labels a compared metric. It tests High before Low, and the allowed effect before the critical one.
func (m *MetricResult) classify(d *shift, effect float64, s Settings) {
	var word string
	switch {
	case s.Direction != Decrease && atLeast(effect, s.AllowedIncrease) && d.above():
		m.Label, word = High, "High"
		m.Critical = s.Critical && atLeast(effect, s.CriticalIncrease)
	case s.Direction != Increase && atMost(effect, s.AllowedDecrease) && d.below():
		m.Label, word = Low, "Low"
		m.Critical = s.Critical && atMost(effect, s.CriticalDecrease)
	default:
		return
	}
	m.Reason = m.Name + " was classified as " + word
	if m.Critical {
		m.Reason = "The metric " + m.Name + " was classified as " + word + " (Critical)"
	}
}

// meanRatio is the canary's mean over the baseline's, or NaN if either is 0.
func meanRatio(canary, baseline float64) float64 {
	if canary == 0 || baseline == 0 {
		return math.NaN()
	}
	return canary / baseline
}

// prepare loads both arms of p into the desk.
func (k *desk) prepare(p Pair) {
	k.x, k.y = prepare(k.x, p.Experiment, p.Settings), prepare(k.y, p.Control, p.Settings)
}

// prepare returns the points of a after handling NaNs and then outliers. They keep their order and use the memory of into;
// a is not changed.
func prepare(into, a []float64, s Settings) []float64 {
	kept := slices.Grow(into[:0], len(a))
	for _, v := range a {
		switch {
		case !math.IsNaN(v):
			kept = append(kept, v)
		case s.ReplaceNaN:
			kept = append(kept, 0)
		}
	}
	if !s.RemoveOutliers || len(kept) == 0 {
		return kept
	}
	lower, upper := fences(kept, s.OutlierFactor)
	return slices.DeleteFunc(kept, func(v float64) bool { return v < lower || v > upper })
}

// identical reports whether both arms hold the same values equally often. It treats -0 as 0.
func identical(x, y []float64) bool {
	if len(x) != len(y) {
		return false
	}
	x, y = slices.Clone(x), slices.Clone(y)
	slices.Sort(x)
	slices.Sort(y)
	return slices.Equal(x, y)
}

// constant reports whether a, which is not empty, holds a single value. It treats -0 as 0.
func constant(a []float64) bool {
	return !slices.ContainsFunc(a, func(v float64) bool { return v != a[0] })
}
