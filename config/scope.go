package config

import (
	"fmt"
	"slices"
	"time"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/figures"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/traffic/traefik"
)

// scopes determines the analysis and the patience of each A/B step and of all gray steps together.
func (m *planner) scopes() {
	names := stepNames(m.spec.Steps)
	var gray []string
	var grayAt place
	var stretches []analysis.Stretch // of the gray steps so far
	var grayBudget budget            // of the gray steps up to the last one with a time to decide in
	var most time.Duration           // decide.max of the last one
	for i := range m.spec.Steps {
		s, at := &m.spec.Steps[i], m.checker.spec("steps", i)
		switch {
		case s.AB != nil:
			if used, where := m.named(at.in("ab", "analysis"), s.AB.Analysis); len(used) > 0 {
				m.scope("ab/"+names[i], used, where, s.AB, s.AB.budget())
			}
		case s.Mirror != nil:
			if used, where := m.named(at.in("mirror", "analysis"), s.Mirror.Analysis); len(used) > 0 {
				m.mirrored("mirror/"+names[i], used, where)
			}
		case s.Watch != nil:
			if used, where := m.named(at.in("watch", "analysis"), s.Watch.Analysis); len(used) > 0 {
				m.watched("watch/"+names[i], used, where)
			}
		case s.Gray != nil:
			used, where := m.named(at.in("gray", "analysis"), s.Gray.Analysis)
			for _, n := range used {
				if !slices.Contains(gray, n) {
					gray = append(gray, n)
				}
			}
			if len(used) == 0 {
				continue
			}
			grayAt = where
			stretches = append(stretches, s.Gray.stretches()...)
			d := or(s.Gray.Decide, DecideGraySpec{})
			most = long(d.Max, defaultDecideMost)
			if d.Within != nil {
				grayBudget = budget{time.Duration(*d.Within), slices.Clone(stretches), true}
			}
		}
	}
	if len(gray) > 0 {
		if !grayBudget.written && len(stretches) > 0 {
			grayBudget = defaultBudget(stretches, most)
		}
		m.scope(grayScope, gray, grayAt, nil, grayBudget)
	}
	m.sourceReference(m.checker.spec("prometheus"), m.spec.Prometheus)
	m.ready(names)
}

// named returns the analyses of a step, and the place that names them.
func (m *planner) named(at place, own Texts) ([]string, place) {
	where := at
	names := []string(own)
	if len(own) == 0 {
		names, where = m.spec.Analysis, m.checker.spec("analysis")
	}
	if !m.spec.judges(own) {
		return nil, where
	}
	for i, n := range names {
		m.reference(where.item(i), n)
	}
	return names, where
}

// reference checks the name of an analysis, once per place.
func (m *planner) reference(at place, name string) {
	if why := missingAnalysis(name, m.analyses, m.lost); why != "" {
		e := at.errorf("%s", why)
		e.later = true
		m.onceError(e)
		return
	}
	a, ok := m.analyses[name]
	if why := m.unrouted(name); why != "" {
		m.once(at, "analysis %s %s", name, why)
		return
	}
	if !ok {
		return // the built-in one
	}
	for _, source := range a.analysis.Spec.sources() {
		m.sourceReference(at, source)
	}
	for _, v := range a.analysis.Spec.variables() {
		if why := m.unknown(v); why != "" {
			m.once(at, "analysis %s uses ${%s}, which %s", name, v, why)
		}
	}
}

// unknown says why a variable has no value in this rollout, or none that lasts; it is empty if it has one.
func (m *planner) unknown(variable string) string {
	const instead = `instance=~"${instances}" selects the series of the arm's servers, hosts and ports`
	servers := !m.cluster
	switch variable {
	case varService:
		if t := m.spec.Traffic.Traefik; t != nil && t.tcp() {
			return `is the arm's name in Traefik's metrics, which count no requests of a TCP route: pod=~"${pods}" selects the series of the arm's pods`
		}
		if m.spec.Traffic.Replicas != nil {
			return `is the arm's name in a gateway's metrics, and no gateway divides the work here: pod=~"${pods}" selects the series of the arm's pods`
		}
		return ""
	case varArm:
		if servers {
			return "is the role that a set of servers has: the sets swap roles with each promotion, and the labels " +
				"of their series do not, so that from the second release on the verdict would be upside down. " + instead
		}
		return ""
	case varPods, varVersion:
		if servers {
			return "is known on Kubernetes only. Without it, " + instead
		}
		return ""
	case varInstances, varHosts:
		if !servers {
			return `is known only without Kubernetes. With it, pod=~"${pods}" selects the series of the arm's pods`
		}
		return ""
	}
	if slices.Contains(m.parameterNames(), variable) {
		return ""
	}
	return "is not a declared parameter"
}

// missingAnalysis says why there is no analysis of that name; it is empty if there is one.
func missingAnalysis(name string, analyses map[string]*parsed, lost map[string]string) string {
	if _, ok := analyses[name]; ok || name == traefik.Web || name == noAnalysis {
		return ""
	}
	if file, ok := lost[name]; ok {
		return fmt.Sprintf("analysis %s is in %s, which has errors", name, file)
	}
	there := []string{traefik.Web, noAnalysis}
	for n := range analyses {
		there = append(there, n)
	}
	slices.Sort(there)
	return fmt.Sprintf("there is no analysis %s: %s", quote(name), meant(name, there))
}

// dangling reports the analyses that a rollout names and that do not exist. It works on a document whose form has other
// errors, so that all mistakes are reported at once.
func (d document) dangling(seen *sight) (errs Errors) {
	if kind, _ := d.root.get("kind"); kind.value == nil || kind.value.text != KindRollout {
		return nil
	}
	named := []place{d.at("spec", "analysis")}
	for _, steps := range []place{d.at("spec", "steps"), d.at("spec", returning, "steps")} {
		if steps.gone {
			continue
		}
		for i := range steps.node.list {
			named = append(named, steps.in(i, "ab", "analysis"), steps.in(i, "gray", "analysis"),
				steps.in(i, "mirror", "analysis"), steps.in(i, "watch", "analysis"))
		}
	}
	for _, at := range named {
		if at.gone {
			continue
		}
		all := []place{at}
		for i := range at.node.list {
			all = append(all, at.in(i))
		}
		for _, p := range all {
			if name, ok := p.node.scalar.(string); ok {
				if why := missingAnalysis(name, seen.analyses, seen.lost); why != "" {
					e := p.errorf("%s", why)
					e.later = true
					errs = append(errs, e)
				}
			}
		}
	}
	return errs
}

// once is fail for a place that several steps share: a message appears only once.
func (m *planner) once(at place, format string, args ...any) { m.onceError(at.errorf(format, args...)) }

func (m *planner) onceError(e Error) {
	if !slices.Contains(m.errs, e) {
		m.errs = append(m.errs, e)
	}
}

// budget is the time in which a scope has to be decided: within is the time that is written, or the default, and stretches
// divide it among the weights, earlier ones of the scope included. The zero value is no budget.
type budget struct {
	within    time.Duration
	stretches []analysis.Stretch
	written   bool
}

// take applies the budget to the metrics of an analysis that have no margin of their own.
func (b budget) take(def *analysis.Definition, builtIn bool) {
	for k := range def.Metrics {
		if builtIn || def.Metrics[k].Margin == (analysis.Margin{}) { // no user has chosen the margins of the built-in one
			def.Metrics[k].Budget()
		}
	}
}

// scope merges the analyses of one scope of evidence. ab is nil for the gray steps.
func (m *planner) scope(name string, used []string, at place, ab *ABSpec, in budget) {
	noData, unreachable := patience(nil), rollout.Patience{}
	var defs, declared []analysis.Definition
	lags := ab == nil && m.stickyGray()
	for i, n := range used {
		def, spec := m.definition(n, m.sources(m.loader))
		asDeclared, _ := m.definition(n, m.sources(Loader{}))
		for _, why := range def.NeedsPrometheus(func(from string) bool { return m.sources(m.loader).of(from).Scraped }) {
			m.once(at, "analysis %s: %s", n, why)
		}
		if (ab != nil && ab.Sticky || lags) && def.Split.Tolerance == 0 {
			def.Split.Tolerance, asDeclared.Split.Tolerance = stickyTolerance, stickyTolerance
		}
		if in.within > 0 {
			in.take(&def, spec == nil)
			in.take(&asDeclared, spec == nil)
		}
		defs, declared = append(defs, def), append(declared, asDeclared)
		var nd, un *PatienceSpec
		if spec != nil {
			nd, un = spec.NoData, spec.Unreachable
		}
		lacks, asked := patience(nd), patience(un)
		if un == nil {
			asked.Blind = defaultBlind
			if lacks.For > defaultBlind {
				lacks.Blind = lacks.For // an author who waits that long for data does not want it to count as blindness sooner
				m.blindness(at, n, lacks.For)
			}
		}
		if i == 0 {
			noData, unreachable = lacks, asked
			continue
		}
		noData, unreachable = stricter(noData, lacks), stricter(unreachable, asked)
	}
	merge := func(defs []analysis.Definition) analysis.Definition {
		merged := analysis.Merge(defs...)
		merged.Split.Lags = lags
		for i := range merged.Metrics {
			// Without a count of requests, a metric's exposure is compared with the weight, which the canary's share lags behind.
			merged.Metrics[i].Uneven = merged.Metrics[i].Uneven || lags && merged.Split.Off
		}
		if slices.ContainsFunc(merged.Metrics, func(m analysis.Metric) bool { return m.Budgeted }) {
			merged.Within, merged.Budget = in.within, in.stretches
		}
		merged.ByUsers = ab != nil && ab.Sticky && ab.Split < 1 || lags && name == grayScope
		m.divided(&merged)
		if ab != nil && ab.Split == 1 {
			merged.Split.Off = true // everybody of the cohort is on the canary: there is no split to test
		}
		return merged
	}
	m.plan.Analyses[name], m.declared[name] = merge(defs), merge(declared)
	if in.written && !slices.ContainsFunc(m.plan.Analyses[name].Metrics, func(m analysis.Metric) bool { return m.Budgeted }) {
		m.warn(at, "within has no effect: every metric has a margin of its own, a fixed baseline, or counts no bad requests")
	}
	m.plan.Rollout.Scopes = append(m.plan.Rollout.Scopes, rollout.Scope{Name: name, NoData: noData, Unreachable: unreachable})
}

// stickyGray reports whether users keep their version while weights grow.
func (m *planner) stickyGray() bool {
	return slices.ContainsFunc(m.spec.Steps, func(s StepSpec) bool { return s.Gray != nil && s.Gray.Sticky })
}

// blindness warns of an analysis that waits for data longer than a release may be blind, but does not say how long
// Prometheus may be unreachable.
func (m *planner) blindness(at place, name string, noData time.Duration) {
	said := at.errorf("analysis %s: noData waits %s for missing data, but a release goes back after %s without any "+
		"answer from Prometheus: set that time with unreachable",
		name, figures.Span(noData), figures.Span(defaultBlind))
	m.onceWarning(said)
}

func (m *planner) onceWarning(said Error) {
	if !slices.Contains(m.warnings, said) {
		m.warnings = append(m.warnings, said)
	}
}

// definition returns an analysis by name; spec is nil for the built-in one and for one that does not exist.
func (m *planner) definition(name string, sources sourcing) (analysis.Definition, *AnalysisSpec) {
	if a, ok := m.analyses[name]; ok {
		return a.analysis.Spec.definition(name, sources), &a.analysis.Spec
	}
	return sources.builtIn(), nil
}

func (m *planner) sources(l Loader) sourcing { return sourcing{loader: l, rollout: m.spec.Prometheus} }

func patience(p *PatienceSpec) rollout.Patience {
	if p == nil {
		return rollout.Patience{For: defaultPatience, Then: rollout.PolicyHold}
	}
	return rollout.Patience{For: long(&p.For, 0), Then: rollout.Policy(p.Then)}
}

// stricter returns the policy that does more, and of two that do the same the one that does it sooner.
func stricter(a, b rollout.Patience) rollout.Patience {
	order := []rollout.Policy{rollout.PolicyHold, rollout.PolicyGate, rollout.PolicyRollback}
	x, y := slices.Index(order, a.Then), slices.Index(order, b.Then)
	if y > x || y == x && b.For < a.For {
		return b
	}
	return a
}

// ready warns of a release that nothing judges.
func (m *planner) ready(names []string) {
	exposes := func(s StepSpec) bool {
		return s.AB != nil || s.Gray != nil || s.Mirror != nil && m.spec.judges(s.Mirror.Analysis)
	}
	if m.shorter || slices.ContainsFunc(m.spec.Steps, exposes) || len(names) == 0 {
		return // the plan for a version that returns may compare nothing
	}
	m.warn(m.checker.spec("steps").atKey(), "there is neither ab nor gray: the canary gets all traffic without having been compared")
}
