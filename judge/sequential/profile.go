package sequential

import (
	"math"

	"github.com/serindev/serin/judge"
)

// profile is a comparison ready to be asked: the likelihood of every ratio and the noise that it is tempered by.
type profile struct {
	logLik  *[gridSize]float64
	spreads [groupLengths]spread
	n       int // how many spreads
	peak    int // index of the largest likelihood
}

func newProfile(kind judge.Kind, t *tally, logLik *[gridSize]float64, p supposition) profile {
	f := profile{logLik: logLik}
	f.spreads, f.n = t.noise(kind, p)
	for j, l := range logLik {
		if l > logLik[f.peak] {
			f.peak = j
		}
	}
	return f
}

// phi is the noise that is reported: the largest over the group lengths.
func (f *profile) phi() float64 {
	phi := f.spreads[0].phi
	for _, s := range f.spreads[1:f.n] {
		phi = max(phi, s.phi)
	}
	return phi
}

// above is the logarithm of the e-value against "the ratio is at most that of index i", below against "at least".
// It is a mixture of likelihood ratios over the grid beyond i, tempered by the noise; the smallest over the group
// lengths counts. One-sided nulls by monotone likelihood ratio.
//
// Robbins, Statistical methods related to the law of the iterated logarithm, Ann. Math. Statist. 41 (1970),
// 1397–1409; Howard, Ramdas, McAuliffe and Sekhon, Time-uniform, nonparametric, nonasymptotic confidence
// sequences, Ann. Statist. 49 (2021), 1055–1080.
func (f *profile) above(i int) float64 { return f.evidence(i, i+1, gridSize, above[i]) }
func (f *profile) below(i int) float64 { return f.evidence(i, 0, i, below[i]) }

// evidence is log Σ π_j exp(g_j) − log mass over lo ≤ j < hi, the smallest over the group lengths; 0 where that is
// empty.
func (f *profile) evidence(i, lo, hi int, mass float64) float64 {
	if lo >= hi {
		return 0
	}
	least := math.Inf(1)
	for _, s := range f.spreads[:f.n] {
		least = min(least, f.mixture(i, lo, hi, s))
	}
	return least - math.Log(mass)
}

// negligible is how far below the largest a term of a sum may be before it is left out: 129 times exp(−45) is
// below the last bit.
const negligible = -45

func (f *profile) mixture(i, lo, hi int, s spread) float64 {
	var g [gridSize]float64
	most := math.Inf(-1)
	for j := lo; j < hi; j++ {
		g[j] = s.temper(f.logLik[j] - f.logLik[i])
		most = max(most, g[j])
	}
	sum := 0.0
	for j := lo; j < hi; j++ {
		if d := g[j] - most; d > negligible {
			sum += prior[j] * math.Exp(d)
		}
	}
	return most + math.Log(sum)
}

// temper divides a log likelihood ratio by the noise, with Student's correction where it speaks for the
// alternative: the variance is an estimate.
func (s spread) temper(logRatio float64) float64 {
	g := logRatio / s.phi
	if g > 0 {
		g = s.dof / 2 * math.Log1p(2*g/s.dof)
	}
	return g
}

// lower is the lower end of the confidence sequence: the first ratio of which "at most that" is not rejected at
// level exp(−threshold); upper the upper end. The ends of the grid mean that nothing is excluded. They are drawn,
// never decided on.
func (f *profile) lower(threshold float64) float64 {
	for i := range gridSize {
		if !f.rejects(i, i+1, gridSize, threshold+math.Log(above[i])) {
			return ratios[i]
		}
	}
	return ratios[gridSize-1]
}

func (f *profile) upper(threshold float64) float64 {
	for i := gridSize - 1; i >= 0; i-- {
		if !f.rejects(i, 0, i, threshold+math.Log(below[i])) {
			return ratios[i]
		}
	}
	return ratios[0]
}

// rejects reports whether log Σ π_j exp(g_j) reaches the threshold at every group length. The sum is left as soon
// as it does, which is mostly at the peak.
func (f *profile) rejects(i, lo, hi int, threshold float64) bool {
	if lo >= hi {
		return false
	}
	for _, s := range f.spreads[:f.n] {
		if !f.reaches(i, lo, hi, s, threshold) {
			return false
		}
	}
	return true
}

func (f *profile) reaches(i, lo, hi int, s spread, threshold float64) bool {
	term := func(j int) float64 {
		return prior[j] * math.Exp(s.temper(f.logLik[j]-f.logLik[i])-threshold)
	}
	if f.peak >= lo && f.peak < hi && term(f.peak) >= 1 {
		return true
	}
	sum := 0.0
	for j := lo; j < hi; j++ {
		if sum += term(j); sum >= 1 {
			return true
		}
	}
	return false
}
