package config

import (
	"cmp"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/traffic"
)

// GatewayAPISpec is routes of Gateway API: Serin's own (route), or existing ones (httpRoute, grpcRoute).
type GatewayAPISpec struct {
	// Namespace of the routes, and of the arms unless they say another.
	Namespace Namespace `json:"namespace,omitempty"`
	// Route is an HTTPRoute that is made and owned by Serin.
	Route *GatewayRouteSpec `json:"route,omitempty"`
	// HTTPRoute names an existing route, or several: Serin sets the weights of the rules that lead to stable's Service, and
	// changes nothing else.
	HTTPRoute Texts `json:"httpRoute,omitempty"`
	// GRPCRoute is the same for GRPCRoutes.
	GRPCRoute Texts `json:"grpcRoute,omitempty"`
	// Verify is how Serin makes sure that Traefik serves what was written; with another gateway, and without it, the
	// routes' conditions say so.
	Verify *VerifySpec `json:"verify,omitempty"`
}

// GatewayRouteSpec is an HTTPRoute without its backends.
type GatewayRouteSpec struct {
	// ParentRefs are the Gateways that the route belongs to.
	ParentRefs []ParentRefSpec `json:"parentRefs" jsonschema:"minItems=1"`
	// Hostnames of the requests; without any, all of the Gateway's.
	Hostnames []string `json:"hostnames,omitempty" jsonschema:"minItems=1"`
	// Matches of the requests by their path; without any, all requests.
	Matches []RouteMatchSpec `json:"matches,omitempty" jsonschema:"minItems=1"`
}

// ParentRefSpec is a Gateway.
type ParentRefSpec struct {
	// Name of the Gateway.
	Name ObjectName `json:"name"`
	// Namespace of the Gateway; the route's by default.
	Namespace Namespace `json:"namespace,omitempty"`
	// SectionName is the name of one listener; all of them by default.
	SectionName ObjectName `json:"sectionName,omitempty"`
	// Port of the listeners; all of them by default.
	Port int `json:"port,omitempty" jsonschema:"minimum=1,maximum=65535"`
}

// RouteMatchSpec matches requests.
type RouteMatchSpec struct {
	// Path of the request.
	Path RoutePathSpec `json:"path"`
}

// RoutePathSpec matches the path of a request.
type RoutePathSpec struct {
	// Type is PathPrefix by default.
	Type string `json:"type,omitempty" jsonschema:"enum=Exact,enum=PathPrefix,enum=RegularExpression"`
	// Value of the path.
	Value string `json:"value" jsonschema:"minLength=1"`
}

// The form of a host in Gateway API, and of a route's name in Kubernetes.
var (
	hostForm      = regexp.MustCompile(`^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)
	routeNameForm = regexp.MustCompile(`^[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?$`)
)

// routes converts the routes for the gateway's package.
func (g *GatewayAPISpec) routes() traffic.GatewayRoutes {
	out := traffic.GatewayRoutes{HTTP: g.HTTPRoute, GRPC: g.GRPCRoute}
	if g.Route == nil {
		return out
	}
	out.Own = &traffic.GatewayRoute{Hostnames: g.Route.Hostnames}
	for _, p := range g.Route.ParentRefs {
		out.Own.Parents = append(out.Own.Parents, traffic.GatewayParent{
			Name: string(p.Name), Namespace: string(p.Namespace), Section: string(p.SectionName), Port: p.Port,
		})
	}
	for _, m := range g.Route.Matches {
		out.Own.Paths = append(out.Own.Paths, traffic.GatewayPath{Type: cmp.Or(m.Path.Type, "PathPrefix"), Value: m.Path.Value})
	}
	return out
}

func (g *GatewayAPISpec) check(c *checker, s *RolloutSpec, _ Loader) {
	at := c.spec("traffic", "gatewayAPI")
	before := len(c.errs)
	if g.Route != nil {
		g.Route.check(c, at.in("route"))
	}
	for field, names := range map[string]Texts{"httpRoute": g.HTTPRoute, "grpcRoute": g.GRPCRoute} {
		c.routeNames(at.in(field), names)
	}
	routes := g.routes()
	if err := routes.Validate(); err != nil && len(c.errs) == before {
		c.fail(at, "%s", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	c.verify(at.in("verify"), g.Verify)
	for _, arm := range []struct {
		name string
		spec *ArmSpec
	}{{"stable", &s.Stable}, {"canary", &s.Canary}} {
		c.deployed(arm.name, arm.spec)
		a := arm.spec
		if a.Service == nil {
			continue
		}
		if _, err := strconv.Atoi(string(a.Service.Port)); err != nil {
			c.fail(c.spec(arm.name, "service", "port"), "expected the number of the port: Gateway API knows no other")
		}
		if len(a.Service.FurtherPorts) > 0 && g.Route != nil {
			c.fail(c.spec(arm.name, "service", "furtherPorts").atKey(),
				"belongs to existing routes (httpRoute, grpcRoute): Serin's own leads to the one port that service names")
		}
		for i, p := range a.Service.FurtherPorts {
			if _, err := strconv.Atoi(string(p.Port)); err != nil {
				c.fail(c.spec(arm.name, "service", "furtherPorts", i, "port"), "expected the number of the port: Gateway API knows no other")
			}
			if p.balancing() != (traffic.Balancing{}) {
				c.fail(c.spec(arm.name, "service", "furtherPorts", i),
					"with Gateway API, the Service's appProtocol and a BackendTLSPolicy say how to talk to it")
			}
		}
		if a.balancing() != (traffic.Balancing{}) {
			c.fail(c.spec(arm.name, "service"), "with Gateway API, the Service's appProtocol and a BackendTLSPolicy say how to talk to it")
		}
	}
	c.samePorts(s)
	c.together(s, g.Namespace)
	if s.Guards != nil {
		c.fail(c.spec("guards").atKey(),
			"Gateway API has none: put filters of your gateway into the route (with Traefik, middlewares as ExtensionRef). Both arms get them")
	}
}

// Limits of one route in Gateway API (HTTPRouteSpec).
const (
	mostHostnames = 16
	mostMatches   = 64
)

// noPath matches what Gateway API refuses in a path that is no regular expression (HTTPPathMatch).
var noPath = regexp.MustCompile(`//|/\.\.?(/|$)|%2[fF]|#|[^-A-Za-z0-9/._~!$&'()*+,;=:@%]`)

// check finds what the API server would refuse.
func (r *GatewayRouteSpec) check(c *checker, at place) {
	for i, m := range r.Matches {
		p := at.in("matches", i, "path", "value")
		if m.Path.Type == "RegularExpression" {
			if _, err := regexp.Compile(m.Path.Value); err != nil {
				c.fail(p, "%s", err)
			}
			continue
		}
		if !strings.HasPrefix(m.Path.Value, "/") {
			c.fail(p, "a path begins with /")
		} else if bad := noPath.FindString(m.Path.Value); bad != "" {
			c.fail(p, "Gateway API takes no %s in a path", quote(bad))
		}
	}
	for i, h := range r.Hostnames {
		if _, err := netip.ParseAddr(h); err == nil || !hostForm.MatchString(h) {
			c.fail(at.in("hostnames", i),
				"expected a host such as shop.example.com or *.example.com, in small letters and without a port, got %s", quote(h))
		}
	}
	if len(r.Hostnames) > mostHostnames {
		c.fail(at.in("hostnames"), "Gateway API takes at most %d in a route", mostHostnames)
	}
	if len(r.Matches) > mostMatches {
		c.fail(at.in("matches"), "Gateway API takes at most %d in a rule", mostMatches)
	}
}

const notSticky = "Gateway API's standard channel cannot express it: traffic.traefik does, with routes of Traefik's own"

// cohort refuses what Gateway API cannot express.
func (g *GatewayAPISpec) cohort(c *checker, at place, ab *ABSpec) {
	if ab.Sticky {
		c.fail(at.in("sticky"), notSticky)
	}
	m := ab.Cohort.toTraffic()
	if len(m.Problems()) > 0 {
		return // reported at its field
	}
	if _, err := m.Alternatives(len(g.GRPCRoute) > 0); err != nil {
		c.fail(at.in("cohort"), "%s", err)
	}
}

func (g *GatewayAPISpec) confine(c *checker, l Loader) {
	if g.Namespace == "" {
		g.Namespace = Namespace(c.src.object.Namespace)
	}
	at := c.spec("traffic", "gatewayAPI")
	c.reaches(at, g.Namespace, l)
	c.confineVerify(at.in("verify"), g.Verify, l)
}

func (g *GatewayAPISpec) fill(m *planner) {
	d := &m.plan.Rollout
	m.plan.Gateway.Routes = &record.RoutesGateway{
		Namespace: m.route(), Arms: m.spec.armsElsewhere(m.route()), GatewayRoutes: g.routes(), Stable: d.Stable, Canary: d.Canary,
		Ports: m.spec.portPairs(),
	}
}

func (g *GatewayAPISpec) confirmed() *VerifySpec { return g.Verify }

func (g *GatewayAPISpec) cluster() (namespace string, ok bool) {
	return cmp.Or(string(g.Namespace), defaultNamespace), true
}

func (g *GatewayAPISpec) claims(p *parsed) []claim {
	namespace, _ := g.cluster()
	name := p.base()
	out := []claim{{what: claimObject, of: namespace + "/" + name}, {what: claimObject, of: namespace + "/" + name + "-ab"}}
	out = append(out, p.arms(namespace)...)
	for _, route := range append(append(Texts{}, g.HTTPRoute...), g.GRPCRoute...) {
		s := p.rollout.Spec.Stable.Service
		if s == nil {
			continue // reported already
		}
		for _, port := range append([]FurtherPortSpec{{Port: s.Port}}, s.FurtherPorts...) {
			out = append(out, claim{
				what: claimRule, of: fmt.Sprintf("%s/%s to Service %s/%s:%s", namespace, route,
					cmp.Or(string(p.rollout.Spec.Stable.Namespace), namespace), s.Name, port.Port),
			})
		}
	}
	if g.Route == nil {
		return out
	}
	for _, parent := range g.Route.ParentRefs {
		gateway := cmp.Or(string(parent.Namespace), namespace) + "/" + string(parent.Name)
		for _, match := range g.routes().Own.PathsOrAll() {
			for _, host := range hostsOrAll(g.Route.Hostnames) {
				out = append(out, claim{
					what: claimHost, of: fmt.Sprintf("host %s, path %s %s at Gateway %s", strings.ToLower(host), match.Type, match.Value, gateway),
				})
			}
		}
	}
	return out
}

func hostsOrAll(hosts []string) []string {
	if len(hosts) == 0 {
		return []string{"*"}
	}
	return hosts
}
