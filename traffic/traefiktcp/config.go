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

// Config is what a [Router] has to know of its rollout.
type Config struct {
	// Rollout is the name from which all names in the cluster are made. It does not change in the rollout's life.
	Rollout string
	// Namespace of the routes, and of the Services unless Arms is set.
	Namespace string
	// Arms is the namespace of the Services, if it is not the routes'. Traefik leads there only if its provider has
	// allowCrossNamespace.
	Arms string
	// Route is made and owned by Serin: an IngressRouteTCP of the rollout's name. Either this or Adopted is set.
	Route *traffic.Route
	// Adopted are the names of IngressRouteTCPs that are there already. In each, Serin sets the weights of the routes that
	// lead to stable's Service, and changes nothing else.
	Adopted []string
	// Stable and Canary are the arms' Services. They play the same parts all the time.
	Stable, Canary traffic.Backend
	// Verify is how Traefik is asked whether a target is in force.
	Verify kubeobjects.Verify
}

// maxName is the longest name that a label takes.
const maxName = 63

// Validate says all that is wrong with c, in one error; nil: [New] takes it.
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
		errs = append(errs, errors.New("expected one of routeTCP (Serin's own) or ingressRouteTCP (one that is already there)"))
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

// names are those of the routes.
func (c *Config) names() []string {
	if c.Route != nil {
		return []string{c.Rollout}
	}
	return c.Adopted
}

// keys are the routes.
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

// rule is the one of the owned route.
func (c *Config) rule() string { return strings.TrimSpace(c.Route.Rule) }
