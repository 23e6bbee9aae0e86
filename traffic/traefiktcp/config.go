package traefiktcp

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

// Config is what a [Router] needs to know about its rollout.
type Config struct {
	// Rollout is the name from which all names in the cluster are derived. It never changes.
	Rollout string
	// Namespace is that of the routes, and of the Services unless Arms is set.
	Namespace string
	// Arms is the namespace of the Services, if it is not the routes'. Traefik routes there only if its provider has
	// allowCrossNamespace.
	Arms string
	// Route is the route of an IngressRouteTCP with the rollout's name, which Serin makes and owns. Either this or Adopted is
	// set.
	Route *traffic.Route
	// Adopted are the names of existing IngressRouteTCPs. In each, Serin sets the weights of the routes that lead to stable's
	// Service, and changes nothing else.
	Adopted []string
	// Stable and Canary are the arms' Services. They never swap roles.
	Stable, Canary traffic.Backend
	// Verify says how to ask Traefik whether a target is in force.
	Verify kubeobjects.Verify
}

// maxName is the length of the longest label.
const maxName = 63

// Validate reports everything that is wrong with c in one error. If it returns nil, [New] accepts c.
func (c *Config) Validate() error {
	errs := []error{
		kubeobjects.Label("rollout", c.Rollout, maxName), kubeobjects.Label("namespace", c.Namespace, maxName),
		kubeobjects.Label("the arms' namespace", c.arms(), maxName),
		kubeobjects.CheckArm("stable", c.Stable), kubeobjects.CheckArm("canary", c.Canary), c.Verify.Validate(),
	}
	if c.Stable.Service == c.Canary.Service {
		errs = append(errs, fmt.Errorf("stable and canary are the same Service %q", c.Stable.Service))
	}
	if (c.Route == nil) == (len(c.Adopted) == 0) {
		errs = append(errs, errors.New("expected either routeTCP (Serin's own) or ingressRouteTCP (an existing one)"))
	}
	if c.Route != nil {
		errs = append(errs, traefikapi.ValidateRouteTCP(*c.Route))
	}
	for i, name := range c.Adopted {
		errs = append(errs, kubeobjects.ObjectName("ingressRouteTCP", name))
		if slices.Index(c.Adopted, name) < i {
			errs = append(errs, fmt.Errorf("ingressRouteTCP %q is named twice", name))
		}
	}
	return errors.Join(errs...)
}

// arms is the namespace of the Services.
func (c *Config) arms() string { return cmp.Or(c.Arms, c.Namespace) }

// names returns the names of the routes.
func (c *Config) names() []string {
	if c.Route != nil {
		return []string{c.Rollout}
	}
	return c.Adopted
}

// keys returns the keys of the routes.
func (c *Config) keys() []kubeobjects.Key {
	var out []kubeobjects.Key
	for _, name := range c.names() {
		out = append(out, kubeobjects.Key{Kind: routes, Name: name})
	}
	return out
}

// claim is the annotation on users' routes.
func (c *Config) claim() kubeobjects.Claim {
	return kubeobjects.ClaimOf(c.Rollout, c.Stable, c.Namespace, c.arms())
}

// rule is that of the owned route.
func (c *Config) rule() string { return strings.TrimSpace(c.Route.Rule) }
