package sequential

import (
	"math"

	"github.com/serindev/serin/judge"
)

const (
	// teachesFrom is how many looks at one weight are needed before something is learned of them.
	teachesFrom = 64
	// near is the factor of information within which a past is used as it is.
	near = 4
	// mostPasts is how many pasts of one metric are remembered, and mostMeant how many are averaged.
	mostPasts = 64
	mostMeant = 3
)

// information is v̄₀: the model's information a second if both arms had the baseline's rate, so that a fault does
// not carry itself. 0 before the first look.
func (t *tally) information(kind judge.Kind) float64 {
	if t.seconds <= 0 {
		return 0
	}
	switch kind {
	case judge.Objective:
		return t.total[3] / t.seconds
	case judge.Gauge:
		return float64(t.looks) / t.seconds
	case judge.Counts, judge.Histogram:
	}
	n := t.total[1] + t.total[3]
	if n <= 0 {
		return 0
	}
	theta := t.total[1] / n
	return baselineRate(t) * n * theta * (1 - theta) / t.seconds
}

// baselineRate is p̂_b, above 0 also where nothing bad has been seen (counts only).
func baselineRate(t *tally) float64 { return (t.total[2] + 0.5) / (t.total[3] + 1) }

// carry takes the noise of a past to today's information: what arms differ by grows with it.
func carry(kind judge.Kind, p judge.Past, today float64) float64 {
	if today <= p.Information {
		return p.Noise
	}
	if kind == judge.Gauge {
		return p.Noise * (today / p.Information)
	}
	return 1 + (p.Noise-1)*(today/p.Information)
}

// suppose is what the pasts say of a comparison that has today's information: the mean of the newest three whose
// information is within a factor of 4, as they are; where there is none, the nearest one carried. Without pasts
// it is the default of the metric's noise.
func suppose(m *metric, pasts []judge.Past, today float64) supposition {
	if len(pasts) == 0 {
		return supposition{noise: m.Noise}
	}
	sum, n := 0.0, 0
	nearest, distance := pasts[len(pasts)-1], math.Inf(1)
	for i := len(pasts) - 1; i >= 0 && n < mostMeant; i-- {
		d := math.Abs(math.Log(max(today, math.SmallestNonzeroFloat64) / pasts[i].Information))
		if d <= math.Log(near) {
			sum += pasts[i].Noise
			n++
		}
		if d < distance {
			nearest, distance = pasts[i], d
		}
	}
	if n > 0 {
		return supposition{learned: true, phi: sum / float64(n)}
	}
	return supposition{learned: true, phi: carry(m.Kind, nearest, today)}
}

// supposes is what t's fresh comparison f began with, brought to today's information.
func (f *fresh) supposes(m *metric, kind judge.Kind, pasts []judge.Past) supposition {
	today := f.information(kind)
	if !f.inherited {
		return suppose(m, pasts, today)
	}
	return supposition{learned: true, phi: carry(kind, f.past, today)}
}

// usable keeps the newest pasts that can be used, the newest last.
func usable(kind judge.Kind, pasts []judge.Past) []judge.Past {
	var keep []judge.Past
	for _, p := range pasts {
		if isPast(kind, p) {
			keep = append(keep, p)
		}
	}
	return keep[max(0, len(keep)-mostPasts):]
}

// isPast says whether p is something that a comparison of this kind can have taught.
func isPast(kind judge.Kind, p judge.Past) bool {
	return p.Noise >= least(kind) && p.Noise <= mostPast && p.Information >= 1/mostPast &&
		p.Information <= mostPast && p.Looks > 0
}

// mostPast bounds what is believed of a past, so that its products stay finite.
const mostPast = 1e60

// lesson is what t teaches: the noise as it was seen, the largest over the group lengths, without any prior. It is
// false where there is too little to learn from.
func (t *tally) lesson(kind judge.Kind) (judge.Past, bool) {
	if t.looks < teachesFrom {
		return judge.Past{}, false
	}
	p := judge.Past{Noise: least(kind), Information: t.information(kind), Looks: t.looks}
	t.groups(kind, func(g groups) {
		if g.k >= 4 {
			p.Noise = max(p.Noise, g.dispersion())
		}
	})
	return p, isPast(kind, p)
}
