package analysis

import (
	"cmp"
	"maps"
	"math"
	"slices"

	"github.com/serindev/serin/judge"
)

// longestValue is the longest value of a label, in bytes, that has a place of its own.
const longestValue = 256

// others is the value under which all values without a place of their own are counted.
const others = ""

// byValue holds the counts of a metric by the values of its label, for the canary and the baseline.
type byValue map[string]*[2]judge.Arm

func (d byValue) add(value string, arm int, bad, total float64) {
	if bad == 0 && total == 0 {
		return
	}
	if len(value) > longestValue {
		value = others
	}
	if d[value] == nil {
		d[value] = &[2]judge.Arm{}
	}
	a := &d[value][arm]
	a.Bad, a.Total = a.Bad+bad, a.Total+total
}

// parts divides the counts of a metric by the values of its label. Whether a value gets a place of its own is decided
// by its exposure when it first occurs, and never changes, so that both arms are always divided in the same way.
func (p *Plan) parts(r *reading, tallies []tally, next *Cursor) []judge.Part {
	d := byValue{}
	p.divide(r, &r.canary, tallies, d, 0)
	if !p.alone {
		p.divide(r, &r.baseline, tallies, d, 1)
	}
	exposure := func(value string) float64 { return d[value][0].Total + d[value][1].Total }
	values := slices.SortedFunc(maps.Keys(d), func(a, b string) int {
		return cmp.Or(cmp.Compare(exposure(b), exposure(a)), cmp.Compare(a, b))
	})
	places := next.values[r.metric.Name]
	var parts []judge.Part
	var rest judge.Part
	for _, value := range values {
		at := slices.Index(places, value)
		if at < 0 && value != others && len(places) < r.metric.Values {
			places = append(slices.Clip(places), value)
			at = len(places) - 1
		}
		if at < 0 {
			plus(&rest.Canary, d[value][0])
			plus(&rest.Baseline, d[value][1])
			continue
		}
		parts = append(parts, judge.Part{Value: value, Canary: d[value][0], Baseline: d[value][1]})
	}
	if rest.Canary.Total+rest.Baseline.Total > 0 {
		parts = append(parts, rest)
	}
	if len(places) > 0 {
		if next.values == nil {
			next.values = map[string][]string{}
		}
		next.values[r.metric.Name] = places
	}
	return parts
}

// divide counts one arm by the values of the label.
func (p *Plan) divide(r *reading, a *armInputs, tallies []tally, into byValue, arm int) {
	main := &tallies[a.main]
	if _, slow := r.metric.Source.(Slow); slow {
		p.divideSlow(r, a, main, into, arm)
		return
	}
	for i, s := range main.series {
		bad := 0.0
		if a.split && main.counts[i] != 0 && matchesAll(a.part, s.Labels) {
			bad = main.counts[i]
		}
		into.add(s.Labels.Get(r.metric.By), arm, bad, main.counts[i])
	}
	if !a.split {
		events := &tallies[a.events]
		for i, s := range events.series {
			into.add(s.Labels.Get(r.metric.By), arm, events.counts[i], 0)
		}
	}
}

// divideSlow counts the requests above the bound: for a classic histogram, all requests minus those up to the bound.
func (p *Plan) divideSlow(r *reading, a *armInputs, main *tally, into byValue, arm int) {
	counted := byValue{}
	at := slices.Index(p.bounds[a.main], a.bounds[0])
	for i, s := range main.series {
		value := s.Labels.Get(r.metric.By)
		if below := main.belowOf(i); below != nil {
			counted.add(value, arm, main.counts[i]-below[at], main.counts[i])
			continue
		}
		switch bound, ok := parseBound(s.Labels.Get("le")); {
		case !ok:
		case math.IsInf(bound, 1):
			counted.add(value, arm, main.counts[i], main.counts[i])
		case bound == a.bounds[0]:
			counted.add(value, arm, -main.counts[i], 0)
		}
	}
	for value, c := range counted {
		into.add(value, arm, max(c[arm].Bad, 0), c[arm].Total)
	}
}

func plus(to *judge.Arm, a judge.Arm) {
	to.Bad, to.Total = to.Bad+a.Bad, to.Total+a.Total
}
