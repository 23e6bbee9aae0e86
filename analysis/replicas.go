package analysis

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
	"time"

	"github.com/serindev/serin/judge"
)

// ReplicasOver is how far back the replicas of the version in service are compared with each other: long enough for
// a drift of minutes to show, short enough for one query of raw samples.
const ReplicasOver = 2 * time.Hour

// Replicas asks what the replicas of the version in service did over the last hours. They are one version, so what
// differs between them is noise: it is what a first release begins with (spec/sequential-judge.md, Learned noise).
// The zero value asks nothing. It is read only and may be used by several goroutines.
type Replicas struct {
	interval time.Duration
	groups   []replicated
}

// replicated are the metrics whose replicas are told apart by the same label.
type replicated struct {
	label string
	plan  Plan // both of its arms are the version in service
	// canary are the inputs of the arm in the canary's place, baseline those of the other that measure the same, or
	// none for a metric with a fixed baseline.
	canary, baseline []int
}

// NewReplicas binds those metrics of a definition that say how their replicas are told apart, and that include
// returns true for, to the version in service. The errors are those of [NewPlan].
func NewReplicas(def Definition, stable Names, include func(metric string) bool) (Replicas, error) {
	def = def.Defaults()
	byLabel := map[string][]Metric{}
	for _, m := range def.Metrics {
		if m.Replicas != "" && include(m.Name) {
			byLabel[m.Replicas] = append(byLabel[m.Replicas], m)
		}
	}
	out := Replicas{interval: def.Interval}
	for _, label := range slices.Sorted(maps.Keys(byLabel)) {
		def.Metrics, def.Split.Off = byLabel[label], true
		plan, err := newPlan(def, Arms{Canary: stable, Baseline: stable})
		if err != nil {
			return Replicas{}, err
		}
		g := replicated{label: label, plan: plan}
		for _, r := range plan.metrics {
			g.keep(r.canary.main, r.baseline.main)
			g.keep(r.canary.events, r.baseline.events)
		}
		out.groups = append(out.groups, g)
	}
	return out, nil
}

// keep remembers two inputs that measure the same.
func (g *replicated) keep(canary, baseline int) {
	if canary == none || slices.Contains(g.canary, canary) {
		return
	}
	g.canary, g.baseline = append(g.canary, canary), append(g.baseline, baseline)
}

// Asks says what has to be asked for the hours that end at a time; nothing if there is no metric to learn of.
func (r Replicas) Asks(to time.Time) []Ask {
	var asks []Ask
	from := to.Add(-ReplicasOver)
	for _, g := range r.groups {
		for _, i := range g.canary {
			in := g.plan.inputs[i]
			a := Ask{Template: in.template, Value: in.value, cursor: &Cursor{}, id: in.id, fresh: true, after: from.UnixMilli()}
			a.Template.Instant = false // a gauge's past is asked for at once
			a.absent = a.after - Stale.Milliseconds()
			a.From, a.To = time.UnixMilli(a.absent).UTC(), time.UnixMilli(to.UnixMilli()).UTC()
			asks = append(asks, a)
		}
	}
	return asks
}

// Looks are what a release of some of the replicas against the others would have looked at, several divisions of
// them, one after the other; answers are those to [Replicas.Asks]. The error says of which metrics nothing can be
// learned, and why; the looks of the others are returned all the same.
func (r Replicas) Looks(answers []Answer, to time.Time) ([][]judge.Look, error) {
	var out [][]judge.Look
	var errs []error
	for _, g := range r.groups {
		n := min(len(g.canary), len(answers))
		looks, err := g.looks(answers[:n], to, r.interval)
		out, errs, answers = append(out, looks...), append(errs, err), answers[n:]
	}
	return out, errors.Join(errs...)
}

func (g *replicated) looks(answers []Answer, to time.Time, interval time.Duration) ([][]judge.Look, error) {
	for i, a := range answers {
		if a.Err != nil {
			return nil, fmt.Errorf("replicas by the label %s: %s: %w", g.label, g.plan.inputs[g.canary[i]].text, a.Err)
		}
	}
	names := g.names(answers, to)
	if len(names) < 2 {
		return nil, fmt.Errorf("replicas by the label %s: %d of them, there have to be two at least", g.label, len(names))
	}
	var out [][]judge.Look
	for _, d := range divisions(len(names)) {
		chosen := map[string]bool{}
		for i, name := range names {
			chosen[name] = d[i]
		}
		out = append(out, g.compare(answers, chosen, to, interval))
	}
	return out, nil
}

// names are the replicas that are there at the end, ascending: one that is gone may have been an earlier version.
func (g *replicated) names(answers []Answer, to time.Time) []string {
	seen := map[string]bool{}
	for _, a := range answers {
		for _, s := range a.Series {
			name := s.Labels.Get(g.label)
			if n := len(s.Samples); name != "" && n > 0 && to.UnixMilli()-s.Samples[n-1].T <= Stale.Milliseconds() {
				seen[name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// divisions are up to six ways to divide n replicas, true for the canary's place: one of them against all others, as
// with a small weight, and half of them against the other half.
func divisions(n int) [][]bool {
	var out [][]bool
	add := func(chosen func(i int) bool) {
		d := make([]bool, n)
		for i := range d {
			d[i] = chosen(i)
		}
		out = append(out, d)
	}
	alone := min(n, 3)
	if n == 2 {
		alone = 1 // the other way round says the same
	}
	for k := range alone {
		add(func(i int) bool { return i == k })
	}
	if n >= 4 {
		for partner := 1; partner <= 3; partner++ { // of four replicas the three ways to make two pairs
			add(func(i int) bool { return i%4 == 0 || i%4 == partner })
		}
	}
	return out
}

// compare takes the looks of one division.
func (g *replicated) compare(answers []Answer, chosen map[string]bool, to time.Time, interval time.Duration) []judge.Look {
	begin := to.Add(-ReplicasOver)
	sides := make([]Answer, len(g.plan.inputs)) // the whole of what each input has
	for k, a := range answers {
		g.divide(sides, k, a, chosen)
	}
	cursor := NewCursor(begin)
	var out []judge.Look
	for at := begin.Add(interval); !at.After(to); at = at.Add(interval) {
		cut := make([]Answer, len(sides))
		for i, ask := range g.plan.Asks(cursor, at) {
			cut[i] = Answer{Series: within(sides[i].Series, ask), Scrapes: sides[i].Scrapes}
		}
		var l judge.Look
		cursor, l = g.plan.Fold(cursor, cut, FoldInput{Number: len(out) + 1, At: at, Weight: 0.5})
		out = append(out, l)
	}
	return out
}

// divide hands each series of the k-th answer to the input of its side.
func (g *replicated) divide(sides []Answer, k int, a Answer, chosen map[string]bool) {
	for _, s := range a.Series {
		mine, known := chosen[s.Labels.Get(g.label)]
		i := g.canary[k]
		if known && !mine {
			i = g.baseline[k]
		}
		if known && i != none {
			sides[i].Series = append(sides[i].Series, s)
			sides[i].Scrapes = a.Scrapes
		}
	}
}

// within cuts out of whole series what a source would have answered to an ask.
func within(series []Series, a Ask) []Series {
	from, to := a.From.UnixMilli(), a.To.UnixMilli()
	if a.Template.Instant {
		from = to - Stale.Milliseconds()
	}
	var out []Series
	for _, s := range series {
		i := firstAfter(s.Samples, from)
		j := i + sort.Search(len(s.Samples)-i, func(j int) bool { return s.Samples[i+j].T > to })
		if i < j {
			out = append(out, Series{Labels: s.Labels, Samples: s.Samples[i:j:j]})
		}
	}
	return out
}
