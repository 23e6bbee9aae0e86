package analysis

import (
	"math"
	"slices"
	"sort"
	"strconv"
	"time"
)

// firstAfter is the index of the first sample after t, or the number of samples.
func firstAfter(samples []Sample, t int64) int {
	return sort.Search(len(samples), func(i int) bool { return samples[i].T > t })
}

// tally is what one input counted in one look.
type tally struct {
	err     error
	refused bool
	// held: it was answered, but waits for the rest of its group.
	held bool
	// alive: one of its series has a sample that is not stale at the end of the window.
	alive bool
	// series are those of the answer, and counts holds what each of them counted, in the same order. For a histogram
	// that is the number of all observations; below has the numbers up to each bound.
	series []Series
	counts []float64
	below  [][]float64
	// odd is how many samples were skipped because a counter cannot have their values.
	odd int
	// hint is that of the answer.
	hint string
	// repeated is one scraping of a process that is already counted through another; empty if there is none.
	repeated string
}

func (t *tally) belowOf(i int) []float64 {
	if t.below == nil {
		return nil
	}
	return t.below[i]
}

// counter counts one ask's series into a cursor.
type counter struct {
	ask     Ask
	scrapes map[Target][]int64
	points  map[uint64]point
	low     map[uint64]low
	fallen  map[uint64]fall
	repeats map[uint64]repeat
	last    int64 // the time of the last sample, in the look's time
	odd     int
}

// step is how a sample relates to the previous one.
type step int

const (
	base       step = iota // nothing is known of the time before it
	whole                  // the counter began again: all of it counts
	difference             // it went on
	unsure                 // it is lower, perhaps because another server answered: not counted yet
)

// If two Prometheus servers share an address, either may answer, and each scrapes at its own times, so a sample of the
// other one can be a little lower than the last. Between two answers a value therefore counts as a reset only if it is
// far below the previous one, or if the series stays below for longer than the views of the two servers can differ.
const (
	// Skew bounds that difference: of their clocks, and the time that a scrape takes.
	Skew = time.Minute
	// farBelow is the least value of a counter for which losing more than half is a drop that no skew explains.
	farBelow = 20
)

// fell classifies a sample that is lower than the last one of its series. before is the value of the previous sample in
// the same answer, negative if there is none.
func (c *counter) fell(id uint64, p, x point, before float64) step {
	l, was := c.low[id]
	switch {
	case x.v < before, x.t-p.t >= Skew.Milliseconds(), p.v >= farBelow && x.v < p.v/2, was && x.t-l.since >= Skew.Milliseconds():
		return whole
	case !was:
		c.low[id] = low{since: x.t, input: c.ask.id}
	}
	return unsure
}

// beganAgain reports whether samples that were already counted show that a series began again: it also fell within one
// server's view. Only samples around the time of the fall matter; earlier falls were counted when they happened.
func (c *counter) beganAgain(id uint64, s Series, until int64) bool {
	l, was := c.low[id]
	before := -1.0
	for _, x := range s.Samples {
		t, v := x.T+c.ask.shift, x.total()
		if !was || t > until {
			break
		}
		if v < before && t > l.since-Skew.Milliseconds() {
			return true
		}
		before = v
	}
	return false
}

// restarts records when each target of an answer last began again: one of its series fell within one server's view, or
// too far for any skew.
func (c *counter) restarts(series []Series) {
	for _, s := range series {
		target, ok := targetID(c.ask.id, s.Labels)
		if !ok {
			continue
		}
		p, known := c.points[seriesID(c.ask.id, s.Labels)]
		far := known // whether p may come from another server
		for _, x := range s.Samples {
			now := point{x.T + c.ask.shift, x.total()}
			if !(now.v >= 0) || known && now.t <= p.t || !known && now.t <= c.ask.after {
				continue
			}
			if known && (far && p.v >= farBelow && now.v < p.v/2 || !far && now.v < p.v) && now.t > c.fallen[target].at {
				c.fallen[target] = fall{before: p.t, at: now.t}
			}
			p, known, far = now, true, false
		}
	}
}

// targetID identifies the target of a series within an input; ok is false if the series does not name its target.
func targetID(input uint64, l Labels) (id uint64, ok bool) {
	t, ok := TargetOf(l)
	return hash(hash(input, t.Job), t.Instance), ok
}

// beganWithItsTarget reports whether a series began again together with its target before it came back at t, although
// by now it may be above its last value p: another series of the target, scraped together with this one until then,
// fell in a scrape from which this one was missing.
func (c *counter) beganWithItsTarget(l Labels, p point, t int64) bool {
	target, ok := targetID(c.ask.id, l)
	f, fell := c.fallen[target]
	return ok && fell && p.t == f.before && f.at < t
}

// walk goes through the samples of one series that have not been counted, stores the last one, and calls visit for each
// with its kind and what it adds.
func (c *counter) walk(id uint64, s Series, visit func(x Sample, how step, adds float64)) {
	p, known := c.points[id]
	counted, before := known, -1.0 // counted before this answer
	began := known && c.beganAgain(id, s, p.t)
	for _, x := range s.Samples {
		t, v := x.T+c.ask.shift, x.total()
		if math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
			c.odd++
			continue
		}
		c.last = max(c.last, t)
		if !known && !c.ask.fresh && t <= c.ask.after {
			continue // only asked for because of another series
		}
		if known && t <= p.t { // counted already, or out of order
			if t == p.t && v == p.v {
				before = v
			}
			continue
		}
		how := difference
		switch {
		case !counted && c.ask.fresh && t <= c.ask.after: // before counting began
			how = base
		case !known && !c.scraped(s.Labels, c.ask.absent, t):
			how = base
		case !known:
			how = whole
		case t-p.t > Stale.Milliseconds() && c.scraped(s.Labels, p.t+Stale.Milliseconds()-1, t):
			how = whole
		case began:
			how, began = whole, false
		case c.beganWithItsTarget(s.Labels, p, t):
			how = whole
		case v < p.v:
			how = c.fell(id, p, point{t, v}, before)
		}
		before = v
		if how == unsure {
			visit(x, how, 0)
			p.t = t // the value to exceed stays
			continue
		}
		delete(c.low, id)
		switch how {
		case base, unsure:
			visit(x, how, 0)
		case whole:
			visit(x, how, v)
		case difference:
			visit(x, how, v-p.v)
		}
		p, known = point{t, v}, true
	}
	if known {
		c.points[id] = p
	}
}

// float counts a series of plain values.
func (c *counter) float(id uint64, s Series) float64 {
	sum := 0.0
	c.walk(id, s, func(_ Sample, _ step, adds float64) { sum += adds })
	return sum
}

// native counts a native histogram: all observations, and those up to each bound. The total shows when the histogram
// began again. The number up to a bound can also shrink because buckets were merged, which is no reset.
func (c *counter) native(id uint64, s Series, bounds []float64) (all float64, below []float64) {
	below = make([]float64, len(bounds))
	before := make([]float64, len(bounds))
	ids := make([]uint64, len(bounds))
	for j, bound := range bounds {
		ids[j] = hash(id, strconv.FormatFloat(bound, 'g', -1, 64))
		before[j] = c.points[ids[j]].v
	}
	c.walk(id, s, func(x Sample, how step, adds float64) {
		all += adds
		for j, bound := range bounds {
			now := x.H.AtMost(bound)
			switch how {
			case unsure:
				continue
			case base:
			case whole:
				below[j] += now
			case difference:
				below[j] += min(max(now-before[j], 0), adds)
			}
			before[j] = now
		}
	})
	if p, ok := c.points[id]; ok {
		for j := range ids {
			c.points[ids[j]] = point{p.t, before[j]}
		}
	}
	return all, below
}

// scraped reports whether a scrape of the series' target succeeded between two times, both exclusive.
func (c *counter) scraped(l Labels, from, to int64) bool {
	target, ok := TargetOf(l)
	if !ok {
		return false
	}
	times := c.scrapes[target]
	i := sort.Search(len(times), func(i int) bool { return times[i]+c.ask.shift > from })
	return i < len(times) && times[i]+c.ask.shift < to
}

// pass skips an answer whose group is incomplete. The next ask begins where this one did, or moves on from its end.
func (in *input) pass(a Ask, on bool, next *Cursor) {
	k := next.asked[in.id]
	k.until = a.after
	if on {
		k.until, k.answered = a.To.UnixMilli()+a.shift, false
	}
	next.asked[in.id] = k
}

// count counts an answer into next.
func (in *input) count(a Ask, answer Answer, bounds []float64, next *Cursor) tally {
	if answer.Err != nil {
		// Not answered: the next look asks from the same time. Refused: a smaller window may be accepted, so the next
		// one begins at this one's end; the values before the gap still count.
		in.pass(a, answer.Refused, next)
		return tally{err: answer.Err, refused: answer.Refused}
	}
	before := next.asked[in.id]
	c := counter{ask: a, scrapes: answer.Scrapes, points: next.series, low: next.low, fallen: next.fallen, repeats: next.repeats, last: before.seen}
	t := tally{series: answer.Series, counts: make([]float64, len(answer.Series))}
	if len(bounds) > 0 {
		t.below = make([][]float64, len(answer.Series))
	}
	c.restarts(answer.Series)
	var skip []bool
	skip, t.repeated = c.repeated(answer.Series)
	for i, s := range answer.Series {
		id := seriesID(in.id, s.Labels)
		if len(bounds) > 0 && isNative(s) { // without bounds, a histogram is its number of observations
			t.counts[i], t.below[i] = c.native(id, s, bounds)
		} else {
			t.counts[i] = c.float(id, s)
		}
		if skip != nil && skip[i] { // its last sample is kept in case the other scraping ends
			t.counts[i] = 0
			clear(t.belowOf(i))
		}
	}
	to := a.To.UnixMilli() + a.shift
	t.odd = c.odd
	t.alive = c.last > 0 && to-c.last <= Stale.Milliseconds()
	next.asked[in.id] = asked{until: to, seen: c.last, answered: true}
	return t
}

// isNative reports whether all samples are native histograms. A series that changed its type within a window counts as
// plain, each histogram with its number of observations.
func isNative(s Series) bool {
	return len(s.Samples) > 0 && !slices.ContainsFunc(s.Samples, func(x Sample) bool { return x.H == nil })
}

// total is the sample's value, or a histogram's number of observations.
func (s Sample) total() float64 {
	if s.H != nil {
		return s.H.Count
	}
	return s.V
}
