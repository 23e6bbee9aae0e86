package kayenta

import (
	"math"
	"slices"
)

// mostPlain is the size of points, and mostShift that of shifts, up to which all differences stay finite.
const (
	mostPlain = 1e300
	mostShift = 1e301
)

// cells is how many cells there are for each point when points are sorted, and crowded how many points may share one
// before that is not worth it.
const (
	cells   = 2
	crowded = 24
)

// entries is how many entries the cells of n points take.
func entries(n int) int { return cells*n + 3 }

// sortPlain fills sorted, of the same length, with the points of arm, ascending. It cuts their range into cells of one
// width, twice as many as there are points, and start gets how many points lie in the cells before each: O(n) unless
// most points are in few cells. It is false, and sorted is meaningless, if points cannot be compared as they are:
// unless all are finite and none is -0.
func sortPlain(sorted, arm []float64, start []int32) bool {
	lo, hi := arm[0], arm[0]
	for _, v := range arm {
		if !(math.Abs(v) <= mostPlain) || math.Float64bits(v) == 1<<63 {
			return false
		}
		if v < lo {
			lo = v
		}
		if v > hi {
			hi = v
		}
	}
	scale := float64(cells*len(arm)) / (hi - lo)
	if !(scale <= mostPlain) { // all in one cell
		scale = 0
	}
	start = start[:entries(len(arm))] // two entries more than cells
	clear(start)
	for _, v := range arm {
		start[int((v-lo)*scale)+2]++
	}
	var before, fullest int32
	for i, n := range start {
		before += n
		start[i] = before
		fullest = max(fullest, n)
	}
	for _, v := range arm {
		next := &start[int((v-lo)*scale)+1] // ends as the start of the cell after v's
		sorted[*next] = v
		*next++
	}
	if fullest > crowded {
		slices.Sort(sorted)
		return true
	}
	for i := 1; i < len(sorted); i++ { // hardly any point has to move far
		v, j := sorted[i], i
		for ; j > 0 && sorted[j-1] > v; j-- {
			sorted[j] = sorted[j-1]
		}
		sorted[j] = v
	}
	return true
}

// ascending returns a sorted by key, so that -0 comes before 0 and NaNs are +Inf.
func ascending(a []float64) []float64 {
	sorted := make([]float64, len(a))
	for i, v := range a {
		if math.IsNaN(v) {
			v = math.Inf(1)
		}
		sorted[i] = v
	}
	slices.Sort(sorted) // which treats -0 and 0 as the same
	first, _ := slices.BinarySearch(sorted, 0)
	zeros := sorted[first:]
	for i, v := range zeros {
		if v != 0 {
			zeros = zeros[:i]
			break
		}
	}
	negative := 0
	for _, v := range zeros {
		if math.Signbit(v) {
			negative++
		}
	}
	for i := range zeros {
		zeros[i] = 0
		if i < negative {
			zeros[i] = math.Copysign(0, -1)
		}
	}
	return sorted
}

// key is an integer in the order of v: equal for ties only, -0 below 0, NaN as +Inf.
func key(v float64) uint64 {
	const sign = 1 << 63
	if v != v {
		v = math.Inf(1)
	}
	bits := math.Float64bits(v)
	if bits&sign != 0 {
		return ^bits // negative doubles grow towards 0 with falling bits
	}
	return bits | sign
}

// equal is how many points of a sorted arm are equal from index i on.
func equal(sorted []float64, i int) int {
	n := 1
	for i+n < len(sorted) && sorted[i+n] == sorted[i] {
		n++
	}
	return n
}

// tie is t³-t, exact below 200,000.
func tie(t int) float64 {
	size := float64(t)
	return float64(size*size*size) - size
}

// tiesOf is the sum of t³-t over the groups of t ties in a sorted arm.
func tiesOf(sorted []float64) (ties float64) {
	for i := 0; i < len(sorted); {
		n := equal(sorted, i)
		ties += tie(n)
		i += n
	}
	return ties
}

// smallestStep is that between two points of a sorted arm that are not equal, +Inf if all are.
func smallestStep(sorted []float64) float64 {
	step := math.Inf(1)
	for i := 1; i < len(sorted); i++ {
		if d := sorted[i] - sorted[i-1]; d > 0 && d < step {
			step = d
		}
	}
	return step
}
