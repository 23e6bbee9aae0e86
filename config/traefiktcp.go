package config

import (
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/traffic"
)

// RouteTCPSpec is a TCP route of Serin's own.
type RouteTCPSpec struct {
	// Rule in Traefik's language for TCP: HostSNI(`db.example.com`), or HostSNI(`*`) without TLS.
	Rule string `json:"rule" jsonschema:"minLength=1"`
	// EntryPoints of Traefik; without any it listens on all of its defaults.
	EntryPoints []string `json:"entryPoints,omitempty"`
	// TLS of the route; {} is TLS with Traefik's defaults.
	TLS *TLSTCPSpec `json:"tls,omitempty"`
	// Priority of the route; 0 leaves the choice to Traefik.
	Priority int `json:"priority,omitempty" jsonschema:"minimum=0"`
	// Middlewares for TCP that connections go through, in this order.
	Middlewares []MiddlewareSpec `json:"middlewares,omitempty" jsonschema:"minItems=1"`
}

// TLSTCPSpec is the TLS of a TCP route.
type TLSTCPSpec struct {
	TLSSpec
	// Passthrough leaves TLS to the pods.
	Passthrough bool `json:"passthrough,omitempty"`
}

func (r *RouteTCPSpec) toTraffic() traffic.Route {
	out := traffic.Route{Rule: r.Rule, EntryPoints: r.EntryPoints, Priority: r.Priority, Middlewares: middlewares(r.Middlewares)}
	if r.TLS != nil {
		out.TLS = r.TLS.TLSSpec.toTraffic()
		out.TLS.Passthrough = r.TLS.Passthrough
	}
	return out
}

// tcp reports whether the routes are TCP's, which see connections and no requests.
func (t *TraefikSpec) tcp() bool { return t.RouteTCP != nil || len(t.IngressRouteTCP) > 0 }

// noRequests refuses a feature that needs requests.
const noRequests = "needs requests, and a TCP route sees only connections"

// checkTCP checks TCP routes, and refuses what a TCP route cannot do.
func (t *TraefikSpec) checkTCP(c *checker, at place, s *RolloutSpec, l Loader) {
	if r := t.RouteTCP; r != nil {
		c.ruleTCP(at.in("routeTCP"), r, l)
		c.route(at.in("routeTCP"), r.toTraffic())
	}
	c.adoptedRoutes(at.in("ingressRouteTCP"), t.IngressRouteTCP)
	if t.Adopt {
		c.fail(at.in("adopt"), "takes over a TraefikService, and a TCP route has none")
	}
	if len(t.FurtherRoutes) > 0 {
		c.fail(at.in("furtherRoutes").atKey(), "are HTTP routes")
	}
	if s.Deployment != "" && len(t.IngressRouteTCP) > 0 {
		c.fail(at.in("ingressRouteTCP"),
			"with one Deployment, an existing route would have to lead to the copy, and it does not: expected routeTCP (Serin's own)")
	}
	for arm, a := range map[string]*ArmSpec{"stable": &s.Stable, "canary": &s.Canary} {
		service := c.spec(arm, "service")
		if a.Service != nil && a.balancing() != (traffic.Balancing{}) {
			c.fail(service, "a TCP route of Serin's own cannot say how to talk to the Service; an adopted one says "+
				"it in its reference to stable's Service, for both arms")
		}
		if a.Service != nil && len(a.Service.FurtherPorts) > 0 {
			c.fail(service.in("furtherPorts").atKey(), "belongs to HTTP routes: a TCP route leads to the one port that service names")
		}
	}
	c.connectionsOnly(s)
}

// ruleTCP checks the rule of a TCP route of Serin's own.
func (c *checker) ruleTCP(at place, r *RouteTCPSpec, l Loader) {
	if l.RuleTCP == nil {
		return
	}
	if err := l.RuleTCP(r.Rule, r.TLS != nil); err != nil {
		c.fail(at.in("rule"), "%s", err)
	}
}

// connectionsOnly refuses guards and the steps that tell requests apart.
func (c *checker) connectionsOnly(s *RolloutSpec) {
	if s.Guards != nil {
		c.fail(c.spec("guards").atKey(), noRequests)
	}
	c.connectionSteps(c.spec("steps"), s.Steps)
	if s.Returning != nil {
		c.connectionSteps(c.spec(returning, "steps"), s.Returning.Steps)
	}
}

func (c *checker) connectionSteps(steps place, all []StepSpec) {
	for i := range all {
		at, step := steps.in(i), &all[i]
		switch {
		case step.AB != nil:
			c.fail(at.in("ab").atKey(), noRequests+": gray divides connections by weight")
		case step.Mirror != nil:
			c.fail(at.in("mirror").atKey(), noRequests)
		case step.Preview != nil:
			c.fail(at.in("preview").atKey(), noRequests+": make a TCP route of your own that leads to the canary alone")
		case step.Gray != nil && step.Gray.Sticky:
			c.fail(at.in("gray", "sticky"), noRequests)
		}
	}
}

func (t *TraefikSpec) fillTCP(m *planner) {
	d := &m.plan.Rollout
	g := &record.TCPGateway{
		Namespace: m.route(), Arms: m.spec.armsElsewhere(m.route()), Adopted: t.IngressRouteTCP, Stable: d.Stable, Canary: d.Canary,
	}
	if t.RouteTCP != nil {
		route := t.RouteTCP.toTraffic()
		g.Route = &route
	}
	m.plan.Gateway.TCP = g
}

// claimsTCP returns the claims of a rollout on TCP routes: no other may have their connections.
func (t *TraefikSpec) claimsTCP(p *parsed) []claim {
	namespace, _ := t.cluster()
	out := []claim{{what: claimObject, of: "IngressRouteTCP " + namespace + "/" + p.base()}}
	out = append(out, p.arms(namespace)...)
	if t.RouteTCP != nil {
		out = append(out, claimsOf("TCP "+requestsOf(t.RouteTCP.Rule), t.RouteTCP.EntryPoints, "")...)
	}
	return out
}
