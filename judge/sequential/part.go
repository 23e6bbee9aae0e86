package sequential

import (
	"math"
	"slices"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/judge/statespace"
)

// wholeShare is the share of the whole in the mean of e-values, for a metric that is also judged by the values of a
// label. The values share the rest equally. The mean is an e-value however the values depend on each other, and a value
// that appears in the middle of a release begins with the share reserved for it.
const wholeShare = 0.5

// none is the index for "no value".
const none = -1

// mostText is the longest value in bytes; a longer one is counted among the others.
const mostText = 256

// part is one value of a metric's label By or, if empty, all values without a place of their own.
type part struct {
	value       string
	comparisons []comparison // one a question
}

// teach adds a value's blocks to those from which later releases learn.
func (p *part) teach(to *judge.Past) {
	for k := range to.Parts {
		b := statespace.Blocks(to.Parts[k]).Plus(p.comparisons[0].teaches[k].blocks)
		to.Parts[k] = judge.Blocks(b)
	}
}

// place is the index of a value among the parts, in the order of appearance. When all places are taken, the other
// values share one.
func (m *metric) place(r *record, value string) int {
	find := func(value string) int {
		return slices.IndexFunc(r.parts, func(p part) bool { return p.value == value })
	}
	if i := find(value); i >= 0 {
		return i
	}
	taken := len(r.parts)
	if find("") >= 0 {
		taken--
	}
	if value != "" && (taken >= m.Values || len(value) > mostText) {
		return m.place(r, "")
	}
	r.parts = append(r.parts, part{value: value, comparisons: make([]comparison, len(m.questions))})
	return len(r.parts) - 1
}

// countParts counts a look for each value that has occurred; for one without data only the time advances.
func (m *metric) countParts(r *record, parts []judge.Part, s seen) {
	s.part, s.rules = true, 0
	sums := make([]judge.Observation, 0, len(parts)+len(r.parts))
	for i := range parts {
		p := &parts[i]
		if !m.usable(p.Canary) || !m.usable(p.Baseline) {
			continue
		}
		at := m.place(r, p.Value)
		for len(sums) <= at {
			sums = append(sums, judge.Observation{})
		}
		sum(&sums[at].Canary, p.Canary)
		sum(&sums[at].Baseline, p.Baseline)
	}
	model := m.model(&r.partNoise)
	for i := range r.parts {
		if i >= len(sums) {
			sums = append(sums, judge.Observation{})
		}
		for k, q := range m.questions {
			c, s := &r.parts[i].comparisons[k], s
			if !c.begun { // a value with its first requests may be cold, too
				s.starts = 1
			}
			c.add(m, q, model, r.partNoise.learned, m.row(q, &sums[i]), s)
		}
	}
}

func sum(to *judge.Arm, a judge.Arm) {
	to.Bad += a.Bad
	to.Total += a.Total
}

// waitParts advances the time without data.
func (m *metric) waitParts(r *record, seconds float64) {
	if len(r.parts) == 0 {
		return
	}
	model := m.model(&r.partNoise)
	for i := range r.parts {
		for k := range r.parts[i].comparisons {
			r.parts[i].comparisons[k].wait(&model, seconds)
		}
	}
}

// askParts adds the evidence of the values to that of the whole, for the questions from lo up to hi. A place that no
// value has taken counts with its stake. A value is shown if the evidence against it exceeds the whole stake.
func (m *metric) askParts(r *record, lo, hi int, d *direction) {
	model := m.model(&r.partNoise)
	most := max(0, d.Worse+math.Log(m.whole*m.questions[d.shown].share))
	empty := m.part * float64(m.Values+1-len(r.parts))
	if empty > 0 {
		d.worse = statespace.LogAdd(d.worse, math.Log(empty))
	}
	for i := range r.parts {
		for k := lo; k < hi; k++ {
			f := r.parts[i].comparisons[k].find(m, &model, 0)
			weighed := f.Worse + math.Log(m.questions[k].share*m.part)
			d.worse = statespace.LogAdd(d.worse, weighed)
			if weighed > most {
				most, d.finding, d.shown, d.part = weighed, f, k, i
			}
		}
	}
}

// supposeParts returns the assumed noise of single values: that of all values pooled if a past has it, otherwise that
// of the whole, until the release shows more.
func supposeParts(m *metric, pasts []judge.Past) noise {
	var of []judge.Past
	for _, p := range pasts {
		if p.Parts != ([len(statespace.Lengths)]judge.Blocks{}) {
			p.Blocks = p.Parts
			of = append(of, p)
		}
	}
	if len(of) > 0 {
		return suppose(m, of)
	}
	n := suppose(m, pasts)
	n.learned = false
	return n
}

// compareParts fills in how the rates of the values wander, each around its own mean.
func compareParts(h *judge.History, p *judge.Past) {
	for i := range h.Parts {
		for k, b := range blocksOf(&h.Parts[i], h.Seconds) {
			p.Parts[k] = judge.Blocks(statespace.Blocks(p.Parts[k]).Plus(statespace.Blocks(b)))
		}
	}
}

// partFields codes the fields of the values: their number, then the fields of each.
func (r *record) partFields(m *metric, version byte, c coder) {
	r.partNoise.fields(version, c)
	n := len(r.parts)
	c.uint(&n, m.Values+1)
	for i := range n {
		if i >= len(r.parts) { // being read
			r.parts = append(r.parts, part{comparisons: make([]comparison, len(m.questions))})
		}
		p := &r.parts[i]
		c.text(&p.value, mostText)
		for k := range p.comparisons {
			p.comparisons[k].fields(m, &r.partNoise, false, version, c)
		}
	}
}

// soundParts reports whether the decoded values are possible: all different, with possible beliefs.
func (m *metric) soundParts(r *record) bool {
	model := m.model(&r.partNoise)
	seen := map[string]bool{}
	for i := range r.parts {
		p := &r.parts[i]
		if seen[p.value] {
			return false
		}
		seen[p.value] = true
		for k := range p.comparisons {
			if !p.comparisons[k].sound(&model) {
				return false
			}
		}
	}
	return len(r.parts) <= m.Values || seen[""]
}
