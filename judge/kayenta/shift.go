package kayenta

import "math"

// shift decides what a label depends on: whether canary x lies above or below baseline y by more than the tolerance.
//
// The reference decides that from an interval and an estimate, for which its root finder computes some forty rank sums. If
// the arms are alike or far apart, one to three rank sums are enough: the standardized rank sum never rises with the
// shift, and the root finder ends within its tolerance of the crossing point. Otherwise the root finder runs as in
// [MannWhitney], so labels are always the reference's.
//
// Ties do not make it rise either: where D of the mn pairs tie across the arms, the sum falls by D/2, which is at least a
// share of D/mn, and its deviation falls by a share of at most D/mn.
type shift struct {
	x, y []float64 // not empty
	// apart is the mean of x minus that of y.
	apart      float64
	tol, level float64
	ranks      *rankSum
	ranked     bool // whether ranks holds x and y
	// near means that a few rank sums may decide. slack is an upper bound on the root finder's error.
	near  bool
	slack float64
}

const (
	// widest is the largest bracket in which the root finder is certain to converge before it runs out of rounds. At worst
	// it halves the bracket once after as many interpolations as there are halvings left; 1e9 is 2⁴³ times its tolerance.
	widest = 1e9
	// clearly is the relative distance from a bound at which rounding no longer matters.
	clearly = 1e-9
)

// comparable is false if the reference would fail because all points are tied at some shift that it tests.
func (s *shift) comparable() bool {
	s.rank()
	if s.near {
		return true
	}
	_, ok := s.ranks.interval(s.level)
	return ok
}

// rank sorts the arms if that has not been done yet.
func (s *shift) rank() {
	if s.ranked {
		return
	}
	s.ranked = true
	s.ranks.reset(s.x, s.y)
	lo, hi := s.ranks.bracket()
	s.near = hi > lo && hi-lo <= widest && s.ranks.steady()
	s.slack = 4 * stop(max(-lo, hi))
}

// cles is the common language effect size.
func (s *shift) cles() float64 {
	s.rank()
	return s.ranks.cles()
}

// above reports whether the interval's lower bound is above the tolerance.
func (s *shift) above() bool {
	if decided, above := s.glance(1); decided {
		return above
	}
	return s.ranks.lower(s.level) > s.tolerance()
}

// below reports whether the interval's upper bound is below 0 by more than the tolerance.
func (s *shift) below() bool {
	if decided, below := s.glance(-1); decided {
		return below
	}
	return s.ranks.upper(s.level) < -s.tolerance()
}

// tolerance returns the distance from 0 that a bound has to exceed, computed as in the reference.
func (s *shift) tolerance() float64 {
	return s.tol * math.Abs(s.ranks.estimate())
}

// glance decides above, or with sign -1 below, from a few rank sums if it can. With sign -1 the comments in it hold for
// swapped arms, which negates rank sum and bracket.
func (s *shift) glance(sign float64) (decided, exceeds bool) {
	s.rank()
	if !s.near {
		return false, false
	}
	lo, hi := s.ranks.bracket()
	if sign < 0 {
		lo, hi = -hi, -lo
	}
	inside := func(d float64) bool { return lo < d && d < hi }
	at := func(d float64) float64 { return sign * s.ranks.at(sign*d) }
	z := quantile(s.level)
	if !inside(-s.slack) {
		return false, false
	}
	// If the rank sum is below z here, the lower bound is not above 0, and the tolerance is never negative.
	if at(-s.slack) < z*(1-clearly) {
		return true, false
	}
	// Otherwise the estimate is at least about 0. An upper limit on it gives an upper limit on the tolerance.
	most := 2 * sign * s.apart
	if !inside(most) || !(most > s.slack) || at(most) >= 0 {
		return false, false
	}
	// If the rank sum is still above z at far, the lower bound is beyond far and so above the tolerance.
	far := s.tol*(most+s.slack) + s.slack
	if !inside(far) || at(far) <= z*(1+clearly) {
		return false, false
	}
	return true, true
}
