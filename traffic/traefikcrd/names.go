package traefikcrd

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"unicode"

	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/kubeobjects"
)

// The names in the cluster, behind the rollout's own or a Service's: spec/traefik.md, Kubernetes CRDs.
const (
	breakerSuffix = "-circuit-breaker"
	limitSuffix   = "-rate-limit"
	// What belongs to the second pair of ports, or is the second route, ends in a suffix and 2.
	portSuffix  = "-port-"
	routeSuffix = "-route-"

	// provider is what Traefik adds to a name that came from custom resources.
	provider = "@kubernetescrd"
	// replacedAnnotation, on the rollout's TraefikService, is the reference that stood in the adopted route.
	replacedAnnotation = "serin.dev/replaced-reference"
	// ruleAnnotation, next to it, is the rule of the main route, by which two rollouts on one host are found.
	ruleAnnotation  = "serin.dev/rule"
	classAnnotation = "kubernetes.io/ingress.class"
)

// inFront are the lanes that have a route in front of the main one.
var inFront = []traffic.Lane{traffic.CohortLane, traffic.MirrorLane, traffic.PreviewLane}

// laneName is the name of a lane's TraefikService, and of the lane's IngressRoute alongside the first main one.
func (c *Config) laneName(lane traffic.Lane) string { return c.Rollout + kubeobjects.Suffix(lane) }

// laneRouteName is the name of the lane's IngressRoute alongside the main one of a number.
func (c *Config) laneRouteName(lane traffic.Lane, i int) string {
	if i == 0 {
		return c.laneName(lane)
	}
	return fmt.Sprintf("%s-%d", c.laneName(lane), i+1)
}

// serviceName is the name of a lane's TraefikService for the pair of ports of a number.
func (c *Config) serviceName(lane traffic.Lane, port int) string {
	if port == 0 {
		return c.laneName(lane)
	}
	return fmt.Sprintf("%s%s%d", c.laneName(lane), portSuffix, port+1)
}

// routeName is the name of an owned IngressRoute by its number.
func (c *Config) routeName(i int) string {
	if i == 0 {
		return c.Rollout
	}
	return fmt.Sprintf("%s%s%d", c.Rollout, routeSuffix, i+1)
}

// laneArms are the Services of a lane, at the pair of ports of a number. The preview's route leads to the canary's alone.
func (c *Config) laneArms(lane traffic.Lane, port int) (canary, stable traffic.Backend) {
	canary, stable = c.armsAt(port)
	return kubeobjects.LaneBackend(canary, lane), kubeobjects.LaneBackend(stable, lane)
}

// normal derives a name as Traefik does (provider.Normalize): anything but letters and digits separates.
func normal(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(c rune) bool { return !unicode.IsLetter(c) && !unicode.IsNumber(c) }), "-")
}

// ServiceName is the value of the label "service" in Traefik's metrics for the requests that reach a Service through
// a weighted one: NAMESPACE-SERVICE-PORT@kubernetescrd, the port as it is written, number or name.
func ServiceName(namespace string, b traffic.Backend) string {
	return normal(namespace+"-"+b.Service+"-"+b.Port) + provider
}

// Labels are the values of Traefik's service label under which the arms on a lane are counted, one for each port, with
// commas between them; for the preview's, stable is the main lane's.
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

// objectID is what Traefik calls a TraefikService or Middleware, without the provider.
func (c *Config) objectID(name string) string { return normal(c.Namespace + "-" + name) }

// routerID is what Traefik calls the router of an IngressRoute's route, without the provider.
func (c *Config) routerID(ingressRoute, rule string) string {
	hash := sha256.Sum256([]byte(rule))
	return normal(fmt.Sprintf("%s-%s-%.10x", c.Namespace, ingressRoute, hash[:]))
}

// childID is what Traefik calls a Service in a weighted one, without the provider.
func (c *Config) childID(b traffic.Backend) string {
	return strings.TrimSuffix(ServiceName(c.arms(), b), provider)
}
