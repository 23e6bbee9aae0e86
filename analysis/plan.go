package analysis

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Names is what the metrics call an arm.
type Names struct {
	// Service is the arm's service as the gateway's metrics name it: shop-canary@file. Several, separated by commas,
	// count together: service="${service}" then selects any of them.
	Service string
	// Vars are further variables by name: arm, version, pods, and the release's parameters. A variable of several
	// values (pods) may be used in =~ and !~ matchers only, where it means any of them.
	Vars map[string][]string
	// Patterns are variables that are regular expressions themselves (RE2), for =~ and !~ matchers only: pods, whose
	// names come and go. They are Serin's own, never a user's.
	Patterns map[string]string
}

// Arms are the two sides of a comparison.
type Arms struct{ Canary, Baseline Names }

// Plan is a definition bound to the arms of a release: what to ask, and how to read the answers. It is read-only and
// may be used by several goroutines.
type Plan struct {
	inputs  []input
	groups  [][]int // the inputs that only move on together
	metrics []reading
	bounds  [][]float64 // at which each input is counted, if it is a histogram
	// requests of the arms for the sample ratio; none if it is off
	canary, baseline int
	falseAlarm       float64 // of contradictions, for each metric

	alone bool // only the canary's inputs are asked for: it is a history

	begun int // the first input of the group under construction
}

// none is the index for "no input".
const none = -1

// input is one question of every look.
type input struct {
	id       uint64 // stays the same when variables change
	group    int
	template Template
	first    Template // before the first answer: all buckets, so that a message can list them
	value    string
	offset   time.Duration
	text     string // for people
}

// reading is how one metric is read from the inputs.
type reading struct {
	metric           Metric
	canary, baseline armInputs
	fixed            bool
}

// armInputs holds the inputs of one arm of one metric.
type armInputs struct {
	main   int            // exposure, histogram or gauge
	events int            // the events, if they are not part of main
	part   []labelMatcher // the events are main's series that match all of these
	split  bool           // part is to be used
	bounds []float64
	known  int // shows whether any arm has the events' counter; none if that does not matter
	// absentZero: without a series of events there were no events, whether any arm has the counter or not.
	absentZero bool
}

// noInputs is for an arm that asks nothing.
var noInputs = armInputs{main: none, events: none, known: none}

// labelMatcher is a matcher that is evaluated here, not by Prometheus.
type labelMatcher struct {
	label string
	not   bool
	re    *regexp.Regexp // nil: equality
	value string
}

func (m labelMatcher) matches(l Labels) bool {
	v := l.Get(m.label)
	if m.re != nil {
		return m.re.MatchString(v) != m.not
	}
	return (v == m.value) != m.not
}

// same reports whether two matchers match the same.
func (m labelMatcher) same(o labelMatcher) bool {
	if m.re != nil && o.re != nil {
		m.value, o.value = m.re.String(), o.re.String()
	}
	return m.label == o.label && m.not == o.not && (m.re == nil) == (o.re == nil) && m.value == o.value
}

// NewPlan binds a definition to arms. Errors name the metric: a selector cannot be parsed, a variable has no value, or
// both arms would be measured by the same series.
func NewPlan(def Definition, arms Arms) (Plan, error) {
	p, err := newPlan(def, arms)
	if err != nil {
		return Plan{}, err
	}
	for _, r := range p.metrics {
		if _, ok := r.metric.Baseline.(Concurrent); !ok {
			continue
		}
		if err := p.apart(r.canary.main, r.baseline.main); err != nil {
			return Plan{}, fmt.Errorf("metric %s: %w", r.metric.Name, err)
		}
	}
	if p.canary != none {
		if err := p.apart(p.canary, p.baseline); err != nil {
			return Plan{}, fmt.Errorf("requests of the arms: %w", err)
		}
	}
	return p, nil
}

// newPlan is NewPlan for arms that may be the same.
func newPlan(def Definition, arms Arms) (Plan, error) {
	def = def.Defaults()
	p := Plan{canary: none, baseline: none, metrics: make([]reading, 0, len(def.Metrics))}
	for _, m := range def.Metrics {
		p.begun = len(p.inputs)
		r := reading{metric: m, baseline: noInputs}
		var err error
		canary, baseline := side{"canary", arms.Canary, 0, m.From}, side{"baseline", arms.Baseline, 0, m.From}
		if r.canary, err = p.arm(m.Source, canary); err != nil {
			return Plan{}, fmt.Errorf("metric %s: %w", m.Name, err)
		}
		switch b := m.Baseline.(type) {
		case Concurrent:
			r.baseline, err = p.arm(m.Source, baseline)
		case Offset:
			baseline.offset = b.By
			r.baseline, err = p.arm(m.Source, baseline)
		case Fixed:
			r.fixed = true
		}
		if err != nil {
			return Plan{}, fmt.Errorf("metric %s: %w", m.Name, err)
		}
		if slices.EqualFunc(r.canary.part, r.baseline.part, labelMatcher.same) {
			r.baseline.part = r.canary.part // a compiled expression takes a kilobyte
		}
		p.gather(m.Name, &r.canary.main, &r.canary.events, &r.canary.known, &r.baseline.main, &r.baseline.events, &r.baseline.known)
		p.metrics = append(p.metrics, r)
	}
	p.begun = len(p.inputs)
	if err := p.splitInputs(def.Split, arms); err != nil {
		return Plan{}, fmt.Errorf("requests of the arms: %w", err)
	}
	p.gather("requests of the arms", &p.canary, &p.baseline)
	p.bounds = p.allBounds()
	p.falseAlarm = def.Split.FalseAlarm / float64(max(len(p.metrics), 1))
	return p, nil
}

// splitInputs adds the inputs of the sample-ratio test.
func (p *Plan) splitInputs(s Split, arms Arms) error {
	if s.Off {
		return nil
	}
	var err error
	if p.canary, err = p.counter(s.Requests, side{"canary", arms.Canary, 0, s.From}); err != nil {
		return err
	}
	p.baseline, err = p.counter(s.Requests, side{"baseline", arms.Baseline, 0, s.From})
	return err
}

// apart rejects two arms that select the same series.
func (p *Plan) apart(canary, baseline int) error {
	c, b := p.inputs[canary], p.inputs[baseline]
	if c.template == b.template && c.value == b.value {
		return fmt.Errorf("both arms would be measured by the same series, %s: add a matcher that distinguishes "+
			"them: ${service} for the gateway's own metrics, ${version} or ${pods} for others on Kubernetes, ${instances} without it",
			strings.TrimSpace(c.text))
	}
	return nil
}

// side is how to ask for one arm of one metric.
type side struct {
	arm    string
	names  Names
	offset time.Duration
	from   string // the source
}

func (p *Plan) arm(s Source, of side) (armInputs, error) {
	a := noInputs
	var err error
	switch s := s.(type) {
	case Ratio:
		return p.ratio(s, of)
	case Mean: // the sum and the number are counted like events and their exposure
		return p.ratio(Ratio{Bad: s.Sum, Total: s.Count}, of)
	case Slow:
		a.bounds = []float64{s.SlowerThan.Seconds()}
		a.main, err = p.histogram(s.Histogram, a.bounds, of)
	case Distribution:
		a.bounds = s.Bounds
		a.main, err = p.histogram(s.Histogram, a.bounds, of)
	case Gauge:
		a.main, err = p.gauge(s.Query, of)
	case nil:
		err = fmt.Errorf("has no source")
	}
	return a, err
}

// ratio needs only one query if the events are a part of the exposure: then both come from the same samples, and an arm
// without errors needs no series of errors.
func (p *Plan) ratio(r Ratio, of side) (armInputs, error) {
	a := noInputs
	a.absentZero = r.AbsentZero
	text := r.Bad
	if text == "" {
		text = r.Good
	}
	events, err := parse(text)
	if err != nil {
		return a, err
	}
	total, err := parse(r.Total)
	if err != nil {
		return a, err
	}
	if a.main, err = p.add(total, nil, of); err != nil {
		return a, err
	}
	rest, within := events.within(total)
	if !within {
		if a.events, err = p.add(events, nil, of); err == nil && !r.AbsentZero {
			a.known = p.known(events, of)
		}
		return a, err
	}
	a.split = true
	rendered, err := selector{matchers: rest}.substitute(of.names)
	if err != nil {
		return a, fmt.Errorf("%s: %w", text, err)
	}
	for _, m := range rendered.matchers {
		l, err := m.compile()
		if err != nil {
			return a, err
		}
		a.part = append(a.part, l)
	}
	return a, nil
}

func parse(text Selector) (selector, error) {
	s, err := parseSelector(string(text))
	if err != nil {
		return s, fmt.Errorf("%s: %w", text, err)
	}
	return s, nil
}

// known asks whether any arm has such a counter, by the same matchers with any value of the labels that distinguish the
// arms.
func (p *Plan) known(events selector, of side) int {
	anybody := selector{name: events.name}
	for _, m := range events.matchers {
		if len(variables(m.value)) > 0 {
			m.op, m.value = "!=", ""
		}
		anybody.matchers = append(anybody.matchers, m)
	}
	text := "count(" + anybody.String() + ")"
	t := Template{Expression: text, Name: anybody.name, Matchers: join(anybody.matchers), Instant: true, From: of.from}
	return p.keep(input{id: hash(hash(seed, "known"), text), offset: of.offset, text: text, template: t, first: t})
}

func (p *Plan) counter(text Selector, of side) (int, error) {
	s, err := parse(text)
	if err != nil {
		return none, err
	}
	return p.add(s, nil, of)
}

func (p *Plan) histogram(text Selector, bounds []float64, of side) (int, error) {
	s, err := parse(text)
	if err != nil {
		return none, err
	}
	if !strings.HasSuffix(s.name, "_bucket") {
		bounds = nil // native: a sample holds all buckets
	}
	return p.add(s, bounds, of)
}

func (p *Plan) gauge(query string, of side) (int, error) {
	in := input{id: hash(hash(hash(seed, "gauge"), of.arm), query), offset: of.offset, text: query}
	if s, err := parseSelector(query); err == nil {
		if err := in.bind(s, of.names); err != nil {
			return none, err
		}
	} else {
		expression, err := of.names.substituteExpression(query)
		if err != nil {
			return none, fmt.Errorf("%s: %w", query, err)
		}
		in.template = Template{Expression: expression}
	}
	in.template.Instant, in.template.From = true, of.from
	in.first = in.template
	return p.keep(in), nil
}

// add adds an input of raw samples; bounds are those of a classic histogram.
func (p *Plan) add(s selector, bounds []float64, of side) (int, error) {
	in := input{offset: of.offset, text: s.String()}
	if err := in.bind(s, of.names); err != nil {
		return none, err
	}
	in.template.From = of.from
	in.first = in.template
	le := ""
	if bounds != nil {
		le = lePattern(bounds)
		if in.template.Matchers != "" {
			in.template.Matchers += ","
		}
		in.template.Matchers += `le=~` + quote(le)
	}
	in.id = hash(hash(hash(hash(seed, s.String()), of.arm), of.offset.String()), le)
	return p.keep(in), nil
}

func (p *Plan) keep(in input) int {
	if i := slices.IndexFunc(p.inputs[p.begun:], in.same); i >= 0 {
		return p.begun + i
	}
	p.inputs = append(p.inputs, in)
	return len(p.inputs) - 1
}

// same reports whether two inputs ask the same query.
func (in *input) same(o input) bool {
	return o.id == in.id && o.template == in.template && o.offset == in.offset
}

// gather makes a group of the inputs that were added since the last one. They are the parts of one comparison, of which
// none is useful until all have answered for the same window. If a group of the same inputs exists, places are
// redirected to it. An input that several groups share is counted for each of them under a separate id, so that a group
// without answers holds up no other.
func (p *Plan) gather(name string, places ...*int) {
	mine := p.inputs[p.begun:]
	if len(mine) == 0 {
		return
	}
	for _, g := range p.groups {
		first := g[0]
		if slices.EqualFunc(p.inputs[first:first+len(g)], mine, func(a, b input) bool { return a.same(b) }) {
			for _, at := range places {
				if *at != none {
					*at += first - p.begun
				}
			}
			p.inputs = p.inputs[:p.begun]
			return
		}
	}
	group := make([]int, len(mine))
	for i := range mine {
		if slices.ContainsFunc(p.inputs[:p.begun], func(o input) bool { return o.id == mine[i].id }) {
			mine[i].id = hash(mine[i].id, name)
		}
		mine[i].group, group[i] = len(p.groups), p.begun+i
	}
	p.groups = append(p.groups, group)
}

// bind makes the template: it takes out one matcher that consists of a variable, preferably ${service}.
func (in *input) bind(s selector, n Names) error {
	rendered, err := s.substitute(n)
	if err != nil {
		return fmt.Errorf("%s: %w", s, err)
	}
	by := slices.IndexFunc(s.matchers, func(m matcher) bool { return m.op == "=" && m.value == "${service}" && !n.severalServices() })
	if by < 0 {
		by = slices.IndexFunc(s.matchers, func(m matcher) bool {
			return m.op == "=" && (m.value != "${service}" || !n.severalServices()) &&
				strings.HasPrefix(m.value, "${") && strings.IndexByte(m.value, '}') == len(m.value)-1
		})
	}
	if by >= 0 && rendered.matchers[by].value != "" { // label="" also selects series without the label
		in.template.By, in.value = rendered.matchers[by].label, rendered.matchers[by].value
		rendered.matchers = slices.Delete(rendered.matchers, by, by+1)
	}
	in.template.Name, in.template.Matchers = rendered.name, join(rendered.matchers)
	return nil
}

// sent is the selector or expression with all values filled in, for people to run.
func (in *input) sent() string {
	t := in.first
	t.Instant = true
	return t.Query([]string{in.value}, 0)
}

// Asks returns the asks for a look whose window ends at the given time, one settle delay ago. The window of each ask
// begins at the end of its last answer. A time that is not after the cursor gives empty windows.
func (p Plan) Asks(c Cursor, at time.Time) []Ask {
	cursor := &c
	asks := make([]Ask, len(p.inputs))
	for i := range p.inputs {
		asks[i] = p.inputs[i].ask(cursor, at)
	}
	return asks
}

func (in *input) ask(c *Cursor, at time.Time) Ask {
	a := Ask{Template: in.template, Value: in.value, id: in.id, cursor: c, after: c.At.UnixMilli()}
	if k, ok := c.asked[in.id]; ok {
		a.after, a.fresh = k.until, !k.answered
	} else {
		a.fresh = true
	}
	to := max(at.UnixMilli(), a.after)
	from := a.after
	if a.fresh {
		a.Template = in.first
		from -= Stale.Milliseconds()
	}
	for _, l := range c.low {
		if l.input == in.id {
			from = min(from, l.since-Stale.Milliseconds())
		}
	}
	a.absent = a.after - Stale.Milliseconds()
	if least := to - MaxWindow.Milliseconds(); from < least {
		from, a.absent = least, least
	}
	a.shift = in.offset.Milliseconds()
	a.From, a.To = time.UnixMilli(from-a.shift).UTC(), time.UnixMilli(to-a.shift).UTC()
	return a
}

// FoldInput is what the engine knows about a look in addition to the answers.
type FoldInput struct {
	// Number counts the looks of the scope from 1.
	Number int
	// At is the end of the window that was given to [Plan.Asks].
	At time.Time
	// Weight is the canary's share in force, between 0 and 1.
	Weight float64
	// Standing is what the windows may count for.
	Standing Standing
}
