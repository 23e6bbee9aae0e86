// Package metricset answers two questions: which queries a canary config of Kayenta makes, and which pairs of samples
// their answers form. Templates and scopes become PromQL, series become metric sets, and the sets of the two sides are
// paired by their tags.
//
// It copies Kayenta's behaviour (spec/spinnaker.md, 5.3 and 6) with one difference: it refuses a scope that would break
// out of its place in a query. It sends no queries and judges nothing. Start reading at [Asks], then [Pairs].
package metricset

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/serindev/serin/judge/kayenta"
)

// DefaultScope is the scope of a metric without scopeName, as in Deck.
const DefaultScope = "default"

// DefaultScopeLabel is the label that names an instance of the resource type gce_instance, as in Kayenta.
const DefaultScopeLabel = "instance"

// Scope is one side of a named scope: what is measured, and when. The range includes both ends.
type Scope struct {
	// Scope and Location are ${scope} and ${location} in templates, which are unbound if these are empty.
	Scope, Location string
	Start, End      time.Time
	// Step is the time between two points, above 0.
	Step time.Duration
	// Params are the extended scope parameters: further names for templates, which override scope and location.
	Params map[string]string
}

// ScopePair is a named scope with its two sides.
type ScopePair struct{ Control, Experiment Scope }

// Question is one range query and its scope.
type Question struct {
	Scope Scope
	// PromQL is the whole query.
	PromQL string
}

// Ask holds the two queries for one metric of a config.
type Ask struct {
	// Metric is its index in the config, Name its name.
	Metric              int
	Name                string
	Control, Experiment Question
}

// ScopeName returns the name of the scope in which a metric is measured.
func ScopeName(m kayenta.ConfigMetric) string {
	if m.ScopeName == "" {
		return DefaultScope
	}
	return m.ScopeName
}

// Missing lists the scopes that metrics of c need and that scopes lacks, sorted.
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

// Asks builds the queries of all metrics, in the order of the config. The error is that of the first query that cannot
// be built: see [Query].
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
