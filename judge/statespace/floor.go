package statespace

import "math"

// The rows of a [Floor], log ratios: the rate itself, and rates below it. They have no width, so that the likelihood of
// a higher rate falls off from the first to the others.
var floorRatios = [5]float64{0, math.Log(0.6), math.Log(0.25), math.Log(0.06), math.Log(0.005)}

// Floor is evidence that the rate of one arm is below a fixed one, such as the absolute margin: the way to pass for a
// service that has no errors, whose ratio says nothing.
type Floor struct {
	rows  [len(floorRatios)]warmed
	whole [len(floorRatios)]float64
}

// warmed is a belief about the components of what has no cold start, and takes less room than any other.
type warmed struct {
	mean [warm]float64
	cov  [warm * (warm + 1) / 2]float64
}

func (w *warmed) belief() (b belief) {
	copy(b.mean[:], w.mean[:])
	copy(b.cov[:], w.cov[:])
	return b
}

func (w *warmed) keep(b *belief) {
	copy(w.mean[:], b.mean[:])
	copy(w.cov[:], b.cov[:])
}

// BeginFloor is the evidence before the first look.
func (m *Model) BeginFloor() Floor {
	var f Floor
	rest := m.variances()
	for r := range f.rows {
		for i, v := range rest[:warm] {
			f.rows[r].cov[at(i, i)] = v
		}
	}
	return f
}

// AddFloor takes up one look: how many bad events there were, and how many are expected at the fixed rate.
func (m *Model) AddFloor(f *Floor, seconds, bad, expected float64) {
	var forgets, gains [most]float64
	rest := m.variances()
	for i := range warm {
		forgets[i] = math.Exp(-seconds / forgetting[i])
		if i != arm {
			gains[i] = rest[i] * (1 - forgets[i]*forgets[i])
		}
	}
	o := datum{family: poisson, x: bad / m.Clusters, b: expected / m.Clusters}
	for r := range f.rows {
		b := f.rows[r].belief()
		b.pass(warm, &forgets, &gains)
		if expected > 0 {
			h := m.hold(&b, &o, floorRatios[r], warm)
			f.whole[r] += h.log
			h.learn(&b, warm, 1)
		}
		f.rows[r].keep(&b)
	}
}

// Below is the logarithm of the e-value against "at least the fixed rate".
func (f *Floor) Below() float64 {
	sum := math.Inf(-1)
	for _, w := range f.whole[1:] {
		sum = LogAdd(sum, w)
	}
	return sum - math.Log(float64(len(f.whole)-1)) - f.whole[0]
}
