package analysis

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/serindev/serin/judge"
)

// Fold counts the answers to the asks of [Plan.Asks] for c and in.At, one answer for each ask in the same order, and
// returns the next cursor and the look. c is not changed.
//
// An input without an answer is not counted, is Absent in the look, and is asked for again at the next look, with a longer
// window. All inputs of a metric are counted for the same window or not at all. If the source has no live series of an
// arm, the arm is Missing and the observation's Absent is [judge.NoData]; live series that did not move are measured
// zeros. Without any answer, the cursor's At stays.
func (p Plan) Fold(c Cursor, answers []Answer, in FoldInput) (Cursor, judge.Look) {
	asks := p.Asks(c, in.At)
	next := c.clone()
	for len(answers) < len(asks) {
		answers = append(slices.Clip(answers), Answer{Err: errNoAnswer})
	}
	tallies := make([]tally, len(asks))
	for _, g := range p.groups {
		p.countGroup(g, asks, answers, tallies, &next)
	}
	look := judge.Look{
		Number: in.Number, At: in.At.UTC(), Length: max(in.At.Sub(c.At), 0), Weight: in.Weight,
		Observations: make([]judge.Observation, len(p.metrics)),
	}
	froms := make([]time.Time, len(p.metrics))
	for i := range p.metrics {
		look.Observations[i] = p.observe(&p.metrics[i], tallies, &next)
		froms[i] = time.UnixMilli(asks[p.metrics[i].canary.main].after).UTC()
	}
	look.Requests = p.requestsOf(tallies)
	look.Replicas = p.replicas(tallies, in.At.UnixMilli(), look.Length.Seconds(), &next)
	in.Standing.Mark(&look, froms)
	if look.Requests != nil && p.RequestsFrom(c).Before(in.Standing.Settled) {
		look.Unsettled = true
	}
	look.Contradictions = p.contradictions(&look, asks, &next)
	if slices.ContainsFunc(answers[:len(asks)], func(a Answer) bool { return a.Err == nil }) && in.At.After(c.At) {
		next.At = in.At.UTC().Truncate(time.Millisecond)
	}
	next.forget(next.At.UnixMilli())
	return next, look
}

var errNoAnswer = errors.New("the source gave no answer")

// countGroup counts inputs that belong together. If one of them has no answer, the others wait, and the next look asks
// for them from the same time. If one was refused, all of them move on, because a smaller window may be accepted; the
// next answer covers the gap by the values on both sides.
func (p *Plan) countGroup(group []int, asks []Ask, answers []Answer, tallies []tally, next *Cursor) {
	lacking, refused := false, false
	for _, i := range group {
		lacking, refused = lacking || answers[i].Err != nil, refused || answers[i].Refused
	}
	for _, i := range group {
		in, ask, a := &p.inputs[i], asks[i], answers[i]
		switch {
		case ask.Template.Instant:
			tallies[i] = tally{err: a.Err, refused: a.Refused, series: a.Series, hint: a.Hint}
		case lacking && a.Err == nil:
			in.pass(ask, refused, next)
			tallies[i] = tally{held: true}
		default:
			tallies[i] = in.count(ask, a, p.bounds[i], next)
			tallies[i].hint = a.Hint
		}
	}
}

// RequestsFrom is the start of the next window of the arms' requests.
func (p *Plan) RequestsFrom(c Cursor) time.Time {
	if p.canary == none {
		return c.At
	}
	a := p.inputs[p.canary].ask(&c, c.At)
	return time.UnixMilli(a.after).UTC()
}

// allBounds returns the bounds at which each input is counted.
func (p *Plan) allBounds() [][]float64 {
	out := make([][]float64, len(p.inputs))
	for _, m := range p.metrics {
		for _, a := range []armInputs{m.canary, m.baseline} {
			if a.main != none {
				out[a.main] = union(out[a.main], a.bounds)
			}
		}
	}
	return out
}

// union of ascending bounds, without changing them.
func union(a, b []float64) []float64 {
	if len(a) == 0 {
		return b
	}
	out := slices.Concat(a, b)
	slices.Sort(out)
	return slices.Compact(out)
}

// requestsOf is nil unless both arms were answered and at least one has live series. The arms are one group, so the answers
// are for the same window.
func (p *Plan) requestsOf(tallies []tally) *judge.Requests {
	if p.canary == none {
		return nil
	}
	c, b := &tallies[p.canary], &tallies[p.baseline]
	if c.err != nil || b.err != nil || c.held || b.held || !c.alive && !b.alive {
		return nil
	}
	r := judge.Requests{Canary: sum(c.counts), Baseline: sum(b.counts)}
	if !counts(r.Canary) || !counts(r.Baseline) {
		return nil
	}
	return &r
}

// mostCount is the largest exact count: beyond it a float cannot hold every integer.
const mostCount = 1 << 53

func counts(values ...float64) bool {
	return !slices.ContainsFunc(values, func(v float64) bool { return !(v >= 0 && v <= mostCount) })
}

func sum(values []float64) float64 {
	s := 0.0
	for _, v := range values {
		s += v
	}
	return s
}

// lack is what an arm lacks, and why.
type lack struct {
	reason judge.Reason
	detail string
}

// observe reads one metric.
func (p *Plan) observe(r *reading, tallies []tally, next *Cursor) judge.Observation {
	o := judge.Observation{Metric: r.metric.Name}
	var canary, baseline lack
	o.Canary, canary = p.observeArm(r.metric.Source, &r.canary, tallies, next)
	if !r.fixed {
		o.Baseline, baseline = p.observeArm(r.metric.Source, &r.baseline, tallies, next)
	}
	var details []string
	for _, l := range []struct {
		arm string
		lack
	}{{"canary", canary}, {"baseline", baseline}} {
		if l.reason == judge.Unreachable || o.Absent == "" {
			o.Absent = l.reason
		}
		if l.detail != "" {
			details = append(details, l.arm+": "+l.detail)
		}
	}
	o.Detail = strings.Join(details, "; ")
	if r.metric.By != "" && !o.Canary.Missing && (p.alone || !o.Baseline.Missing) {
		o.Parts = p.parts(r, tallies, next)
	}
	return o
}

// observeArm reads one arm of one metric.
func (p *Plan) observeArm(s Source, a *armInputs, tallies []tally, next *Cursor) (judge.Arm, lack) {
	main := &tallies[a.main]
	if l := p.missing(a.main, main); l.reason != "" {
		return judge.Arm{Missing: true}, l
	}
	if l := p.missingEvents(a, tallies); l.reason != "" {
		return judge.Arm{Missing: true}, l
	}
	if main.held {
		return judge.Arm{Missing: true}, lack{}
	}
	var arm judge.Arm
	var l lack
	switch s := s.(type) {
	case Ratio, Mean:
		arm = p.observeRatio(a, main, tallies)
	case Slow, Distribution:
		arm, l = p.observeHistogram(a, main, next)
		if _, ok := s.(Slow); ok && !arm.Missing {
			arm = judge.Arm{Bad: arm.Total - arm.Cumulative[0], Total: arm.Total}
		}
	case Gauge:
		arm, l = p.observeGauge(a.main, main)
	}
	if !counts(arm.Bad, arm.Total) || !counts(arm.Cumulative...) {
		return judge.Arm{Missing: true},
			lack{judge.NoData, fmt.Sprintf("%s counts more than 2^53 in one look, which is no count", p.inputs[a.main].text)}
	}
	if main.odd > 0 && l.detail == "" {
		l.detail = fmt.Sprintf("%d samples of %s are no counts (NaN, infinite or negative) and were skipped", main.odd, p.inputs[a.main].text)
	}
	if main.repeated != "" && l.detail == "" {
		l.detail = fmt.Sprintf("the series of %s are those of a process that another job or Prometheus scrapes as "+
			"well; they are counted once", main.repeated)
	}
	return arm, l
}

// missing explains why an input has no data.
func (p *Plan) missing(i int, t *tally) lack {
	switch text := p.inputs[i].text; {
	case t.held:
		return lack{}
	case t.refused:
		return lack{judge.NoData, fmt.Sprintf("the source refuses %s: %v", text, t.err)}
	case t.err != nil:
		return lack{judge.Unreachable, t.err.Error()}
	case !p.inputs[i].template.Instant && !t.alive:
		return p.nothing(i, t)
	}
	return lack{}
}

// nothing explains that an input has no live series. It shows the query as it was sent, and what the source has
// instead.
func (p *Plan) nothing(i int, t *tally) lack {
	detail := "no live series of " + p.inputs[i].sent()
	if t.hint != "" {
		detail += " (" + t.hint + ")"
	}
	return lack{judge.NoData, detail}
}

// missingEvents explains why the events of a ratio have no data. A counter that begins with its first event does not
// exist before it; a misspelt one never exists. If any arm has such a counter, it is the former.
func (p *Plan) missingEvents(a *armInputs, tallies []tally) lack {
	if a.events == none {
		return lack{}
	}
	if a.known != none {
		if l := p.missing(a.known, &tallies[a.known]); l.reason != "" {
			return l
		}
	}
	events := &tallies[a.events]
	l := p.missing(a.events, events)
	if events.err == nil && (a.absentZero || a.known != none && len(tallies[a.known].series) > 0) {
		return lack{}
	}
	return l
}

func (p *Plan) observeRatio(a *armInputs, main *tally, tallies []tally) judge.Arm {
	arm := judge.Arm{Total: sum(main.counts)}
	if !a.split {
		arm.Bad = sum(tallies[a.events].counts)
		return arm
	}
	for i, s := range main.series {
		if main.counts[i] != 0 && matchesAll(a.part, s.Labels) {
			arm.Bad += main.counts[i]
		}
	}
	return arm
}

func matchesAll(ms []labelMatcher, l Labels) bool {
	for _, m := range ms {
		if !m.matches(l) {
			return false
		}
	}
	return true
}

// observeHistogram sums the counts up to each bound. If a bound is not one of the buckets, the input is asked again
// with all buckets, so that the message can list the bounds that exist.
func (p *Plan) observeHistogram(a *armInputs, main *tally, next *Cursor) (judge.Arm, lack) {
	arm := judge.Arm{Cumulative: make([]float64, len(a.bounds))}
	var have []float64
	all := false
	for i, s := range main.series {
		if main.below != nil && main.below[i] != nil {
			arm.Total += main.counts[i]
			for j, b := range a.bounds {
				arm.Cumulative[j] += main.below[i][slices.Index(p.bounds[a.main], b)]
			}
			all = true
			have = a.bounds
			continue
		}
		bound, ok := parseBound(s.Labels.Get("le"))
		switch {
		case !ok:
			return judge.Arm{Missing: true}, lack{judge.NoData, p.inputs[a.main].text + " is not a histogram: its series have no label le"}
		case math.IsInf(bound, 1):
			arm.Total += main.counts[i]
			all = true
			continue
		}
		have = append(have, bound)
		for j, b := range a.bounds {
			if b == bound {
				arm.Cumulative[j] += main.counts[i]
			}
		}
	}
	return p.checkBounds(a, arm, have, all, next)
}

func (p *Plan) checkBounds(a *armInputs, arm judge.Arm, have []float64, all bool, next *Cursor) (judge.Arm, lack) {
	if len(have) == 0 && !all { // live, but no samples in this window
		return arm, lack{}
	}
	for _, b := range a.bounds {
		if slices.Contains(have, b) {
			continue
		}
		in := &p.inputs[a.main]
		k := next.asked[in.id]
		k.answered = false
		next.asked[in.id] = k
		return judge.Arm{Missing: true}, lack{judge.NoData, in.noBucket(b, have)}
	}
	for j := range arm.Cumulative {
		arm.Cumulative[j] = min(arm.Cumulative[j], arm.Total)
		if j > 0 {
			arm.Cumulative[j] = max(arm.Cumulative[j], arm.Cumulative[j-1])
		}
	}
	return arm, lack{}
}

func (in *input) noBucket(bound float64, have []float64) string {
	return fmt.Sprintf("%s has no bucket with the bound %s; there are %s", in.text, number(bound), list(have))
}

// WrongBounds says, one sentence a metric, at which bound a metric of the plan counts although the baseline's histogram has
// no such bucket, by the answers to what a new cursor asks. It is empty for histograms that are not there, or are native.
func (p Plan) WrongBounds(answers []Answer) []string {
	var out []string
	for i := range p.metrics {
		r := &p.metrics[i]
		a := &r.baseline
		if r.fixed {
			a = &r.canary // there is no other
		}
		if a.main == none || a.main >= len(answers) || answers[a.main].Err != nil || len(a.bounds) == 0 {
			continue
		}
		var have []float64
		native := false
		for _, s := range answers[a.main].Series {
			bound, ok := parseBound(s.Labels.Get("le"))
			native = native || isNative(s)
			if ok && !math.IsInf(bound, 1) {
				have = append(have, bound)
			}
		}
		for _, b := range a.bounds {
			if !native && len(have) > 0 && !slices.Contains(have, b) {
				out = append(out, r.metric.Name+": "+p.inputs[a.main].noBucket(b, have))
				break
			}
		}
	}
	return out
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// list writes distinct bounds in ascending order.
func list(bounds []float64) string {
	bounds = slices.Compact(slices.Sorted(slices.Values(bounds)))
	if len(bounds) == 0 {
		return "none"
	}
	texts := make([]string, len(bounds))
	for i, b := range bounds {
		texts[i] = number(b)
	}
	return strings.Join(texts, ", ")
}

// observeGauge is the mean over the series that have a finite value.
func (p *Plan) observeGauge(i int, t *tally) (judge.Arm, lack) {
	total, n, odd := 0.0, 0, 0
	for _, s := range t.series {
		if len(s.Samples) == 0 {
			continue
		}
		x := s.Samples[len(s.Samples)-1]
		if x.H != nil || math.IsNaN(x.V) || math.IsInf(x.V, 0) {
			odd++
			continue
		}
		total += x.V
		n++
	}
	switch {
	case n > 0 && !math.IsInf(total, 0):
		return judge.Arm{Value: total / float64(n)}, lack{}
	case odd > 0:
		return judge.Arm{Missing: true}, lack{judge.NoData, fmt.Sprintf("%s has no finite value", p.inputs[i].text)}
	}
	return judge.Arm{Missing: true}, p.nothing(i, t)
}
