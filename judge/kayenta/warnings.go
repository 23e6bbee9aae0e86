package kayenta

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

const (
	// fewPoints is the number of points below which chance alone makes verdicts: two normal arms without any difference
	// are High or Low in 58% of cases with 1 against 2 points, in 5% with 3 against 3, and in under 0.5% from 8 on.
	fewPoints = 8
	// smallBracket is twice the bracket within which the root finder does not leave the ends. A shift of 20% was found in
	// all of 400 runs at values around 0.001, where the bracket is about 6e-4, but in only 20% at 1e-4, where it is about
	// 1e-4.
	smallBracket = 2 * rootTolerance
)

// Warnings lists what users should know about a judgement before they trust it: what the decoder noticed, and where the
// reference's behaviour, which is copied, is likely to mislead. r has to be what [Judge] returned for q. Warnings about
// pairs come first, in their order, then those about groups and the score.
//
// Source: spec/kayenta-judge.md, "Where it hurts its users". What is true of every judgement is left out, such as that
// repeated looks will find something by chance.
func Warnings(q Request, r Result) []string {
	w := warnings(slices.Clone(q.Notes))
	apart := apart(q.Pairs)
	for i, m := range r.Metrics {
		if m.Muted {
			continue
		}
		s := q.Pairs[i].Settings
		if labels, ok := apart[m.Name]; !ok || m.Compared {
			w.noData(m, s)
		} else if labels != "" {
			w.add("metric %q: both arms have data, but under different labels (%s), so nothing was compared: "+
				"aggregate the label away in its query", m.Name, labels)
			apart[m.Name] = "" // warn once for all pairs of the metric
		}
		w.samples(m)
		w.means(q.Pairs[i], m)
	}
	w.groups(q, r)
	w.score(q, r)
	return w
}

type warnings []string

func (w *warnings) add(format string, args ...any) { *w = append(*w, fmt.Sprintf(format, args...)) }

// apart finds the metrics for which both arms have samples but no single pair does, with the labels that differ: the query
// keeps a label that distinguishes the arms, so no series has a partner.
func apart(pairs []Pair) map[string]string {
	type sides struct{ control, experiment []map[string]string }
	found, met := map[string]*sides{}, map[string]bool{}
	for _, p := range pairs {
		s := found[p.Name]
		if s == nil {
			s = &sides{}
			found[p.Name] = s
		}
		control, experiment := hasSample(p.Control), hasSample(p.Experiment)
		switch {
		case control && experiment:
			met[p.Name] = true
		case control:
			s.control = append(s.control, p.Tags)
		case experiment:
			s.experiment = append(s.experiment, p.Tags)
		}
	}
	out := map[string]string{}
	for name, s := range found {
		if !met[name] && len(s.control) > 0 && len(s.experiment) > 0 {
			out[name] = differing(s.control[0], s.experiment[0])
		}
	}
	return out
}

func hasSample(values []float64) bool {
	return slices.ContainsFunc(values, func(v float64) bool { return !math.IsNaN(v) })
}

// differing describes the tags that are not the same on both sides.
func differing(control, experiment map[string]string) string {
	var texts []string
	for _, key := range slices.Sorted(maps.Keys(control)) {
		if other, ok := experiment[key]; !ok || other != control[key] {
			texts = append(texts, fmt.Sprintf("%s=%q on the baseline, %q on the canary", key, control[key], other))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(experiment)) {
		if _, ok := control[key]; !ok {
			texts = append(texts, fmt.Sprintf("%s=%q on the canary only", key, experiment[key]))
		}
	}
	return strings.Join(texts, ", ")
}

// noData warns of metrics that were not compared and still did not lower the score.
func (w *warnings) noData(m MetricResult, s Settings) {
	empty := m.Experiment.Count == 0 || m.Control.Count == 0
	switch {
	case empty && m.Label == Pass:
		w.add("metric %q: passes without data because of nanStrategy replace; mustHaveData and critical do not change that", m.Name)
	case m.Label == Error:
		w.add("metric %q: could not be compared, and counts as if it were not there%s", m.Name, insisted(s))
	case m.Label == Nodata && !m.Critical:
		w.add("metric %q: has no data, and counts as if it were not there", m.Name)
	}
}

func insisted(s Settings) string {
	if s.Critical || s.MustHaveData {
		return ", although it is critical or must have data"
	}
	return ""
}

// samples warns if the comparison does not suit the samples.
func (w *warnings) samples(m MetricResult) {
	x, y := m.Experiment, m.Control
	if x.Count == 0 || y.Count == 0 {
		return
	}
	switch {
	case x.Count == 1 && y.Count == 1, m.Label == Error:
		w.add("metric %q: a single point against equal ones is decided by noise and rounding", m.Name)
	case min(x.Count, y.Count) < fewPoints:
		w.add("metric %q: %d points against %d; below %d an arm, chance alone makes verdicts", m.Name, x.Count, y.Count, fewPoints)
	}
	if y.Min == 0 && y.Max == 0 && x.Max > 0 && m.Label == Pass {
		w.add("metric %q: the baseline is always 0 and the canary is not, and passes: errors that the baseline never "+
			"has go unseen unless nearly every point has some", m.Name)
	}
	if m.Label == Pass && (math.IsNaN(x.Mean-x.Mean) || math.IsNaN(y.Mean-y.Mean)) { // infinite or NaN
		w.add("metric %q: infinite values, with which it passes whatever the others are", m.Name)
	}
	if width := (x.Max - y.Min) - (x.Min - y.Max); m.Compared && width <= smallBracket {
		w.add("metric %q: all values lie within %.2g of each other, below what the root finder resolves (1e-4): only "+
			"complete separation is seen; scale the metric in its query", m.Name, width)
	}
}

// means warns if the ratio of means overrules the ranks, or if a negative mean reverses it.
func (w *warnings) means(p Pair, m MetricResult) {
	s := p.Settings
	if !m.Compared || s.CLES {
		return
	}
	if m.Experiment.Mean < 0 || m.Control.Mean < 0 {
		w.add("metric %q: a mean is negative, which reverses the ratio of means: a rise does not count as an increase", m.Name)
		return
	}
	higher := s.Direction != Decrease && s.AllowedIncrease <= 1 && m.Ratio < s.AllowedIncrease
	lower := s.Direction != Increase && s.AllowedDecrease >= 1 && m.Ratio > s.AllowedDecrease
	if m.Label != Pass || !higher && !lower {
		return
	}
	var k desk
	k.prepare(p)
	d, _ := k.shift(m, tolerance, confidence)
	switch {
	case higher && d.above():
		w.add("metric %q: the canary's values are higher, yet its mean is not (ratio %.4g): a spike in the baseline can hide this", m.Name, m.Ratio)
	case lower && d.below():
		w.add("metric %q: the canary's values are lower, yet its mean is not (ratio %.4g): a spike in the canary can hide this", m.Name, m.Ratio)
	}
}

// groups warns of groups that count without evidence, and of weights that are not what they seem.
func (w *warnings) groups(q Request, r Result) {
	occurs := map[string]bool{}
	unweighted := 0
	for _, g := range r.Groups {
		occurs[g.Name] = true
		if _, ok := q.Weights[g.Name]; !ok {
			unweighted++
		}
		if !g.HasData {
			w.add("group %q: has no data and counts as 100", g.Name)
		}
	}
	var given float64
	for _, name := range slices.Sorted(maps.Keys(q.Weights)) {
		given += q.Weights[name]
		if !occurs[name] {
			w.add("group %q: has a weight of %g and no scored metric; its share is lost", name, q.Weights[name])
		}
	}
	switch {
	case unweighted > 0 && given > 100:
		w.add("the weights sum to %g; the groups without one have a negative weight, where failing raises the score", given)
	case unweighted > 0 && given == 100:
		w.add("the weights sum to 100; the groups without one count for nothing")
	case unweighted == 0 && len(r.Groups) > 0 && given != 100:
		w.add("the weights sum to %g instead of 100, and so does the highest possible score", given)
	}
}

func (w *warnings) score(q Request, r Result) {
	if q.Pass <= 0 {
		w.add("the pass threshold is %g: every score from there up passes, even that of a critical failure (0)", q.Pass)
	}
	if q.Marginal > q.Pass {
		w.add("marginal (%g) is above pass (%g): no score is Marginal", q.Marginal, q.Pass)
	}
	scored := false
	for _, m := range r.Metrics {
		scored = scored || !m.Muted
	}
	if !scored {
		w.add("no metric is scored: the score is 0")
	}
}
