package config

import (
	"slices"
	"time"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/rollout"
)

// WatchSpec goes on judging after promote: the new version, which serves everybody, against the time before the release.
type WatchSpec struct {
	// Name of the step.
	Name Name `json:"name,omitempty"`
	// For how long.
	For Duration `json:"for"`
	// Analysis of this step, in place of the rollout's.
	Analysis Texts `json:"analysis,omitempty"`
	// Then is what happens if it is found worse: undo, the default, takes it back; ask asks a person.
	Then string `json:"then,omitempty" jsonschema:"enum=undo,enum=ask"`
}

// watchBack is how far back a watch compares: to the same time of day, several days back if the release took longer.
const watchBack = 24 * time.Hour

func (w *WatchSpec) named() Name { return w.Name }

func (w *WatchSpec) check(c *checker, at place, s *RolloutSpec, _ []string) {
	c.positive(at, "for", &w.For)
	c.analysisNames(at.in("analysis"), w.Analysis)
	if len(w.Analysis) == 0 && len(s.Analysis) == 0 || !s.judges(w.Analysis) {
		c.fail(at.in("analysis"), "a watch compares: name an analysis here")
	}
	promoted := false
	for i := range s.Steps {
		switch step := &s.Steps[i]; {
		case step.Watch == w && !promoted:
			c.fail(at.atKey(), "watch before promote: it is about the version that everybody has; weights before promote are judged anyway")
		case step.Promote != nil:
			promoted = true
			if step.Promote.Strategy == string(rollout.AwaitStable) {
				c.fail(at.atKey(), "with promote: {strategy: wait} another system brings stable to a version, and "+
					"has to take it back: Serin could only look on")
			}
		}
	}
}

func (w *WatchSpec) step(_ *planner, _ place, name string) rollout.Step {
	return rollout.Watch{Name: name, For: time.Duration(w.For), Scope: "watch/" + name, Ask: w.Then == "ask"}
}

// watched makes the scope of a watch. Missing data takes nothing back there: the version has been released.
func (m *planner) watched(name string, used []string, at place) {
	m.scope(name, used, at, nil, budget{})
	for _, n := range used {
		a, ok := m.analyses[n]
		if !ok {
			continue
		}
		for _, v := range a.analysis.Spec.variables() {
			if v == varVersion || slices.Contains(m.parameterNames(), v) {
				m.once(at, "analysis %s uses ${%s}, which had another value before the release: a watch needs "+
					"metrics that both versions have, by ${service}, ${pods} or ${instances}", n, v)
			}
		}
	}
	for _, defs := range []map[string]analysis.Definition{m.plan.Analyses, m.declared} {
		defs[name] = defs[name].Earlier(watchBack)
	}
	sources := m.sources(m.loader)
	for _, metric := range m.plan.Analyses[name].Metrics {
		if _, earlier := metric.Baseline.(analysis.Offset); earlier && sources.of(metric.From).Scraped {
			m.once(at, "a watch compares with the time before the release, which is not kept without a Prometheus: "+
				"set prometheus.url in the daemon's document")
		}
	}
	scope := &m.plan.Rollout.Scopes[len(m.plan.Rollout.Scopes)-1]
	scope.NoData.Then, scope.Unreachable.Then, scope.Unreachable.Blind = rollout.PolicyHold, rollout.PolicyHold, 0
}
