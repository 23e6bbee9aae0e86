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
	if b.Weight <= 0 || b.Fourth <= 0 || b.Count < 2 {
		return 0, false
	}
	k := max(b.Weight*b.Weight/b.Fourth-1, 1.5) // as many degrees of freedom as the blocks are worth
	return max((b.Squares*k/chiSquared(low, k)-clusters*b.Variance)/b.Weight, 0), true
}

// Inflate is by how much the upper bound of a variance, 90%, exceeds its estimate with so many degrees of freedom.
func Inflate(freedom float64) float64 { return freedom / chiSquared(Low10, freedom) }

// Surely says whether the rate varies beyond chance with all but certainty, and not only perhaps.
func (b Blocks) Surely(clusters float64) bool {
	if b.Weight <= 0 || b.Fourth <= 0 || b.Count < 2 {
		return false
	}
	k := max(b.Weight*b.Weight/b.Fourth-1, 1.5)
	return b.Squares*k/chiSquared(High1, k) > clusters*b.Variance
}

// chiSquared is the quantile of χ² with k degrees of freedom, by Wilson and Hilferty's cube root; low is the normal
// quantile.
func chiSquared(low, k float64) float64 {
	c := 2 / (9 * k)
	return k * math.Pow(max(1-c+low*math.Sqrt(c), 0.01), 3)
}

// Quantiles of the normal distribution: 10%, 5% and 99%.
const (
	Low10 = -1.2815515655446004
	Low5  = -1.6448536269514722
	High1 = 2.3263478740408408
)

// share is how much of a wandering's variance is left in the mean over a block: h its length, tau its memory.
func share(h, tau float64) float64 {
	x := h / tau
	return 2 / (x * x) * (x - 1 + math.Exp(-x))
}

// tied is the difference in what they miss below which two explanations are equally good, unexplained what wandering may
// miss before something without memory is looked for.
const (
	tied        = 1e-9
	unexplained = 0.03
)

// causes are what can explain how a rate varies: the wanderings, and what has no memory.
const causes = wandering + 1

// shown is how much of a cause's variance is left in the mean over a block: of what has no memory in proportion to a
// minute.
func shown(block, cause int) float64 {
	if cause == wandering {
		return Lengths[0] / Lengths[block]
	}
	return share(Lengths[block], forgetting[cause])
}

// Varies is the relative variance of the means over blocks of a length, an index of [Lengths], of a rate whose logarithm
// wanders so.
func Varies(wander [wandering]float64, length int) (v float64) {
	for j, w := range wander {
		v += math.Expm1(w) * shown(length, j)
	}
	return v
}

// Apart is the variance of the log ratio of two good versions, as their mean over so many seconds shows it.
func (m *Model) Apart(seconds float64) float64 {
	v := m.Arm * m.Arm
	for j, w := range m.Wander {
		v += w * share(seconds, forgetting[j])
	}
	return v
}

// Apart is how much the means of minutes differ from that of so many of them, of what wanders so.
func Apart(wander [wandering]float64, minutes float64) (v float64) {
	for j, w := range wander {
		v += w * (share(Lengths[0], forgetting[j]) - share(minutes*Lengths[0], forgetting[j]))
	}
	return v
}

// Fit is the variance of the logarithm at each memory that explains the relative variances of block means: non-negative
// least squares, in relative terms. Blocks of a length that there is nothing of are left out (below 0). Where wandering
// does not explain them, events come together, too: minute is the relative variance of that over a minute.
func Fit(upper [wandering]float64) (wander [wandering]float64, minute float64) {
	x, miss := least(upper, 1<<wandering)
	if miss > unexplained {
		x, _ = least(upper, 1<<causes)
	}
	return logVariances(&x), x[wandering]
}

func logVariances(x *[causes]float64) (wander [wandering]float64) {
	for j := range wander {
		wander[j] = math.Log1p(min(x[j], 4))
	}
	return wander
}

// least is the best explanation by the causes below a number of sets of them, and what it misses.
func least(upper [wandering]float64, sets int) (out [causes]float64, best float64) {
	best = math.Inf(1)
	for set := range sets {
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
				sum += xj * shown(i, j)
			}
			d := (sum - v) / max(v, 1e-4)
			miss += d * d
		}
		if miss < best-tied { // of those that explain as much the first, of short memory
			best, out = miss, x
		}
	}
	return out, best
}

// solve is least squares over the causes of a set; ok is false if one of them came out negative, or they cannot be told
// apart.
func solve(upper [wandering]float64, set int) (x [causes]float64, ok bool) {
	var a [causes][causes + 1]float64
	n := 0
	var of [causes]int
	for j := range causes {
		if set&(1<<j) != 0 {
			of[n] = j
			n++
		}
	}
	if n > wandering {
		return x, false
	}
	for i, v := range upper {
		if v < 0 {
			continue
		}
		w := 1 / max(v, 1e-4)
		for p := range n {
			gp := w * shown(i, of[p])
			for q := range n {
				a[p][q] += gp * w * shown(i, of[q])
			}
			a[p][causes] += gp * w * v
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
			a[q][causes] -= f * a[p][causes]
		}
	}
	for p := range n {
		v := a[p][causes] / a[p][p]
		if v < 0 {
			return x, false
		}
		x[of[p]] = v
	}
	return x, true
}
