package sequential

import (
	"math"

	"github.com/serindev/serin/judge"
)

// groupLengths is over how many group lengths noise is estimated: 1, 2, 4 and 8 blocks.
const groupLengths = 4

// How many blocks a prior of noise is worth: one that is only supposed, and one that was learned.
const (
	supposedWeight = 2
	learnedWeight  = 16
)

// supposition is what is believed of a comparison's noise before it has shown any.
type supposition struct {
	learned bool
	// phi is the noise that was learned (gauges: in units of the squared baseline mean).
	phi float64
	// noise is how much arms are supposed to differ from minute to minute where nothing was learned.
	noise float64
}

// at is the prior of φ for looks of v model variance each and the given length.
func (p supposition) at(kind judge.Kind, v, seconds float64) float64 {
	switch {
	case p.learned:
		return p.phi
	case kind == judge.Gauge:
		return p.noise * p.noise * 60 / seconds
	default:
		return 1 + max(1, v*p.noise*p.noise*60/seconds)
	}
}

func (p supposition) weight() float64 {
	if p.learned {
		return learnedWeight
	}
	return supposedWeight
}

// least is the floor of φ: the model's own variance, or next to nothing for a gauge, which has no model.
func least(kind judge.Kind) float64 {
	if kind == judge.Gauge {
		return 1e-12
	}
	return 1
}

// spread is φ at one group length with the degrees of freedom of its estimate.
type spread struct{ phi, dof float64 }

// noise estimates φ, the long-run variance over the model's, at every group length that has enough groups; n says
// how many those are. Gauges have it in units of the squared baseline mean. There is at least one.
//
// Quasi-likelihood: Wedderburn, Biometrika 61 (1974), 439–447. Long-run variance from sums over blocks, as in
// batch means: Flegal and Jones, Ann. Statist. 38 (2010), 1034–1070.
func (t *tally) noise(kind judge.Kind, p supposition) (at [groupLengths]spread, n int) {
	seconds := t.secondsPerLook()
	t.groups(kind, func(g groups) {
		if n > 0 && g.k < 4 && !p.learned {
			return
		}
		mean := p.at(kind, g.perLook(), seconds)
		at[n] = spread{
			phi: max(least(kind), (g.effective()*g.dispersion()+p.weight()*mean)/(g.effective()+p.weight())),
			dof: max(g.effective()-1, 0) + p.weight(),
		}
		n++
	})
	return at, n
}

// secondsPerLook is the mean length of a look, 1 before the first.
func (t *tally) secondsPerLook() float64 {
	if t.looks == 0 {
		return 1
	}
	return t.seconds / float64(t.looks)
}

// groups is what the groups of one length say together: u is a group's deviation from the estimate, v its
// variance by the model.
type groups struct {
	k               int // how many groups
	looks           int // in all of them
	sumV, sumV2, u2 float64
}

// effective is the number of groups, fewer where they carry unequal information.
func (g groups) effective() float64 {
	if g.sumV == 0 {
		return 0
	}
	return g.sumV * g.sumV / g.sumV2 // in this order: exactly 1 for one group
}

// dispersion is q, the variance over the model's as seen, 0 where there was nothing to see.
func (g groups) dispersion() float64 {
	if g.sumV == 0 {
		return 0
	}
	q := g.u2 / g.sumV
	if k := g.effective(); k > 1 {
		q *= k / (k - 1)
	}
	return q
}

func (g groups) perLook() float64 {
	if g.looks == 0 {
		return 0
	}
	return g.sumV / float64(g.looks)
}

// groups hands over the groups of every length, the shortest first, each counted from the newest block backwards.
func (t *tally) groups(kind judge.Kind, yield func(groups)) {
	ratio, scale := t.ratio(kind), 1.0
	if kind == judge.Gauge && t.total[2] > 0 {
		scale = float64(t.looks) / t.total[2]
	}
	rows, k, size := t.blocks, t.filled, t.size
	for range groupLengths {
		g := groups{k: k, looks: k * size}
		for i := range k {
			u, v := deviation(kind, rows[i], ratio, scale, float64(size))
			g.sumV += v
			g.sumV2 += v * v
			g.u2 += u * u
		}
		yield(g)
		odd := k % 2 // the oldest group has no neighbour
		k, size = k/2, 2*size
		for i := range k {
			sum := rows[odd+2*i]
			sum.add(rows[odd+2*i+1])
			rows[i] = sum
		}
	}
}

// deviation is how far a group's sums are from what the ratio says, u, and the variance of that by the model, v.
func deviation(kind judge.Kind, o row, ratio, scale, looks float64) (u, v float64) {
	switch kind {
	case judge.Objective:
		return o[0] - ratio*o[3], ratio * o[3]
	case judge.Gauge:
		return (o[0] - ratio*o[2]) * scale, looks
	default:
		bad := o[0] + o[2]
		if bad == 0 {
			return 0, 0
		}
		theta := ratio * o[1] / (ratio*o[1] + o[3])
		return o[0] - bad*theta, bad * theta * (1 - theta)
	}
}

// logAddExp is log(exp(x)+exp(y)) for finite x and y.
func logAddExp(x, y float64) float64 {
	return max(x, y) + math.Log1p(math.Exp(-math.Abs(x-y)))
}
