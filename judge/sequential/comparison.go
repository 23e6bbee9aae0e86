package sequential

import (
	"math"

	"github.com/serindev/serin/judge"
)

// maxBlocks is how many blocks of looks are remembered for the estimate of noise. When they are full, neighbours
// are merged, so that a release of any length costs the same.
const maxBlocks = 64

// row holds the sums of one or several looks. By the kind of the comparison:
//
//	counts     canary's bad events, its exposure, baseline's bad events, its exposure
//	objective  canary's bad events, 0, 0, the number expected of it
//	gauge      canary's value, 1, baseline's value, 1
type row [4]float64

func (r *row) add(o row) {
	for i := range r {
		r[i] += o[i]
	}
}

// tally is what a comparison remembers of its looks, without their likelihood.
type tally struct {
	blocks  [maxBlocks]row // the complete ones, the oldest first
	filled  int            // how many blocks are complete, below maxBlocks
	size    int            // looks in a complete block: 0 before the first look, then a power of two
	current row
	fill    int // looks in current, below size
	total   row
	// The sums of Mantel and Haenszel's estimate of a common rate ratio over strata, here looks (counts only).
	//
	// Mantel and Haenszel, J. Natl. Cancer Inst. 22 (1959), 719–748; for rates Greenland and Robins, Biometrics 41
	// (1985), 55–68.
	mhA, mhB float64
	looks    int
	seconds  float64 // the lengths of all looks together
}

// add counts one look of the given length. A look of zeros counts as a look too: noise is measured in time.
func (t *tally) add(kind judge.Kind, o row, seconds float64) {
	t.looks++
	t.seconds += seconds
	t.total.add(o)
	if n := o[1] + o[3]; kind == judge.Counts && n > 0 {
		t.mhA += o[0] * (o[3] / n)
		t.mhB += o[2] * (o[1] / n)
	}
	t.size = max(t.size, 1)
	t.current.add(o)
	t.fill++
	if t.fill < t.size {
		return
	}
	t.blocks[t.filled] = t.current
	t.filled++
	t.current, t.fill = row{}, 0
	if t.filled == maxBlocks {
		t.halve()
	}
}

// halve merges neighbouring blocks, so that half of them are left and each is twice as long.
func (t *tally) halve() {
	for i := range maxBlocks / 2 {
		sum := t.blocks[2*i]
		sum.add(t.blocks[2*i+1])
		t.blocks[i] = sum
	}
	clear(t.blocks[maxBlocks/2:])
	t.filled, t.size = maxBlocks/2, 2*t.size
}

// ratio is the estimate of canary's rate over baseline's, finite; 0 for a gauge whose baseline is not positive.
func (t *tally) ratio(kind judge.Kind) float64 {
	switch kind {
	case judge.Objective:
		return (t.total[0] + 0.5) / (t.total[3] + 0.5)
	case judge.Gauge:
		if t.total[2] <= 0 {
			return 0
		}
		return t.total[0] / t.total[2]
	default:
		w := 0.5
		if n := t.total[1] + t.total[3]; n > 0 {
			w = t.total[1] / n
		}
		return (t.mhA + (1-w)/2) / (t.mhB + w/2)
	}
}

// comparison is one comparison of two arms: what is remembered of its looks, and the logarithm of the likelihood
// of every ratio of the grid up to a constant (counts only; of the other kinds it is a function of the totals).
type comparison struct {
	tally
	logLik [gridSize]float64
}

// add counts one look; gain is what [countsGain] says of it.
func (c *comparison) add(kind judge.Kind, o row, gain *[gridSize]float64, seconds float64) {
	c.tally.add(kind, o, seconds)
	if kind != judge.Counts || o[0]+o[2] == 0 {
		return
	}
	for j := range c.logLik {
		c.logLik[j] += gain[j]
	}
}

// countsGain writes the log likelihood of one look's counts at every ratio: given the total of bad events, the
// canary's share of them is binomial with θ = ra/(1+ra), a the ratio of the exposures. What moves both arms alike
// cancels. It is the same for every comparison that sees the look. Both exposures are above 0.
//
// Przyborowski and Wilenski, Homogeneity of results in testing samples from Poisson series, Biometrika 31 (1940),
// 313–323.
func countsGain(o row, gain *[gridSize]float64) {
	bad := o[0] + o[2]
	if bad == 0 {
		return
	}
	a := o[1] / o[3]
	logA := math.Log(a)
	for j := range gain {
		gain[j] = o[0]*(logRatios[j]+logA) - bad*math.Log1p(ratios[j]*a)
	}
}

// mostRatio is where a gauge's estimate is cut before it is compared with the grid, which ends at 245: beyond it
// differences of squares lose their digits.
const mostRatio = 1e6

// likelihood returns the log likelihood at every ratio; scratch is where it is made when it is not kept.
// A gauge's is in units of the baseline's mean, so that its scale does not matter.
func (c *comparison) likelihood(kind judge.Kind, scratch *[gridSize]float64) *[gridSize]float64 {
	if kind == judge.Counts {
		return &c.logLik
	}
	c.tally.likelihood(kind, scratch)
	return scratch
}

// likelihood writes the log likelihood of an objective (Poisson with a known rate) or a gauge (normal, asymptotic
// as in Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, Ann. Statist. 52 (2024), 2613–2640), both functions of
// the totals.
func (t *tally) likelihood(kind judge.Kind, to *[gridSize]float64) {
	if kind == judge.Objective {
		for j := range to {
			to[j] = t.total[0]*logRatios[j] - t.total[3]*ratios[j]
		}
		return
	}
	clear(to[:])
	if t.total[2] <= 0 {
		return
	}
	r := max(min(t.ratio(kind), mostRatio), -mostRatio)
	for j := range to {
		to[j] = -float64(t.looks) * (r - ratios[j]) * (r - ratios[j]) / 2
	}
}
