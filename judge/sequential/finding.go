package sequential

import (
	"math"

	"github.com/serindev/serin/judge"
)

// finding is what one trial says. Its ratios are those of the arms as the trial has them: above 1 is worse.
type finding struct {
	worse, whole float64 // log e against "no worse": of all comparisons, of the whole alone
	noWorse      float64 // log e against "worse by the margin", or for a goal against "no better"
	ratio        float64 // of the whole
	leading      float64 // of the comparison with the most weighted evidence
	beyond       float64 // log odds for "worse by more than the margin" against "within it", of the same comparison
	lower, upper float64
	margin       float64
	phi          float64
}

// find asks one trial everything but its confidence sequence; scratch is for likelihoods.
func (m *metric) find(q question, t *trial, pasts []judge.Past, anew anew, scratch *[gridSize]float64) (finding, profile) {
	f := finding{margin: m.margin(t)}
	p := m.profile(q, &t.whole, suppose(m, pasts, t.whole.information(m.comparing)), scratch)
	f.ratio = m.ratio(q, &t.whole.tally)
	f.whole, f.phi = p.above(one), p.phi()
	if m.Kind == judge.Gauge && t.whole.total[2] > 0 {
		mean := t.whole.total[2] / float64(t.whole.looks)
		f.phi = min(f.phi*mean*mean, math.MaxFloat64)
	}
	f.noWorse = m.against(t, &p, f.margin)
	f.worse, f.leading = f.whole, f.ratio
	f.beyond = p.above(atLeast(f.margin))
	if anew.on() {
		f.addFresh(m, q, t, pasts)
	}
	return f, p
}

// addFresh brings the evidence begun anew into worse, the weighted mean of the e-values, and picks the leading
// comparison.
func (f *finding) addFresh(m *metric, q question, t *trial, pasts []judge.Past) {
	var scratch [gridSize]float64
	f.worse = logWholeWeight + f.whole
	most := f.worse
	for i := range t.fresh {
		c := &t.fresh[i]
		p := m.profile(q, &c.comparison, c.supposes(m, m.comparing, pasts), &scratch)
		e := c.logWeight() + p.above(one)
		f.worse = logAddExp(f.worse, e)
		if e > most {
			most, f.leading, f.beyond = e, m.ratio(q, &c.tally), p.above(atLeast(f.margin))
		}
	}
}

// against is the evidence that lets a metric pass. Who is worse by the margin is so by the relative and by the
// absolute one, so either may be rejected: the mean of two e-values is one.
func (m *metric) against(t *trial, p *profile, margin float64) float64 {
	if m.Goal {
		return p.below(one)
	}
	e := p.below(atLeast(margin))
	if m.absolute() <= 0 {
		return e
	}
	var scratch [gridSize]float64
	t.absolute.likelihood(judge.Objective, &scratch)
	alone := newProfile(judge.Objective, &t.absolute, &scratch, supposition{noise: m.Noise})
	return logAddExp(e, alone.below(one)) - math.Ln2
}

// profile is a comparison's, mirrored where an objective is missed by fewer events.
func (m *metric) profile(q question, c *comparison, s supposition, scratch *[gridSize]float64) profile {
	l := c.likelihood(m.comparing, scratch)
	if m.Kind == judge.Objective && q.exchange {
		for i, j := 0, gridSize-1; i < j; i, j = i+1, j-1 {
			l[i], l[j] = l[j], l[i]
		}
	}
	return newProfile(m.comparing, &c.tally, l, s)
}

func (m *metric) ratio(q question, t *tally) float64 {
	r := t.ratio(m.comparing)
	if m.Kind == judge.Objective && q.exchange {
		return inverse(r)
	}
	return r
}

// inverse is 1/r, or 0 for what is not positive.
func inverse(r float64) float64 {
	if r <= 0 {
		return 0
	}
	return min(1/r, math.MaxFloat64)
}

// margin is m, the ratio from which on the worse arm is worse by the metric's margin.
func (m *metric) margin(t *trial) float64 {
	relative := 1 + m.Margin.Relative
	if m.comparing != judge.Counts {
		return relative
	}
	return max(relative, 1+m.Margin.Absolute/baselineRate(&t.whole.tally))
}

// direction is what the trials of one direction say together.
type direction struct {
	finding
	profile profile // of the trial that is shown
	shown   int     // index of the trial with the largest evidence
	fails   bool
}

// ask puts the trials from index lo up to hi, those of one direction, together: the mean of the e-values against
// "no worse", the least of those that let it pass.
func (m *metric) ask(r *record, lo, hi int, anew anew) direction {
	var d direction
	var scratch [gridSize]float64 // a histogram, which has several trials, keeps its likelihoods
	worse, whole, noWorse := math.Inf(-1), math.Inf(-1), math.Inf(1)
	for i := lo; i < hi; i++ {
		q := m.questions[i]
		f, p := m.find(q, &r.trials[i], r.pasts, anew, &scratch)
		if i == lo {
			worse, whole = f.worse+math.Log(q.share), f.whole+math.Log(q.share)
		} else {
			worse = logAddExp(worse, f.worse+math.Log(q.share))
			whole = logAddExp(whole, f.whole+math.Log(q.share))
		}
		noWorse = min(noWorse, f.noWorse)
		if i == lo || f.worse > d.worse {
			d.finding, d.profile, d.shown = f, p, i
		}
	}
	d.worse, d.whole, d.noWorse = worse, whole, noWorse
	d.lower, d.upper = d.profile.lower(m.failsFrom), d.profile.upper(m.passFrom)
	d.fails = worse >= m.failsFrom && d.leading >= d.margin
	return d
}
