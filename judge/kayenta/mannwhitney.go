package kayenta

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Interval is a confidence interval and an estimate of the shift between two arms, in their unit. The root finder has an
// absolute error of about 1e-4: below that the bounds mean little and may even cross.
type Interval struct {
	Lower, Upper float64
	// Estimate is the reference's Hodges-Lehmann estimate, the shift at which the standardized rank sum crosses 0.
	Estimate float64
}

// ErrAllTied is returned by [MannWhitney] if all points are tied at some shift that it has to test.
var ErrAllTied = errors.New("all observations are tied")

// ErrInput is returned by [MannWhitney] for an empty arm, or a level that is not between 0 and 1.
var ErrInput = errors.New("two arms with points and a level between 0 and 1 are needed")

// MannWhitney estimates by how much x (m points, the canary) lies above y (n points, the baseline), with a two-sided
// confidence interval at the given level. Both may be in any order and are not changed; NaN ranks as +Inf. There is no
// exact branch for small arms: it uses the normal approximation with continuity correction throughout. Results agree
// with the reference's to the bit at the levels 0.9, 0.95, 0.98 and 0.99, and to about 1e-9 at others.
//
// It costs O(m+n) memory, and time O((m+n) log(m+n)) plus O(m+n) for each of some forty shifts.
//
// Mann and Whitney, Ann. Math. Statist. 18 (1947), 50–60; Hollander and Wolfe, Nonparametric Statistical Methods,
// 2nd ed. (1999), sections 4.1 to 4.3. The form is that of R's wilcox.test with exact = FALSE, conf.int = TRUE, except
// that the reference keeps the continuity correction in the estimate.
func MannWhitney(x, y []float64, level float64) (Interval, error) {
	if len(x) == 0 || len(y) == 0 || !(level > 0 && level < 1) {
		return Interval{}, fmt.Errorf("compare %d with %d points at level %v: %w", len(x), len(y), level, ErrInput)
	}
	i, ok := newRankSum(x, y).interval(level)
	if !ok {
		return Interval{}, fmt.Errorf("compare %d with %d points: %w", len(x), len(y), ErrAllTied)
	}
	return i, nil
}

// quantile is z for a two-sided interval: the normal quantile at 1-(1-level)/2. For the levels in use the values are the
// reference's doubles, because the last bit moves the point at which the root finder stops. (The reference's test suite
// prints 1.9599639845400536 for 0.95; with that value 85 of the golden bounds differ in their last bits.)
func quantile(level float64) float64 {
	switch level {
	case 0.9:
		return 1.644853626951473
	case 0.95:
		return 1.959963984540054
	case 0.98:
		return 2.326347874040841
	case 0.99:
		return 2.5758293035489004
	}
	return math.Sqrt2 * math.Erfinv(level)
}

// rankSum is the standardized rank sum of x-d in the joint sample with y, as a function of the shift d. It is a step
// function that falls from a positive to a negative value.
type rankSum struct {
	x, y []float64 // ascending, -0 before 0, NaN as +Inf
	keys []uint64  // the keys of y; nil until they are needed
	tied bool      // whether all points were tied at some tested shift
	// plain means that all points are finite and none is -0, so that they can be compared directly.
	plain bool
	// For walk: the ties among y alone and, for the last shift, how many of y lie below each of x. Shifts within reach of
	// the last one start from there.
	tiesY         float64
	below         []int32
	walked, reach float64
	// The ends of the bracket and the values there, which are needed repeatedly.
	ends   [2]uint64
	atEnds [2]float64
	ended  [2]bool
	// The last tested shift and its value: with infinities the root finder stays at one shift for all of its 1,001 rounds.
	last   uint64
	value  float64
	cached bool
	// Memory for sorting and counting, reused for the next two arms.
	floats []float64
	ints   []int32
}

func newRankSum(x, y []float64) *rankSum {
	w := &rankSum{}
	w.reset(x, y)
	return w
}

// reset replaces the arms and reuses the memory.
func (w *rankSum) reset(x, y []float64) {
	*w = rankSum{floats: w.floats, ints: w.ints}
	m, n := len(x), len(y)
	floats := room(&w.floats, m+n)
	ints := room(&w.ints, m+entries(max(m, n)))
	w.x, w.y = floats[:m], floats[m:]
	if w.plain = sortPlain(w.x, x, ints[m:]) && sortPlain(w.y, y, ints[m:]); !w.plain {
		w.x, w.y = ascending(x), ascending(y)
	}
	lo, hi := w.bracket()
	w.ends = [2]uint64{key(lo), key(hi)}
	if !w.plain {
		return
	}
	w.below, w.walked, w.reach = ints[:m], math.Inf(1), 2*(hi-lo)/float64(n)
	w.tiesY = tiesOf(w.y)
}

// steady reports that no shift in the bracket can make different points of x tie: two points that are further apart than
// the last bit of any shifted point stay apart.
func (w *rankSum) steady() bool {
	lo, hi := w.bracket()
	size := max(-w.x[0], w.x[len(w.x)-1]) + max(-lo, hi)
	return w.plain && len(w.x)+len(w.y) <= mostExact && smallestStep(w.x) > 0x1p-51*size
}

// room returns n entries of memory with arbitrary content, growing it if needed.
func room[T any](memory *[]T, n int) []T {
	*memory = slices.Grow((*memory)[:0], n)
	return (*memory)[:n]
}

// mostExact is the number of points up to which sums of ties are exact, in any order.
const mostExact = 200_000

// interval finds the bounds and the estimate within the bracket.
func (w *rankSum) interval(level float64) (i Interval, ok bool) {
	i = Interval{Lower: w.lower(level), Upper: w.upper(level), Estimate: w.estimate()}
	return i, !w.tied
}

func (w *rankSum) lower(level float64) float64 { return w.bound(quantile(level)) }
func (w *rankSum) upper(level float64) float64 { return w.bound(-quantile(level)) }

func (w *rankSum) estimate() float64 {
	lo, hi := w.bracket()
	return zeroin(w.at, lo, hi)
}

// bracket returns the shifts below and above which x-d lies wholly above or below y.
func (w *rankSum) bracket() (lo, hi float64) {
	return w.x[0] - w.y[len(w.y)-1], w.x[len(w.x)-1] - w.y[0]
}

// bound returns the shift at which the standardized rank sum falls below z, or an end of the bracket.
func (w *rankSum) bound(z float64) float64 {
	lo, hi := w.bracket()
	f := func(d float64) float64 { return w.at(d) - z }
	if f(lo) <= 0 {
		return lo
	}
	if f(hi) >= 0 {
		return hi
	}
	return zeroin(f, lo, hi)
}

// at returns the standardized rank sum at shift d, with average ranks for ties and continuity correction. Points tie if
// they are exactly equal after the subtraction. If all points are tied, it sets tied and returns NaN from then on.
//
// Subtracting the same d keeps x in order even after rounding, so one pass over both arms is enough: O(m+n) without
// allocation.
func (w *rankSum) at(d float64) float64 {
	if w.tied {
		return math.NaN()
	}
	k := key(d)
	if w.cached && k == w.last {
		return w.value
	}
	for i, end := range w.ends {
		if k != end {
			continue
		}
		if !w.ended[i] {
			w.atEnds[i], w.ended[i] = w.standardized(d), true
		}
		return w.atEnds[i]
	}
	w.value = w.standardized(d)
	w.last, w.cached = k, true
	return w.value
}

// standardized is at without the cache.
func (w *rankSum) standardized(d float64) float64 {
	m, n := float64(len(w.x)), float64(len(w.y))
	ranks, ties := w.rank(d)
	sigma := w.deviation(ties)
	above := ranks - m*(m+1)/2 - m*n/2
	if sigma == 0 {
		w.tied = true
		return math.NaN()
	}
	var correction float64
	switch {
	case above > 0:
		correction = 0.5
	case above < 0:
		correction = -0.5
	}
	return (above - correction) / sigma
}

// deviation returns the standard deviation of the rank sum, given the sum of t³-t over its groups of t ties.
func (w *rankSum) deviation(ties float64) float64 {
	m, n := float64(len(w.x)), float64(len(w.y))
	return math.Sqrt(m * n / 12 * ((m + n + 1) - ties/((m+n)*(m+n-1))))
}

// rank returns the sum of the average ranks of x-d in the joint sample, and the sum of t³-t over its groups of t ties. The
// first is exact below 2⁵³, the second as long as groups are smaller than 200,000.
//
//	x-d     1 2 2 5         group  1   2 2 2    3   5
//	y       2 3             rank   1   3 3 3    5   6     ranks = 1+3+3+6, ties = 3³-3
func (w *rankSum) rank(d float64) (ranks, ties float64) {
	if w.plain && math.Abs(d) <= mostShift { // walk compares differences, so none of them may be NaN
		return w.walk(d)
	}
	if w.keys == nil {
		w.keys = make([]uint64, len(w.y))
		for i, v := range w.y {
			w.keys[i] = key(v)
		}
	}
	x, y := w.x, w.keys
	var twice int64 // the sum of ranks, doubled
	i, j := 0, 0
	next := key(x[0] - d)
	for i < len(x) || j < len(y) {
		before, ofX := i+j, i
		group := next
		if i == len(x) || j < len(y) && y[j] < next {
			group = y[j]
		}
		for i < len(x) && next == group {
			i++
			if i < len(x) {
				next = key(x[i] - d)
			}
		}
		for j < len(y) && y[j] == group {
			j++
		}
		t := i + j - before
		twice += int64(i-ofX) * int64(2*before+t+1)
		if t > 1 {
			size := float64(t)
			ties += float64(size*size*size) - size
		}
	}
	return float64(twice) / 2, ties
}

// walk is rank for plain arms. It passes over x only and finds the place of each point among y, starting from its place at
// the last shift if that is near: late in the root finder's rounds hardly any point moves.
func (w *rankSum) walk(d float64) (ranks, ties float64) {
	x, y := w.x, w.y
	near := math.Abs(d-w.walked) <= w.reach
	w.walked = d
	ties = w.tiesY
	var twice int64 // the sum of ranks, doubled
	below := 0      // points of y
	next := x[0] - d
	for i := 0; i < len(x); {
		v, group := next, i
		if near {
			below = max(below, int(w.below[i]))
			for below > 0 && y[below-1] >= v {
				below--
			}
		}
		for below < len(y) && y[below] < v {
			below++
		}
		for i < len(x) && next == v {
			w.below[i] = int32(below) //nolint:gosec // an arm has fewer than 2³¹ points
			if i++; i < len(x) {
				next = x[i] - d
			}
		}
		n := i - group
		if below < len(y) && y[below] == v {
			equals := equal(y, below)
			ties += tie(n+equals) - tie(equals)
			twice += int64(n) * int64(2*(group+below)+n+equals+1)
			continue
		}
		if n > 1 {
			ties += tie(n)
		}
		twice += int64(n) * int64(2*(group+below)+n+1)
	}
	return float64(twice) / 2, ties
}

// cles returns the common language effect size: how often a point of x is above one of y, counting ties as half.
//
// McGraw and Wong, A common language effect size statistic, Psychol. Bull. 111 (1992), 361–365. The reference
// multiplies 32-bit integers here and fails for arms of 32,768 points or more; that is not copied.
func (w *rankSum) cles() float64 {
	ranks, _ := w.rank(0)
	m, n := float64(len(w.x)), float64(len(w.y))
	return (2*ranks - m*(m+1)) / (2 * m * n)
}
