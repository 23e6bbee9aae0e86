package traefiktcp

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/traefik/traefik/v3/pkg/provider/kubernetes/crd/traefikio/v1alpha1"
	"github.com/traefik/traefik/v3/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/kubeobjects"
)

// weightsOf checks a target and returns its weights.
func (c *Config) weightsOf(t traffic.Target) (kubeobjects.Weights, error) {
	errs := []error{kubeobjects.IsOf(&t, c.Stable, c.Canary), t.ValidateConnections()}
	var w kubeobjects.Weights
	var err error
	w.Canary, w.Stable, err = traffic.Weights(t.Weight)
	return w, errors.Join(append(errs, err)...)
}

// ownSpec is the spec of the route that Serin owns.
func (c *Config) ownSpec(w kubeobjects.Weights) map[string]any {
	route := v1alpha1.RouteTCP{Match: c.rule(), Priority: c.Route.Priority}
	for _, m := range c.Route.Middlewares {
		route.Middlewares = append(route.Middlewares, v1alpha1.ObjectReference{Name: m.Name, Namespace: m.Namespace})
	}
	spec := v1alpha1.IngressRouteTCPSpec{EntryPoints: c.Route.EntryPoints, Routes: []v1alpha1.RouteTCP{route}}
	if t := c.Route.TLS; t != nil {
		spec.TLS = &v1alpha1.TLSTCP{SecretName: t.SecretName, CertResolver: t.CertResolver, Passthrough: t.Passthrough}
		if t.Options != "" {
			spec.TLS.Options = &v1alpha1.ObjectReference{Name: t.Options, Namespace: t.OptionsNamespace}
		}
		for _, d := range t.Domains {
			spec.TLS.Domains = append(spec.TLS.Domains, types.Domain{Main: d.Main, SANs: d.SANs})
		}
	}
	out := kubeobjects.SpecMap(spec)
	out["routes"].([]any)[0].(map[string]any)["services"] = c.references(nil, w) //nolint:forcetypeassert // made here
	return kubeobjects.SpecMap(out)
}

// references returns a reference for each weight above 0. like is the existing reference to stable's Service; what it says
// besides name, port and weight holds for both arms.
func (c *Config) references(like map[string]any, w kubeobjects.Weights) []any {
	var out []any
	for _, arm := range []struct {
		backend traffic.Backend
		weight  int
	}{{c.Stable, w.Stable}, {c.Canary, w.Canary}} {
		if arm.weight == 0 {
			continue
		}
		ref := maps.Clone(like)
		if ref == nil {
			ref = map[string]any{}
		}
		if c.arms() != c.Namespace {
			ref["namespace"] = c.arms()
		}
		ref["name"], ref["weight"] = arm.backend.Service, float64(arm.weight)
		ref["port"] = portOf(arm.backend.Port)
		out = append(out, ref)
	}
	if len(out) == 1 {
		delete(out[0].(map[string]any), "weight") //nolint:forcetypeassert // made here; a single reference needs no weight
	}
	return out
}

// portOf returns a port as in JSON: a number or a name.
func portOf(port string) any {
	if p := intstr.Parse(port); p.Type == intstr.Int {
		return float64(p.IntVal)
	}
	return port
}

// place is a route that leads to the rollout's arms.
type place struct {
	kubeobjects.Split
	route int
	rule  string
}

// mainRoute is an IngressRouteTCP as it is in the cluster.
type mainRoute struct {
	key    kubeobjects.Key
	object *kubeobjects.Stored
	places []place
}

// placesOf finds the routes that lead to one of the arms.
func (c *Config) placesOf(spec map[string]any) []place {
	var out []place
	all, _ := spec["routes"].([]any)
	for i, r := range all {
		route, _ := r.(map[string]any)
		rule, _ := route["match"].(string)
		if p := (place{kubeobjects.SplitOf(route["services"], c.Stable, c.Canary, c.leadsTo), i, rule}); p.Leads() {
			out = append(out, p)
		}
	}
	return out
}

// fit returns an error if a release cannot use the route.
func (m *mainRoute) fit(c *Config) error {
	if len(m.places) == 0 {
		return fmt.Errorf("%s: no route leads to Service %s", m.key, c.claim().Service)
	}
	for i, p := range m.places {
		if others := p.Strangers(); others != "" {
			return fmt.Errorf("%s: route %d leads to %s as well: a release needs all of a route", m.key, p.route, others)
		}
		if j := slices.IndexFunc(m.places, func(o place) bool { return o.rule == p.rule }); j < i {
			return fmt.Errorf("%s: routes %d and %d have the same rule %s: Traefik uses only one of them", m.key, m.places[j].route, p.route, p.rule)
		}
	}
	return nil
}

// leadsTo reports whether a reference leads to a Service of the arms' namespace, at any port if b names none.
func (c *Config) leadsTo(ref map[string]any, b traffic.Backend) bool {
	ns, _ := ref["namespace"].(string)
	return (ns == "" && c.arms() == c.Namespace || ns == c.arms()) && ref["name"] == b.Service && (b.Port == "" || ref["port"] == portOf(b.Port))
}

// greatest returns the weights of the place with the most for the canary. All places should have the same.
func greatest(mains ...*mainRoute) kubeobjects.Weights {
	var all []kubeobjects.Weights
	for _, m := range mains {
		for _, p := range m.places {
			all = append(all, p.Weights)
		}
	}
	return kubeobjects.Greatest(all)
}
