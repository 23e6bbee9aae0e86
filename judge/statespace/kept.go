package statespace

import "math"

// Kept is a [State] at rest: only the numbers that its model uses and that are not 0. A belief about an error ratio has four
// components of seven, a model without a second world has no beliefs about it, and what no start has made uncertain is 0. So it
// takes less than half of the memory. It is never changed and copies share it. The zero value is that of a comparison that has
// not begun.
type Kept struct {
	numbers          []float64
	there            []uint64 // one bit for each number of the model: whether it is among numbers
	logRatio, spread float64
}

// Keep puts a state that has begun to rest.
func (m *Model) Keep(s *State) Kept {
	all, some := 0, 0
	m.Numbers(s, func(x Number) {
		all++
		if !x.zero() {
			some++
		}
	})
	k := Kept{numbers: make([]float64, 0, some), there: make([]uint64, (all+63)/64)}
	i := 0
	m.Numbers(s, func(x Number) {
		if !x.zero() {
			k.numbers = append(k.numbers, *x.At)
			k.there[i/64] |= 1 << (i % 64)
		}
		i++
	})
	k.logRatio, k.spread = s.Ended()
	return k
}

// zero reports whether the number is 0, and not the negative one, which is another number at rest.
func (x Number) zero() bool { return math.Float64bits(*x.At) == 0 }

// Take is the state that was kept by the same model.
func (m *Model) Take(k *Kept) (s State) {
	i, next := 0, 0
	m.Numbers(&s, func(x Number) {
		if i/64 < len(k.there) && k.there[i/64]&(1<<(i%64)) != 0 {
			*x.At = k.numbers[next]
			next++
		}
		i++
	})
	s.Resume()
	return s
}

// Ended is [State.Ended].
func (k *Kept) Ended() (logRatio, variance float64) { return k.logRatio, k.spread }
