package config

import (
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/serindev/serin/traffic"
)

// TraefikFileSpec is one file of Traefik's file provider.
type TraefikFileSpec struct {
	// Path of the file. Serin owns it: it writes the file as a whole, and refuses a file with anything else in it.
	Path string `json:"path" jsonschema:"minLength=1"`
	// Rule of the main route, in Traefik's rule language.
	Rule string `json:"rule,omitempty"`
	// EntryPoints of Traefik; without any it listens on all of its defaults.
	EntryPoints []string `json:"entryPoints,omitempty"`
	// TLS of the route; {} is TLS with Traefik's defaults.
	TLS *TLSSpec `json:"tls,omitempty"`
	// Priority of the main route; 0 leaves the choice to Serin.
	Priority int `json:"priority,omitempty" jsonschema:"minimum=0"`
	// Middlewares of Traefik's configuration that requests go through, in this order: auth, or auth@docker from another
	// provider.
	Middlewares []string `json:"middlewares,omitempty" jsonschema:"minItems=1"`
	// Observability of the route.
	Observability *ObservabilitySpec `json:"observability,omitempty"`
	// FurtherRoutes in addition to that one, each to one of the servers' ports.
	FurtherRoutes []FileRouteSpec `json:"furtherRoutes,omitempty" jsonschema:"minItems=1"`
	// RouteTCP is a TCP route, in place of all of these. It divides connections by weight.
	RouteTCP *RouteTCPSpec `json:"routeTCP,omitempty"`
	// Verify is how Serin makes sure that Traefik serves what was written.
	Verify *VerifySpec `json:"verify,omitempty"`
}

// FileRouteSpec is one more route in a file.
type FileRouteSpec struct {
	// Rule in Traefik's rule language.
	Rule string `json:"rule" jsonschema:"minLength=1"`
	// EntryPoints of Traefik; without any it listens on all of its defaults.
	EntryPoints []string `json:"entryPoints,omitempty"`
	// TLS of the route; {} is TLS with Traefik's defaults.
	TLS *TLSSpec `json:"tls,omitempty"`
	// Priority of the route; 0 leaves the choice to Serin.
	Priority int `json:"priority,omitempty" jsonschema:"minimum=0"`
	// Middlewares of Traefik's configuration that requests go through, in this order.
	Middlewares []string `json:"middlewares,omitempty" jsonschema:"minItems=1"`
	// Observability of the route.
	Observability *ObservabilitySpec `json:"observability,omitempty"`
	// Port is the name of one of the servers' furtherPorts; without it the route leads to servers.
	Port Name `json:"port,omitempty"`
}

func (f *TraefikFileSpec) check(c *checker, s *RolloutSpec, l Loader) {
	at := c.spec("traffic", "traefikFile")
	if ext := filepath.Ext(f.Path); ext != ".yaml" && ext != ".yml" {
		c.fail(at.in("path"), "expected a file that ends in .yaml or .yml: Traefik reads no other of this form")
	}
	c.verify(at.in("verify"), f.Verify)
	c.servers(s, f.RouteTCP != nil)
	c.balancing(c.spec("stable"), s.Stable.balancing(), s.Stable.HealthCheck)
	c.balancing(c.spec("canary"), s.Canary.balancing(), s.Canary.HealthCheck)
	switch {
	case (f.Rule == "") == (f.RouteTCP == nil):
		c.fail(at, "expected one of rule or, for TCP, routeTCP")
	case f.RouteTCP != nil:
		f.checkTCP(c, at, s, l)
	default:
		c.rule(at.in("rule"), f.Rule, l)
		c.fileRoute(at, f.route())
		f.ports(c, at, s, l)
	}
}

// checkTCP checks a TCP route, and refuses fields that only HTTP routes have.
func (f *TraefikFileSpec) checkTCP(c *checker, at place, s *RolloutSpec, l Loader) {
	for _, e := range at.node.entries {
		if slices.Contains([]string{"entryPoints", "tls", "priority", "middlewares", "observability", "furtherRoutes"}, e.key) {
			c.fail(at.in(e.key).atKey(), "belongs to an HTTP route: a TCP route has its fields in routeTCP, and is the only one")
		}
	}
	c.ruleTCP(at.in("routeTCP"), f.RouteTCP, l)
	c.fileRoute(at.in("routeTCP"), f.RouteTCP.toTraffic())
	for _, arm := range []string{"stable", "canary"} {
		for _, e := range c.spec(arm).node.entries {
			if slices.Contains(ofServers[2:], e.key) {
				c.fail(c.spec(arm, e.key).atKey(), "belongs to an HTTP route: for a TCP route Serin only says where the servers are")
			}
		}
	}
	c.connectionsOnly(s)
}

// fileRoute checks a route in a file, and refuses fields that only routes on Kubernetes have.
func (c *checker) fileRoute(at place, r traffic.Route) {
	c.route(at, r)
	for i, m := range r.Middlewares {
		if m.Namespace != "" {
			c.fail(at.in("middlewares", i, "namespace").atKey(), "belongs to Traefik on Kubernetes; traffic is traefikFile")
		}
	}
	if r.TLS != nil && r.TLS.SecretName != "" {
		c.fail(at.in("tls", "secretName").atKey(),
			"belongs to Traefik on Kubernetes: the file provider takes certificates from Traefik's own configuration")
	}
	if r.TLS != nil && r.TLS.OptionsNamespace != "" {
		c.fail(at.in("tls", "optionsNamespace").atKey(),
			"belongs to Traefik on Kubernetes: options of Traefik's own configuration have a provider instead, such as options: modern@file")
	}
}

// ports checks the further ports of the arms, and the routes that lead to them.
func (f *TraefikFileSpec) ports(c *checker, at place, s *RolloutSpec, l Loader) {
	stable, canary := portNames(&s.Stable), portNames(&s.Canary)
	for arm, ports := range map[string][]ServersPortSpec{"stable": s.Stable.FurtherPorts, "canary": s.Canary.FurtherPorts} {
		for i := range ports {
			p := c.spec(arm, "furtherPorts", i)
			if names := portNames(&ArmSpec{FurtherPorts: ports[:i]}); slices.Contains(names, ports[i].Name) {
				c.fail(p.in("name"), "%s is named twice", ports[i].Name)
			}
			c.balancing(p, ports[i].balancing(), ports[i].HealthCheck)
		}
	}
	if !slices.Equal(stable, canary) {
		c.fail(c.spec("canary"), "furtherPorts differ from stable's: expected the same names, in the same order")
	}
	led, routes := map[Name]bool{}, []routeAt{{at.in("rule"), f.route()}}
	for i := range f.FurtherRoutes {
		r, p := &f.FurtherRoutes[i], at.in("furtherRoutes", i)
		c.rule(p.in("rule"), r.Rule, l)
		c.fileRoute(p, r.toTraffic())
		routes = append(routes, routeAt{p.in("rule"), r.toTraffic()})
		if r.Port != "" && !slices.Contains(stable, r.Port) {
			c.fail(p.in("port"), "%s is not one of stable's furtherPorts", r.Port)
		}
		led[r.Port] = true
	}
	c.apart(routes)
	for i, name := range stable {
		if !led[name] {
			c.fail(c.spec("stable", "furtherPorts", i), "no route leads to %s: name it in one of traffic.traefikFile.furtherRoutes", name)
		}
	}
}

func portNames(a *ArmSpec) (out []Name) {
	for i := range a.FurtherPorts {
		out = append(out, a.FurtherPorts[i].Name)
	}
	return out
}

// balancing is how Traefik talks to the servers at the port.
func (p *ServersPortSpec) balancing() traffic.Balancing {
	out := p.BalancingSpec.toTraffic()
	out.HealthCheck = p.HealthCheck.toTraffic()
	return out
}

// ofServers lists the fields of an arm without Kubernetes.
var ofServers = []string{"servers", "replicas", "healthCheck", "serversTransport", "passHostHeader", "sticky", "responseForwarding", "furtherPorts"}

// servers checks both sets of servers of the file provider; tcp says which addresses they need.
func (c *checker) servers(s *RolloutSpec, tcp bool) {
	where := map[string]string{}
	check := func(p place, server Server, name string) {
		u, err := url.Parse(string(server))
		if err != nil {
			return // reported already
		}
		if tcp != (u.Scheme == "tcp") {
			c.fail(p, "%s: expected tcp://… for a TCP route (routeTCP), and http://…, https://… or h2c://… for any other", server)
			return
		}
		if tcp && u.Port() == "" {
			c.fail(p, "%s: expected a port as well, such as tcp://10.0.0.1:5432", server)
			return
		}
		key := u.Scheme + "://" + u.Host
		if other, twice := where[key]; twice {
			c.fail(p, "%s is in %s already", server, other)
			return
		}
		where[key] = name
	}
	for _, arm := range []struct {
		name string
		spec *ArmSpec
	}{{"stable", &s.Stable}, {"canary", &s.Canary}} {
		at := c.spec(arm.name)
		if len(arm.spec.Servers) == 0 {
			example := "http://127.0.0.1:8081"
			if tcp {
				example = "tcp://127.0.0.1:5432"
			}
			c.fail(at.in("servers"), "is missing: expected a list of addresses such as %s", example)
		}
		for _, e := range at.node.entries {
			if !slices.Contains(ofServers, e.key) {
				c.fail(at.in(e.key).atKey(), "belongs to Traefik on Kubernetes; traffic is traefikFile")
			}
		}
		for i, server := range arm.spec.Servers {
			check(at.in("servers", i), server, fmt.Sprintf("%s.servers[%d]", arm.name, i))
		}
		for k, port := range arm.spec.FurtherPorts {
			for i, server := range port.Servers {
				check(at.in("furtherPorts", k, "servers", i), server, fmt.Sprintf("%s.furtherPorts[%d].servers[%d]", arm.name, k, i))
			}
		}
	}
}

// route is the main route.
func (f *TraefikFileSpec) route() traffic.Route {
	if f.RouteTCP != nil {
		return f.RouteTCP.toTraffic()
	}
	first := FileRouteSpec{
		Rule: f.Rule, EntryPoints: f.EntryPoints, TLS: f.TLS, Priority: f.Priority, Middlewares: f.Middlewares, Observability: f.Observability,
	}
	return first.toTraffic()
}

func (r *FileRouteSpec) toTraffic() traffic.Route {
	out := traffic.Route{Rule: r.Rule, EntryPoints: r.EntryPoints, Priority: r.Priority, TLS: r.TLS.toTraffic(),
		Observability: r.Observability.toTraffic()}
	for _, name := range r.Middlewares {
		out.Middlewares = append(out.Middlewares, traffic.Middleware{Name: name})
	}
	return out
}

func (f *TraefikFileSpec) confine(c *checker, _ Loader) {
	c.fail(c.spec("traffic", "traefikFile").atKey(), "belongs to documents in files: it is a file of the daemon's")
}

func (f *TraefikFileSpec) fill(m *planner) {
	name := m.at("metadata", "name")
	i := slices.IndexFunc(fileSuffixes, func(s string) bool { return s != "" && strings.HasSuffix(name.node.text, s) })
	if i >= 0 {
		m.fail(name, "ends in %s, like the names of a rollout's parts in Traefik: expected another", fileSuffixes[i])
	}
	g := &m.plan.Gateway
	g.File, g.Route, g.Connections = f.Path, f.route(), f.RouteTCP != nil
	for i := range f.FurtherRoutes {
		r := &f.FurtherRoutes[i]
		g.FurtherRoutes = append(g.FurtherRoutes, traffic.PortRoute{Route: r.toTraffic(), Port: 1 + slices.Index(portNames(&m.spec.Stable), r.Port)})
	}
	for _, arm := range []*ArmSpec{&m.spec.Stable, &m.spec.Canary} {
		if how := arm.balancing(); how != (traffic.Balancing{}) || len(arm.FurtherPorts) > 0 {
			g.Sets = append(g.Sets, traffic.ServerSet{Servers: arm.toBackend().Servers, Balancing: how, Further: arm.furtherPorts()})
		}
	}
}

// furtherPorts are the servers at their further ports.
func (a *ArmSpec) furtherPorts() (out []traffic.ServersAt) {
	for i := range a.FurtherPorts {
		p := &a.FurtherPorts[i]
		at := ArmSpec{Servers: p.Servers}
		out = append(out, traffic.ServersAt{Servers: at.toBackend().Servers, Balancing: p.balancing()})
	}
	return out
}

func (f *TraefikFileSpec) confirmed() *VerifySpec { return f.Verify }

func (f *TraefikFileSpec) cluster() (namespace string, ok bool) { return "", false }

// fileSuffixes end the names of a rollout's objects in Traefik; package traefikfile has the same.
var fileSuffixes = []string{
	"", "-ab", "-stable", "-canary", "-ab-stable", "-ab-canary", "-mirrored", "-mirrored-stable", "-mirrored-canary",
	"-previewed", "-circuit-breaker", "-rate-limit",
}

func (f *TraefikFileSpec) claims(p *parsed) []claim {
	out := []claim{{what: claimFile, of: filepath.Clean(fromFolderOf(p.src.name, f.Path))}}
	for _, s := range fileSuffixes {
		out = append(out, claim{what: claimObject, of: p.name + s})
	}
	for i := range f.FurtherRoutes {
		for _, s := range []string{"-route", "-ab", "-mirrored", "-previewed"} {
			out = append(out, claim{what: claimObject, of: fmt.Sprintf("%s%s-%d", p.name, s, i+2)})
		}
	}
	for i := range p.rollout.Spec.Stable.FurtherPorts {
		for _, lane := range []string{"", "-ab", "-mirrored", "-previewed"} {
			for _, s := range []string{"", "-stable", "-canary"} {
				out = append(out, claim{what: claimObject, of: fmt.Sprintf("%s%s-port-%d%s", p.name, lane, i+2, s)})
			}
		}
	}
	// One Traefik reads all files of a folder. Two rollouts may have the same rule there, with different priorities, but not
	// the host of a preview, which is above both.
	where := " of the Traefik that reads " + filepath.Dir(filepath.Clean(fromFolderOf(p.src.name, f.Path)))
	if r := f.RouteTCP; r != nil {
		return append(out, claimsOf("TCP "+requestsOf(r.Rule), r.EntryPoints, where)...)
	}
	previews := p.previewHosts()
	for _, r := range append([]FileRouteSpec{{Rule: f.Rule, EntryPoints: f.EntryPoints}}, f.FurtherRoutes...) {
		for _, c := range claimsOf(requestsOf(r.Rule), r.EntryPoints, where) {
			c.shared = true
			out = append(out, c)
		}
		for _, host := range previews {
			out = append(out, claimsOf(host, r.EntryPoints, where)...)
		}
	}
	return out
}
