package statespace

import "math"

// The world in which arms that are divided by users have few of them who count. One user with many errors outweighs a
// thousand with none, so that the ratio of two equal versions is whatever the lot has made it, for as long as the users
// stay where they are. The sums of a release cannot tell that from a fault of the same size. The world has a null and a
// margin of its own, with the component of the log ratio by which the users of the arms differ.

// fewVariance is the relative variance of the rate of all users that comes from their number in that world: as of twenty
// users with errors. A ratio is not supposed to differ by more than mostFew, a variance of its logarithm: a few users may
// make an arm four times as bad, and not twenty times.
const (
	fewVariance = 0.05
	mostFew     = 0.55
)

// fewPasses is the share of that world where a pass is weighed, of its share in the null.
const fewPasses = 0.4

// FewApart is the variance of the log ratio of two good versions that few users make at a weight of the canary.
func FewApart(weight float64) float64 {
	w := max(leastWeight, min(weight, 1-leastWeight))
	return min(fewVariance/(w*(1-w)), mostFew)
}

// UsersFor is how many users with bad events it takes to tell a ratio from what so many users make by themselves, with so
// much evidence, a natural logarithm, at a weight of the canary: those whose variance, 1/(n w(1-w)), the ratio exceeds by
// that. At most 10¹².
func UsersFor(ratio, evidence, weight float64) float64 {
	l := math.Log(ratio)
	return min(2*evidence/(l*l*weight*(1-weight)), 1e12)
}

// few is what is assumed about the log ratio in that world: in the null, and where the canary is worse by the margin.
type few struct {
	rows [2]belief
	// ill are the chances that an incident is going on, whole the logarithms of the probability of all looks.
	ill, whole [2]float64
	weight     float64 // the share of the users that is the canary's
}

func (m *Model) beginFew() *few {
	f := &few{}
	for r := range f.rows {
		for i, v := range m.variances() {
			f.rows[r].cov[at(i, i)] = v
		}
	}
	return f
}

// withUsers is how many components the beliefs of that world have, where others have d.
func withUsers(d int) int { return max(d, users+1) }

// pass lets the time of a look pass, in which the components forget and gain so much where there are many users.
func (f *few) pass(l *Look, d int, forgets, gains *[most]float64) {
	keeps, comes := *forgets, *gains
	keeps[users], comes[users] = divided(&f.weight, l.Weight, FewApart)
	for r := range f.rows {
		f.rows[r].pass(withUsers(d), &keeps, &comes)
	}
}

// inFew holds the look against the null and the margin in that world, and is the logarithm of the probability of the first
// with its worth; below everything where there is no such world.
// A look in which the canary is broken is as likely there as where users are many: a few users may make an arm four times as
// bad, and do not make most of its requests fail.
func (m *Model) inFew(s *State, l *Look, stays, onset float64, illP, freshP *held, d int) float64 {
	if m.Few == 0 {
		return math.Inf(-1)
	}
	var good float64
	for of, known := range [...]float64{0, math.Log(l.Margin)} {
		h := m.hold(&s.few.rows[of], &l.datum, known, withUsers(d))
		inIll, sum := incident(s.few.ill[of], stays, onset, h.log, illP.log, freshP.log)
		s.few.whole[of] += sum
		s.few.ill[of] = inIll
		h.learn(&s.few.rows[of], withUsers(d), 1-inIll)
		if of == 0 {
			good = sum
		}
	}
	if l.Broken {
		h := m.hold(&s.rows[null], &l.datum, 0, d)
		_, good = incident(s.ill[null], stays, onset, h.log, illP.log, freshP.log)
	}
	return math.Log(s.good[inFew]) + good
}

// fade lets incidents end in looks that show nothing.
func (f *few) fade(stays float64) {
	if f == nil {
		return
	}
	for r := range f.ill {
		f.ill[r] *= stays
	}
}

func (f *few) numbers(d int, visit func(Number)) {
	for r := range f.rows {
		f.rows[r].numbers(withUsers(d), visit)
		visit(Number{At: &f.ill[r], Hi: 1})
		visit(Number{At: &f.whole[r], Lo: -mostLog, Hi: mostLog})
	}
	visit(Number{At: &f.weight, Hi: 1})
}
