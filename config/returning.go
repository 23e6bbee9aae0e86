package config

import (
	"slices"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
)

// ReturningSpec is a shorter plan for a version that was in service not long ago.
type ReturningSpec struct {
	// Within is how long ago the version may have left service.
	Within *Duration `json:"within,omitempty"`
	// Releases is how many releases ago it may have been in service; 1 is the version before the one in service.
	Releases int `json:"releases,omitempty" jsonschema:"minimum=1,maximum=100"`
	// Steps of such a release, in order.
	Steps []StepSpec `json:"steps" jsonschema:"minItems=1"`
}

// returning is the document's field with the shorter plan.
const returning = "returning"

// shorter returns the specification with the shorter plan as its plan.
func (s *RolloutSpec) shorter() *RolloutSpec {
	out := *s
	out.Steps, out.Returning = s.Returning.Steps, nil
	return &out
}

// returning checks the shorter plan.
func (c *checker) returning(s *RolloutSpec, params []string) {
	r, at := s.Returning, c.spec(returning)
	if r == nil {
		return
	}
	c.positive(at, "within", r.Within)
	if r.Within == nil && r.Releases == 0 {
		c.fail(at.atKey(), "expected within (such as 7d), releases (such as 3) or both, which then both have to hold")
	}
	switch {
	case s.Deployment != "":
		c.fail(at.atKey(), "with one Deployment the pod template says which version it is, and no parameter does: a "+
			"version that returns cannot be recognised")
	case len(s.Parameters) == 0:
		c.fail(at.atKey(), "a version is recognised by the parameters of its release, and the rollout declares none")
	}
	c.shorter = true
	c.steps(s.shorter(), params)
	c.shorter = false
}

// returning makes the plan of a version that returns.
func (m *planner) returning() {
	r := m.spec.Returning
	if r == nil {
		return
	}
	sub := *m
	sub.shorter, sub.spec, sub.errs, sub.warnings = true, m.spec.shorter(), nil, nil
	sub.plan = record.Plan{Rollout: rollout.Definition{Name: m.plan.Rollout.Name}, Analyses: map[string]analysis.Definition{}}
	sub.declared = map[string]analysis.Definition{}
	sub.steps()
	sub.scopes()
	for _, e := range sub.errs {
		m.onceError(e)
	}
	for _, w := range sub.warnings {
		m.onceWarning(w)
	}
	m.plan.Rollout.Returning = &rollout.Returning{
		Within: long(r.Within, 0), Releases: r.Releases, Steps: sub.plan.Rollout.Steps, Scopes: sub.plan.Rollout.Scopes,
	}
	m.plan.Returning, m.declaredReturning = sub.plan.Analyses, sub.declared
}

// returningDeploys refuses a shorter plan without the step that brings the canary to the version: it would promote whatever
// version the canary's Deployment had last.
func (m *planner) returningDeploys() {
	d := &m.plan.Rollout
	if d.Cluster == nil || d.Returning == nil {
		return
	}
	canary := d.Cluster.Arms.Canary.Deployment
	deploys := func(s rollout.Step) bool {
		step, ok := s.(rollout.Deploy)
		return ok && step.Deployment == canary
	}
	if slices.ContainsFunc(d.Steps, deploys) && !slices.ContainsFunc(d.Returning.Steps, deploys) {
		m.fail(m.checker.spec(returning, "steps"),
			"no step deploys the version to %s, as one of spec.steps does: whatever is there would be promoted in its place", canary.Name)
	}
}
