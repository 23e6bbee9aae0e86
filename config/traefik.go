package config

import (
	"cmp"
	"slices"
	"strings"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/traffic"
)

// TraefikSpec is a route of Traefik on Kubernetes: Serin's own (route) or an adopted one (ingressRoute).
type TraefikSpec struct {
	// Namespace of the route and the Services.
	Namespace Namespace `json:"namespace,omitempty"`
	// Route is made and owned by Serin.
	Route *RouteSpec `json:"route,omitempty"`
	// IngressRoute adopts one that is already there, or several: in each, Serin replaces the references to stable's Service.
	IngressRoute Texts `json:"ingressRoute,omitempty"`
	// Adopt takes over existing objects that have the names Serin would use.
	Adopt bool `json:"adopt,omitempty"`
	// Verify is how Serin makes sure that Traefik serves what was written.
	Verify *VerifySpec `json:"verify,omitempty"`
}

// RouteSpec is the route of a rollout on Kubernetes: a host or a whole rule.
type RouteSpec struct {
	// Host of the requests.
	Host string `json:"host,omitempty"`
	// Rule in Traefik's rule language, where a host is not enough.
	Rule string `json:"rule,omitempty"`
	// EntryPoints of Traefik; without any it listens on all of its defaults.
	EntryPoints []string `json:"entryPoints,omitempty"`
	// TLS of the route; {} is TLS with Traefik's defaults.
	TLS *TLSSpec `json:"tls,omitempty"`
	// Priority of the main route; 0 leaves the choice to Serin.
	Priority int `json:"priority,omitempty" jsonschema:"minimum=0"`
	// Middlewares that requests go through, in this order.
	Middlewares []MiddlewareSpec `json:"middlewares,omitempty" jsonschema:"minItems=1"`
	// Observability of the route.
	Observability *ObservabilitySpec `json:"observability,omitempty"`
}

func (t *TraefikSpec) check(c *checker, s *RolloutSpec, l Loader) {
	at := c.spec("traffic", "traefik")
	switch {
	case (t.Route == nil) == (len(t.IngressRoute) == 0):
		c.fail(at, "expected one of route (Serin's own) or ingressRoute (one that is already there)")
	case t.Route == nil:
	case (t.Route.Host == "") == (t.Route.Rule == ""):
		c.fail(at.in("route"), "expected one of host or rule")
	case t.Route.Host != "":
		if strings.ContainsAny(t.Route.Host, "`\"\\/: \t\r\n") {
			c.fail(at.in("route", "host"), "%s is not a host", quote(t.Route.Host))
		}
	default:
		c.rule(at.in("route", "rule"), t.Route.Rule, l)
	}
	if t.Route != nil {
		c.route(at.in("route"), t.Route.toTraffic())
	}
	c.routeNames(at.in("ingressRoute"), t.IngressRoute)
	for i, name := range t.IngressRoute {
		if slices.Index(t.IngressRoute, name) < i {
			c.fail(at.in("ingressRoute", i), "%s is named twice", name)
		}
	}
	c.verify(at.in("verify"), t.Verify)
	c.service("stable", &s.Stable, t)
	c.service("canary", &s.Canary, t)
}

// service checks an arm that is a Deployment behind a Service.
func (c *checker) service(arm string, a *ArmSpec, t *TraefikSpec) {
	c.deployed(arm, a, t.Namespace)
	at := c.spec(arm)
	if t.Route == nil && a.Service != nil && a.balancing() != (traffic.Balancing{}) {
		c.fail(at.in("service"), "the adopted IngressRoute says how to talk to the Service, in its reference to stable's Service: both arms get it")
	}
	if a.Service != nil {
		c.balancing(at.in("service"), a)
	}
}

// toTraffic converts the route for its gateway's package.
func (r *RouteSpec) toTraffic() traffic.Route {
	out := traffic.Route{Rule: r.Rule, EntryPoints: r.EntryPoints, Priority: r.Priority, TLS: r.TLS.toTraffic(),
		Middlewares: middlewares(r.Middlewares), Observability: r.Observability.toTraffic()}
	if r.Host != "" {
		out.Rule = "Host(" + traffic.Quote(r.Host) + ")"
	}
	return out
}

func (t *TraefikSpec) confine(c *checker, l Loader) {
	if t.Namespace == "" {
		t.Namespace = Namespace(c.src.object.Namespace)
	}
	at := c.spec("traffic", "traefik")
	c.reaches(at, t.Namespace, l)
	c.confineVerify(at.in("verify"), t.Verify, l)
}

func (t *TraefikSpec) fill(m *planner) {
	d := &m.plan.Rollout
	m.plan.Gateway.Cluster = &record.ClusterGateway{
		Namespace: m.namespace(""), Adopt: t.Adopt, Stable: d.Stable, Canary: d.Canary,
		StableBalancing: m.spec.Stable.balancing(), CanaryBalancing: m.spec.Canary.balancing(),
	}
	for i, name := range t.IngressRoute {
		if i == 0 {
			m.plan.Gateway.Cluster.IngressRoute = name
		} else {
			m.plan.Gateway.Cluster.Further = append(m.plan.Gateway.Cluster.Further, name)
		}
	}
	if len(t.IngressRoute) > 0 && m.spec.Deployment != "" {
		m.plan.Gateway.Cluster.Direct = d.Canary
	}
	if t.Route != nil {
		route := t.Route.toTraffic()
		m.plan.Gateway.Cluster.Route = &route
	}
}

func (t *TraefikSpec) confirmed() *VerifySpec { return t.Verify }

func (t *TraefikSpec) cluster() (namespace string, ok bool) {
	return cmp.Or(string(t.Namespace), defaultNamespace), true
}

// clusterSuffixes are those on Kubernetes (spec/traefik.md, Kubernetes CRDs).
var clusterSuffixes = []string{"", "-ab", "-mirrored", "-previewed", "-circuit-breaker", "-rate-limit"}

func (t *TraefikSpec) claims(p *parsed) (out []claim) {
	namespace, _ := t.cluster()
	for _, s := range clusterSuffixes {
		out = append(out, claim{claimObject, namespace + "/" + string(p.rollout.Metadata.Name) + s})
	}
	out = append(out, p.arms(namespace)...)
	if t.Route == nil {
		return out
	}
	route := strings.TrimSpace(t.Route.Rule)
	if t.Route.Host != "" {
		route = "host " + strings.ToLower(t.Route.Host)
	}
	points := t.Route.EntryPoints
	if len(points) == 0 {
		return append(out, claim{claimHost, route})
	}
	for _, point := range points {
		out = append(out, claim{claimHost, route + " at entry point " + point})
	}
	return out
}
