package analysis

import (
	"fmt"
	"strings"
	"time"
)

// Selection is a template's metric and matchers, for a source that holds the series itself and does not need PromQL.
// The zero value selects nothing.
type Selection struct {
	name     string
	matchers []labelMatcher
}

// Selection compiles the selector of t, for any value of its label By. It is an error if t is an expression, which
// needs PromQL; one that counts series is answered by the series themselves.
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

// Matches reports whether a series of that metric is selected. A label that the series lacks is empty, as in PromQL.
func (s Selection) Matches(l Labels) bool { return s.name != "" && matchesAll(s.matchers, l) }

// compile prepares a matcher without placeholders for evaluation.
func (m matcher) compile() (labelMatcher, error) {
	out := labelMatcher{label: m.label, not: m.op[0] == '!', value: m.value}
	if !strings.HasSuffix(m.op, "~") {
		return out, nil
	}
	var err error
	out.re, err = compile(m.value)
	return out, err
}

// NeedsPrometheus explains, in sentences, which metrics need a Prometheus: expressions, which PromQL computes, and
// comparisons with an earlier time. It is empty if the samples of the last minutes are enough. scraped reports whether
// a source is read without a Prometheus.
func (d Definition) NeedsPrometheus(scraped func(from string) bool) []string {
	var out []string
	for _, m := range d.Metrics {
		if !scraped(m.From) {
			continue
		}
		if g, ok := m.Source.(Gauge); ok {
			if _, err := parseSelector(g.Query); err != nil {
				out = append(out, fmt.Sprintf("metric %s: %s is an expression of PromQL; write the plain selector of "+
					"a gauge, such as queue_depth{instance=~\"${instances}\"}, or set prometheus.url", m.Name, g.Query))
			}
		}
		if o, ok := m.Baseline.(Offset); ok {
			out = append(out, fmt.Sprintf("metric %s: its baseline is what was %s ago, which is not kept without a "+
				"Prometheus; compare with stable (leave baseline out), or set prometheus.url", m.Name, span(o.By)))
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
