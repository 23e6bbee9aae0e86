package statespace

// Kept is a [State] at rest: only the numbers that its model uses. A belief about an error ratio has four components of seven,
// and a model without a second world has no beliefs about it, so that it takes less than half of the memory. It is never changed
// and copies share it. The zero value is that of a comparison that has not begun.
type Kept struct {
	numbers          []float64
	logRatio, spread float64
}

// Keep puts a state that has begun to rest.
func (m *Model) Keep(s *State) Kept {
	n := 0
	m.Numbers(s, func(Number) { n++ })
	k := Kept{numbers: make([]float64, 0, n)}
	m.Numbers(s, func(x Number) { k.numbers = append(k.numbers, *x.At) })
	k.logRatio, k.spread = s.Ended()
	return k
}

// Take is the state that was kept by the same model.
func (m *Model) Take(k *Kept) (s State) {
	i := 0
	m.Numbers(&s, func(x Number) {
		if i < len(k.numbers) {
			*x.At = k.numbers[i]
		}
		i++
	})
	s.Resume()
	return s
}

// Ended is [State.Ended].
func (k *Kept) Ended() (logRatio, variance float64) { return k.logRatio, k.spread }
