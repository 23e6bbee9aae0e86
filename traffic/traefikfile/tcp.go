package traefikfile

import (
	"net/url"
	"slices"
	"strings"

	"github.com/traefik/traefik/v3/pkg/config/dynamic"

	"github.com/serindev/serin/traffic"
)

// tcpScheme is the scheme of TCP servers in documents: tcp://10.0.0.1:5432.
const tcpScheme = "tcp"

// tcp returns the content of the file for a TCP route.
func (l *layout) tcp(c *Config) *dynamic.TCPConfiguration {
	rule := strings.TrimSpace(c.Route.Rule)
	router := &dynamic.TCPRouter{
		EntryPoints: c.Route.EntryPoints, Rule: rule, Priority: priority(&c.Route, traffic.MainLane),
		Service: c.Rollout, Middlewares: middlewares(&c.Route),
	}
	if t := c.Route.TLS; t != nil {
		router.TLS = &dynamic.RouterTCPTLSConfig{Passthrough: t.Passthrough, Options: t.Options, CertResolver: t.CertResolver, Domains: domains(t)}
	}
	stable, canary := c.Rollout+stableSuffix, c.Rollout+canarySuffix
	return &dynamic.TCPConfiguration{
		Routers: map[string]*dynamic.TCPRouter{c.Rollout: router},
		Services: map[string]*dynamic.TCPService{
			c.Rollout: {Weighted: &dynamic.TCPWeightedRoundRobin{Services: []dynamic.TCPWRRService{
				{Name: stable, Weight: &l.main.stableWeight}, {Name: canary, Weight: &l.main.canaryWeight},
			}}},
			stable: tcpBalancer(l.main.stable), canary: tcpBalancer(l.main.canary),
		},
	}
}

func tcpBalancer(servers []string) *dynamic.TCPService {
	lb := &dynamic.TCPServersLoadBalancer{}
	for _, s := range servers {
		if u, err := url.Parse(s); err == nil { // always, as s was checked or inferred
			lb.Servers = append(lb.Servers, dynamic.TCPServer{Address: u.Host})
		}
	}
	return &dynamic.TCPService{LoadBalancer: lb}
}

// inferTCP returns the layout that comes closest to t.
func inferTCP(c *Config, t *dynamic.TCPConfiguration) layout {
	l := layout{lanes: map[traffic.Lane]*side{}}
	l.main.stable, l.main.canary = tcpServers(t.Services[c.Rollout+stableSuffix]), tcpServers(t.Services[c.Rollout+canarySuffix])
	s := t.Services[c.Rollout]
	if s == nil || s.Weighted == nil {
		return l
	}
	for _, child := range s.Weighted.Services {
		switch child.Name {
		case c.Rollout + canarySuffix:
			l.main.canaryWeight = weightOf(child.Weight)
		case c.Rollout + stableSuffix:
			l.main.stableWeight = weightOf(child.Weight)
		}
	}
	return l
}

func tcpServers(s *dynamic.TCPService) (out []string) {
	if s == nil || s.LoadBalancer == nil {
		return nil
	}
	for _, server := range s.LoadBalancer.Servers {
		out = append(out, tcpScheme+"://"+server.Address)
	}
	slices.Sort(out)
	return out
}
