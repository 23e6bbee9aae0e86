package config

import (
	"slices"
	"strings"
	"time"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/share"
	"github.com/serindev/serin/traffic"
)

// MirrorSpec sends the canary copies of users' requests, throws its answers away, and compares how it handled them, before
// any user is exposed.
type MirrorSpec struct {
	// Name of the step.
	Name Name `json:"name,omitempty"`
	// Share of the requests that are copied: whole percents, from 1% to 100%.
	Share Share `json:"share"`
	// For is the least time in force.
	For Duration `json:"for"`
	// Methods of the requests that are copied; GET, HEAD and OPTIONS by default, since a copy of anything else may write
	// twice. all copies every method.
	Methods Texts `json:"methods,omitempty"`
	// MaxBodySize is how many bytes the body of a copied request may have; 1 MiB by default.
	MaxBodySize int64 `json:"maxBodySize,omitempty" jsonschema:"minimum=1,maximum=1073741824"`
	// Analysis of this step, in place of the rollout's; none compares nothing.
	Analysis Texts `json:"analysis,omitempty"`
	// Decide is when the step may be left.
	Decide *DecideMirrorSpec `json:"decide,omitempty"`
}

// DecideMirrorSpec is when a mirror step may be left.
type DecideMirrorSpec struct {
	// Max is the longest time without a decision.
	Max *Duration `json:"max,omitempty"`
	// Inconclusive is what is done then.
	Inconclusive string `json:"inconclusive,omitempty" jsonschema:"enum=hold,enum=gate,enum=rollback"`
	// On is what the step is left on; no-fail by default, since no user is at risk.
	On string `json:"on,omitempty" jsonschema:"enum=pass,enum=no-fail"`
}

// allMethods says that requests of every method are copied.
const allMethods = "all"

func (m *MirrorSpec) named() Name { return m.Name }

func (m *MirrorSpec) check(c *checker, at place, s *RolloutSpec, _ []string) {
	c.positive(at, "for", &m.For)
	if err := m.copies().Validate(); err != nil {
		c.fail(at, "%s", strings.ReplaceAll(strings.TrimPrefix(err.Error(), "mirror: "), "\nmirror: ", "; "))
	}
	c.ownRoute(at, s)
	for i := range s.Steps {
		if s.Steps[i].Mirror == m {
			break
		}
		if s.Steps[i].AB != nil || s.Steps[i].Gray != nil {
			c.fail(at.atKey(), "mirror after users have been on the canary (steps[%d]): copies come before that", i)
			break
		}
	}
	if !c.analysed(at, m.Analysis, s) {
		if m.Decide != nil {
			c.fail(at.in("decide").atKey(), "nothing is compared at this step, so there is nothing to decide: leave it out")
		}
		return
	}
	d := or(m.Decide, DecideMirrorSpec{})
	c.positive(at.in("decide"), "max", d.Max)
	if most := long(d.Max, defaultDecideMost); time.Duration(m.For) > most {
		c.fail(at.in("for"), "%s is longer than decide.max, %s: it could never be decided", show(time.Duration(m.For)), show(most))
	}
}

// ownRoute refuses steps that need a route of their own in front of the main one, if Serin cannot write one.
func (c *checker) ownRoute(at place, s *RolloutSpec) {
	if s.Traffic.Replicas != nil {
		c.fail(at.atKey(), "needs a route, and pods divide the work of this rollout (traffic.replicas)")
	}
	if s.Traffic.GatewayAPI != nil {
		c.fail(at.atKey(), "Traefik cannot do this with routes of Gateway API: traffic.traefik and traffic.traefikFile can")
	}
}

func (m *MirrorSpec) copies() traffic.Mirror {
	out := traffic.Mirror{Share: share.Share(m.Share), Methods: m.Methods, MaxBodySize: m.MaxBodySize}
	if len(m.Methods) == 1 && m.Methods[0] == allMethods {
		out.Methods, out.AllMethods = nil, true
	}
	return out
}

func (m *MirrorSpec) step(p *planner, _ place, name string) rollout.Step {
	d := or(m.Decide, DecideMirrorSpec{})
	out := rollout.Mirror{
		Name: name, Copies: m.copies(), For: time.Duration(m.For), Scope: "mirror/" + name,
		Decide: rollout.Decide{Max: long(d.Max, defaultDecideMost), Inconclusive: policy(d.Inconclusive), On: rollout.DecideOn(d.On)},
	}
	if !p.spec.judges(m.Analysis) {
		out.Scope, out.Decide, out.Unjudged = "", rollout.Decide{}, true
	}
	return out
}

// mirrored adapts an analysis to copies: not all of stable's requests are copied, so what each arm counts cannot be
// compared with the share.
func (m *planner) mirrored(scope string, used []string, at place) {
	m.scope(scope, used, at, nil, budget{})
	for _, defs := range []map[string]analysis.Definition{m.plan.Analyses, m.declared} {
		def := defs[scope]
		def.Split = analysis.Split{Off: true}
		def.Metrics = slices.Clone(def.Metrics)
		for i := range def.Metrics {
			def.Metrics[i].Uneven = true
		}
		defs[scope] = def
	}
}
