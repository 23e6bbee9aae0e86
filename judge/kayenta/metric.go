package kayenta

import (
	"math"
	"slices"
	"sync"
)

// desk is the memory in which pairs are judged, one after the other. The zero value is ready.
type desk struct {
	x, y  []float64 // canary and baseline of the current pair, prepared
	ranks rankSum
}

// desks are the unused ones. No result shares their memory.
var desks = sync.Pool{New: func() any { return new(desk) }}

// judge is the section "Each metric". tol and level are fixed in the judge; the reference's own tests of this step
// use others.
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
		// Both hold the same single value, but not equally often: the reference gives no reason here.
	default:
		k.compare(&m, s, tol, level)
	}
	return m, nil
}

// judgeEmpty labels a metric of which at least one arm has no points. With NaNs replaced it passes, whatever
// MustHaveData says: an arm of nothing but NaNs is all zeros then, and not empty.
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

// An effect that is not a number satisfies every threshold; a threshold that is not a number is satisfied by no
// other effect.
func atLeast(effect, threshold float64) bool { return math.IsNaN(effect) || effect >= threshold }
func atMost(effect, threshold float64) bool  { return math.IsNaN(effect) || effect <= threshold }

// compare labels a metric whose arms are neither empty nor identical.
func (k *desk) compare(m *MetricResult, s Settings, tol, level float64) {
	d, ratio := k.shift(*m, tol, level)
	// While the baseline has two values not all points can be tied.
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

// shift is the shift between the current arms, and the ratio of their means, which m has. Where each arm is constant
// both get noise.
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

// classify labels a compared metric. High is tested first; the allowed effect comes before the critical one.
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

// meanRatio is canary's mean over baseline's, NaN if either is 0.
func meanRatio(canary, baseline float64) float64 {
	if canary == 0 || baseline == 0 {
		return math.NaN()
	}
	return canary / baseline
}

// prepare loads both arms of p.
func (k *desk) prepare(p Pair) {
	k.x, k.y = prepare(k.x, p.Experiment, p.Settings), prepare(k.y, p.Control, p.Settings)
}

// prepare returns a's points with NaNs and then outliers handled, in their order and in the memory of into; a stays as
// it is.
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

// identical says whether both arms hold the same values equally often; -0 is 0 here.
func identical(x, y []float64) bool {
	if len(x) != len(y) {
		return false
	}
	x, y = slices.Clone(x), slices.Clone(y)
	slices.Sort(x)
	slices.Sort(y)
	return slices.Equal(x, y)
}

// constant says whether a, which is not empty, has one value only; -0 is 0 here.
func constant(a []float64) bool {
	return !slices.ContainsFunc(a, func(v float64) bool { return v != a[0] })
}
