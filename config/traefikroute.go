package config

import (
	"time"

	"github.com/serindev/serin/traffic"
)

// TLSSpec is the TLS of a route.
type TLSSpec struct {
	// SecretName of the certificate (Kubernetes).
	SecretName string `json:"secretName,omitempty"`
	// CertResolver of Traefik's configuration.
	CertResolver string `json:"certResolver,omitempty"`
	// Options is the name of TLS options of Traefik's configuration.
	Options string `json:"options,omitempty"`
	// OptionsNamespace is where they are (Kubernetes); the route's namespace where it is left out.
	OptionsNamespace Namespace `json:"optionsNamespace,omitempty"`
	// Domains that certificates are asked for; Traefik takes them from the rule where it is left out.
	Domains []DomainSpec `json:"domains,omitempty" jsonschema:"minItems=1"`
}

// MiddlewareSpec is a middleware that is there already.
type MiddlewareSpec struct {
	// Name of the Middleware, or NAME@PROVIDER for one of another provider.
	Name string `json:"name" jsonschema:"minLength=1"`
	// Namespace of the Middleware; the route's where it is left out. Traefik's allowCrossNamespace has to be on for others.
	Namespace Namespace `json:"namespace,omitempty"`
}

// DomainSpec is what a certificate is asked for.
type DomainSpec struct {
	// Main name of the certificate.
	Main string `json:"main" jsonschema:"minLength=1"`
	// SANs are its further names.
	SANs []string `json:"sans,omitempty"`
}

// ObservabilitySpec switches what Traefik writes of a route's requests. Without metrics Serin sees nothing.
type ObservabilitySpec struct {
	// AccessLogs of the route.
	AccessLogs *bool `json:"accessLogs,omitempty"`
	// Tracing of the route.
	Tracing *bool `json:"tracing,omitempty"`
}

// BalancingSpec is how Traefik talks to servers; what is left out is as Traefik has it.
type BalancingSpec struct {
	// ServersTransport is one of Traefik's, such as private-ca@file.
	ServersTransport string `json:"serversTransport,omitempty"`
	// PassHostHeader hands the Host header of the request on; Traefik's default is true.
	PassHostHeader *bool `json:"passHostHeader,omitempty"`
	// Sticky keeps a user on one server of the arm.
	Sticky *StickySpec `json:"sticky,omitempty"`
	// ResponseForwarding is how answers are copied.
	ResponseForwarding *ResponseForwardingSpec `json:"responseForwarding,omitempty"`
}

// StickySpec keeps a user on one server by a cookie.
type StickySpec struct {
	// Cookie that says which one.
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
	// MaxAge in seconds; 0 is as long as the browser runs.
	MaxAge int `json:"maxAge,omitempty"`
}

// ResponseForwardingSpec is how answers are copied.
type ResponseForwardingSpec struct {
	// FlushInterval between writes to the client; Traefik's default is 100ms.
	FlushInterval Duration `json:"flushInterval"`
}

// HealthCheckSpec asks servers whether they can take requests.
type HealthCheckSpec struct {
	// Path to ask for.
	Path string `json:"path" jsonschema:"minLength=1"`
	// Scheme, Method and Hostname of the request; the server's, GET and its address where they are left out.
	Scheme string `json:"scheme,omitempty" jsonschema:"enum=http,enum=https"`
	// Method of the request.
	Method string `json:"method,omitempty"`
	// Hostname of the request.
	Hostname string `json:"hostname,omitempty"`
	// Port in place of the server's.
	Port int `json:"port,omitempty" jsonschema:"minimum=1,maximum=65535"`
	// Status that is right; any of 2xx and 3xx where it is left out.
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

// balancing is how the servers of an arm, or its Service, are talked to.
func (a *ArmSpec) balancing() traffic.Balancing {
	if s := a.Service; s != nil {
		out := s.BalancingSpec.toTraffic()
		out.Scheme, out.NativeLB = s.Scheme, s.NativeLB
		return out
	}
	out := a.BalancingSpec.toTraffic()
	if h := a.HealthCheck; h != nil {
		out.HealthCheck = &traffic.HealthCheck{
			Path: h.Path, Scheme: h.Scheme, Method: h.Method, Hostname: h.Hostname, Port: h.Port, Status: h.Status,
			Interval: long(h.Interval, 0), Timeout: long(h.Timeout, 0), Headers: h.Headers,
		}
	}
	return out
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

// route checks what a route says of things that are Traefik's.
func (c *checker) route(at place, r traffic.Route) {
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

// balancing checks how an arm is talked to, at the place that says it.
func (c *checker) balancing(at place, a *ArmSpec) {
	how := a.balancing()
	if err := how.Validate(); err != nil {
		c.fail(at, "%s", err)
	}
	if h := a.HealthCheck; h != nil {
		c.positive(at.in("healthCheck"), "interval", h.Interval)
		c.positive(at.in("healthCheck"), "timeout", h.Timeout)
	}
}

// alike warns of arms that are talked to in different ways: one that cannot be reached looks worse than it is.
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
			c.warn(c.spec("canary"), "%s is not the same for both arms: Traefik would talk to them in different ways, which is a difference of its own", f.name)
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
