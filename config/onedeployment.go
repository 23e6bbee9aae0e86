package config

import (
	"slices"

	"github.com/serindev/serin/traffic"
)

// copySuffix ends the names of stable's copies, if Git has one Deployment.
const copySuffix = "-stable"

// The longest names of stable's copies: to a Deployment's, Kubernetes adds a dash and ten characters for each ReplicaSet, whose
// name has at most 253; a Service's is a label.
const (
	maxCopy        = 253 - 11
	maxCopyService = 63
)

// copyOf is the name of stable's copy of a Deployment.
func copyOf(d ObjectName) ObjectName {
	return ObjectName(traffic.Derived(string(d), copySuffix, maxCopy))
}

// complete returns the specification with both arms. If Git has one Deployment, that one is the canary, stable is the copy
// that Serin makes of it, and a new pod template starts a release. All other code then has two arms to read.
func (s *RolloutSpec) complete() RolloutSpec {
	out := *s
	if s.Deployment == "" || s.Service == nil {
		return out
	}
	stable := *s.Service
	stable.Name = ServiceName(traffic.Derived(string(stable.Name), copySuffix, maxCopyService))
	out.Canary = ArmSpec{Deployment: s.Deployment, Service: s.Service}
	out.Stable = ArmSpec{Deployment: copyOf(s.Deployment), Service: &stable}
	if !slices.ContainsFunc(s.Triggers, func(t TriggerSpec) bool { return t.Deployment == s.Deployment }) {
		out.Triggers = append(slices.Clip(s.Triggers), TriggerSpec{Deployment: s.Deployment})
	}
	return out
}

// single checks what is special to rollouts with one Deployment, or to the others; it returns false if nothing else is
// worth checking.
func (c *checker) single(s *RolloutSpec) bool {
	if s.Deployment == "" {
		c.notSingle()
		return true
	}
	for _, field := range []string{"stable", "canary"} {
		if at := c.spec(field); !at.gone {
			c.fail(at.atKey(), "belongs to rollouts with two Deployments: with deployment: %s, that one is the "+
				"canary and %s, which Serin makes, is stable", s.Deployment, copyOf(s.Deployment))
		}
	}
	if _, ok := s.Traffic.cluster(); !ok {
		c.fail(c.spec("deployment").atKey(), "belongs to Kubernetes; traffic is traefikFile")
		return false
	}
	if s.Traffic.Replicas != nil {
		c.fail(c.spec("deployment").atKey(), "with traffic.replicas both versions have a Deployment of their own: "+
			"pods of the one in Git would take work before a release gives them any")
	}
	if g := s.Traffic.GatewayAPI; g != nil && g.Route == nil {
		c.fail(c.spec("traffic", "gatewayAPI"),
			"with one Deployment, an existing route would have to lead to the copy, and it does not: expected route (Serin's own)")
	}
	for i := range s.Steps {
		if d := s.Steps[i].Deploy; d != nil && (d.Deployment == s.Deployment || d.Deployment == copyOf(s.Deployment)) {
			c.fail(c.spec("steps", i, "deploy", "deployment"), "Serin does not write the pod template of %s: what "+
				"Git has there starts the release, and promote brings the copy to it", d.Deployment)
		}
	}
	return true
}

// notSingle refuses what belongs to rollouts with one Deployment.
func (c *checker) notSingle() {
	for _, field := range []string{"service", "scaleDown", "leave"} {
		if at := c.spec(field); !at.gone {
			c.fail(at.atKey(), "belongs to rollouts with one Deployment (deployment: NAME); here the arms say it")
		}
	}
	if at := c.spec("track"); !at.gone {
		c.fail(at.atKey(), "belongs to rollouts with one Deployment (deployment: NAME); here both Deployments name "+
			"the same ConfigMap, so name it by what it contains, as kustomize's configMapGenerator does")
	}
}

// promotesCopy refuses ways of promoting that do not work for a copy.
func (c *checker) promotesCopy(at place, p *PromoteSpec, s *RolloutSpec) {
	if s.Deployment == "" {
		return
	}
	if p.Strategy == "wait" {
		c.fail(at.in("strategy"), "only Serin manages stable's Deployment, a copy: expected patch")
	}
	if p.Template == "images" {
		c.fail(at.in("template"), "the copy gets all of the pod template: expected whole")
	}
}
