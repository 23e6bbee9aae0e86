package config

import (
	"cmp"

	"github.com/serindev/serin/workload"
)

// runs checks that an arm says what runs it.
func (c *checker) runs(at place, a *ArmSpec) {
	if len(a.Servers) > 0 {
		c.fail(at.in("servers").atKey(), "belongs to traefikFile; on Kubernetes name a deployment and a service")
	}
	switch {
	case a.Deployment == "" && a.StatefulSet == "":
		c.fail(at.in("deployment"), "is missing: expected the name of a Deployment, or statefulSet with that of a StatefulSet")
	case a.Deployment != "" && a.StatefulSet != "":
		c.fail(at.in("statefulSet").atKey(), "there is a deployment already: expected one of them")
	}
}

// sameKind refuses a Deployment and a StatefulSet as the arms of one rollout: a promotion brings the pod template of one to
// the other, and a workload with volumes of its own needs another template than one without.
func (c *checker) sameKind(s *RolloutSpec) {
	stable, canary := &s.Stable, &s.Canary
	if stable.Deployment != "" && canary.StatefulSet != "" || stable.StatefulSet != "" && canary.Deployment != "" {
		c.fail(c.spec("canary"), "one version is a Deployment and the other a StatefulSet: expected the same for both")
	}
}

// together refuses arms in two namespaces: their Services, and those that Serin makes for an A/B test, are in one.
func (c *checker) together(s *RolloutSpec, route Namespace) {
	stable, canary := cmp.Or(s.Stable.Namespace, route, defaultNamespace), cmp.Or(s.Canary.Namespace, route, defaultNamespace)
	if stable != canary {
		at := c.spec("canary", "namespace")
		if s.Canary.Namespace == "" {
			at = c.spec("stable", "namespace")
		}
		c.fail(at, "stable is in namespace %s and the canary in %s: expected the same for both", stable, canary)
	}
	if a, b := s.Stable.Service, s.Canary.Service; a != nil && b != nil && a.Name == b.Name {
		c.fail(c.spec("canary", "service", "name"), "%s is stable's Service: expected one that leads to the canary alone", b.Name)
	}
}

// armsElsewhere returns the namespace of the arms if it is not that of their route; otherwise it is empty.
func (s *RolloutSpec) armsElsewhere(route string) string {
	if arms := cmp.Or(string(s.Stable.Namespace), route); arms != route {
		return arms
	}
	return ""
}

// armNamespace refuses an arm in another namespace than its traffic; why completes the message.
func (c *checker) armNamespace(at place, a *ArmSpec, namespace Namespace, why string) {
	if a.Namespace != "" && a.Namespace != Namespace(cmp.Or(string(namespace), defaultNamespace)) {
		c.fail(at.in("namespace"), "%s %s", a.Namespace, why)
	}
}

// workloadName names a workload of either kind.
func workloadName(namespace string, deployment, statefulSet ObjectName) workload.Name {
	if statefulSet != "" {
		return workload.Name{Namespace: namespace, Name: string(statefulSet), Kind: workload.StatefulSet}
	}
	return workload.Name{Namespace: namespace, Name: string(deployment)}
}

// either checks that a place names a workload of exactly one kind.
func (c *checker) either(at place, deployment, statefulSet ObjectName) {
	if (deployment == "") == (statefulSet == "") {
		c.fail(at, "expected one of deployment or statefulSet")
	}
}
