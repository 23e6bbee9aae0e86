package statespace

import "math"

// The world of few users: the arms are divided by users, and only a few of these matter. One user with many errors
// outweighs a thousand with none, so the ratio of two equal versions is decided by chance, by which user went to which
// arm, and stays so for as long as users keep their arm. The sums of a release cannot distinguish that from a fault of
// the same size. The world has a null and a margin of its own, with an additional component of the log ratio: the
// difference between the users of the arms.

// fewVariance is the relative variance of the overall rate that comes from the number of users in that world, as if
// twenty users had all the errors. mostFew bounds the variance of the log ratio: a few users may make an arm four times
// as bad, but not twenty times.
const (
	fewVariance = 0.05
	mostFew     = 0.55
)

// fewPasses scales the prior of that world for a pass, relative to its prior in the null.
const fewPasses = 0.4

// FewApart is the variance that few users add to the log ratio of two good versions, at a given weight of the canary.
func FewApart(weight float64) float64 {
	w := max(leastWeight, min(weight, 1-leastWeight))
	return min(fewVariance/(w*(1-w)), mostFew)
}

// UsersFor is how many users with bad events it takes to distinguish a ratio from what that many users produce by
// chance, with the given evidence (a natural logarithm) at the given weight of the canary: the n for which the ratio
// exceeds the chance variance 1/(n w(1-w)) by that evidence. At most 10¹².
func UsersFor(ratio, evidence, weight float64) float64 {
	l := math.Log(ratio)
	return min(2*evidence/(l*l*weight*(1-weight)), 1e12)
}

// few holds the beliefs about the log ratio in that world: under the null, and with the canary worse by the margin.
type few struct {
	rows   [2]hypothesis
	weight float64 // the canary's share of the users
}

func (m *Model) beginFew() *few {
	f := &few{}
	m.beginAll(f.rows[:])
	return f
}

// withUsers is how many components the beliefs of that world have if those of the others have d.
func withUsers(d int) int { return max(d, users+1) }

// pass advances the beliefs by the time of a look. forgets and gains are those of the worlds with many users.
func (f *few) pass(l *Look, d int, forgets, gains *[most]float64) {
	keeps, comes := *forgets, *gains
	keeps[users], comes[users] = divided(&f.weight, l.Weight, FewApart)
	passAll(f.rows[:], withUsers(d), &keeps, &comes)
}

// inFew tests the look against the null and the margin in that world. It returns the log probability of the null,
// weighted by the world's worth, or -Inf without such a world. A look in which the canary is broken is no likelier here
// than with many users: a few users may make an arm four times as bad, but they do not make most of its requests fail.
func (m *Model) inFew(s *State, l *Look, stays, onset float64, illP, freshP *held, d int) float64 {
	if m.Few == 0 {
		return math.Inf(-1)
	}
	good := m.holdAll(s.few.rows[:], []float64{0, math.Log(l.Margin)}, l, stays, onset, illP, freshP, withUsers(d))
	if l.Broken {
		h := m.hold(&s.rows[null], &l.datum, 0, d)
		_, good = incident(s.ill[null], stays, onset, h.log, illP.log, freshP.log)
	}
	return math.Log(s.good[inFew]) + good
}

// fade lets incidents end in looks that show nothing.
func (f *few) fade(stays float64) {
	if f != nil {
		fadeAll(f.rows[:], stays)
	}
}

func (f *few) numbers(d int, visit func(Number)) {
	numbersOfAll(f.rows[:], withUsers(d), visit)
	visit(Number{At: &f.weight, Hi: 1})
}
