package kayenta

import (
	"math"
	"math/bits"
	"slices"
)

// places finds how many points of y lie below each point of x-d, for one shift d after the other, and costs the less
// the nearer the shifts come to each other. Rounding included, x-d falls as d grows, and so does the number below:
//
//	shift    from    d    to       each point's place at d lies between those at from and to, so only these are
//	below    7    7..4    4        searched, and a point of which both are the same is never looked at again
//
// A root finder's shifts are nested, and most of them come when but a few differences x-y are left between from and
// to. A shift outside of them begins anew.
type places struct {
	x []float64 // ascending, no two equal
	y []float64 // the same, then some +Inf, so that a search by halves may look beyond the end
	n int       // of y without these
	// If points were equal: for each of x how many they were, for each place how many of y were below. Else nil.
	weights, counts []int32
	// grid is where to look in all of y.
	grid grid
	// from and to are the nearest shifts answered below and above last, which is the one answered last.
	from, to, last answered
	// valid says that last holds an answer: there is none where points of both arms tie.
	valid bool
	// Once few differences are left: the points of x with differences between from and to, how many lie below all
	// others, and the rounds in which the widest of the spans is searched.
	narrow bool
	spans  []span
	fixed  int64
	rounds int
}

// answered is a shift, the place of each of x among y there, and the sum of these places.
type answered struct {
	shift float64
	at    []int32
	sum   int64
}

// span is a point of x, given by its index, of which the place is from lo to hi, and at at the shift asked last.
type span struct {
	x             float64
	i, lo, hi, at int32
}

// walked is down to how many points a cell is searched by halves. The rest is walked, as most cells hold hardly any.
const walked = 16

// few is how many differences for each point of x may be left for points to be looked at by their spans.
const few = 1

// merge makes one of points that are equal: otherwise a jump of many differences at once, as between two arms with many
// zeros, would stay between from and to for ever. x and y are ascending; floats has room for both arms and what follows
// y, ints for both and one more.
func (p *places) merge(x, y, floats []float64, ints []int32) {
	p.x, p.weights = floats[:0:len(x)], ints[:0:len(x)]
	for i, n := 0, 0; i < len(x); i += n {
		n = equal(x, i)
		p.x, p.weights = append(p.x, x[i]), append(p.weights, int32(n)) //nolint:gosec // an arm has fewer than 2³¹ points
	}
	p.y, p.counts = floats[len(x):len(x)], ints[len(x):len(x)]
	for j, n := 0, 0; j < len(y); j += n {
		n = equal(y, j)
		p.y, p.counts = append(p.y, y[j]), append(p.counts, int32(j)) //nolint:gosec // as above
	}
	p.n = len(p.y)
	p.counts = append(p.counts, int32(len(y))) //nolint:gosec // as above
	p.grid.sort(p.y, p.y)                      // where each point is already
}

// below is how many points lie below those of x with index i if their place is this.
func (p *places) below(i, place int32) int64 {
	if p.counts == nil {
		return int64(place)
	}
	return int64(p.weights[i]) * int64(p.counts[place])
}

// restart forgets all shifts.
func (p *places) restart() {
	p.from.shift, p.from.sum = math.Inf(-1), int64(len(p.x))*int64(p.n)
	p.to.shift, p.to.sum = math.Inf(1), 0
	for i := range p.from.at {
		p.from.at[i] = int32(p.n) //nolint:gosec // an arm has fewer than 2³¹ points
	}
	clear(p.to.at)
	p.valid, p.narrow = false, false
}

// ask is the sum over x-d of how many of y lie below. It is false if at d a point of one arm ties with one of the
// other. d is finite.
func (p *places) ask(d float64) (below int64, ok bool) {
	if !(d > p.from.shift && d < p.to.shift) {
		p.restart()
	}
	above := p.valid && d > p.last.shift
	under := p.valid && d < p.last.shift
	switch {
	case above:
		p.from, p.last = p.last, p.from
	case under:
		p.to, p.last = p.last, p.to
	}
	if !p.narrow && p.from.sum-p.to.sum <= few*int64(len(p.x)) {
		p.gather()
		above, under = false, false // the spans are the newest already
	}
	if p.narrow {
		p.tighten(above, under)
		below, ok = p.askSpans(d)
	} else {
		p.last.sum, ok = p.askAll(d)
		below = p.last.sum
		if ok && p.counts != nil {
			below = 0
			for i, place := range p.last.at {
				below += int64(p.weights[i]) * int64(p.counts[place])
			}
		}
	}
	p.last.shift, p.valid = d, ok
	return below, ok
}

// askAll finds the places of all points, and their sum. It is false, and stops, at the first tie.
func (p *places) askAll(d float64) (sum int64, ok bool) {
	x, y, first, top := p.x, p.y, p.y[0], p.y[p.n-1]
	at := p.last.at[:len(x)]
	i := 0
	for ; i < len(x) && x[i]-d < first; i++ {
		at[i] = 0
	}
	g := p.grid
	half := 1 << g.rounds >> 1
	for ; i < len(x); i++ {
		v := x[i] - d
		if v > top {
			break
		}
		place := search(y, v, int(g.start[g.cell(v)]), half, walked)
		place += less(y[place], v) + less(y[place+1], v)
		if y[place] <= v { // seldom
			for y[place] < v {
				place++
			}
			if y[place] == v {
				return 0, false
			}
		}
		at[i] = int32(place) //nolint:gosec // an arm has fewer than 2³¹ points
		sum += int64(place)
	}
	sum += int64(len(x)-i) * int64(p.n)
	for ; i < len(x); i++ {
		at[i] = int32(p.n) //nolint:gosec // as above
	}
	return sum, true
}

// search is how many of y lie below v, less than least more than that: from place on in steps of half, a quarter and
// so on down to least. The comparison is a number instead of a jump, which could not be predicted.
func search(y []float64, v float64, place, half, least int) int {
	for step := half; step >= least; step >>= 1 {
		place += step & -less(y[place+step-1], v)
	}
	return place
}

// less is 1 if a is less than b, else 0.
func less(a, b float64) int {
	if a < b {
		return 1
	}
	return 0
}

// gather makes the spans of what is known at from and to.
func (p *places) gather() {
	p.narrow, p.fixed = true, 0
	lows, highs := p.to.at[:len(p.x)], p.from.at[:len(p.x)]
	p.spans = slices.Grow(p.spans[:0], len(p.x))[:len(p.x)]
	kept := 0
	var widest int32
	for i, v := range p.x {
		lo, hi := lows[i], highs[i]
		p.spans[kept] = span{x: v, i: int32(i), lo: lo, hi: hi} //nolint:gosec // as elsewhere
		open := opened(lo, hi)
		kept += open
		p.fixed += p.below(int32(i), lo) & int64(open-1) //nolint:gosec // as elsewhere
		widest = max(widest, hi-lo)
	}
	p.spans = p.spans[:kept]
	p.rounds = bits.Len32(uint32(widest)) //nolint:gosec // not negative
}

// opened is 1 if there is a choice between lo and hi, else 0.
func opened(lo, hi int32) int {
	if lo < hi {
		return 1
	}
	return 0
}

// tighten cuts the spans at the shift asked last: above if the next one lies above it, under if below.
func (p *places) tighten(above, under bool) {
	if !above && !under {
		return
	}
	kept := 0
	var widest int32
	for _, s := range p.spans {
		if above {
			s.hi = s.at
		} else {
			s.lo = s.at
		}
		p.spans[kept] = s
		open := opened(s.lo, s.hi)
		kept += open
		p.fixed += p.below(s.i, s.lo) & int64(open-1)
		widest = max(widest, s.hi-s.lo)
	}
	p.spans = p.spans[:kept]
	p.rounds = bits.Len32(uint32(widest)) //nolint:gosec // not negative
}

// askSpans is ask by looking at the spans.
func (p *places) askSpans(d float64) (below int64, ok bool) {
	below = p.fixed
	half := 1 << p.rounds >> 1
	for i := range p.spans {
		s := &p.spans[i]
		v := s.x - d
		place := search(p.y, v, int(s.lo), half, 1)
		if p.y[place] == v {
			return 0, false
		}
		s.at = int32(place) //nolint:gosec // an arm has fewer than 2³¹ points
		below += p.below(s.i, s.at)
	}
	return below, true
}
