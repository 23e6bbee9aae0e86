package statespace

import "math"

// Number is one number of a state, with the bounds that it keeps to; an open one may be -Inf.
type Number struct {
	At     *float64
	Lo, Hi float64
	Open   bool
}

// Upper bounds of the stored numbers, far above what any release reaches.
const (
	mostLog      = 1e40
	mostMean     = 500
	mostVariance = 1e6 // that of a mixture of means as far apart as possible
	mostTime     = 1e15
)

func (b *belief) numbers(d int, visit func(Number)) { moments(b.mean[:d], b.cov[:], visit) }

func moments(mean, cov []float64, visit func(Number)) {
	for i := range mean {
		visit(Number{At: &mean[i], Lo: -mostMean, Hi: mostMean})
		for j := range i + 1 {
			visit(Number{At: &cov[at(i, j)], Lo: -mostVariance, Hi: mostVariance})
		}
	}
}

// Numbers visits every number of a state that has begun, in a fixed order. Encoding and decoding both use it.
func (m *Model) Numbers(s *State, visit func(Number)) {
	d := m.components()
	for r := range s.rows {
		if m.skips(r) {
			continue
		}
		s.rows[r].numbers(d, visit)
		visit(Number{At: &s.ill[r], Hi: 1})
	}
	for i := range s.worse {
		visit(Number{At: &s.worse[i], Lo: -mostLog, Hi: mostLog, Open: true})
		visit(Number{At: &s.excess[i], Lo: -mostLog, Hi: mostLog, Open: true})
	}
	visit(Number{At: &s.again, Lo: -mostLog, Hi: mostLog, Open: true})
	visit(Number{At: &s.againIll, Hi: 1})
	visit(Number{At: &s.spent, Lo: atFirst, Hi: 1 + 1e-9})
	visit(Number{At: &s.turns, Hi: mostTime})
	visit(Number{At: &s.at, Hi: mostTime})
	for i := range s.whole {
		visit(Number{At: &s.whole[i], Lo: -mostLog, Hi: mostLog})
	}
	for i := range s.good[:inCalm] {
		visit(Number{At: &s.good[i], Hi: 1})
	}
	if m.Calm {
		visit(Number{At: &s.good[inCalm], Hi: 1})
		if s.calm == nil {
			s.calm = &calm{}
		}
		s.calm.numbers(d, visit)
	}
	if m.Few > 0 {
		visit(Number{At: &s.good[inFew], Hi: 1})
		if s.few == nil {
			s.few = &few{}
		}
		s.few.numbers(d, visit)
	}
	if m.Lumps > 0 {
		if s.lumps == nil {
			s.lumps = &lumps{}
		}
		s.lumps.numbers(visit)
	}
	if m.Chill > 0 {
		visit(Number{At: &s.good[inChill], Hi: 1})
		if s.chill == nil {
			s.chill = &chill{}
		}
		numbersOfAll(s.chill.rows[:], d, visit)
	}
	if m.Users > 0 {
		visit(Number{At: &s.weight, Hi: 1})
	}
	if m.Strains {
		visit(Number{At: &s.strain, Hi: 1})
	}
}

func (w *lumps) numbers(visit func(Number)) {
	visit(Number{At: &w.step, Hi: wide})
	for of := range w.chance {
		visit(Number{At: &w.exposed[of], Hi: mostLog})
		visit(Number{At: &w.ill[of], Hi: 1})
		visit(Number{At: &w.whole[of], Lo: -mostLog, Hi: mostLog})
		for i := range w.chance[of] {
			visit(Number{At: &w.chance[of][i], Hi: 1 + 1e-9})
		}
	}
}

// Resume marks a state whose numbers have been read as begun.
func (s *State) Resume() { s.begun = true }

// Sound reports whether the beliefs of a decoded state are possible: no variance is negative, and no covariance exceeds
// what the two variances allow.
func (m *Model) Sound(s *State) bool {
	for r := range s.rows {
		if !s.rows[r].sound(m.components()) {
			return false
		}
	}
	for r := range calmRows {
		if s.calm != nil && !s.calm.rows[r].sound(m.components()) {
			return false
		}
	}
	return (s.chill == nil || soundAll(s.chill.rows[:], m.components())) && (s.few == nil || soundAll(s.few.rows[:], withUsers(m.components())))
}

// SoundFloor is [Model.Sound] of a floor.
func (m *Model) SoundFloor(f *Floor) bool {
	for r := range f.rows {
		if b := f.rows[r].belief(); !b.sound(warm) {
			return false
		}
	}
	return true
}

func (b *belief) sound(d int) bool {
	const rounding = 1e-6
	for i := range d {
		v := b.cov[at(i, i)]
		if v < -rounding {
			return false
		}
		for j := range i {
			if math.Abs(b.cov[at(i, j)]) > math.Sqrt(max(v, 0)*max(b.cov[at(j, j)], 0))*(1+rounding)+rounding {
				return false
			}
		}
	}
	return true
}

// FloorNumbers visits every number of a floor.
func (m *Model) FloorNumbers(f *Floor, visit func(Number)) {
	for r := range f.rows {
		moments(f.rows[r].mean[:], f.rows[r].cov[:], visit)
		visit(Number{At: &f.whole[r], Lo: -mostLog, Hi: mostLog})
	}
}

// Fits reports whether the number may have the value x.
func (n Number) Fits(x float64) bool {
	return x >= n.Lo && x <= n.Hi || n.Open && math.IsInf(x, -1)
}
