package traffic

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"
)

// Middleware refers to an existing middleware of the gateway: NAME@PROVIDER, or a name in a Kubernetes namespace, which is
// the route's own if it is empty.
type Middleware struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace,omitempty"`
}

// Domain is a domain to request a certificate for.
type Domain struct {
	Main string   `json:"main"`
	SANs []string `json:"sans,omitempty"`
}

// Observability says what the gateway records about a route's requests; nil leaves it to the entry point.
type Observability struct {
	AccessLogs *bool `json:"accessLogs,omitempty"`
	Metrics    *bool `json:"metrics,omitempty"`
	Tracing    *bool `json:"tracing,omitempty"`
}

// Balancing says how the gateway talks to the servers of one arm. The zero value leaves everything to its defaults.
type Balancing struct {
	// Scheme is that of the servers behind a Kubernetes Service: http, https or h2c.
	Scheme string `json:"scheme,omitempty"`
	// ServersTransport names a transport of the gateway's.
	ServersTransport string `json:"serversTransport,omitempty"`
	PassHostHeader   *bool  `json:"passHostHeader,omitempty"`
	// NativeLB leaves the choice among the pods to Kubernetes.
	NativeLB *bool `json:"nativeLB,omitempty"`
	// FlushInterval is how often responses are flushed while they are copied. 0 means the gateway's default, -1 at once.
	FlushInterval time.Duration `json:"flushInterval,omitempty"`
	HealthCheck   *HealthCheck  `json:"healthCheck,omitempty"`
	// Sticky keeps a user on one server of the arm by a cookie.
	Sticky *StickyServer `json:"sticky,omitempty"`
}

// PortPair is a port of both arms' Services, by number or name, and how the gateway talks to each.
type PortPair struct {
	Stable          string    `json:"stable"`
	Canary          string    `json:"canary"`
	StableBalancing Balancing `json:"stableBalancing,omitzero"`
	CanaryBalancing Balancing `json:"canaryBalancing,omitzero"`
}

// ServersAt is a set of servers at a further port, and how the gateway talks to them.
type ServersAt struct {
	Servers []string `json:"servers"`
	Balancing
}

// ServerSet is a set of servers, whatever its role, and how they are talked to.
type ServerSet struct {
	Servers []string `json:"servers"`
	Balancing
	// Further are the same servers at further ports.
	Further []ServersAt `json:"further,omitempty"`
}

// PortRoute is a route to one of several ports.
type PortRoute struct {
	Route
	// Port is the number of the pair of ports that the route leads to. 0 is the arms' own.
	Port int `json:"port,omitempty"`
}

// HealthCheck checks servers. Zeros leave the gateway's defaults.
type HealthCheck struct {
	Path     string            `json:"path"`
	Scheme   string            `json:"scheme,omitempty"`
	Method   string            `json:"method,omitempty"`
	Hostname string            `json:"hostname,omitempty"`
	Port     int               `json:"port,omitempty"`
	Status   int               `json:"status,omitempty"`
	Interval time.Duration     `json:"interval,omitempty"`
	Timeout  time.Duration     `json:"timeout,omitempty"`
	Headers  map[string]string `json:"headers,omitempty"`
}

// StickyServer is the cookie that keeps a user on one server of an arm.
type StickyServer struct {
	Name     string `json:"name"`
	Secure   bool   `json:"secure,omitempty"`
	HTTPOnly bool   `json:"httpOnly,omitempty"`
	SameSite string `json:"sameSite,omitempty"`
	MaxAge   int    `json:"maxAge,omitempty"` // seconds; 0 means until the browser closes
}

var referenceForm = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?(@[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$`)

// CheckReference returns an error if name does not have the form NAME or NAME@PROVIDER.
func CheckReference(what, name string) error {
	if !referenceForm.MatchString(name) {
		return fmt.Errorf("%s %q is not a name such as auth or auth@file", what, name)
	}
	return nil
}

// Validate reports everything that is wrong with a route, except its rule.
func (r *Route) Validate() error {
	var errs []error
	for _, e := range r.EntryPoints {
		if e == "" || strings.ContainsFunc(e, func(c rune) bool {
			return unicode.IsSpace(c) || unicode.IsControl(c) || c > unicode.MaxASCII || c == ':'
		}) {
			errs = append(errs, fmt.Errorf("entry point %q is not a name such as web", e))
		}
	}
	for _, m := range r.Middlewares {
		errs = append(errs, CheckReference("middleware", m.Name))
		if m.Namespace != "" && strings.Contains(m.Name, "@") {
			errs = append(errs, fmt.Errorf("middleware %s has a provider, so it cannot have a namespace", m.Name))
		}
	}
	if r.TLS != nil && r.TLS.Options != "" {
		errs = append(errs, CheckReference("tls.options", r.TLS.Options))
	}
	return errors.Join(errs...)
}

// Validate reports everything that is wrong with the way the gateway talks to servers.
func (b *Balancing) Validate() error {
	if b == nil {
		return nil
	}
	var errs []error
	if b.ServersTransport != "" {
		errs = append(errs, CheckReference("serversTransport", b.ServersTransport))
	}
	if h := b.HealthCheck; h != nil && !strings.HasPrefix(h.Path, "/") {
		errs = append(errs, fmt.Errorf("healthCheck: path %q does not begin with /", h.Path))
	}
	if s := b.Sticky; s != nil {
		if len(token7230("name", s.Name)) > 0 {
			errs = append(errs, fmt.Errorf("sticky: %q is not the name of a cookie", s.Name))
		}
		if strings.HasPrefix(s.Name, "serin-") {
			errs = append(errs, fmt.Errorf("sticky: Serin's own cookies begin with serin-: choose another name than %s", s.Name))
		}
	}
	return errors.Join(errs...)
}
