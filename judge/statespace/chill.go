package statespace

import "math"

// The world of a cold start after warm ones: earlier releases of the service began as fast as they went on, so their next
// one is expected to begin so too, and yet it may not. In all other rows what has just started differs by next to nothing
// then. This world has a null, a better canary and a margin of its own, which allow for a cold start of any size.

// warmest is the standard deviation of the log ratio due to a start where starts are expected to be warm.
const warmest = 0.3

// The rows (hypotheses) of that world.
const (
	chillNull   = 0
	chillBetter = 1
	chillMargin = 2
	chillRows   = 3
)

type chill struct {
	rows [chillRows]belief
	// ill holds the probabilities that an incident is going on, whole the log probabilities of all looks.
	ill, whole [chillRows]float64
}

func (m *Model) beginChill() *chill {
	c := &chill{}
	for r := range c.rows {
		for i, v := range m.variances() {
			c.rows[r].cov[at(i, i)] = v
		}
	}
	return c
}

// starting is the variance that a start of that share adds to each of the components that fade.
func starting(most, share float64) float64 { return most * most / 2 * share * share }

// pass advances the beliefs by the time of a look. gains are those of the other worlds, share is that of the canary that
// has just started.
func (c *chill) pass(d int, forgets, gains *[most]float64, share float64) {
	own := *gains
	for i := cold; i < d; i++ {
		own[i] = starting(coldest, share)
	}
	for r := range c.rows {
		c.rows[r].pass(d, forgets, &own)
	}
}

// mayBegin lets what has just started be cold although it was warm before: each start is another chance of that.
func (m *Model) mayBegin(s *State, share float64) {
	if !s.begun || share <= 0 {
		return
	}
	turns := m.Chill * share
	for i := range s.good {
		s.good[i] *= 1 - turns
	}
	s.good[inChill] += turns
}

// inChill tests the look against the world's rows. It returns the log probability of the null, weighted by the world's
// worth, or -Inf without such a world.
func (m *Model) inChill(s *State, l *Look, stays, onset float64, illP, freshP *held, d int) float64 {
	if m.Chill == 0 {
		return math.Inf(-1)
	}
	c, good := s.chill, 0.0
	for r, known := range [chillRows]float64{0, passingRatios[0], math.Log(l.Margin)} {
		h := m.hold(&c.rows[r], &l.datum, known, d)
		inIll, sum := incident(c.ill[r], stays, onset, h.log, illP.log, freshP.log)
		c.whole[r] += sum
		c.ill[r] = inIll
		h.learn(&c.rows[r], d, 1-inIll)
		if r == chillNull {
			good = sum
		}
	}
	return math.Log(s.good[inChill]) + good
}

// fade lets incidents end in looks that show nothing.
func (c *chill) fade(stays float64) {
	if c == nil {
		return
	}
	for r := range c.ill {
		c.ill[r] *= stays
	}
}

func (c *chill) numbers(d int, visit func(Number)) {
	for r := range c.rows {
		c.rows[r].numbers(d, visit)
		visit(Number{At: &c.ill[r], Hi: 1})
		visit(Number{At: &c.whole[r], Lo: -mostLog, Hi: mostLog})
	}
}

// What the young of the canary show in a service that starts cold: a log ratio with this mean and standard deviation.
const (
	coldly = 1.0
	colder = 0.6
)

// Began is how much likelier the counts of an arm that has just started are if it started cold than if it started warm, a
// natural logarithm; ended is the log ratio that the release ended with, and unsure its variance. 0 without bad events.
func (m *Model) Began(canaryBad, canary, baselineBad, baseline, ended, unsure float64) float64 {
	var l Look
	l.Counts(m, canaryBad, canary, baselineBad, baseline)
	if l.silent {
		return 0
	}
	cold, _, _ := l.predict(ended, coldly, colder*colder+unsure)
	warm, _, _ := l.predict(ended, 0, warmest*warmest+unsure)
	return cold - warm
}
