package config

import (
	"slices"
	"time"

	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/traefik"
)

// TLSSpec is the TLS of a route.
type TLSSpec struct {
	// SecretName of the certificate (Kubernetes).
	SecretName string `json:"secretName,omitempty"`
	// CertResolver of Traefik's configuration.
	CertResolver string `json:"certResolver,omitempty"`
	// Options is the name of TLS options of Traefik's configuration.
	Options string `json:"options,omitempty"`
	// OptionsNamespace is their namespace (Kubernetes); the route's by default.
	OptionsNamespace Namespace `json:"optionsNamespace,omitempty"`
	// Domains to request certificates for; by default Traefik takes them from the rule.
	Domains []DomainSpec `json:"domains,omitempty" jsonschema:"minItems=1"`
}

// MiddlewareSpec is an existing middleware.
type MiddlewareSpec struct {
	// Name of the Middleware, or NAME@PROVIDER for one of another provider.
	Name string `json:"name" jsonschema:"minLength=1"`
	// Namespace of the Middleware; the route's by default. Any other needs Traefik's allowCrossNamespace.
	Namespace Namespace `json:"namespace,omitempty"`
}

// DomainSpec is a domain to request a certificate for.
type DomainSpec struct {
	// Main name of the certificate.
	Main string `json:"main" jsonschema:"minLength=1"`
	// SANs are its further names.
	SANs []string `json:"sans,omitempty"`
}

// ObservabilitySpec switches on and off what Traefik records about a route's requests. Metrics stay on: without them
// Serin sees nothing.
type ObservabilitySpec struct {
	// AccessLogs of the route.
	AccessLogs *bool `json:"accessLogs,omitempty"`
	// Tracing of the route.
	Tracing *bool `json:"tracing,omitempty"`
}

// BalancingSpec is how Traefik talks to servers, with Traefik's defaults.
type BalancingSpec struct {
	// ServersTransport names one of Traefik's, such as private-ca@file.
	ServersTransport string `json:"serversTransport,omitempty"`
	// PassHostHeader forwards the Host header of the request; Traefik's default is true.
	PassHostHeader *bool `json:"passHostHeader,omitempty"`
	// Sticky keeps a user on one server of the arm.
	Sticky *StickySpec `json:"sticky,omitempty"`
	// ResponseForwarding is how responses are copied.
	ResponseForwarding *ResponseForwardingSpec `json:"responseForwarding,omitempty"`
}

// StickySpec keeps a user on one server by a cookie.
type StickySpec struct {
	// Cookie that identifies the server.
	Cookie StickyCookieSpec `json:"cookie"`
}

// StickyCookieSpec is a cookie as Traefik sets it.
type StickyCookieSpec struct {
	// Name of the cookie.
	Name string `json:"name" jsonschema:"minLength=1"`
	// Secure cookies travel over TLS only.
	Secure bool `json:"secure,omitempty"`
	// HTTPOnly cookies are hidden from scripts.
	HTTPOnly bool `json:"httpOnly,omitempty"`
	// SameSite policy of the cookie.
	SameSite string `json:"sameSite,omitempty" jsonschema:"enum=none,enum=lax,enum=strict"`
	// MaxAge in seconds; 0 means until the browser closes.
	MaxAge int `json:"maxAge,omitempty"`
}

// ResponseForwardingSpec is how responses are copied.
type ResponseForwardingSpec struct {
	// FlushInterval between writes to the client; Traefik's default is 100ms.
	FlushInterval Duration `json:"flushInterval"`
}

// HealthCheckSpec asks servers whether they can take requests.
type HealthCheckSpec struct {
	// Path to ask for.
	Path string `json:"path" jsonschema:"minLength=1"`
	// Scheme, Method and Hostname of the request; by default the server's, GET and its address.
	Scheme string `json:"scheme,omitempty" jsonschema:"enum=http,enum=https"`
	// Method of the request.
	Method string `json:"method,omitempty"`
	// Hostname of the request.
	Hostname string `json:"hostname,omitempty"`
	// Port instead of the server's.
	Port int `json:"port,omitempty" jsonschema:"minimum=1,maximum=65535"`
	// Status to expect; any of 2xx and 3xx by default.
	Status int `json:"status,omitempty" jsonschema:"minimum=100,maximum=599"`
	// Interval between two checks; Traefik's default is 30s.
	Interval *Duration `json:"interval,omitempty"`
	// Timeout of one; Traefik's default is 5s.
	Timeout *Duration `json:"timeout,omitempty"`
	// Headers of the request.
	Headers map[string]string `json:"headers,omitempty"`
}

func (b BalancingSpec) toTraffic() traffic.Balancing {
	out := traffic.Balancing{ServersTransport: b.ServersTransport, PassHostHeader: b.PassHostHeader}
	if k := b.Sticky; k != nil {
		c := k.Cookie
		out.Sticky = &traffic.StickyServer{Name: c.Name, Secure: c.Secure, HTTPOnly: c.HTTPOnly, SameSite: c.SameSite, MaxAge: c.MaxAge}
	}
	if f := b.ResponseForwarding; f != nil {
		out.FlushInterval = time.Duration(f.FlushInterval)
	}
	return out
}

// balancing returns how Traefik talks to the servers of an arm, or to its Service.
func (a *ArmSpec) balancing() traffic.Balancing {
	if s := a.Service; s != nil {
		out := s.BalancingSpec.toTraffic()
		out.Scheme, out.NativeLB = s.Scheme, s.NativeLB
		return out
	}
	out := a.BalancingSpec.toTraffic()
	out.HealthCheck = a.HealthCheck.toTraffic()
	return out
}

func (h *HealthCheckSpec) toTraffic() *traffic.HealthCheck {
	if h == nil {
		return nil
	}
	return &traffic.HealthCheck{
		Path: h.Path, Scheme: h.Scheme, Method: h.Method, Hostname: h.Hostname, Port: h.Port, Status: h.Status,
		Interval: long(h.Interval, 0), Timeout: long(h.Timeout, 0), Headers: h.Headers,
	}
}

func (o *ObservabilitySpec) toTraffic() *traffic.Observability {
	if o == nil {
		return nil
	}
	return &traffic.Observability{AccessLogs: o.AccessLogs, Tracing: o.Tracing}
}

func middlewares(all []MiddlewareSpec) (out []traffic.Middleware) {
	for _, m := range all {
		out = append(out, traffic.Middleware{Name: m.Name, Namespace: string(m.Namespace)})
	}
	return out
}

// route checks a route's references to Traefik's own configuration.
func (c *checker) route(at place, r traffic.Route) {
	for i, e := range r.EntryPoints {
		one := traffic.Route{EntryPoints: []string{e}}
		if err := one.Validate(); err != nil {
			c.fail(at.in("entryPoints", i), "%s", err)
		}
	}
	if r.Priority > traefik.MaxPriority {
		c.fail(at.in("priority"), "expected at most %d: higher ones are for Traefik's own routes", traefik.MaxPriority)
	}
	for i, m := range r.Middlewares {
		one := traffic.Route{Middlewares: []traffic.Middleware{m}}
		if err := one.Validate(); err != nil {
			c.fail(at.in("middlewares", i), "%s", err)
		}
	}
	if r.TLS != nil {
		one := traffic.Route{TLS: r.TLS}
		if err := one.Validate(); err != nil {
			c.fail(at.in("tls", "options"), "%s", err)
		}
	}
}

// routeAt is a route and the place of its rule.
type routeAt struct {
	at place
	traffic.Route
}

// apart refuses two routes of one rollout with the same requests: Traefik would send them all to one of the two. A route with
// TLS and one without have no request in common.
func (c *checker) apart(routes []routeAt) {
	for i, r := range routes {
		for _, other := range routes[:i] {
			points := len(r.EntryPoints) == 0 || len(other.EntryPoints) == 0 ||
				slices.ContainsFunc(r.EntryPoints, func(p string) bool { return slices.Contains(other.EntryPoints, p) })
			if r.Rule == "" || requestsOf(r.Rule) != requestsOf(other.Rule) || (r.TLS == nil) != (other.TLS == nil) || !points {
				continue
			}
			c.fail(r.at, "has the same requests as %s (%s), and Traefik would send them all to one of the two: "+
				"expected another rule, other entryPoints, or tls on one of them only", other.at, other.at.where())
			break
		}
	}
}

// balancing checks how Traefik is to talk to servers; at is the place that says how.
func (c *checker) balancing(at place, how traffic.Balancing, h *HealthCheckSpec) {
	if err := how.Validate(); err != nil {
		c.fail(at, "%s", err)
	}
	if h != nil {
		c.positive(at.in("healthCheck"), "interval", h.Interval)
		c.positive(at.in("healthCheck"), "timeout", h.Timeout)
	}
}

// alike warns if Traefik talks to the arms in different ways: an arm that it cannot reach looks worse than it is.
func (c *checker) alike(s *RolloutSpec) {
	stable, canary := s.Stable.balancing(), s.Canary.balancing()
	for _, f := range []struct {
		name string
		same bool
	}{
		{"serversTransport", stable.ServersTransport == canary.ServersTransport},
		{"passHostHeader", or(stable.PassHostHeader, true) == or(canary.PassHostHeader, true)},
		{"scheme", stable.Scheme == canary.Scheme},
		{"healthCheck", (stable.HealthCheck == nil) == (canary.HealthCheck == nil)},
		{"sticky", (stable.Sticky == nil) == (canary.Sticky == nil)},
	} {
		if !f.same {
			c.warn(c.spec("canary"), "%s is not the same for both arms: Traefik would talk to them in different "+
				"ways, which is a difference of its own", f.name)
		}
	}
}

func (t *TLSSpec) toTraffic() *traffic.TLS {
	if t == nil {
		return nil
	}
	return &traffic.TLS{SecretName: t.SecretName, CertResolver: t.CertResolver, Options: t.Options,
		OptionsNamespace: string(t.OptionsNamespace), Domains: domains(t.Domains)}
}

func domains(all []DomainSpec) (out []traffic.Domain) {
	for _, d := range all {
		out = append(out, traffic.Domain{Main: d.Main, SANs: d.SANs})
	}
	return out
}
