package config

import "github.com/serindev/serin/rollout"

// PromoteSpec makes the canary stable.
type PromoteSpec struct {
	// Name of the step.
	Name Name `json:"name,omitempty"`
	// Strategy on Kubernetes: patch changes stable's template, wait leaves that to another system (GitOps).
	Strategy string `json:"strategy,omitempty" jsonschema:"enum=patch,enum=wait"`
	// Template: images takes over the canary's images only, whole all of its pod template.
	Template string `json:"template,omitempty" jsonschema:"enum=images,enum=whole"`
	// Deadline of the strategy.
	Deadline *Duration `json:"deadline,omitempty"`
	// Expired is what is done then.
	Expired string `json:"expired,omitempty" jsonschema:"enum=hold,enum=gate,enum=rollback"`
}

func (p *PromoteSpec) named() Name { return p.Name }

func (p *PromoteSpec) check(c *checker, at place, s *RolloutSpec, _ []string) {
	c.positive(at, "deadline", p.Deadline)
	if _, ok := s.Traffic.cluster(); ok {
		c.promotesCopy(at, p, s)
		return
	}
	for _, e := range at.node.entries {
		if e.key != "name" {
			c.fail(at.in(e.key).atKey(), "belongs to Kubernetes: without it the two sets of servers exchange their roles")
		}
	}
}

func (p *PromoteSpec) step(m *planner, _ place, name string) rollout.Step {
	out := rollout.Promote{Name: name}
	if !m.cluster {
		return out
	}
	out.Strategy, out.Whole = rollout.Patch, p.Template == "whole" || m.spec.Deployment != ""
	if p.Strategy == string(rollout.AwaitStable) {
		out.Strategy, out.Deadline, out.Expired = rollout.AwaitStable, long(p.Deadline, defaultPromoteAwait), policy(p.Expired)
		return out
	}
	out.Deadline = long(p.Deadline, defaultPromote)
	return out
}
