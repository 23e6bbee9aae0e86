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

type chill struct{ rows [chillRows]hypothesis }

func (m *Model) beginChill() *chill {
	c := &chill{}
	m.beginAll(c.rows[:])
	return c
}

// starting is the variance that a start of that share adds to each of the components that fade.
func starting(most, share float64) float64 { return most * most / 2 * share * share }

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
	known := []float64{chillNull: 0, chillBetter: passingRatios[0], chillMargin: math.Log(l.Margin)}
	return math.Log(s.good[inChill]) + m.holdAll(s.chill.rows[:], known, l, stays, onset, illP, freshP, d)
}

// fade lets incidents end in looks that show nothing.
func (c *chill) fade(stays float64) {
	if c != nil {
		fadeAll(c.rows[:], stays)
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
