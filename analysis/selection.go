package analysis

import (
	"fmt"
	"strings"
	"time"
)

// Selection is a template's metric and matchers, for a source that holds the series itself and need not ask for them in
// PromQL. The zero value selects nothing.
type Selection struct {
	name     string
	matchers []labelMatcher
}

// Selection compiles what t selects, whatever the value of its label By. The error says that t is an expression, which
// only PromQL computes; one that counts series is answered by the series themselves.
func (t Template) Selection() (Selection, error) {
	if t.Expression != "" && t.Name == "" {
		return Selection{}, fmt.Errorf("%s is an expression of PromQL", t.Expression)
	}
	s, err := parseSelector(t.Name + "{" + t.Matchers + "}")
	if err != nil {
		return Selection{}, err
	}
	out := Selection{name: s.name}
	for _, m := range s.matchers {
		l, err := m.compile()
		if err != nil {
			return Selection{}, err
		}
		out.matchers = append(out.matchers, l)
	}
	return out, nil
}

// Metric is the name of the metric whose series are selected.
func (s Selection) Metric() string { return s.name }

// Matches tells whether a series of that metric is selected. A label that it does not carry is empty, as in PromQL.
func (s Selection) Matches(l Labels) bool { return s.name != "" && matchesAll(s.matchers, l) }

// compile makes a matcher without placeholders one that can be evaluated here.
func (m matcher) compile() (labelMatcher, error) {
	out := labelMatcher{label: m.label, not: m.op[0] == '!', value: m.value}
	if !strings.HasSuffix(m.op, "~") {
		return out, nil
	}
	var err error
	out.re, err = compile(m.value)
	return out, err
}

// NeedsPrometheus says in sentences which metrics can only be had of a Prometheus: expressions, which PromQL computes,
// and comparisons with a time that has passed. It is empty where the samples of the last minutes are enough.
// scraped tells which sources, by name, are none.
func (d Definition) NeedsPrometheus(scraped func(from string) bool) []string {
	var out []string
	for _, m := range d.Metrics {
		if !scraped(m.From) {
			continue
		}
		if g, ok := m.Source.(Gauge); ok {
			if _, err := parseSelector(g.Query); err != nil {
				out = append(out, fmt.Sprintf("metric %s: %s is an expression of PromQL; write the plain selector of a gauge, such as queue_depth{instance=~\"${instances}\"}, or set prometheus.url", m.Name, g.Query))
			}
		}
		if o, ok := m.Baseline.(Offset); ok {
			out = append(out, fmt.Sprintf("metric %s: its baseline is what was %s ago, which is not kept without a Prometheus; compare with stable (leave baseline out), or set prometheus.url", m.Name, span(o.By)))
		}
	}
	return out
}

// span is a duration without the zeros that Go writes at its end: 168h.
func span(d time.Duration) string {
	out := d.String()
	for _, zero := range []struct{ end, keep string }{{"m0s", "m"}, {"h0m", "h"}} {
		if before, ok := strings.CutSuffix(out, zero.end); ok {
			out = before + zero.keep
		}
	}
	return out
}
