package kayenta

import "math"

// shift answers what a label depends on: whether canary x lies above, or below, baseline y by more than the tolerance.
//
// The reference decides that by an interval and an estimate, for which its root finder asks for some forty rank sums.
// Where these would end is known from one to three where the arms are alike, or far apart: the standardized rank sum
// never rises with the shift, and the root finder ends within its tolerance of where it crosses what is looked for.
// Elsewhere its points are found one by one as in [MannWhitney], so labels are the reference's in any case.
//
// That it never rises holds with ties too: where D of the mn pairs tie across the arms, the sum falls by D/2, which is
// at least D/mn of it, and its deviation by at most D/mn of that.
type shift struct {
	x, y []float64 // not empty
	// apart is the mean of x less that of y.
	apart      float64
	tol, level float64
	ranks      *rankSum
	ranked     bool // ranks are those of x and y
	// near says that a few rank sums may decide, and slack is more than the root finder's error.
	near  bool
	slack float64
}

const (
	// widest is the largest bracket in which the root finder surely ends before it runs out of rounds. At worst it
	// halves the bracket once after as many interpolations as there are halvings left, and 1e9 is 2⁴³ of its tolerance.
	widest = 1e9
	// clearly is by how much a rank sum has to miss a bound, relative to it, for rounding not to matter.
	clearly = 1e-9
)

// comparable is false if the reference would fail: if all points are tied at some shift that it looks at.
func (s *shift) comparable() bool {
	s.rank()
	if s.near {
		return true
	}
	_, ok := s.ranks.interval(s.level)
	return ok
}

// rank sorts the arms, once.
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

// above says whether the interval's lower bound is above the tolerance.
func (s *shift) above() bool {
	if decided, above := s.glance(1); decided {
		return above
	}
	return s.ranks.lower(s.level) > s.tolerance()
}

// below says whether the interval's upper bound is as far below 0.
func (s *shift) below() bool {
	if decided, below := s.glance(-1); decided {
		return below
	}
	return s.ranks.upper(s.level) < -s.tolerance()
}

// tolerance is what a bound has to exceed, as the reference finds it.
func (s *shift) tolerance() float64 {
	return s.tol * math.Abs(s.ranks.estimate())
}

// glance answers above, and with sign -1 below, from a few rank sums if it can. With sign -1 the words below are those
// for exchanged arms, of which rank sum and bracket are the negatives.
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
	// From here on the rank sum is below z: the lower bound is not above 0, and no tolerance is below that.
	if at(-s.slack) < z*(1-clearly) {
		return true, false
	}
	// The estimate is at least about 0 then. If it is below most, the tolerance is so too.
	most := 2 * sign * s.apart
	if !inside(most) || !(most > s.slack) || at(most) >= 0 {
		return false, false
	}
	// Up to here the rank sum is above z: the lower bound is beyond it.
	far := s.tol*(most+s.slack) + s.slack
	if !inside(far) || at(far) <= z*(1+clearly) {
		return false, false
	}
	return true, true
}
