package kayenta

import (
	"math"
	"math/bits"
	"slices"
)

// mostPlain is the size of points, and mostShift that of shifts, up to which all differences stay finite.
const (
	mostPlain = 1e300
	mostShift = 1e301
)

// cells is how many cells a grid has for each point.
const cells = 2

// crowded is how many points may share a cell before sorting by cells is not worth it.
const crowded = 24

// grid says near which index of a sorted arm a value is to be found: it cuts the range of the arm into twice as many
// cells of one width as there are points.
type grid struct {
	first, scale float64
	// start of a cell is how many points lie in the cells before it; two more entries are needed while sorting.
	start []int32
	// rounds is in how many halvings the fullest cell is searched.
	rounds int
}

// cell is that of v, which lies in the arm's range. It never falls as v grows, rounding included.
func (g *grid) cell(v float64) int { return int((v - g.first) * g.scale) }

// sort fills sorted with the points of arm, ascending, and the grid with their places; both have room for them. It
// does nothing and is false if they cannot be compared as they are: if not all are finite and none of them -0.
func (g *grid) sort(sorted, arm []float64) bool {
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
	g.first, g.scale = lo, float64(cells*len(arm))/(hi-lo)
	if !(g.scale <= mostPlain) { // all in one cell
		g.scale = 0
	}
	g.start = g.start[:cells*len(arm)+3]
	clear(g.start)
	for _, v := range arm {
		g.start[g.cell(v)+2]++
	}
	var before, fullest int32
	for i, n := range g.start {
		before += n
		g.start[i] = before
		fullest = max(fullest, n)
	}
	for _, v := range arm {
		next := &g.start[g.cell(v)+1] // ends as the start of the cell after v's
		sorted[*next] = v
		*next++
	}
	g.rounds = bits.Len32(uint32(fullest)) //nolint:gosec // not negative
	if fullest > crowded {
		slices.Sort(sorted)
		return true
	}
	for i := 1; i < len(sorted); i++ { // hardly any point has far to go
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
	slices.Sort(sorted) // to which -0 and 0 are the same
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

// tiesOf is the sum of t³-t over the groups of t ties in a sorted arm, and the smallest step between two groups, +Inf
// for one group.
func tiesOf(sorted []float64) (ties, step float64) {
	step = math.Inf(1)
	run := 1
	for i := 1; i < len(sorted); i++ {
		d := sorted[i] - sorted[i-1]
		if d == 0 {
			run++
			continue
		}
		if d < step {
			step = d
		}
		if run > 1 {
			ties += tie(run)
			run = 1
		}
	}
	return ties + tie(run), step
}
