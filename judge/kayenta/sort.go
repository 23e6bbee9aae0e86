package kayenta

import (
	"math"
	"slices"
)

// mostPlain bounds points, and mostShift shifts, so that all differences stay finite.
const (
	mostPlain = 1e300
	mostShift = 1e301
)

// cells is the number of cells per point for sorting. If more than crowded points share a cell, sorting by cells is not
// worth it.
const (
	cells   = 2
	crowded = 24
)

// entries is the number of entries that sortPlain needs in start for n points.
func entries(n int) int { return cells*n + 3 }

// sortPlain fills sorted, which has the length of arm, with its points in ascending order. It divides their range into
// cells of equal width, twice as many as points, and counts in start how many points lie before each cell: O(n) unless
// most points share a few cells. It returns false, and sorted is meaningless, if points cannot be compared directly
// because one is not finite or -0.
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
		next := &start[int((v-lo)*scale)+1] // in the end, the start of the cell after v's
		sorted[*next] = v
		*next++
	}
	if fullest > crowded {
		slices.Sort(sorted)
		return true
	}
	for i := 1; i < len(sorted); i++ { // insertion sort: points are out of order only within a cell
		v, j := sorted[i], i
		for ; j > 0 && sorted[j-1] > v; j-- {
			sorted[j] = sorted[j-1]
		}
		sorted[j] = v
	}
	return true
}

// ascending returns a sorted by key: -0 comes before 0, and NaNs become +Inf.
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

// key maps v to an integer in the same order: equal only for ties, with -0 below 0 and NaN as +Inf.
func key(v float64) uint64 {
	const sign = 1 << 63
	if v != v {
		v = math.Inf(1)
	}
	bits := math.Float64bits(v)
	if bits&sign != 0 {
		return ^bits // the bits of negative doubles are in reverse order
	}
	return bits | sign
}

// equal returns how many points of a sorted arm, from index i on, equal the one at i.
func equal(sorted []float64, i int) int {
	n := 1
	for i+n < len(sorted) && sorted[i+n] == sorted[i] {
		n++
	}
	return n
}

// tie returns t³-t, exact for t below 200,000.
func tie(t int) float64 {
	size := float64(t)
	return float64(size*size*size) - size
}

// tiesOf sums t³-t over the groups of t ties in a sorted arm.
func tiesOf(sorted []float64) (ties float64) {
	for i := 0; i < len(sorted); {
		n := equal(sorted, i)
		ties += tie(n)
		i += n
	}
	return ties
}

// smallestStep returns the smallest distance between two different points of a sorted arm, +Inf if there are none.
func smallestStep(sorted []float64) float64 {
	step := math.Inf(1)
	for i := 1; i < len(sorted); i++ {
		if d := sorted[i] - sorted[i-1]; d > 0 && d < step {
			step = d
		}
	}
	return step
}
