package gatewayapi

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/kubeobjects"
)

// Config is what a [Router] needs to know about its rollout.
type Config struct {
	// Rollout is the name from which all names in the cluster are derived. It never changes.
	Rollout string
	// Namespace is that of the routes, and of the Services unless Arms is set.
	Namespace string
	// Arms is the namespace of the Services, if it is not the routes'. A ReferenceGrant there has to allow it.
	Arms string
	traffic.GatewayRoutes
	// Stable and Canary are the arms' Services, with the numbers of their ports. They never swap roles.
	Stable, Canary traffic.Backend
	// Ports are further ports of the same Services. The rules of users' routes to all ports move together.
	Ports []traffic.PortPair
	// Verify names the APIs of a Traefik that serves the routes. Without any, only the conditions of the routes say what is
	// in force.
	Verify kubeobjects.Verify
}

// maxName leaves room for the suffixes in 63 characters.
const maxName = 50

// Validate reports everything that is wrong with c in one error. If it returns nil, [New] accepts c.
func (c *Config) Validate() error {
	errs := []error{
		kubeobjects.Label("rollout", c.Rollout, maxName), kubeobjects.Label("namespace", c.Namespace, validation.DNS1123LabelMaxLength),
		kubeobjects.Label("the arms' namespace", c.arms(), validation.DNS1123LabelMaxLength),
		kubeobjects.CheckArm("stable", c.Stable), kubeobjects.CheckArm("canary", c.Canary), c.Verify.Validate(), c.GatewayRoutes.Validate(),
	}
	for port := range c.ports() {
		canary, stable := c.armsAt(port)
		for what, b := range map[string]traffic.Backend{"stable": stable, "canary": canary} {
			if _, err := strconv.Atoi(b.Port); err != nil {
				errs = append(errs, fmt.Errorf("%s's port %q is not a number: Gateway API names ports by number", what, b.Port))
			}
		}
		for i := range port {
			if otherCanary, other := c.armsAt(i); other.Port == stable.Port || otherCanary.Port == canary.Port {
				errs = append(errs, fmt.Errorf("port %s is named twice", stable.Port))
			}
		}
	}
	if c.Own != nil && len(c.Ports) > 0 {
		errs = append(errs, errors.New("a route of Serin's own leads to one port"))
	}
	if c.Stable.Service == c.Canary.Service {
		errs = append(errs, fmt.Errorf("stable and canary are the same Service %q", c.Stable.Service))
	}
	for i, name := range c.Adopted() {
		errs = append(errs, kubeobjects.ObjectName("route", name))
		if name == c.Rollout+kubeobjects.CohortSuffix || name == c.cohortName(i) {
			errs = append(errs, fmt.Errorf("route %q has the name of the cohort's", name))
		}
	}
	return errors.Join(errs...)
}

// arms is the namespace of the Services.
func (c *Config) arms() string { return cmp.Or(c.Arms, c.Namespace) }

// claim is the annotation on users' routes.
func (c *Config) claim() kubeobjects.Claim {
	return kubeobjects.ClaimOf(c.Rollout, c.Stable, c.Namespace, c.arms())
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

// kinds returns the kinds of the routes.
func (c *Config) kinds() (out []kubeobjects.KindName) {
	if c.Own != nil || len(c.HTTP) > 0 {
		out = append(out, httpRoutes)
	}
	if len(c.GRPC) > 0 {
		out = append(out, grpcRoutes)
	}
	return out
}

// kindAt returns the kind of the i-th main route, and of the cohort's alongside it.
func (c *Config) kindAt(i int) kubeobjects.KindName {
	if c.Own == nil && i >= len(c.HTTP) {
		return grpcRoutes
	}
	return httpRoutes
}

// names returns the names of the main routes.
func (c *Config) names() []string {
	if c.Own != nil {
		return []string{c.Rollout}
	}
	return c.Adopted()
}

// cohortName is the name of the cohort's route alongside the i-th main route.
func (c *Config) cohortName(i int) string {
	if i == 0 {
		return c.Rollout + kubeobjects.CohortSuffix
	}
	return fmt.Sprintf("%s%s-%d", c.Rollout, kubeobjects.CohortSuffix, i+1)
}

func (c *Config) mainKey(i int) kubeobjects.Key { return named(c.kindAt(i), c.names()[i]) }

func (c *Config) cohortKey(i int) kubeobjects.Key { return named(c.kindAt(i), c.cohortName(i)) }

// cohortServices returns the Services of the cohort's arms.
func (c *Config) cohortServices() []kubeobjects.Key {
	return []kubeobjects.Key{
		named(kubeobjects.Services, kubeobjects.CohortBackend(c.Stable).Service),
		named(kubeobjects.Services, kubeobjects.CohortBackend(c.Canary).Service),
	}
}

// ownKeys returns all objects of Serin's that a rollout may have, in the order in which they are written.
func (c *Config) ownKeys() []kubeobjects.Key {
	keys := c.cohortServices()
	if c.Own != nil {
		keys = append(keys, c.mainKey(0))
	}
	for i := range c.names() {
		keys = append(keys, c.cohortKey(i))
	}
	return keys
}

func named(kind kubeobjects.KindName, name string) kubeobjects.Key {
	return kubeobjects.Key{Kind: kind, Name: name}
}

// ServiceName is the value of the label "service" in Traefik's metrics for requests that its Gateway provider sends to a
// Service.
func ServiceName(kind kubeobjects.KindName, namespace string, b traffic.Backend) string {
	parts := []string{namespace, b.Service, "http", b.Port}
	if kind == grpcRoutes {
		parts = []string{namespace, b.Service, b.Port, "grpc"}
	}
	return normal(strings.Join(parts, "-")) + provider
}

// provider is what Traefik appends to names from Gateway API.
const provider = "@kubernetesgateway"
