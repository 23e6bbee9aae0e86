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

// Config is what a [Router] needs to know about its rollout. It is kept with a release as JSON; it contains no secrets
// and nothing specific to this process.
type Config struct {
	// Rollout is the name from which all names in the cluster are made. It never changes during the rollout's life.
	Rollout string `json:"rollout"`
	// Namespace of the route, and of the Services unless Arms is set.
	Namespace string `json:"namespace"`
	// Arms is the namespace of the Services, if it is not the route's. Traefik leads there only if its provider has
	// allowCrossNamespace.
	Arms string `json:"arms,omitempty"`
	// Route is made and owned by Serin: an IngressRoute of the rollout's name. Either this or IngressRoute is set.
	Route *traffic.Route `json:"route,omitempty"`
	// IngressRoute is the name of one that is there and is adopted: the references to stable's Service in it are replaced,
	// one in each of its routes that has it.
	IngressRoute string `json:"ingressRoute,omitempty"`
	// Further are the names of more IngressRoutes that are there and move with the first.
	Further []string `json:"further,omitempty"`
	// IngressClass is the annotation that Traefiks with an ingress class look for, on an owned route.
	IngressClass string `json:"ingressClass,omitempty"`
	// Adopt takes over an existing TraefikService with the rollout's name; only the weights of its two children are
	// changed, and it is never deleted.
	Adopt bool `json:"adopt,omitempty"`
	// Stable and Canary are the arms' Services. They never swap roles.
	Stable traffic.Backend `json:"stable"`
	Canary traffic.Backend `json:"canary"`
	// Direct is the Service that an adopted route leads to as its users wrote it; stable's where it is empty.
	Direct traffic.Backend `json:"direct,omitzero"`
	// StableBalancing and CanaryBalancing say how to talk to an owned route's Services; an adopted route says so
	// itself.
	StableBalancing traffic.Balancing `json:"stableBalancing,omitzero"`
	CanaryBalancing traffic.Balancing `json:"canaryBalancing,omitzero"`
	// Ports are further ports of the same Services. The routes that lead to any of them move together.
	Ports []traffic.PortPair `json:"ports,omitempty"`
	// FurtherRoutes are more routes of Serin's own, to any of the ports, each in an IngressRoute of its own.
	FurtherRoutes []traffic.PortRoute `json:"furtherRoutes,omitempty"`
	Verify        Verify              `json:"verify,omitzero"`
}

// Verify says how Traefik is asked whether a target is in force.
type Verify = kubeobjects.Verify

// Validate reports everything that is wrong with c in one error; if it returns nil, [New] accepts c.
func (c *Config) Validate() error {
	errs := []error{kubeobjects.Label("rollout", c.Rollout, maxName), kubeobjects.Label("namespace", c.Namespace, 63), kubeobjects.Label("the arms' namespace", c.arms(), 63)}
	for _, suffix := range c.suffixes() {
		if strings.HasSuffix(c.Rollout, suffix) {
			errs = append(errs, fmt.Errorf("rollout %q: names ending in %s are those of another rollout's parts", c.Rollout, suffix))
		}
	}
	switch {
	case (c.Route == nil) == (c.IngressRoute == ""):
		errs = append(errs, errors.New("expected one of route (Serin's own) or ingressRoute (one that is already there)"))
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
	errs = append(errs, kubeobjects.CheckArm("stable", c.Stable), kubeobjects.CheckArm("canary", c.Canary), c.StableBalancing.Validate(), c.CanaryBalancing.Validate())
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
		errs = append(errs, errors.New("adopt takes over one TraefikService, and several ports need one each"))
	}
	return errors.Join(errs...)
}

// ports is how many ports of the Services the routes lead to.
func (c *Config) ports() int { return 1 + len(c.Ports) }

// armsAt are the arms at the pair of ports of a number.
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
			errs = append(errs, fmt.Errorf("ingressRoute %q has the name of one that Serin makes", name))
		}
		if slices.Index(c.adopts(), name) < i {
			errs = append(errs, fmt.Errorf("ingressRoute %q is named twice", name))
		}
	}
	return errors.Join(errs...)
}

// adopts are the names of the IngressRoutes that are there already.
func (c *Config) adopts() []string {
	if c.IngressRoute == "" {
		return nil
	}
	return append([]string{c.IngressRoute}, c.Further...)
}

// arms is the namespace of the Services.
func (c *Config) arms() string { return cmp.Or(c.Arms, c.Namespace) }

// routes is how many IngressRoutes a rollout is on.
func (c *Config) routes() int { return max(1+len(c.FurtherRoutes), len(c.adopts())) }

// suffixes end the names of a rollout's parts.
func (*Config) suffixes() []string {
	out := []string{breakerSuffix, limitSuffix}
	for _, lane := range inFront {
		out = append(out, kubeobjects.Suffix(lane))
	}
	return out
}

// maxName leaves room in 63 characters for the suffixes.
const maxName = 50
