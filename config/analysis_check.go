package config

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/internal/spelling"
	"github.com/serindev/serin/share"
	"github.com/serindev/serin/traffic/traefik"
)

// minInterval between looks: a scrape is never more frequent, and each look costs queries.
const minInterval = time.Second

// analysis checks the meaning of an analysis on its own; its parameters are checked where a rollout uses it.
func (c *checker) analysis(s *AnalysisSpec, name string) {
	switch name {
	case traefik.Web:
		c.fail(c.at("metadata", "name"), "%s is built in: use another name", name)
	case noAnalysis:
		c.fail(c.at("metadata", "name"), "%s means no analysis where a rollout names one: use another name", name)
	}
	if len(s.Metrics) == 0 {
		c.fail(c.spec("metrics"), "there is nothing to compare: expected at least one metric")
	} else if !slices.ContainsFunc(s.Metrics, func(m MetricSpec) bool { return !m.DryRun }) {
		c.fail(c.spec("metrics"), "all of them are dry runs: expected at least one metric that decides")
	}
	c.chance("falseRollback", s.FalseRollback)
	c.chance("falseAdvance", s.FalseAdvance)
	if s.Interval != nil && time.Duration(*s.Interval) < minInterval {
		c.fail(c.spec("interval"), "expected at least 1s")
	}
	if f := s.Fresh; f != nil && f.Every != nil && *f.Every <= 0 {
		c.fail(c.spec("fresh", "every"), "expected more than 0; disabled: true switches it off")
	}
	c.sourceName(c.spec("prometheus"), s.Prometheus)
	c.sampleRatio(s)
	seen := map[MetricName]int{}
	for i := range s.Metrics {
		m := &s.Metrics[i]
		if first, twice := seen[m.Name]; twice {
			c.fail(c.spec("metrics", i, "name"), "%q is the name of metrics[%d] already", m.Name, first)
		} else {
			seen[m.Name] = i
		}
		c.metric(c.spec("metrics", i), m)
	}
}

func (c *checker) chance(field string, s *Share) {
	if s != nil && (*s <= 0 || *s > 0.5) {
		c.fail(c.spec(field), "expected a chance above 0%% and at most 50%%, got %s", share.Share(*s))
	}
}

func (c *checker) sampleRatio(s *AnalysisSpec) {
	r := s.SampleRatio
	if r == nil {
		return
	}
	at := c.spec("sampleRatio")
	if t := r.Tolerance; t != nil && (*t <= 0 || *t >= 1) {
		c.fail(at.in("tolerance"), "expected a share between 0%% and 100%%, got %s", share.Share(*t))
	}
	if f := r.FalseAlarm; f != nil && (*f <= 0 || *f > 0.5) {
		c.fail(at.in("falseAlarm"), "expected a chance above 0%% and at most 50%%, got %s", share.Share(*f))
	}
	c.sourceName(at.in("prometheus"), r.Prometheus)
	if r.Requests == "" {
		return
	}
	probe := analysis.Definition{Split: analysis.Split{Requests: analysis.Selector(r.Requests)}}
	c.probe(at.in("requests"), probe, "requests of the arms: ", r.Requests)
}

func (c *checker) metric(at place, m *MetricSpec) {
	source := c.source(at, m)
	c.sourceName(at.in("prometheus"), m.Prometheus)
	if m.Optional && m.Goal {
		c.fail(at.in("goal"), "a goal has to be reached: it cannot be optional")
	}
	if m.DryRun && (m.Goal || m.Optional) {
		c.fail(at.in("dryRun"), "decides nothing: leave out goal and optional")
	}
	if b := m.Baseline; b != nil {
		c.baseline(at, m)
	}
	if g := m.Margin; g != nil {
		if g.Relative == nil && g.Absolute == nil {
			c.fail(at.in("margin"), "expected relative, absolute or both")
		}
		c.difference(at.in("margin"), m)
	}
	if source == "" || len(c.errs) > 0 && m.Name == "" {
		return
	}
	def := m.definition(traefik.Series{})
	if m.Replicas != "" {
		if err := def.CheckReplicas(); err != nil {
			c.fail(at.in("replicas"), "%s", err)
		}
	}
	if m.Clusters != "" {
		if err := def.CheckClusters(); err != nil {
			c.fail(at.in("clusters"), "%s", err)
		}
	}
	if m.By != "" {
		if err := def.CheckBy(); err != nil {
			c.fail(at.in("by"), "%s", err)
		}
	} else if m.Values != nil {
		c.fail(at.in("values").atKey(), "belongs to by: it is how many values of that label are judged one by one")
	}
	c.probe(at.in(source), analysis.Definition{Metrics: []analysis.Metric{def}, Split: analysis.Split{Off: true}},
		"metric "+def.Name+": ", m.queries()...)
}

// difference checks an absolute margin: of rates it is a share, and of a gauge or a mean it is in their unit.
func (c *checker) difference(at place, m *MetricSpec) {
	g, p := m.Margin, at.in("absolute")
	if g.Absolute == nil {
		return
	}
	if m.Baseline != nil && m.Baseline.Fixed != nil {
		c.fail(p, "is for ratios that are compared with an arm; use relative")
		return
	}
	written, _ := p.node.scalar.(json.Number)
	if m.Gauge != nil || m.Mean != nil {
		switch {
		case p.node.what == isScalar && written == "" && strings.Contains(p.node.text, "%"):
			c.fail(p, "expected a number in the metric's own unit, got %s: relative is for shares of the baseline's mean", p.node.text)
		case g.Relative != nil && *g.Relative == 0:
			c.fail(at.in("relative"), "expected more than 0%%: relative is added to absolute where that is in the metric's own unit")
		}
		return
	}
	if written != "" {
		if err := checkShare(written); err != nil {
			c.fail(p, "expected %s: %s", expectedShare, err)
			return
		}
	}
	if *g.Absolute >= 1 {
		c.fail(p, "%s: a difference of rates is below 100%%", share.Share(*g.Absolute))
	}
}

// source checks what a metric measures and returns the field that says so, or "" if that cannot be determined.
func (c *checker) source(at place, m *MetricSpec) string {
	var set []string
	for _, f := range []struct {
		name string
		is   bool
	}{{"preset", m.Preset != ""}, {"ratio", m.Ratio != nil}, {"slow", m.Slow != nil},
		{"distribution", m.Distribution != nil}, {"mean", m.Mean != nil}, {"gauge", m.Gauge != nil}} {
		if f.is {
			set = append(set, f.name)
		}
	}
	if len(set) != 1 {
		what := "here is none"
		if len(set) > 1 {
			what = "here are " + strings.Join(set, " and ")
		}
		c.fail(at, "has no data source: expected exactly one of preset, ratio, slow, distribution, mean or gauge; %s", what)
		return ""
	}
	for _, p := range traefik.Presets() {
		if field := at.in(p.Field); !field.gone && m.Preset != p.Name {
			c.fail(field.atKey(), "belongs to the preset %s", p.Name)
		}
	}
	if m.Match != "" && m.Preset == "" {
		c.fail(at.in("match").atKey(), "belongs to presets: the selectors of this metric are your own, so put the matchers into their braces")
	}
	if m.Absent != "" && m.Ratio == nil {
		c.fail(at.in("absent").atKey(), "belongs to ratio: only there a counter may begin with the first event")
	}
	if m.SlowerThan != nil && *m.SlowerThan <= 0 {
		c.fail(at.in("slowerThan"), "expected more than 0")
	}
	return c.sourceFields(at, m, set[0])
}

func (c *checker) sourceFields(at place, m *MetricSpec, set string) string {
	switch {
	case m.Preset != "" && m.preset() == nil:
		var names []string
		for _, p := range traefik.Presets() {
			names = append(names, p.Name)
		}
		c.fail(at.in("preset"), "there is no preset %s: %s", quote(m.Preset), meant(m.Preset, names))
		return ""
	case m.Ratio != nil && (m.Ratio.Bad == "") == (m.Ratio.Good == ""):
		c.fail(at.in("ratio"), "expected one of bad or good in addition to total")
		return ""
	case m.Slow != nil && m.Slow.SlowerThan <= 0:
		c.fail(at.in("slow", "slowerThan"), "expected more than 0")
		return ""
	case m.Distribution != nil:
		for i, b := range m.Distribution.Bounds {
			if b <= 0 || i > 0 && b <= m.Distribution.Bounds[i-1] {
				c.fail(at.in("distribution", "bounds", i), "bounds have to grow, from above 0")
				return ""
			}
		}
		if o := m.Distribution.Objective; o != nil && *o <= 0 {
			c.fail(at.in("distribution", "objective"), "expected more than 0")
		}
	}
	return set
}

func (c *checker) baseline(at place, m *MetricSpec) {
	b := m.Baseline
	switch {
	case b.Offset != nil && *b.Offset <= 0:
		c.fail(at.in("baseline", "offset"), "expected more than 0")
	case b.Fixed == nil:
	case *b.Fixed <= 0 || *b.Fixed >= 1:
		c.fail(at.in("baseline", "fixed"), "expected a rate between 0%% and 100%%, got %s", share.Share(*b.Fixed))
	case m.Gauge != nil || m.Mean != nil || m.Distribution != nil:
		c.fail(at.in("baseline", "fixed"), "is for ratios: a gauge, a mean or a whole distribution has no rate to compare with")
	case m.Ratio != nil && m.Ratio.Good != "":
		c.fail(at.in("baseline", "fixed"), "is the rate of what should not happen: use bad in place of good")
	}
}

// probe binds a definition to two imaginary arms, so that an error that would stop a release is found now.
func (c *checker) probe(at place, def analysis.Definition, prefix string, texts ...string) {
	canary, baseline := analysis.Names{Service: "canary@file"}, analysis.Names{Service: "stable@file"}
	canary.Vars, baseline.Vars = map[string][]string{}, map[string][]string{}
	for _, text := range texts {
		names, err := placeholders(text)
		if err != nil {
			c.fail(at, "%s", err)
			return
		}
		for _, n := range names {
			if best, ok := spelling.Nearest(n, armNames); ok && best != n {
				c.fail(at, "${%s}: did you mean ${%s}?", n, best)
				return
			}
			canary.Vars[n], baseline.Vars[n] = []string{"x"}, []string{"x"}
		}
	}
	canary.Vars[varArm], baseline.Vars[varArm] = []string{"canary"}, []string{"stable"}
	canary.Vars[varVersion], baseline.Vars[varVersion] = []string{"2"}, []string{"1"}
	canary.Vars[varPods], baseline.Vars[varPods] = []string{"c-1", "c-2"}, []string{"s-1", "s-2"}
	canary.Vars[varInstances], baseline.Vars[varInstances] = []string{"c:1", "c:2"}, []string{"s:1", "s:2"}
	canary.Vars[varHosts], baseline.Vars[varHosts] = []string{"c", "d"}, []string{"s", "t"}
	if _, err := analysis.NewPlan(def, analysis.Arms{Canary: canary, Baseline: baseline}); err != nil {
		c.fail(at, "%s", strings.TrimPrefix(err.Error(), prefix))
	}
}

// queries returns the texts of a metric that may contain placeholders.
func (m *MetricSpec) queries() []string {
	switch {
	case m.Ratio != nil:
		return []string{m.Ratio.Bad, m.Ratio.Good, m.Ratio.Total}
	case m.Slow != nil:
		return []string{m.Slow.Histogram}
	case m.Distribution != nil:
		return []string{m.Distribution.Histogram}
	case m.Mean != nil:
		return []string{m.Mean.Sum, m.Mean.Count}
	case m.Gauge != nil:
		return []string{m.Gauge.Query}
	}
	return nil // presets know ${service} only
}

// variables returns the names of the placeholders that an analysis uses, sorted.
func (s *AnalysisSpec) variables() []string {
	var out []string
	texts := []string{}
	for i := range s.Metrics {
		texts = append(texts, s.Metrics[i].queries()...)
	}
	if s.SampleRatio != nil {
		texts = append(texts, s.SampleRatio.Requests)
	}
	for _, t := range texts {
		names, err := placeholders(t)
		if err == nil {
			out = append(out, names...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
