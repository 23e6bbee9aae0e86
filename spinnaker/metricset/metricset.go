// Package metricset says what a canary config of Kayenta asks of Prometheus, and which pairs of samples the answers
// make: templates and scopes become PromQL, series become metric sets, and sets of the two sides become pairs by
// their tags.
//
// It is a copy of a behaviour (spec/spinnaker.md, 5.3 and 6), with one difference: a scope that would break out of
// its place in a query is refused. It asks nothing itself and judges nothing. Start reading at [Asks], then [Pairs].
package metricset

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/serindev/serin/judge/kayenta"
)

// DefaultScope is the name that a metric without scopeName takes, as Deck does.
const DefaultScope = "default"

// DefaultScopeLabel is the label of instances of the resource type gce_instance, as Kayenta has it.
const DefaultScopeLabel = "instance"

// Scope is one side of a named scope: what is measured, and when. The range has both of its ends.
type Scope struct {
	// Scope and Location are what templates call ${scope} and ${location}; empty ones do not bind.
	Scope, Location string
	Start, End      time.Time
	// Step between two points, above 0.
	Step time.Duration
	// Params are the extended scope parameters: further names for templates, which win over scope and location.
	Params map[string]string
}

// ScopePair is a named scope with its two sides.
type ScopePair struct{ Control, Experiment Scope }

// Question is one range query: what is asked, and in which scope.
type Question struct {
	Scope Scope
	// PromQL is the whole query.
	PromQL string
}

// Ask is what has to be asked for one metric of a config.
type Ask struct {
	// Metric is its index in the config, Name its name.
	Metric              int
	Name                string
	Control, Experiment Question
}

// ScopeName is the scope in which a metric is measured.
func ScopeName(m kayenta.ConfigMetric) string {
	if m.ScopeName == "" {
		return DefaultScope
	}
	return m.ScopeName
}

// Missing lists the scopes that metrics of c need and scopes has not, sorted.
func Missing(c kayenta.Config, scopes map[string]ScopePair) []string {
	var names []string
	for _, m := range c.Metrics {
		if name := ScopeName(m); !slices.Contains(names, name) {
			if _, ok := scopes[name]; !ok {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names
}

// Asks builds the queries of all metrics, in the order of the config. The error is the first metric's whose queries
// cannot be built, in Kayenta's words where it has any: see [Query].
func Asks(c kayenta.Config, scopes map[string]ScopePair, rules Rules) ([]Ask, error) {
	if missing := Missing(c, scopes); len(missing) > 0 {
		return nil, fmt.Errorf("Canary metrics require scopes which were not provided in the execution request: [%s]", strings.Join(missing, ", ")) //nolint:staticcheck,revive // Kayenta's words
	}
	asks := make([]Ask, 0, len(c.Metrics))
	for i, m := range c.Metrics {
		pair := scopes[ScopeName(m)]
		a := Ask{Metric: i, Name: m.Name, Control: Question{Scope: pair.Control}, Experiment: Question{Scope: pair.Experiment}}
		for _, q := range []*Question{&a.Control, &a.Experiment} {
			var err error
			if q.PromQL, err = Query(c.Templates, m.Query, q.Scope, rules); err != nil {
				return nil, err
			}
		}
		asks = append(asks, a)
	}
	return asks, nil
}
