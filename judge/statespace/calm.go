package statespace

import "math"

// The world of shared noise: rates wander, but both arms together, for example because of incidents of a database
// behind them. That cancels in the ratio, so that next to nothing wanders between the arms. Stable's history before the
// release cannot distinguish this world from one in which each arm wanders on its own; the release can, within minutes.
// The world has a null, a margin, alternatives and an incident of its own.

// calmly is the prior probability of that world, quiet the standard deviation of an arm's log rate in it.
const (
	calmly = 0.2
	quiet  = 0.05
)

// calmWander holds the variances of the log ratio in that world, on time scales of 45, 200 and 900 seconds.
var calmWander = [wandering]float64{2 * 0.3 * quiet * quiet, 2 * 0.6 * quiet * quiet, 2 * 0.1 * quiet * quiet}

// Restless reports whether arms wander enough for it to matter whether they wander together.
func Restless(wander [wandering]float64) bool {
	return wander[0]+wander[1]+wander[2] > 4*2*quiet*quiet
}

// The rows (hypotheses) of that world.
const (
	calmNull   = 0
	calmFirst  = 1 // the first of the alternatives
	calmBetter = calmFirst + alternatives
	calmMargin = calmBetter + 1
	calmIll    = calmMargin + 1 // the null within an incident of one arm
	calmRows   = calmIll + 1
)

type calm struct {
	rows  [calmRows]belief
	ill   [calmRows]float64 // the chance that an incident is going on, in each row
	worse [alternatives]float64
	// whole holds the log probability of all looks for three hypotheses: as good, better by 0.85, worse by the margin.
	whole [3]float64
}

// inCommon holds the log probability of a look in each row of the world, with and without an incident that begins in
// it.
type inCommon struct {
	rows  [calmRows]held
	fresh held
	begun belief // the belief if that incident has begun
}

// incident is the function [incident] with the parameters of this world.
func (h *inCommon) incident(before, stays, onset, plain float64) (after, sum float64) {
	return incident(before, stays, onset, plain, h.rows[calmIll].log, h.fresh.log)
}

func (m *Model) beginCalm() *calm {
	c := &calm{}
	rest := m.variances()
	copy(rest[:wandering], calmWander[:])
	for r := range c.rows {
		for i, v := range rest {
			c.rows[r].cov[at(i, i)] = v
		}
	}
	grow(&c.rows[calmIll], size*size)
	for i := range c.worse {
		c.worse[i] = math.Inf(-1)
	}
	return c
}

// pass advances the beliefs by the time of a look. gains holds the variance that each component would gain if each arm
// wandered on its own.
func (c *calm) pass(d int, forgets, gains *[most]float64) {
	own := *gains
	for i, v := range calmWander {
		own[i] = v * (1 - forgets[i]*forgets[i])
	}
	for r := range c.rows {
		c.rows[r].pass(d, forgets, &own)
	}
}

// start lets alternatives begin with the look; fresh is the logarithm of their mass, which is divided by their prior.
func (c *calm) start(d int, fresh float64) {
	for i := range c.worse {
		more := fresh + logPrior[i]
		total := LogAdd(c.worse[i], more)
		f := math.Exp(more - total)
		c.worse[i] = total
		to := c.rows[calmNull].copyWith(around[i] * around[i])
		c.rows[calmFirst+i].blend(d, f, &to)
		c.ill[calmFirst+i] = mix(c.ill[calmFirst+i], c.ill[calmNull], f)
	}
}

func (m *Model) holdCalm(c *calm, l *Look, d int) (h inCommon) {
	h.begun = c.rows[calmNull].copyWith(size * size)
	h.fresh = m.hold(&h.begun, &l.datum, 0, d)
	grow(&c.rows[calmIll], min(wanders*wanders*l.Seconds/10, 1))
	for r := range c.rows {
		supposed := 0.0
		switch {
		case r == calmBetter:
			supposed = passingRatios[0]
		case r == calmMargin:
			supposed = math.Log(l.Margin)
		case r >= calmFirst && r < calmBetter:
			supposed = logAlternatives[r-calmFirst]
		}
		h.rows[r] = m.hold(&c.rows[r], &l.datum, supposed, d)
	}
	return h
}

// learn updates the world with the rows' log probabilities of a look; alike is the one if the canary is no worse.
func (c *calm) learn(h *inCommon, stays, onset, alike float64, d int) {
	same, other := within(c.ill[calmNull], stays, onset)
	young := math.Log(other) + h.fresh.log
	young = math.Exp(young - LogAdd(math.Log(same)+h.rows[calmIll].log, young))
	for r := range calmIll {
		in, sum := h.incident(c.ill[r], stays, onset, h.rows[r].log)
		switch r {
		case calmNull:
			c.whole[0] += sum
		case calmBetter, calmMargin:
			c.whole[1+r-calmBetter] += sum
		default:
			c.worse[r-calmFirst] += h.rows[r].log - alike
		}
		h.rows[r].learn(&c.rows[r], d, 1-in)
		c.ill[r] = in
	}
	h.rows[calmIll].learn(&c.rows[calmIll], d, 1)
	h.fresh.learn(&h.begun, d, 1)
	c.rows[calmIll].blend(d, young, &h.begun)
}

// fade lets incidents end in looks that show nothing.
func (c *calm) fade(stays float64) {
	if c == nil {
		return
	}
	for r := range c.ill {
		c.ill[r] *= stays
	}
}

// inEither is the log probability of all looks under the mixture of this world and the other.
func inEither(other, own float64) float64 {
	return LogAdd(math.Log(1-calmly)+other, math.Log(calmly)+own)
}

func (c *calm) numbers(d int, visit func(Number)) {
	for r := range c.rows {
		c.rows[r].numbers(d, visit)
		visit(Number{At: &c.ill[r], Hi: 1})
	}
	for i := range c.worse {
		visit(Number{At: &c.worse[i], Lo: -mostLog, Hi: mostLog, Open: true})
	}
	for i := range c.whole {
		visit(Number{At: &c.whole[i], Lo: -mostLog, Hi: mostLog})
	}
}
