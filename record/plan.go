package record

import (
	"slices"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/workload"
)

// Plan is everything that a release is started with: package config makes it, the engine runs it. It is stored with the
// release as JSON, so that later edits of the configuration do not change a running release.
type Plan struct {
	Rollout rollout.Definition `json:"rollout"`
	// Analyses by the name of their scope.
	Analyses map[string]analysis.Definition `json:"analyses"`
	// Returning has the analyses of the plan for a version that returns ([rollout.Returning]), by the name of their scope.
	Returning map[string]analysis.Definition `json:"returning,omitempty"`
	Gateway   Gateway                        `json:"gateway"`
	About     About                          `json:"about,omitzero"`
}

// ForReturning returns the plan for a version that was in service not long ago.
func (p Plan) ForReturning() Plan {
	p.Rollout, p.Analyses, p.Returning = p.Rollout.ForReturning(), p.Returning, nil
	return p
}

// Gateway is what divides the traffic: one file of Traefik's file provider, Traefik on Kubernetes, Gateway API, or the number
// of pods.
type Gateway struct {
	Route traffic.Route `json:"route,omitzero"`
	// File that Serin owns; absolute.
	File string `json:"file,omitempty"`
	// Sets are the settings for talking to sets of servers, where the document has any.
	Sets []traffic.ServerSet `json:"sets,omitempty"`
	// FurtherRoutes are more routes of the file, each to one of the ports of the sets.
	FurtherRoutes []traffic.PortRoute `json:"furtherRoutes,omitempty"`
	// Connections: the route in the file is TCP's.
	Connections bool `json:"connections,omitempty"`
	// Cluster is nil for a file.
	Cluster *ClusterGateway `json:"cluster,omitempty"`
	// Routes of Gateway API; nil for Traefik's own.
	Routes *RoutesGateway `json:"routes,omitempty"`
	// TCP routes of Traefik on Kubernetes; nil for other kinds.
	TCP *TCPGateway `json:"tcp,omitempty"`
	// Split is nil if a gateway divides the work.
	Split *SplitGateway `json:"split,omitempty"`
	// Replicas are the APIs to ask what is served.
	Replicas []Replica `json:"replicas,omitempty"`
}

// WithCanary returns the gateway with another Service for the canary, at stable's ports and with stable's settings. It is for
// gateways in a cluster.
func (g Gateway) WithCanary(service string) Gateway {
	at := func(stable traffic.Backend) traffic.Backend {
		return traffic.Backend{Service: service, Port: stable.Port}
	}
	like := func(ports []traffic.PortPair) []traffic.PortPair {
		out := slices.Clone(ports)
		for i := range out {
			out[i].Canary, out[i].CanaryBalancing = out[i].Stable, out[i].StableBalancing
		}
		return out
	}
	if g.Cluster != nil {
		c := *g.Cluster
		c.Canary, c.CanaryBalancing, c.Ports = at(c.Stable), c.StableBalancing, like(c.Ports)
		g.Cluster = &c
	}
	if g.Routes != nil {
		r := *g.Routes
		r.Canary, r.Ports = at(r.Stable), like(r.Ports)
		g.Routes = &r
	}
	if g.TCP != nil {
		t := *g.TCP
		t.Canary = at(t.Stable)
		g.TCP = &t
	}
	return g
}

// Replica is the API of one Traefik.
type Replica struct {
	URL string `json:"url"`
	// User signs in with the password in PasswordFile; empty for none.
	User         string `json:"user,omitempty"`
	PasswordFile string `json:"passwordFile,omitempty"`
}

// ClusterGateway is a route of Traefik on Kubernetes: Serin's own (Route), or an existing one that is adopted.
type ClusterGateway struct {
	Namespace string `json:"namespace"`
	// Arms is the namespace of the Services, if it is not the route's.
	Arms         string         `json:"arms,omitempty"`
	Route        *traffic.Route `json:"route,omitempty"`
	IngressRoute string         `json:"ingressRoute,omitempty"`
	// Further are the names of more IngressRoutes that move with the first.
	Further []string        `json:"further,omitempty"`
	Adopt   bool            `json:"adopt,omitempty"`
	Stable  traffic.Backend `json:"stable"`
	Canary  traffic.Backend `json:"canary"`
	// Direct is the Service that the users' own route leads to; empty if it is stable's.
	Direct traffic.Backend `json:"direct,omitzero"`
	// How to talk to the Services of an own route.
	StableBalancing traffic.Balancing `json:"stableBalancing,omitzero"`
	CanaryBalancing traffic.Balancing `json:"canaryBalancing,omitzero"`
	// Ports are further ports of the same Services; their routes move together with the first.
	Ports []traffic.PortPair `json:"ports,omitempty"`
	// FurtherRoutes are more routes of Serin's own, each to one of the ports.
	FurtherRoutes []traffic.PortRoute `json:"furtherRoutes,omitempty"`
}

// RoutesGateway is routes of Gateway API.
type RoutesGateway struct {
	Namespace string `json:"namespace"`
	// Arms is the namespace of the Services, if it is not the routes'.
	Arms string `json:"arms,omitempty"`
	traffic.GatewayRoutes
	Stable traffic.Backend `json:"stable"`
	Canary traffic.Backend `json:"canary"`
	// Ports are further ports of the same Services that users' routes lead to.
	Ports []traffic.PortPair `json:"ports,omitempty"`
}

// TCPGateway is TCP routes of Traefik on Kubernetes: Serin's own (Route), or existing ones that are adopted.
type TCPGateway struct {
	Namespace string `json:"namespace"`
	// Arms is the namespace of the Services, if it is not the routes'.
	Arms    string          `json:"arms,omitempty"`
	Route   *traffic.Route  `json:"route,omitempty"`
	Adopted []string        `json:"adopted,omitempty"`
	Stable  traffic.Backend `json:"stable"`
	Canary  traffic.Backend `json:"canary"`
}

// SplitGateway divides work by the number of pods of the arms.
type SplitGateway struct {
	Arms workload.Arms `json:"arms"`
	workload.Split
}
