package config

import (
	"cmp"
	"slices"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/share"
	"github.com/serindev/serin/workload"
)

// ReplicasSpec is for work that no gateway divides, such as a queue's: each version does the share of the work that its pods
// are of all pods.
type ReplicasSpec struct {
	// Namespace of both arms.
	Namespace Namespace `json:"namespace,omitempty"`
	// Total is how many pods both versions have together; by default as many as stable has between releases.
	Total int `json:"total,omitempty" jsonschema:"minimum=1,maximum=100000"`
	// Tolerance is how far the share that whole pods can take may be from a weight; any distance by default.
	Tolerance *Share `json:"tolerance,omitempty"`
}

func (r *ReplicasSpec) split() workload.Split {
	return workload.Split{Total: r.Total, Tolerance: share.Share(or(r.Tolerance, 0))}
}

func (r *ReplicasSpec) check(c *checker, s *RolloutSpec, _ Loader) {
	for _, arm := range []struct {
		name string
		spec *ArmSpec
	}{{"stable", &s.Stable}, {"canary", &s.Canary}} {
		at := c.spec(arm.name)
		if at.gone {
			continue // the arms are given in another form, which is refused elsewhere
		}
		c.runs(at, arm.spec)
		for _, e := range at.node.entries {
			if !slices.Contains([]string{"deployment", "statefulSet", "namespace"}, e.key) {
				c.fail(at.in(e.key).atKey(),
					"belongs to rollouts with a gateway; with traffic.replicas the weights say how many pods each version has")
			}
		}
		c.armNamespace(at, arm.spec, r.Namespace, "is not that of traffic.replicas: both versions are in one namespace")
	}
	if s.Guards != nil {
		c.fail(c.spec("guards").atKey(), "belongs to gateways: no request passes through one here")
	}
	r.divides(c, c.spec("steps"), s.Steps)
	if s.Returning != nil {
		r.divides(c, c.spec(returning, "steps"), s.Returning.Steps)
	}
}

// divides checks that the steps divide work, not requests.
func (r *ReplicasSpec) divides(c *checker, steps place, all []StepSpec) {
	last := int64(0)
	for i := range all {
		at, step := steps.in(i), &all[i]
		if step.AB != nil {
			c.fail(at.in("ab").atKey(), "picks users by their requests, and no gateway sees any here: gray divides the work by pods")
		}
		if step.Gray != nil && step.Gray.Sticky {
			c.fail(at.in("gray", "sticky"), "keeps users on a version by their requests, and no gateway sees any here")
		}
		if step.Gray != nil && r.Total > 0 {
			last = r.pods(c, at.in("gray", "weights"), step.Gray.Weights, last)
		}
	}
}

// pods checks that whole pods can take each weight of a known number of pods. It returns the canary's pods at the last
// weight, for the next step.
func (r *ReplicasSpec) pods(c *checker, at place, weights []Share, last int64) int64 {
	for i, w := range weights {
		if w <= 0 || w >= 1 {
			continue // refused already
		}
		stable, canary, err := r.split().Divide(int64(r.Total), share.Share(w))
		served := workload.Rounded(workload.Served(stable, canary))
		switch {
		case err != nil:
			c.fail(at.in(i), "%s", err)
		case canary <= last:
			c.fail(at.in(i), "of %s the canary has %d already: this weight would change nothing", count(r.Total, "pod", "pods"), last)
		case served != share.Share(w):
			c.warn(at.in(i), "%d of %s is %s", canary, count(int(stable+canary), "pod", "pods"), served)
		}
		last = max(last, canary)
	}
	return last
}

func (r *ReplicasSpec) confine(c *checker, l Loader) {
	if r.Namespace == "" {
		r.Namespace = Namespace(c.src.object.Namespace)
	}
	c.reaches(c.spec("traffic", "replicas"), r.Namespace, l)
}

func (r *ReplicasSpec) fill(m *planner) {
	cluster, split := m.plan.Rollout.Cluster, r.split()
	cluster.Split = &split
	m.plan.Gateway.Split = &record.SplitGateway{Arms: cluster.Arms, Split: split}
}

func (r *ReplicasSpec) confirmed() *VerifySpec { return nil }

func (r *ReplicasSpec) cluster() (namespace string, ok bool) {
	return cmp.Or(string(r.Namespace), defaultNamespace), true
}

func (r *ReplicasSpec) claims(p *parsed) []claim {
	namespace, _ := r.cluster()
	return p.arms(namespace)
}

// unrouted says why an analysis cannot be used where no gateway counts requests; empty if it can.
func (m *planner) unrouted(name string) string {
	instead := `: count what the pods report themselves, with pod=~"${pods}"`
	if _, pods := m.spec.Traffic.cluster(); !pods {
		instead = `: count what the servers report themselves, with instance=~"${instances}"`
	}
	why := m.spec.Traffic.uncounted()
	if why == "" {
		return ""
	}
	a, ok := m.analyses[name]
	if !ok {
		return "uses Traefik's metrics, and " + why + instead
	}
	for i := range a.analysis.Spec.Metrics {
		if metric := &a.analysis.Spec.Metrics[i]; metric.Preset != "" {
			return "has the preset " + metric.Preset + ", which uses Traefik's metrics, and " + why + instead
		}
	}
	return ""
}

// divided leaves the weight out of an analysis if pods divide the work or a gateway divides connections: a pod decides
// itself how much work it takes, and a client how much a connection carries.
func (m *planner) divided(def *analysis.Definition) {
	if m.spec.Traffic.uncounted() == "" {
		return
	}
	def.Split.Off = true
	for i := range def.Metrics {
		def.Metrics[i].Uneven = true
	}
}
