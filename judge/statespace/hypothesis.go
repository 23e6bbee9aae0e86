package statespace

import "slices"

// hypothesis is a row of a world of its own, such as that of few users.
type hypothesis struct {
	belief
	// ill is the probability that an incident is going on, whole the log probability of all looks.
	ill, whole float64
}

// beginAll gives hypotheses the stationary variances of the components.
func (m *Model) beginAll(rows []hypothesis) {
	for r := range rows {
		for i, v := range m.variances() {
			rows[r].cov[at(i, i)] = v
		}
	}
}

func passAll(rows []hypothesis, d int, forgets, gains *[most]float64) {
	for r := range rows {
		rows[r].pass(d, forgets, gains)
	}
}

// holdAll tests a look against hypotheses about d components, each with the log ratio that is known, and lets them learn. It
// returns the log probability of the first one.
func (m *Model) holdAll(rows []hypothesis, known []float64, l *Look, stays, onset float64, illP, freshP *held, d int) (null float64) {
	for r := range rows {
		row := &rows[r]
		h := m.hold(&row.belief, &l.datum, known[r], d)
		inIll, sum := incident(row.ill, stays, onset, h.log, illP.log, freshP.log)
		row.whole += sum
		row.ill = inIll
		h.learn(&row.belief, d, 1-inIll)
		if r == 0 {
			null = sum
		}
	}
	return null
}

// fadeAll lets incidents end in looks that show nothing.
func fadeAll(rows []hypothesis, stays float64) {
	for r := range rows {
		rows[r].ill *= stays
	}
}

func numbersOfAll(rows []hypothesis, d int, visit func(Number)) {
	for r := range rows {
		rows[r].numbers(d, visit)
		visit(Number{At: &rows[r].ill, Hi: 1})
		visit(Number{At: &rows[r].whole, Lo: -mostLog, Hi: mostLog})
	}
}

// soundAll is [belief.sound] of all of them.
func soundAll(rows []hypothesis, d int) bool {
	return !slices.ContainsFunc(rows, func(h hypothesis) bool { return !h.sound(d) })
}
