package config

import (
	"fmt"
	"net/url"
	"path/filepath"
	"slices"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/traffic"
)

// TraefikFileSpec is one file of Traefik's file provider.
type TraefikFileSpec struct {
	// Path of the file. Serin owns it: it writes the file as a whole, and refuses one with anything else in it.
	Path string `json:"path" jsonschema:"minLength=1"`
	// Rule of the main route, in Traefik's rule language.
	Rule string `json:"rule" jsonschema:"minLength=1"`
	// EntryPoints of Traefik; without any it listens on all of its defaults.
	EntryPoints []string `json:"entryPoints,omitempty"`
	// TLS of the route; {} is TLS with Traefik's defaults.
	TLS *TLSSpec `json:"tls,omitempty"`
	// Priority of the main route; 0 leaves the choice to Serin.
	Priority int `json:"priority,omitempty" jsonschema:"minimum=0"`
	// Middlewares of Traefik's configuration that requests go through, in this order: auth, or auth@docker of another
	// provider.
	Middlewares []string `json:"middlewares,omitempty" jsonschema:"minItems=1"`
	// Observability of the route.
	Observability *ObservabilitySpec `json:"observability,omitempty"`
	// Verify is how Serin makes sure that Traefik serves what was written.
	Verify *VerifySpec `json:"verify,omitempty"`
}

func (f *TraefikFileSpec) check(c *checker, s *RolloutSpec, l Loader) {
	at := c.spec("traffic", "traefikFile")
	if ext := filepath.Ext(f.Path); ext != ".yaml" && ext != ".yml" {
		c.fail(at.in("path"), "expected a file that ends in .yaml or .yml: Traefik reads no other of this form")
	}
	c.rule(at.in("rule"), f.Rule, l)
	c.verify(at.in("verify"), f.Verify)
	c.servers(s)
	c.balancing(c.spec("stable"), &s.Stable)
	c.balancing(c.spec("canary"), &s.Canary)
	c.route(at, f.route())
}

// ofServers lists the fields of an arm without Kubernetes.
var ofServers = []string{"servers", "replicas", "healthCheck", "serversTransport", "passHostHeader", "sticky", "responseForwarding"}

// servers checks both sets of servers of the file provider.
func (c *checker) servers(s *RolloutSpec) {
	where := map[string]string{}
	for _, arm := range []struct {
		name string
		spec *ArmSpec
	}{{"stable", &s.Stable}, {"canary", &s.Canary}} {
		at := c.spec(arm.name)
		if len(arm.spec.Servers) == 0 {
			c.fail(at.in("servers"), "is missing: expected a list of addresses such as http://127.0.0.1:8081")
		}
		for _, e := range at.node.entries {
			if !slices.Contains(ofServers, e.key) {
				c.fail(at.in(e.key).atKey(), "belongs to Traefik on Kubernetes; traffic is traefikFile")
			}
		}
		for i, server := range arm.spec.Servers {
			p := at.in("servers", i)
			u, err := url.Parse(string(server))
			if err != nil {
				continue // reported already
			}
			key := u.Scheme + "://" + u.Host
			if other, twice := where[key]; twice {
				c.fail(p, "%s is in %s already", server, other)
				continue
			}
			where[key] = fmt.Sprintf("%s.servers[%d]", arm.name, i)
		}
	}
}

// route is the main route.
func (f *TraefikFileSpec) route() traffic.Route {
	out := traffic.Route{Rule: f.Rule, EntryPoints: f.EntryPoints, Priority: f.Priority, TLS: f.TLS.toTraffic(),
		Observability: f.Observability.toTraffic()}
	for _, name := range f.Middlewares {
		out.Middlewares = append(out.Middlewares, traffic.Middleware{Name: name})
	}
	return out
}

func (f *TraefikFileSpec) confine(c *checker, _ Loader) {
	c.fail(c.spec("traffic", "traefikFile").atKey(), "belongs to documents in files: it is a file of the daemon's")
}

func (f *TraefikFileSpec) fill(m *planner) {
	g := &m.plan.Gateway
	g.File, g.Route = f.Path, f.route()
	for _, arm := range []*ArmSpec{&m.spec.Stable, &m.spec.Canary} {
		if how := arm.balancing(); how != (traffic.Balancing{}) {
			g.Sets = append(g.Sets, record.ServerSet{Servers: arm.toBackend().Servers, Balancing: how})
		}
	}
}

func (f *TraefikFileSpec) confirmed() *VerifySpec { return f.Verify }

func (f *TraefikFileSpec) cluster() (namespace string, ok bool) { return "", false }

// fileSuffixes of the objects that are named after a rollout (spec/traefik.md, File provider).
var fileSuffixes = []string{"", "-ab", "-stable", "-canary", "-ab-stable", "-ab-canary", "-mirrored", "-mirrored-stable", "-mirrored-canary", "-previewed", "-circuit-breaker", "-rate-limit"}

func (f *TraefikFileSpec) claims(p *parsed) []claim {
	out := []claim{{what: claimFile, of: filepath.Clean(fromFolderOf(p.src.name, f.Path))}}
	for _, s := range fileSuffixes {
		out = append(out, claim{what: claimObject, of: p.name + s})
	}
	// Two files of one folder are read by the same Traefik. Rollouts may have one rule, by their priorities; a preview is above
	// both.
	where := " of the Traefik that reads " + filepath.Dir(filepath.Clean(fromFolderOf(p.src.name, f.Path)))
	for _, c := range claimsOf(requestsOf(f.Rule), f.EntryPoints, where) {
		c.shared = true
		out = append(out, c)
	}
	for _, host := range p.previewHosts() {
		out = append(out, claimsOf(host, f.EntryPoints, where)...)
	}
	return out
}
