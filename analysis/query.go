package analysis

import (
	"fmt"
	"strings"
)

// Query is PromQL with which people can see what a metric counts in an arm.
type Query struct {
	// Metric and Arm ("canary" or "baseline") are what it shows.
	Metric, Arm string
	// Text is PromQL. It shows a rate over five minutes, whereas Serin counts every sample once.
	Text string
	// Source is the name of the Prometheus that has it; empty for the daemon's own.
	Source string
}

// Queries are those of a definition for two arms, in the order of its metrics. There is none for a fixed rate, nor for
// an arm that lacks a variable.
func Queries(def Definition, arms Arms) []Query {
	var out []Query
	for _, m := range def.Defaults().Metrics {
		for _, side := range []struct {
			name  string
			names Names
		}{{"canary", arms.Canary}, {"baseline", arms.Baseline}} {
			if _, fixed := m.Baseline.(Fixed); fixed && side.name == "baseline" {
				continue
			}
			text, err := queryOf(m.Source, side.names)
			if err != nil {
				continue // NewPlan reports the error, and nothing is asked
			}
			if o, ok := m.Baseline.(Offset); ok && side.name == "baseline" {
				text = "# as it was " + o.By.String() + " before\n" + text
			}
			out = append(out, Query{Metric: m.Name, Arm: side.name, Text: text, Source: m.From})
		}
	}
	return out
}

func queryOf(s Source, names Names) (string, error) {
	switch s := s.(type) {
	case Ratio:
		events := s.Bad
		if events == "" {
			events = s.Good
		}
		above, err := increase(events, names, "")
		if err != nil {
			return "", err
		}
		below, err := increase(s.Total, names, "")
		return "sum(" + above + ") / sum(" + below + ")", err
	case Slow:
		if !strings.Contains(string(s.Histogram), "_bucket") { // a native histogram
			all, err := increase(s.Histogram, names, "")
			return fmt.Sprintf("1 - histogram_fraction(0, %s, sum(%s))", number(s.SlowerThan.Seconds()), all), err
		}
		within, err := increase(s.Histogram, names, number(s.SlowerThan.Seconds()))
		if err != nil {
			return "", err
		}
		all, err := increase(s.Histogram, names, "+Inf")
		return "1 - sum(" + within + ") / sum(" + all + ")", err
	case Distribution:
		all, err := increase(s.Histogram, names, "")
		return "sum by (le) (" + all + ")", err
	case Mean:
		all, err := increase(s.Sum, names, "")
		if err != nil {
			return "", err
		}
		n, err := increase(s.Count, names, "")
		return "sum(" + all + ") / sum(" + n + ")", err
	case Gauge:
		text, err := names.substituteExpression(s.Query)
		return "avg(" + text + ")", err
	case nil:
	}
	return "", fmt.Errorf("has no source")
}

// increase is the growth of a counter; le, if not empty, is one bucket of a classic histogram.
func increase(text Selector, names Names, le string) (string, error) {
	s, err := parse(text)
	if err != nil {
		return "", err
	}
	if s, err = s.substitute(names); err != nil {
		return "", err
	}
	if le != "" {
		s.matchers = append(s.matchers, matcher{label: "le", op: "=", value: le})
	}
	return "increase(" + s.String() + "[5m])", nil
}
