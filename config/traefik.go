package config

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/traefik"
)

// TraefikSpec is a route of Traefik on Kubernetes: Serin's own (route) or an adopted one (ingressRoute).
type TraefikSpec struct {
	// Namespace of the route, and of the arms unless they say another.
	Namespace Namespace `json:"namespace,omitempty"`
	// Route is made and owned by Serin.
	Route *RouteSpec `json:"route,omitempty"`
	// FurtherRoutes of Serin's own, in addition to route, each to one of the Services' ports.
	FurtherRoutes []FurtherRouteSpec `json:"furtherRoutes,omitempty" jsonschema:"minItems=1"`
	// IngressRoute adopts an existing IngressRoute, or several: in each, Serin replaces the references to stable's Service.
	IngressRoute Texts `json:"ingressRoute,omitempty"`
	// RouteTCP is a TCP route that is made and owned by Serin. It divides connections by weight.
	RouteTCP *RouteTCPSpec `json:"routeTCP,omitempty"`
	// IngressRouteTCP names an existing IngressRouteTCP, or several: Serin sets the weights of the routes that lead to
	// stable's Service, and changes nothing else.
	IngressRouteTCP Texts `json:"ingressRouteTCP,omitempty"`
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

// FurtherRouteSpec is one more route of Serin's own.
type FurtherRouteSpec struct {
	RouteSpec
	// Port of stable's Service that it leads to, by number or name, as in service or furtherPorts; that of service by
	// default.
	Port Port `json:"port,omitempty"`
}

func (t *TraefikSpec) check(c *checker, s *RolloutSpec, l Loader) {
	at := c.spec("traffic", "traefik")
	defer func() {
		c.verify(at.in("verify"), t.Verify)
		c.together(s, t.Namespace)
	}()
	if n := t.kinds(); n != 1 {
		c.fail(at, "expected either route (Serin's own) or ingressRoute (an existing one), or for TCP either routeTCP or ingressRouteTCP")
	} else if t.tcp() {
		t.checkTCP(c, at, s, l)
		c.deployed("stable", &s.Stable)
		c.deployed("canary", &s.Canary)
		return
	}
	switch {
	case t.Route == nil && len(t.FurtherRoutes) > 0:
		c.fail(at.in("furtherRoutes").atKey(),
			"are Serin's own, and need a route of Serin's own as the first one: route is missing. List existing routes in ingressRoute")
	case t.Route != nil:
		c.madeRoute(at.in("route"), t.Route, l)
	}
	for i := range t.FurtherRoutes {
		c.madeRoute(at.in("furtherRoutes", i), &t.FurtherRoutes[i].RouteSpec, l)
	}
	c.apart(t.madeRoutes(at))
	t.ports(c, s)
	c.adoptedRoutes(at.in("ingressRoute"), t.IngressRoute)
	c.service("stable", &s.Stable, t)
	c.service("canary", &s.Canary, t)
}

// kinds counts the kinds of routes that are named: only one may be.
func (t *TraefikSpec) kinds() (n int) {
	for _, named := range []bool{t.Route != nil, len(t.IngressRoute) > 0, t.RouteTCP != nil, len(t.IngressRouteTCP) > 0} {
		if named {
			n++
		}
	}
	return n
}

// madeRoute checks a route that Serin makes.
func (c *checker) madeRoute(at place, r *RouteSpec, l Loader) {
	switch {
	case (r.Host == "") == (r.Rule == ""):
		c.fail(at, "expected one of host or rule")
	case strings.ContainsAny(r.Host, "`\"\\/: \t\r\n"):
		c.fail(at.in("host"), "%s is not a host: expected its name alone, such as shop.example.com", quote(r.Host))
	case strings.Contains(r.Host, "*"):
		c.fail(at.in("host"), "takes no *, which Traefik's matcher Host supports only from version 3.7 on. Write "+
			"rule: HostRegexp(%s) instead, which every Traefik 3 takes", traffic.Quote(traefik.HostPattern(r.Host)))
	case r.Host != "":
		c.rule(at.in("host"), r.toTraffic().Rule, l)
	default:
		c.rule(at.in("rule"), r.Rule, l)
	}
	c.route(at, r.toTraffic())
}

// madeRoutes are the routes that Serin makes.
func (t *TraefikSpec) madeRoutes(at place) (out []routeAt) {
	one := func(p place, r *RouteSpec) {
		field := "rule"
		if r.Host != "" {
			field = "host"
		}
		out = append(out, routeAt{p.in(field), r.toTraffic()})
	}
	if t.Route != nil {
		one(at.in("route"), t.Route)
	}
	for i := range t.FurtherRoutes {
		one(at.in("furtherRoutes", i), &t.FurtherRoutes[i].RouteSpec)
	}
	return out
}

// ports checks the further ports of the arms' Services, and the routes that lead to them.
func (t *TraefikSpec) ports(c *checker, s *RolloutSpec) {
	if !c.samePorts(s) {
		return
	}
	stable, canary := s.Stable.Service, s.Canary.Service
	for arm, service := range map[string]*ServiceSpec{"stable": stable, "canary": canary} {
		for i, p := range service.FurtherPorts {
			at := c.spec(arm, "service", "furtherPorts", i)
			how := p.balancing()
			c.balancing(at, how, nil)
			if t.Route == nil && how != (traffic.Balancing{}) {
				c.fail(at, "the adopted IngressRoute says how to talk to the port, in its reference to stable's Service: both arms get it")
			}
		}
	}
	led := map[int]bool{0: true}
	for i, r := range t.FurtherRoutes {
		port := stable.index(r.Port)
		if port < 0 {
			c.fail(c.spec("traffic", "traefik", "furtherRoutes", i, "port"),
				"%s is not a port of stable's service, neither port nor one of furtherPorts", r.Port)
		}
		led[port] = true
	}
	for i, p := range stable.FurtherPorts {
		if t.Route != nil && !led[i+1] {
			c.fail(c.spec("stable", "service", "furtherPorts", i), "no route leads to %s: name it in one of traffic.traefik.furtherRoutes", p.Port)
		}
	}
	if t.Adopt && len(stable.FurtherPorts) > 0 {
		c.fail(c.spec("traffic", "traefik", "adopt"), "takes over one TraefikService, but each of several ports needs its own")
	}
}

// samePorts checks that both arms' Services name the same number of further ports, each once. It returns false if the numbers
// differ or a Service is missing.
func (c *checker) samePorts(s *RolloutSpec) bool {
	stable, canary := s.Stable.Service, s.Canary.Service
	if stable == nil || canary == nil {
		return false // reported already
	}
	if a, b := len(stable.FurtherPorts), len(canary.FurtherPorts); a != b {
		c.fail(c.spec("canary", "service"), "stable's Service has %s and the canary's %s: expected "+
			"as many, in the same order", count(a, "further port", "further ports"), count(b, "further port", "further ports"))
		return false
	}
	for arm, service := range map[string]*ServiceSpec{"stable": stable, "canary": canary} {
		seen := []Port{service.Port}
		for i, p := range service.FurtherPorts {
			if slices.Contains(seen, p.Port) {
				c.fail(c.spec(arm, "service", "furtherPorts", i, "port"), "%s is named twice", p.Port)
			}
			seen = append(seen, p.Port)
		}
	}
	return true
}

// index is the number of a port among those of a Service; 0 if none is named, -1 if it is not one of them.
func (s *ServiceSpec) index(port Port) int {
	if port == "" || port == s.Port {
		return 0
	}
	if i := slices.IndexFunc(s.FurtherPorts, func(p FurtherPortSpec) bool { return p.Port == port }); i >= 0 {
		return i + 1
	}
	return -1
}

// balancing is how Traefik talks to the port.
func (p *FurtherPortSpec) balancing() traffic.Balancing {
	out := p.BalancingSpec.toTraffic()
	out.Scheme, out.NativeLB = p.Scheme, p.NativeLB
	return out
}

// service checks an arm that is a Deployment behind a Service.
func (c *checker) service(arm string, a *ArmSpec, t *TraefikSpec) {
	c.deployed(arm, a)
	at := c.spec(arm)
	if t.Route == nil && a.Service != nil && a.balancing() != (traffic.Balancing{}) {
		c.fail(at.in("service"), "the adopted IngressRoute says how to talk to the Service, in its reference to stable's Service: both arms get it")
	}
	if a.Service != nil {
		c.balancing(at.in("service"), a.balancing(), a.HealthCheck)
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
	if t.tcp() {
		t.fillTCP(m)
		return
	}
	d := &m.plan.Rollout
	g := &record.ClusterGateway{
		Namespace: m.route(), Arms: m.spec.armsElsewhere(m.route()), Adopt: t.Adopt, Stable: d.Stable, Canary: d.Canary,
		StableBalancing: m.spec.Stable.balancing(), CanaryBalancing: m.spec.Canary.balancing(),
		Ports: m.spec.portPairs(),
	}
	if len(t.IngressRoute) > 0 {
		g.IngressRoute, g.Further = t.IngressRoute[0], append(g.Further, t.IngressRoute[1:]...) // nil without any, as it is stored
		if m.spec.Deployment != "" {
			g.Direct = d.Canary
		}
	}
	if t.Route != nil {
		route := t.Route.toTraffic()
		g.Route = &route
	}
	for _, r := range t.FurtherRoutes {
		g.FurtherRoutes = append(g.FurtherRoutes, traffic.PortRoute{Route: r.toTraffic(), Port: m.spec.Stable.Service.index(r.Port)})
	}
	m.plan.Gateway.Cluster = g
}

// portPairs are the further ports of both arms' Services.
func (s *RolloutSpec) portPairs() (out []traffic.PortPair) {
	if s.Stable.Service == nil || s.Canary.Service == nil {
		return nil
	}
	for i := range s.Stable.Service.FurtherPorts {
		if i >= len(s.Canary.Service.FurtherPorts) {
			break // reported already
		}
		stable, canary := &s.Stable.Service.FurtherPorts[i], &s.Canary.Service.FurtherPorts[i]
		out = append(out, traffic.PortPair{
			Stable: string(stable.Port), Canary: string(canary.Port), StableBalancing: stable.balancing(), CanaryBalancing: canary.balancing(),
		})
	}
	return out
}

func (t *TraefikSpec) confirmed() *VerifySpec { return t.Verify }

func (t *TraefikSpec) cluster() (namespace string, ok bool) {
	return cmp.Or(string(t.Namespace), defaultNamespace), true
}

// clusterSuffixes end the names of a rollout's objects on Kubernetes; package traefikcrd has the same.
var clusterSuffixes = []string{"", "-ab", "-mirrored", "-previewed", "-circuit-breaker", "-rate-limit"}

// laneSuffixes are those of an A/B test, a mirror and a preview: for further routes and ports a number follows.
var laneSuffixes = clusterSuffixes[1:4]

func (t *TraefikSpec) claims(p *parsed) (out []claim) {
	if t.tcp() {
		return t.claimsTCP(p)
	}
	namespace, _ := t.cluster()
	for _, s := range clusterSuffixes {
		out = append(out, claim{what: claimObject, of: namespace + "/" + p.base() + s})
	}
	out = append(out, p.arms(namespace)...)
	numbered := func(ending string, n int) {
		for i := 2; i <= n; i++ {
			out = append(out, claim{what: claimObject, of: fmt.Sprintf("%s/%s%s-%d", namespace, p.base(), ending, i)})
		}
	}
	numbered("-route", 1+len(t.FurtherRoutes))
	for _, lane := range laneSuffixes { // a lane has a route in front of each
		numbered(lane, max(1+len(t.FurtherRoutes), len(t.IngressRoute)))
	}
	if s := p.rollout.Spec.complete().Stable.Service; s != nil {
		for _, lane := range append([]string{""}, laneSuffixes...) {
			numbered(lane+"-port", 1+len(s.FurtherPorts))
		}
	}
	if t.Route != nil {
		out = append(out, t.Route.claims()...)
	}
	for _, r := range t.FurtherRoutes {
		out = append(out, r.claims()...)
	}
	for _, host := range p.previewHosts() {
		if t.Route == nil {
			out = append(out, claim{what: claimHost, of: host}) // the entry points are not known here: existing routes have them
			continue
		}
		for _, r := range t.madeRoutes(p.at("spec", "traffic", "traefik")) { // a preview is in front of each
			out = append(out, claimsOf(host, r.EntryPoints, "")...)
		}
	}
	return out
}

// claims returns those to the route's requests, at each of its entry points.
func (r *RouteSpec) claims() []claim {
	return claimsOf(requestsOf(r.toTraffic().Rule), r.EntryPoints, "")
}

// aHost matches a rule that names one host and nothing else.
var aHost = regexp.MustCompile("^Host\\(`([^`]+)`\\)$")

// requestsOf describes the requests that a rule matches; two notations of one host have the same description.
func requestsOf(rule string) string {
	rule = strings.TrimSpace(rule)
	if host := aHost.FindStringSubmatch(rule); host != nil {
		return "host " + strings.ToLower(host[1])
	}
	return rule
}

// claimsOf are the claims to requests at entry points of one Traefik; where says which, if there are several.
func claimsOf(requests string, points []string, where string) (out []claim) {
	if len(points) == 0 {
		return []claim{{what: claimHost, of: requests + where}}
	}
	for _, point := range points {
		out = append(out, claim{what: claimHost, of: requests + " at entry point " + point + where})
	}
	return out
}

// previewHosts describes the requests of a rollout's previews that have a host of their own.
func (p *parsed) previewHosts() (out []string) {
	steps := slices.Clone(p.rollout.Spec.Steps)
	if r := p.rollout.Spec.Returning; r != nil {
		steps = append(steps, r.Steps...)
	}
	for i := range steps {
		preview := steps[i].Preview
		if preview == nil || preview.Host == "" {
			continue
		}
		if rule, err := preview.toTraffic().Text(); err == nil {
			out = append(out, requestsOf(rule))
		}
	}
	return out
}
