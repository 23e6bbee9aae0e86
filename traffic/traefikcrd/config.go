package traefikcrd

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/kubeobjects"
	"github.com/serindev/serin/traffic/traefikapi"
)

// Config is what a [Router] needs to know about its rollout. It is stored with a release as JSON, so it contains no secrets
// and nothing specific to this process.
type Config struct {
	// Rollout is the name from which all names in the cluster are derived. It never changes.
	Rollout string `json:"rollout"`
	// Namespace is that of the routes, and of the Services unless Arms is set.
	Namespace string `json:"namespace"`
	// Arms is the namespace of the Services, if it is not the routes'. Traefik routes there only if its provider has
	// allowCrossNamespace.
	Arms string `json:"arms,omitempty"`
	// Route is the route of an IngressRoute with the rollout's name, which Serin makes and owns. Either this or IngressRoute
	// is set.
	Route *traffic.Route `json:"route,omitempty"`
	// IngressRoute is the name of an existing one to adopt: the references to stable's Service in its routes are replaced.
	IngressRoute string `json:"ingressRoute,omitempty"`
	// Further are the names of more existing IngressRoutes, which move together with the first.
	Further []string `json:"further,omitempty"`
	// IngressClass is the annotation on an owned route that Traefiks with an ingress class look for.
	IngressClass string `json:"ingressClass,omitempty"`
	// Adopt takes over an existing TraefikService with the rollout's name. Only the weights of its two children are changed,
	// and it is never deleted.
	Adopt bool `json:"adopt,omitempty"`
	// Stable and Canary are the arms' Services. They never swap roles.
	Stable traffic.Backend `json:"stable"`
	Canary traffic.Backend `json:"canary"`
	// Direct is the Service to which the user's reference in an adopted route leads. If it is empty, that is stable's.
	Direct traffic.Backend `json:"direct,omitzero"`
	// StableBalancing and CanaryBalancing say how to talk to the Services of an owned route. For an adopted one, its own
	// reference says so.
	StableBalancing traffic.Balancing `json:"stableBalancing,omitzero"`
	CanaryBalancing traffic.Balancing `json:"canaryBalancing,omitzero"`
	// Ports are further ports of the same Services. The routes to all ports move together.
	Ports []traffic.PortPair `json:"ports,omitempty"`
	// FurtherRoutes are more routes of Serin's own, to any of the ports. Each has its own IngressRoute.
	FurtherRoutes []traffic.PortRoute `json:"furtherRoutes,omitempty"`
	Verify        Verify              `json:"verify,omitzero"`
}

// Verify says how to ask Traefik whether a target is in force.
type Verify = kubeobjects.Verify

// Validate reports everything that is wrong with c in one error. If it returns nil, [New] accepts c.
func (c *Config) Validate() error {
	errs := []error{
		kubeobjects.Label("rollout", c.Rollout, maxName), kubeobjects.Label("namespace", c.Namespace, 63),
		kubeobjects.Label("the arms' namespace", c.arms(), 63),
	}
	for _, suffix := range c.suffixes() {
		if strings.HasSuffix(c.Rollout, suffix) {
			errs = append(errs, fmt.Errorf("rollout %q: names that end in %s are reserved for parts of other rollouts", c.Rollout, suffix))
		}
	}
	switch {
	case (c.Route == nil) == (c.IngressRoute == ""):
		errs = append(errs, errors.New("expected either route (Serin's own) or ingressRoute (an existing one)"))
	case c.Route != nil:
		errs = append(errs, traefikapi.ValidateRoute(*c.Route))
		for _, r := range c.FurtherRoutes {
			errs = append(errs, traefikapi.ValidateRoute(r.Route))
			if r.Port < 0 || r.Port >= c.ports() {
				errs = append(errs, fmt.Errorf("a further route leads to port %d of %d", r.Port, c.ports()))
			}
		}
	default:
		errs = append(errs, c.validateAdopted())
	}
	errs = append(errs, kubeobjects.CheckArm("stable", c.Stable), kubeobjects.CheckArm("canary", c.Canary),
		c.StableBalancing.Validate(), c.CanaryBalancing.Validate())
	errs = append(errs, c.validatePorts())
	if c.Stable.Service == c.Canary.Service {
		errs = append(errs, fmt.Errorf("stable and canary are the same Service %q", c.Stable.Service))
	}
	return errors.Join(append(errs, c.Verify.Validate())...)
}

func (c *Config) validatePorts() error {
	var errs []error
	for i := range c.Ports {
		canary, stable := c.armsAt(i + 1)
		errs = append(errs, kubeobjects.CheckArm("stable", stable), kubeobjects.CheckArm("canary", canary),
			c.Ports[i].StableBalancing.Validate(), c.Ports[i].CanaryBalancing.Validate())
		for j := range i + 1 {
			if otherCanary, other := c.armsAt(j); other.Port == stable.Port || otherCanary.Port == canary.Port {
				errs = append(errs, fmt.Errorf("port %s is named twice", stable.Port))
			}
		}
	}
	if c.Adopt && len(c.Ports) > 0 {
		errs = append(errs, errors.New("adopt takes over one TraefikService, but each of several ports needs its own"))
	}
	return errors.Join(errs...)
}

// ports is the number of the Services' ports that routes lead to.
func (c *Config) ports() int { return 1 + len(c.Ports) }

// armsAt returns the arms at a pair of ports.
func (c *Config) armsAt(port int) (canary, stable traffic.Backend) {
	canary, stable = c.Canary, c.Stable
	if port > 0 {
		canary.Port, stable.Port = c.Ports[port-1].Canary, c.Ports[port-1].Stable
	}
	return canary, stable
}

func (c *Config) validateAdopted() error {
	var errs []error
	for i, name := range c.adopts() {
		errs = append(errs, kubeobjects.ObjectName("ingressRoute", name))
		if c.isLaneRoute(named(ingressRoutes, name)) {
			errs = append(errs, fmt.Errorf("ingressRoute %q has a name that Serin uses for its own", name))
		}
		if slices.Index(c.adopts(), name) < i {
			errs = append(errs, fmt.Errorf("ingressRoute %q is named twice", name))
		}
	}
	return errors.Join(errs...)
}

// adopts returns the names of the IngressRoutes to adopt.
func (c *Config) adopts() []string {
	if c.IngressRoute == "" {
		return nil
	}
	return append([]string{c.IngressRoute}, c.Further...)
}

// arms is the namespace of the Services.
func (c *Config) arms() string { return cmp.Or(c.Arms, c.Namespace) }

// routes is the number of the rollout's main IngressRoutes.
func (c *Config) routes() int { return max(1+len(c.FurtherRoutes), len(c.adopts())) }

// suffixes are the ends of the names of a rollout's parts.
func (*Config) suffixes() []string {
	out := []string{breakerSuffix, limitSuffix}
	for _, lane := range inFront {
		out = append(out, kubeobjects.Suffix(lane))
	}
	return out
}

// maxName leaves room for the suffixes in 63 characters.
const maxName = 50
