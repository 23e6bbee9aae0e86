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

// How far back the history of the version in service goes, how long each part is, and how finely it is summed up.
const (
	HistoryOver = 24 * time.Hour
	HistoryPart = MaxWindow
	historyStep = time.Minute
)

// mostReplicas bounds how many replicas a history distinguishes: more would add no information.
const mostReplicas = 32

// mostClusters bounds how many groups of users a history distinguishes.
const mostClusters = 256

// History asks for the record of the version in service before a release, and sums it up by the minute. As it is a
// single version, the wandering of its rates and the differences of its replicas are noise (docs/statistics.md). The
// zero value asks nothing.
type History struct {
	parts []past
	sums  map[string]*summed
}

// summed holds the minutes of one metric, in total and for each replica, from the first minute on.
type summed struct {
	all      judge.Sums
	replicas map[string]*judge.Sums
	parts    map[string]*judge.Sums // by value of the metric's label By
}

// reach extends a replica's sums to n minutes, with zeros for those in which it did not exist.
func reach(s *judge.Sums, n int) {
	for len(s.Total) < n {
		s.Bad, s.Total = append(s.Bad, 0), append(s.Total, 0)
	}
}

// past groups the metrics whose replicas are distinguished by the same label.
type past struct {
	label  string // empty if they cannot be distinguished
	most   int    // how many are distinguished at most
	plan   Plan   // both arms are the version in service; only the canary is asked for
	inputs []int
	bounds map[string]int // of a histogram: the index of the bound that is counted
}

// NewHistory binds the metrics of a definition that count requests to the version in service. Gauges have no history,
// because the looks show how they wander; nor do means, for which it does not matter. The errors are those of [NewPlan].
func NewHistory(def Definition, stable Names) (History, error) {
	def = def.Defaults()
	byLabel := map[string][]Metric{}
	for _, m := range def.Metrics {
		if !m.ownUnit() {
			label := m.replicas()
			byLabel[label] = append(byLabel[label], m)
		}
	}
	out := History{sums: map[string]*summed{}}
	for _, label := range slices.Sorted(maps.Keys(byLabel)) {
		def.Metrics, def.Split.Off = byLabel[label], true
		plan, err := newPlan(def, Arms{Canary: stable, Baseline: stable})
		if err != nil {
			return History{}, err
		}
		plan.alone = true
		p := past{label: label, most: mostReplicas, plan: plan, bounds: map[string]int{}}
		for i := range plan.metrics {
			r := &plan.metrics[i]
			if r.metric.Clusters != "" {
				p.most = mostClusters
			}
			for _, input := range []int{r.canary.main, r.canary.events} {
				if input != none && !slices.Contains(p.inputs, input) {
					p.inputs = append(p.inputs, input)
				}
			}
			if d, ok := r.metric.Source.(Distribution); ok {
				p.bounds[r.metric.Name] = nearestBound(d)
			}
		}
		out.parts = append(out.parts, p)
	}
	return out, nil
}

// nearestBound is the bound at which the history of a whole distribution is counted: that of the objective, or the
// middle one.
func nearestBound(d Distribution) int {
	best := len(d.Bounds) / 2
	if d.Nearest == 0 {
		return best
	}
	for i, b := range d.Bounds {
		if gap(b, d.Nearest) < gap(d.Bounds[best], d.Nearest) {
			best = i
		}
	}
	return best
}

func gap(a, b float64) float64 { return max(a-b, b-a) }

// TellsReplicas reports whether the history of a metric may tell the replicas of the version in service apart.
func (d Definition) TellsReplicas() bool {
	return slices.ContainsFunc(d.Metrics, func(m Metric) bool { return m.Clusters == "" && m.replicas() != "" })
}

// replicas is the label that distinguishes the replicas of the version in service. A gateway labels its metrics with
// its own replicas, which say nothing about those of the service.
func (m *Metric) replicas() string {
	switch {
	case m.Clusters != "":
		return m.Clusters
	case m.Replicas != "":
		return m.Replicas
	}
	var selectors []Selector
	switch s := m.Source.(type) {
	case Ratio:
		selectors = []Selector{s.Total}
	case Slow:
		selectors = []Selector{s.Histogram}
	case Distribution:
		selectors = []Selector{s.Histogram}
	case Mean, Gauge:
	}
	if slices.ContainsFunc(selectors, ofGateway) {
		return ""
	}
	return "instance"
}

// Parts returns the ends of the parts that are asked for one after the other, the oldest first; the last one is at.
func (h *History) Parts(to time.Time) []time.Time {
	var out []time.Time
	if len(h.parts) == 0 {
		return nil
	}
	for back := HistoryOver - HistoryPart; back >= 0; back -= HistoryPart {
		out = append(out, to.Add(-back))
	}
	return out
}

// Asks returns the asks for the part with the given end.
func (h *History) Asks(to time.Time) []Ask {
	var asks []Ask
	from := to.Add(-HistoryPart)
	for _, p := range h.parts {
		for _, i := range p.inputs {
			in := p.plan.inputs[i]
			a := Ask{Template: in.template, Value: in.value, cursor: &Cursor{}, id: in.id, fresh: true, after: from.UnixMilli()}
			a.absent = a.after - Stale.Milliseconds()
			a.From, a.To = time.UnixMilli(a.absent).UTC(), time.UnixMilli(to.UnixMilli()).UTC()
			asks = append(asks, a)
		}
	}
	return asks
}

// Add sums up the answers to [History.Asks] for the part with the given end; parts are added the oldest first. The
// error names the metrics that are missing from this part, and why.
func (h *History) Add(answers []Answer, to time.Time) error {
	var errs []error
	for i := range h.parts {
		p := &h.parts[i]
		n := min(len(p.inputs), len(answers))
		errs = append(errs, h.add(p, answers[:n], to))
		answers = answers[n:]
	}
	return errors.Join(errs...)
}

func (h *History) add(p *past, answers []Answer, to time.Time) error {
	for i, a := range answers {
		if a.Err != nil {
			return fmt.Errorf("the past of %s: %w", p.plan.inputs[p.inputs[i]].text, a.Err)
		}
	}
	for _, o := range p.minutes(answers, to, func(Labels) bool { return true }) {
		of := h.sums[o.metric]
		if of == nil {
			of = &summed{replicas: map[string]*judge.Sums{}, parts: map[string]*judge.Sums{}}
			h.sums[o.metric] = of
		}
		for _, part := range o.parts {
			s := of.parts[part.Value]
			if s == nil {
				s = &judge.Sums{}
				of.parts[part.Value] = s
			}
			reach(s, len(of.all.Total))
			s.Bad, s.Total = append(s.Bad, part.Canary.Bad), append(s.Total, part.Canary.Total)
		}
		of.all.Bad, of.all.Total = append(of.all.Bad, o.bad), append(of.all.Total, o.total)
	}
	names := p.names(answers)
	if p.label == "" || len(names) < 2 {
		return nil
	}
	for _, name := range names[:min(len(names), p.most)] {
		for _, o := range p.minutes(answers, to, func(l Labels) bool { return l.Get(p.label) == name }) {
			of := h.sums[o.metric]
			r := of.replicas[name]
			if r == nil {
				r = &judge.Sums{}
				of.replicas[name] = r
			}
			reach(r, len(of.all.Total)-o.left)
			r.Bad, r.Total = append(r.Bad, o.bad), append(r.Total, o.total)
		}
	}
	return nil
}

// names returns the replicas, in ascending order.
func (p *past) names(answers []Answer) []string {
	seen := map[string]bool{}
	for _, a := range answers {
		for _, s := range a.Series {
			if name := s.Labels.Get(p.label); name != "" && len(s.Samples) > 0 {
				seen[name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// minute is what one metric counted in a minute; left is how many minutes of the part remain from there.
type minute struct {
	metric     string
	bad, total float64
	left       int
	parts      []judge.Part // both arms are the version in service
}

// minutes sums up, minute by minute, the series of the part whose labels belongs accepts.
func (p *past) minutes(answers []Answer, to time.Time, belongs func(Labels) bool) []minute {
	sides := make([]Answer, len(p.plan.inputs))
	for k, a := range answers {
		side := Answer{Scrapes: a.Scrapes}
		for _, s := range a.Series {
			if belongs(s.Labels) {
				side.Series = append(side.Series, s)
			}
		}
		sides[p.inputs[k]] = side
	}
	var out []minute
	begin := to.Add(-HistoryPart)
	cursor := NewCursor(begin)
	for at := begin.Add(historyStep); !at.After(to); at = at.Add(historyStep) {
		cut := make([]Answer, len(sides))
		for i, ask := range p.plan.Asks(cursor, at) {
			cut[i] = Answer{Series: within(sides[i].Series, ask), Scrapes: sides[i].Scrapes}
		}
		var l judge.Look
		cursor, l = p.plan.Fold(cursor, cut, FoldInput{At: at})
		for _, o := range l.Observations {
			m := minute{metric: o.Metric, bad: o.Canary.Bad, total: o.Canary.Total, left: int(to.Sub(at)/historyStep) + 1, parts: o.Parts}
			if k, ok := p.bounds[o.Metric]; ok && !o.Canary.Missing {
				m.bad = m.total - o.Canary.Cumulative[k]
			}
			out = append(out, m)
		}
	}
	return out
}

// Sums returns what was added, by metric, for History of [judge.Judge].
func (h *History) Sums() map[string]judge.History {
	out := map[string]judge.History{}
	for name, s := range h.sums {
		of := judge.History{Seconds: historyStep.Seconds(), Baseline: s.all}
		of.Replicas, of.Parts = aligned(s.replicas, len(s.all.Total)), aligned(s.parts, len(s.all.Total))
		out[name] = of
	}
	return out
}

// aligned returns sums in ascending order of their names, each extended to n minutes.
func aligned(by map[string]*judge.Sums, n int) []judge.Sums {
	var out []judge.Sums
	for _, name := range slices.Sorted(maps.Keys(by)) {
		s := *by[name]
		reach(&s, n)
		out = append(out, s)
	}
	return out
}

// within cuts a source's answer to an ask out of whole series.
func within(series []Series, a Ask) []Series {
	from, to := a.From.UnixMilli(), a.To.UnixMilli()
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
