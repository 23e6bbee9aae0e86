package sequential

import (
	"math"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/judge/statespace"
)

// row holds the numbers of one or several looks. Depending on the kind of the comparison, these are:
//
//	counts     canary's bad events, its exposure, baseline's bad events, its exposure
//	objective  canary's bad events, its exposure, 0, the number expected of it
//	gauge      canary's value, 1, baseline's value, 1
//	mean       the sum of the canary's values, how many, those of the baseline's
//
// If fewer is worse, the arms of all kinds but objectives are exchanged.
type row [4]float64

func (r *row) add(o row) {
	for i := range r {
		r[i] += o[i]
	}
}

// leastBroken is how many requests each arm needs before one of them is called broken.
const leastBroken = 20

// broken reports whether more than half of the requests that the second arm answers well are bad at the first.
func (r *row) broken() bool {
	return min(r[1], r[3]) >= leastBroken && (r[1]-r[0])*r[3] < (r[3]-r[2])*r[1]/2
}

// comparison is one question about one pair of arms. A metric has one in all, one for each direction, or one for each
// bound of a histogram. A copy is independent.
type comparison struct {
	state statespace.Kept
	floor statespace.Floor // counts with an absolute margin only
	total row
	// waiting holds the looks of one arm alone until the other has requests as well, with which they are then compared.
	waiting row
	teaches [len(statespace.Lengths)]teaching
	// own is the same around this release's estimate of the ratio; it shows the noise if nothing was learned before.
	// base is the same for the baseline's rate.
	own, base teaching
	spread    spread // gauges only
	young     young  // metrics with starts only
	bets      *bets  // means only, which have nothing of the above but total and waiting; never changed, but replaced
	begun     bool
}

// teaching sums blocks of one length, from which later releases learn.
type teaching struct {
	blocks                       statespace.Blocks
	deviation, variance, seconds float64
}

func (t *teaching) add(length, deviation, variance, seconds float64) {
	t.deviation += deviation
	t.variance += variance
	t.seconds += seconds
	if t.seconds < length-leastSeconds {
		return
	}
	t.blocks.Add(t.deviation, t.variance)
	t.deviation, t.variance, t.seconds = 0, 0, 0
}

// seen is a look without its row.
type seen struct {
	seconds float64
	starts  float64 // the share of the canary that has just started
	turned  bool
	weight  float64 // the canary's share
	rules   float64 // the ratio that a pass rules out, if that is more than the margin
	part    bool    // of one value of the label By, on which no pass depends
}

// add counts one look. model is the metric's noise for this kind of comparison, learned whether it was learned before
// the release.
func (c *comparison) add(m *metric, q question, model statespace.Model, learned bool, o row, s seen) {
	if m.comparing == judge.Mean {
		c.addMean(m, o, s)
		return
	}
	if !learned {
		c.adapt(m, &model)
	}
	var state statespace.State
	if !c.begun {
		c.floor = model.BeginFloor()
		state = model.Begin()
	} else {
		state = model.Take(&c.state)
	}
	c.begun = true
	l := statespace.Look{Seconds: s.seconds, Starts: s.starts, Turned: s.turned, Weight: s.weight}
	l.Heavy = m.comparing != judge.Gauge && o[0] > o[1]/2
	c.total.add(o)
	l.Broken = m.comparing == judge.Counts && (o.broken() || c.total.broken())
	l.Margin = min(max(m.margin(c), s.rules), mostMargin)
	switch m.comparing {
	case judge.Gauge:
		c.addGauge(m, &l, o, s.seconds)
	case judge.Objective:
		if q.exchange {
			l.Fewer(&model, o[0], o[3])
		} else {
			l.Rate(&model, o[0], o[3])
		}
		r := model.Ratio(&state)
		c.see(o[0]-r*o[3], r*o[3], s.seconds)
	case judge.Mean:
	case judge.Counts, judge.Histogram:
		o = c.join(o)
		if m.hasStarts() {
			c.young.add(o, s)
		}
		l.Counts(&model, o[0], o[1], o[2], o[3])
		c.teach(o, model.Ratio(&state), s.seconds)
		if a := m.Margin.Absolute; a > 0 {
			l.Allowed, l.Bad = o[1]*(a+c.baselineRate()), o[0]
			if !s.part {
				model.AddFloor(&c.floor, s.seconds, o[0], o[1]*a)
			}
		}
	}
	model.Add(&state, &l)
	c.state = model.Keep(&state)
}

// young sums the looks in which most of the canary has just started.
type young struct {
	sums  row
	share float64 // of the canary that is young
}

// A canary is young for about these seconds, and counts for as long as at least half of it is.
const (
	youngFor  = 120.0
	mostYoung = 0.5
)

func (y *young) add(o row, s seen) {
	y.share = 1 - (1-y.share*math.Exp(-s.seconds/youngFor))*(1-s.starts)
	if y.share >= mostYoung {
		y.sums.add(o)
	}
}

// wait advances the time without data.
func (c *comparison) wait(model *statespace.Model, seconds float64) {
	c.young.share *= math.Exp(-seconds / youngFor)
	switch {
	case !c.begun:
	case c.bets != nil:
		c.bets = c.bets.wait(seconds)
	default:
		state := model.Take(&c.state)
		model.Wait(&state, seconds)
		c.state = model.Keep(&state)
	}
}

// sound reports whether the beliefs about the ratio are possible. What is not used is all zeros, which are.
func (c *comparison) sound(model *statespace.Model) bool {
	state := model.Take(&c.state)
	return model.Sound(&state) && model.SoundFloor(&c.floor)
}

// mostMargin keeps margins finite when the baseline has no bad events.
const mostMargin = 1e6

// join returns what can be compared: this look together with what was waiting, or nothing as long as one arm has no
// requests.
func (c *comparison) join(o row) row {
	c.waiting.add(o)
	if c.waiting[1] <= 0 || c.waiting[3] <= 0 {
		return row{}
	}
	o, c.waiting = c.waiting, row{}
	return o
}

// teach counts a look towards what will be learned of the noise: how far the canary's bad events are from its share of
// all.
func (c *comparison) teach(o row, ratio, seconds float64) {
	deviation, variance := apart(o, 1)
	for i := range c.teaches {
		c.teaches[i].add(statespace.Lengths[i], deviation, variance, seconds)
	}
	deviation, variance = apart(o, ratio)
	c.see(deviation, variance, seconds)
	expected := c.baselineRate() * o[3]
	c.base.add(statespace.Lengths[0], o[2]-expected, expected, seconds)
}

// apart returns how far the canary's bad events are from their expected number at a ratio, and their variance by
// chance.
func apart(o row, ratio float64) (deviation, variance float64) {
	b := o[0] + o[2]
	if b <= 0 {
		return 0, 0
	}
	theta := ratio * o[1] / (ratio*o[1] + o[3])
	return o[0] - b*theta, b * theta * (1 - theta)
}

func (c *comparison) see(deviation, variance, seconds float64) {
	c.own.add(statespace.Lengths[0], deviation, variance, seconds)
}

// adaptsFrom is how many blocks of a minute it takes before a release's own noise is used.
const adaptsFrom = 4

// adapt fits assumed noise to the release. The minutes of the baseline may show that there is more noise; those of the
// ratio, around its own estimate, bound how much there can be. So a canary that is bad all the time does not count as
// noise, and one that is bad at times leaves the assumption as it is.
func (c *comparison) adapt(m *metric, model *statespace.Model) {
	if m.comparing == judge.Gauge || c.own.blocks.Count < adaptsFrom {
		return
	}
	shows := statespace.Apart(model.Wander, c.own.blocks.Count)
	if shows <= 0 {
		return // as where the whole never wandered and nothing is known of the values of its label
	}
	scale := 1.0
	if b := &c.base.blocks; b.Count >= adaptsFrom && b.Surely(1) {
		scale = max(scale, min(2*(b.Squares-b.Variance)/b.Weight/shows, mostSupposed/model.Wander[1]))
	}
	if upper, ok := c.own.blocks.Upper(statespace.Low10, 1); ok {
		scale = min(scale, upper/shows)
	}
	for i := range model.Wander {
		model.Wander[i] *= scale
	}
}

// addGauge tests the log ratio of the means against the rows. A mean that is not positive counts as a tiny one.
func (c *comparison) addGauge(m *metric, l *statespace.Look, o row, seconds float64) {
	if o[0] <= 0 && o[2] <= 0 {
		l.Silence()
		return
	}
	z := max(-mostLog, min(mostLog, math.Log(max(o[0], 0))-math.Log(max(o[2], 0))))
	l.Value(z, c.spread.variance(m.Noise, seconds))
	c.spread.add(z)
}

// mostLog bounds the log ratio of two means: a factor of a thousand.
const mostLog = 6.907755278982137

// spread estimates how the log ratio of two means wanders from look to look. The result is the variance that
// independent looks would need to make means over long times as uncertain. A constant difference does not count.
type spread struct{ levels [4]level }

// level has blocks of 1, 2, 4 or 8 looks.
type level struct {
	sum, before float64 // of the current block, and the mean of the previous one
	looks       int
	some        bool
	squares     float64 // half the squared difference of neighbouring means, times the looks in each
	count       float64
}

func (s *spread) add(z float64) {
	for i := range s.levels {
		v, size := &s.levels[i], 1<<i
		v.sum += z
		v.looks++
		if v.looks < size {
			continue
		}
		mean := v.sum / float64(size)
		if v.some {
			d := mean - v.before
			v.squares += d * d / 2 * float64(size)
			v.count++
		}
		v.before, v.some, v.sum, v.looks = mean, true, 0, 0
	}
}

// supposedWeight is how many differences the assumed noise counts as.
const supposedWeight = 2

// variance is the largest estimate over the levels. noise is the assumption before the first look.
func (s *spread) variance(noise, seconds float64) float64 {
	return s.estimate(max(noise*noise, 1e-6) * 60 / seconds)
}

func (s *spread) estimate(prior float64) float64 {
	most := 0.0
	for i := range s.levels {
		v := &s.levels[i]
		if i == 0 || v.count >= 1 {
			most = max(most, (supposedWeight*prior+v.squares)/(supposedWeight+v.count))
		}
	}
	return max(most, 1e-12)
}

// baselineRate is p̂_b, which is above 0 even without bad events (counts only).
func (c *comparison) baselineRate() float64 { return (c.total[2] + 0.5) / (c.total[3] + 1) }

// finding is the result of one comparison. Its ratios are of the arms in the order of the comparison: above 1 is worse.
type finding struct {
	statespace.Standing
	lower, upper float64
	margin       float64
}

func (c *comparison) find(m *metric, model *statespace.Model, floorShare float64) finding {
	f := finding{margin: m.margin(c), lower: leastDrawn, upper: mostDrawn}
	if !c.begun {
		f.Ratio, f.Leading, f.Noise = 1, 1, model.Noise()
		return f
	}
	if m.comparing == judge.Mean {
		return c.bets.find(m, &c.total)
	}
	state := model.Take(&c.state)
	f.Standing = model.Stand(&state, f.margin)
	if m.absolute() > 0 && !m.Goal {
		f.NoWorse = statespace.LogAdd(f.NoWorse+math.Log(1-floorShare), c.floor.Below()+math.Log(floorShare))
	}
	f.lower, f.upper = model.Band(&state, m.failsFrom, m.passFrom)
	f.lower, f.upper = max(f.lower, leastDrawn), min(f.upper, mostDrawn)
	return f
}

// The ends of the range in which a confidence sequence is drawn.
const (
	leastDrawn = 1 / 245.0
	mostDrawn  = 245.0
)
