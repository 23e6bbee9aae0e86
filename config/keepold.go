package config

import (
	"slices"
	"time"

	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/workload"
)

const (
	// oldSuffix ends the names of the Deployment and the Service that keep the version before.
	oldSuffix = "-previous"
	// maxKeepOld is how long the version before may keep its pods: beyond that it would be a third version to run.
	maxKeepOld = 7 * 24 * time.Hour
)

// oldArm is the Deployment and Service that keep the version before. They are named after the Deployment that Git has, or
// stable's.
func (s *RolloutSpec) oldArm() (deployment ObjectName, service ServiceName) {
	d, svc := s.Stable.Deployment, s.Stable.Service
	if s.Deployment != "" {
		d, svc = s.Deployment, s.Service
	}
	if svc != nil {
		service = ServiceName(traffic.Derived(string(svc.Name), oldSuffix, maxCopyService))
	}
	return ObjectName(traffic.Derived(string(d), oldSuffix, maxCopy)), service
}

// keepOld checks whether the version before can be kept.
func (c *checker) keepOld(s *RolloutSpec) {
	if s.KeepOld == nil {
		return
	}
	at := c.spec("keepOld")
	c.positive(c.spec(), "keepOld", s.KeepOld)
	if long(s.KeepOld, 0) > maxKeepOld {
		c.fail(at, "the version before would run alongside for %s: expected %s or less; later, an "+
			"undo starts its pods first", show(long(s.KeepOld, 0)), show(maxKeepOld))
	}
	if _, ok := s.Traffic.cluster(); !ok {
		c.fail(at.atKey(), "belongs to Kubernetes: here the servers of the version before stay as they are, and an undo takes seconds without it")
		return
	}
	if s.Traffic.Replicas != nil {
		c.fail(at.atKey(), "with traffic.replicas each pod takes its part of the work, so pods of the version before "+
			"would go on working: leave it out")
	}
	if s.Stable.StatefulSet != "" {
		c.fail(at.atKey(), "stable is a StatefulSet, and Serin makes none, because its volumes are yours to decide on: leave it out")
	}
	if t := s.Traffic.Traefik; t != nil && t.Adopt {
		c.fail(at.atKey(), "the TraefikService is yours (traffic.traefik.adopt), and leads to stable and the canary alone: leave it out")
	}
	plans := [][]StepSpec{s.Steps}
	if s.Returning != nil {
		plans = append(plans, s.Returning.Steps)
	}
	for _, steps := range plans {
		if slices.ContainsFunc(steps, func(step StepSpec) bool {
			return step.Promote != nil && step.Promote.Strategy == string(rollout.AwaitStable)
		}) {
			c.fail(at.atKey(), "with promote: {strategy: wait} another system brings stable to a version, and has to take it back: leave it out")
			break
		}
	}
	deployment, service := s.oldArm()
	taken := deployment == s.Stable.Deployment || deployment == s.Canary.Deployment
	for _, arm := range []*ArmSpec{&s.Stable, &s.Canary} {
		taken = taken || arm.Service != nil && arm.Service.Name == service
	}
	if taken {
		c.fail(at.atKey(), "the version before is kept by Deployment %s and Service %s, and an arm has one "+
			"of these names: rename it", deployment, service)
	}
}

// old is where the version before is kept; nil if it is not.
func (m *planner) old() *rollout.Old {
	if m.spec.KeepOld == nil {
		return nil
	}
	deployment, service := m.spec.oldArm()
	return &rollout.Old{
		Arm: workload.Arm{Deployment: workloadName(m.namespace(m.spec.Stable.Namespace), deployment, ""), Service: string(service)},
		For: time.Duration(*m.spec.KeepOld),
	}
}
