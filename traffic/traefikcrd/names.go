package traefikcrd

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"unicode"

	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/kubeobjects"
)

// The parts of names in the cluster that follow the rollout's or a Service's: spec/traefik.md, Kubernetes CRDs.
const (
	breakerSuffix = "-circuit-breaker"
	limitSuffix   = "-rate-limit"
	// The objects of the second pair of ports and of the second route end in a suffix and 2, and so on.
	portSuffix  = "-port-"
	routeSuffix = "-route-"

	// provider is what Traefik appends to names from custom resources.
	provider = "@kubernetescrd"
	// replacedAnnotation, on the rollout's TraefikService, holds the reference that was in the adopted route.
	replacedAnnotation = "serin.dev/replaced-reference"
	// ruleAnnotation, on the same object, holds the rule of the main route, so that two rollouts with the same requests are
	// noticed.
	ruleAnnotation  = "serin.dev/rule"
	classAnnotation = "kubernetes.io/ingress.class"
)

// inFront are the lanes with a route in front of the main one.
var inFront = []traffic.Lane{traffic.CohortLane, traffic.MirrorLane, traffic.PreviewLane}

// laneName is the name of a lane's TraefikService, and of its IngressRoute in front of the first main one.
func (c *Config) laneName(lane traffic.Lane) string { return c.Rollout + kubeobjects.Suffix(lane) }

// laneRouteName is the name of the lane's IngressRoute in front of the i-th main one.
func (c *Config) laneRouteName(lane traffic.Lane, i int) string {
	if i == 0 {
		return c.laneName(lane)
	}
	return fmt.Sprintf("%s-%d", c.laneName(lane), i+1)
}

// serviceName is the name of a lane's TraefikService for a pair of ports.
func (c *Config) serviceName(lane traffic.Lane, port int) string {
	if port == 0 {
		return c.laneName(lane)
	}
	return fmt.Sprintf("%s%s%d", c.laneName(lane), portSuffix, port+1)
}

// routeName is the name of the i-th owned IngressRoute.
func (c *Config) routeName(i int) string {
	if i == 0 {
		return c.Rollout
	}
	return fmt.Sprintf("%s%s%d", c.Rollout, routeSuffix, i+1)
}

// laneArms returns the Services of a lane at a pair of ports. A preview's route leads to the canary's alone.
func (c *Config) laneArms(lane traffic.Lane, port int) (canary, stable traffic.Backend) {
	canary, stable = c.armsAt(port)
	return kubeobjects.LaneBackend(canary, lane), kubeobjects.LaneBackend(stable, lane)
}

// normal normalises a name as Traefik does (provider.Normalize): everything except letters and digits becomes a dash.
func normal(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(c rune) bool { return !unicode.IsLetter(c) && !unicode.IsNumber(c) }), "-")
}

// ServiceName is the value of the label "service" in Traefik's metrics for requests that reach a Service through a weighted
// one: NAMESPACE-SERVICE-PORT@kubernetescrd, with the port as written, a number or a name.
func ServiceName(namespace string, b traffic.Backend) string {
	return normal(namespace+"-"+b.Service+"-"+b.Port) + provider
}

// Labels returns the values of Traefik's service label under which it counts the arms on a lane, one for each port, separated
// by commas. For the preview's lane, stable is the main lane's.
func (r *Router) Labels(on traffic.Lane) (canary, stable string) {
	var canaries, stables []string
	for port := range r.config.ports() {
		c, s := r.config.laneArms(on, port)
		if on == traffic.PreviewLane {
			_, s = r.config.armsAt(port)
		}
		canaries, stables = append(canaries, ServiceName(r.config.arms(), c)), append(stables, ServiceName(r.config.arms(), s))
	}
	return strings.Join(canaries, ","), strings.Join(stables, ",")
}

// objectID is Traefik's name for a TraefikService or Middleware, without the provider.
func (c *Config) objectID(name string) string { return normal(c.Namespace + "-" + name) }

// routerID is Traefik's name for the router of an IngressRoute's route, without the provider.
func (c *Config) routerID(ingressRoute, rule string) string {
	hash := sha256.Sum256([]byte(rule))
	return normal(fmt.Sprintf("%s-%s-%.10x", c.Namespace, ingressRoute, hash[:]))
}

// childID is Traefik's name for a Service in a weighted one, without the provider.
func (c *Config) childID(b traffic.Backend) string {
	return strings.TrimSuffix(ServiceName(c.arms(), b), provider)
}
