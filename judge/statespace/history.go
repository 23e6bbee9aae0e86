package statespace

import "math"

// Lengths are the lengths, in seconds, of the blocks whose sums tell how a rate wanders.
var Lengths = [wandering]float64{60, 300, 900}

// Blocks are sums over the blocks of one length that show how much a rate varies beyond chance. Those of several
// releases add up.
type Blocks struct {
	// Squares sums the squared deviations from what was expected, Variance what chance makes of them, Weight the squares
	// of that; Fourth the fourth powers. Count is how many blocks there are.
	Squares, Variance, Weight, Fourth float64
	Count                             float64
}

// Add adds a block: how far it is from what was expected, and the variance that chance gives it.
func (b *Blocks) Add(deviation, variance float64) {
	if variance <= 0 {
		return
	}
	v2 := variance * variance
	b.Squares += deviation * deviation
	b.Variance += variance
	b.Weight += v2
	b.Fourth += v2 * v2
	b.Count++
}

// Plus is the sum of two.
func (b Blocks) Plus(o Blocks) Blocks {
	return Blocks{b.Squares + o.Squares, b.Variance + o.Variance, b.Weight + o.Weight, b.Fourth + o.Fourth, b.Count + o.Count}
}

// Upper is an upper bound of the relative variance beyond what chance makes of events that come so many together: low
// is the normal quantile of the chance that the truth is above it. ok is false where there are too few blocks.
func (b Blocks) Upper(low, clusters float64) (v float64, ok bool) {
	if b.Weight <= 0 || b.Count < 2 {
		return 0, false
	}
	k := max(b.Weight*b.Weight/b.Fourth-1, 1.5) // as many degrees of freedom as the blocks are worth
	return max((b.Squares*k/chiSquared(low, k)-clusters*b.Variance)/b.Weight, 0), true
}

// chiSquared is the quantile of χ² with k degrees of freedom, by Wilson and Hilferty's cube root; low is the normal
// quantile.
func chiSquared(low, k float64) float64 {
	c := 2 / (9 * k)
	return k * math.Pow(max(1-c+low*math.Sqrt(c), 0.01), 3)
}

// Quantiles of the normal distribution: 10% and 5%.
const (
	Low10 = -1.2815515655446004
	Low5  = -1.6448536269514722
)

// share is how much of a wandering's variance is left in the mean over a block: h its length, tau its memory.
func share(h, tau float64) float64 {
	x := h / tau
	return 2 / (x * x) * (x - 1 + math.Exp(-x))
}

// tied is the difference in what they miss below which two explanations are equally good.
const tied = 1e-9

// Fit is the variance of the logarithm at each memory that explains the relative variances of block means: non-negative
// least squares, in relative terms. Blocks of a length that there is nothing of are left out (below 0).
func Fit(upper [wandering]float64) [wandering]float64 {
	best, out := math.Inf(1), [wandering]float64{}
	for set := range 1 << wandering {
		x, ok := solve(upper, set)
		if !ok {
			continue
		}
		miss := 0.0
		for i, v := range upper {
			if v < 0 {
				continue
			}
			sum := 0.0
			for j, xj := range x {
				sum += xj * share(Lengths[i], forgetting[j])
			}
			d := (sum - v) / max(v, 1e-4)
			miss += d * d
		}
		if miss < best-tied { // of those that explain as much the first, of short memory
			best, out = miss, x
		}
	}
	for j := range out {
		out[j] = math.Log1p(min(out[j], 4))
	}
	return out
}

// solve is least squares over the memories of a set; ok is false if one of them came out negative.
func solve(upper [wandering]float64, set int) (x [wandering]float64, ok bool) {
	var a [wandering][wandering + 1]float64
	n := 0
	var of [wandering]int
	for j := range wandering {
		if set&(1<<j) != 0 {
			of[n] = j
			n++
		}
	}
	for i, v := range upper {
		if v < 0 {
			continue
		}
		w := 1 / max(v, 1e-4)
		for p := range n {
			gp := w * share(Lengths[i], forgetting[of[p]])
			for q := range n {
				a[p][q] += gp * w * share(Lengths[i], forgetting[of[q]])
			}
			a[p][wandering] += gp * w * v
		}
	}
	for p := range n { // Gauss and Jordan's elimination; the matrix is positive definite
		if a[p][p] <= 1e-12 {
			return x, false
		}
		for q := range n {
			if q == p {
				continue
			}
			f := a[q][p] / a[p][p]
			for c := p; c < n; c++ {
				a[q][c] -= f * a[p][c]
			}
			a[q][wandering] -= f * a[p][wandering]
		}
	}
	for p := range n {
		v := a[p][wandering] / a[p][p]
		if v < 0 {
			return x, false
		}
		x[of[p]] = v
	}
	return x, true
}
