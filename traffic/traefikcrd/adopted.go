package traefikcrd

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/traefik/traefik/v3/pkg/provider/kubernetes/crd/traefikio/v1alpha1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/kubeobjects"
)

// adopted is an IngressRoute of the user's and the places in it that Serin may change.
type adopted struct {
	name   string
	object v1alpha1.IngressRoute
	places []place // at most one in each route; none if gone
	why    error   // why it counts as gone
}

// place is a reference to stable's Service or, if it has been replaced, to the rollout's TraefikService.
type place struct {
	route, service int
	port           int // the number of its pair of ports
	replaced       bool
	// reference and middlewares are as the API server has them, including fields that Traefik's types may not know.
	reference   map[string]any
	middlewares []any
}

// replaced reports whether all places lead to the rollout's TraefikService.
func (a *adopted) replaced() bool {
	return !a.gone() && !slices.ContainsFunc(a.places, func(p place) bool { return !p.replaced })
}

// gone reports whether the IngressRoute does not exist or leads elsewhere. Then neither arm gets a request from it, unless
// it leads straight to the canary.
func (a *adopted) gone() bool { return len(a.places) == 0 }

// The reasons why an IngressRoute cannot be adopted.
var (
	errGone      = errors.New("does not exist")
	errElsewhere = errors.New("none of its routes leads to")
	errStraight  = errors.New("it leads straight to the canary's Service")
)

// replacement is the reference that was in an adopted route.
type replacement struct {
	IngressRoute string         `json:"ingressRoute"`
	Reference    map[string]any `json:"reference"`
}

// readAdopted reads one of the user's IngressRoutes and finds the references.
func (r *Router) readAdopted(ctx context.Context, in source, name string) (*adopted, error) {
	k := named(ingressRoutes, name)
	data, err := in.Raw(ctx, k)
	if errors.Is(err, kubeobjects.ErrMissing) {
		return nil, fmt.Errorf("%s, which is to be adopted, %w", k, errGone)
	}
	if err != nil {
		return nil, err
	}
	a, err := r.config.parseAdopted(name, data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", k, err)
	}
	return a, nil
}

// parseAdopted finds the references in the JSON of an IngressRoute, at most one in each route.
func (c *Config) parseAdopted(name string, data []byte) (*adopted, error) {
	a := &adopted{name: name}
	var raw struct {
		Spec struct {
			Routes []struct {
				Services    []map[string]any `json:"services"`
				Middlewares []any            `json:"middlewares"`
			} `json:"routes"`
		} `json:"spec"`
	}
	if err := errors.Join(json.Unmarshal(data, &raw), json.Unmarshal(data, &a.object)); err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	for i, route := range a.object.Spec.Routes {
		found := 0
		for j, s := range route.Services {
			port, replaced := c.portOf(&s.LoadBalancerSpec)
			if port < 0 {
				continue
			}
			if found++; found > 1 {
				return nil, fmt.Errorf("its route %d leads to Service %s or TraefikService %s twice", i, c.directWords(), c.Rollout)
			}
			if k := slices.IndexFunc(a.places, func(p place) bool { return a.object.Spec.Routes[p.route].Match == route.Match }); k >= 0 {
				return nil, fmt.Errorf("its routes %d and %d have the same rule %s: Traefik uses only one of them", a.places[k].route, i, route.Match)
			}
			raw := raw.Spec.Routes[i]
			a.places = append(a.places, place{i, j, port, replaced, raw.Services[j], raw.Middlewares})
		}
	}
	if len(a.places) == 0 {
		if slices.ContainsFunc(a.object.Spec.Routes, func(route v1alpha1.Route) bool {
			return slices.ContainsFunc(route.Services, func(s v1alpha1.Service) bool { return c.isChild(s.LoadBalancerSpec, c.Canary) })
		}) {
			return nil, fmt.Errorf("%w %s", errStraight, c.Canary.Service)
		}
		return nil, fmt.Errorf("%w Service %s or TraefikService %s", errElsewhere, c.directWords(), c.Rollout)
	}
	return a, nil
}

// portOf returns the number of the pair of ports that a reference leads to, directly or, if replaced, through the rollout's
// TraefikService. It returns -1 for any other reference.
func (c *Config) portOf(s *v1alpha1.LoadBalancerSpec) (port int, replaced bool) {
	for port := range c.ports() {
		if s.Kind == "TraefikService" && s.Name == c.serviceName(traffic.MainLane, port) && cmp.Or(s.Namespace, c.Namespace) == c.Namespace {
			return port, true
		}
		if direct := c.direct(port); c.isChild(*s, direct) && s.Port == intstr.Parse(direct.Port) {
			return port, false
		}
	}
	return -1, false
}

// direct is the Service to which the user's own reference leads, at a pair of ports.
func (c *Config) direct(port int) traffic.Backend {
	canary, stable := c.armsAt(port)
	switch c.Direct.Service {
	case "":
		return stable
	case c.Canary.Service:
		return canary
	}
	direct := c.Direct
	if port > 0 {
		direct.Port = stable.Port
	}
	return direct
}

// directWords describes that Service for messages, with all ports.
func (c *Config) directWords() string {
	var ports []string
	for port := range c.ports() {
		ports = append(ports, ":"+c.direct(port).Port)
	}
	words := c.direct(0).Service + strings.Join(ports, " or ")
	if c.arms() != c.Namespace {
		words += " in namespace " + c.arms()
	}
	return words
}

// adoptedFrames returns the frames of the adopted routes. mains are the rollout's TraefikServices by port, nil where there is
// none yet. One TraefikService serves all routes to a port, so that they move with one write; hence all references to
// stable's Service at one port have to be alike.
func (c *Config) adoptedFrames(all []*adopted, mains []*stored) ([]frame, error) {
	was, children := make([]*replacement, c.ports()), make([]v1alpha1.LoadBalancerSpec, c.ports())
	for port := range c.ports() {
		var err error
		if was[port], err = c.replacement(all, port, mains[port]); err != nil {
			return nil, err
		}
		if children[port], err = was[port].child(); err != nil {
			return nil, err
		}
		if port > 0 && !slices.ContainsFunc(all, func(a *adopted) bool { // a missing route may have led there
			return a.gone() || slices.ContainsFunc(a.places, func(p place) bool { return p.port == port })
		}) {
			return nil, fmt.Errorf("no route leads to Service %s:%s", c.direct(port).Service, c.direct(port).Port)
		}
	}
	var out []frame
	for _, a := range all {
		f := frame{name: a.name, spec: *a.object.Spec.DeepCopy(), children: children, replaced: was}
		whole := f.spec.Routes
		f.spec.Routes = nil
		for _, p := range a.places {
			route := whole[p.route]
			f.shared, f.ports = append(f.shared, len(route.Services) > 1), append(f.ports, p.port)
			route.Services = nil
			route.Middlewares = slices.DeleteFunc(route.Middlewares, func(m v1alpha1.MiddlewareRef) bool { return c.isGuard(m.Name, m.Namespace) })
			f.spec.Routes = append(f.spec.Routes, route)
		}
		if class := a.object.Annotations[classAnnotation]; class != "" {
			f.annotations = map[string]string{classAnnotation: class}
		}
		out = append(out, f)
	}
	return out, nil
}

// child returns what the reference says besides the fields that Serin writes itself.
func (r *replacement) child() (v1alpha1.LoadBalancerSpec, error) {
	var child v1alpha1.LoadBalancerSpec
	if r == nil {
		return child, nil
	}
	data, err := json.Marshal(r.Reference)
	if err == nil {
		err = json.Unmarshal(data, &child)
	}
	if err != nil {
		return child, fmt.Errorf("decode the reference to stable's Service: %w", err)
	}
	child.Name, child.Namespace, child.Kind, child.Port, child.Weight = "", "", "", intstr.IntOrString{}, nil
	return child, nil
}

// replacement returns the user's reference in the adopted routes to a port, or nil if it is not known.
func (c *Config) replacement(all []*adopted, port int, main *stored) (*replacement, error) {
	var was *replacement
	anyReplaced := slices.ContainsFunc(all, func(a *adopted) bool {
		return slices.ContainsFunc(a.places, func(p place) bool { return p.port == port && p.replaced })
	})
	if anyReplaced && main != nil && main.GetAnnotations()[replacedAnnotation] != "" {
		was = &replacement{}
		if err := json.Unmarshal([]byte(main.GetAnnotations()[replacedAnnotation]), was); err != nil {
			return nil, fmt.Errorf("decode the annotation %s of TraefikService %s: %w", replacedAnnotation,
				c.serviceName(traffic.MainLane, port), err)
		}
	}
	for _, a := range all {
		for _, p := range a.places {
			switch {
			case p.port != port || p.replaced:
			case was == nil:
				was = &replacement{IngressRoute: a.name, Reference: p.reference}
			case !reflect.DeepEqual(unweighted(was.Reference), unweighted(p.reference)):
				return nil, fmt.Errorf("IngressRoute %s: route %d does not refer to Service %s in the same way as "+
					"IngressRoute %s: the references of one release have to be alike except for their weights",
					a.name, p.route, c.direct(port).Service, was.IngressRoute)
			}
		}
	}
	return was, nil
}

// unweighted returns a reference without its weight relative to others.
func unweighted(reference map[string]any) map[string]any {
	out := maps.Clone(reference)
	delete(out, "weight")
	return out
}

// isGuard reports whether a route's middleware is one of this rollout's guards.
func (c *Config) isGuard(name, namespace string) bool {
	return (namespace == "" || namespace == c.Namespace) && (name == c.Rollout+limitSuffix || name == c.Rollout+breakerSuffix)
}

// pointTo returns the reference that replaces the user's: it leads to the rollout's TraefikService and keeps the weight
// relative to others.
func (c *Config) pointTo(p place) map[string]any {
	return p.withWeight(map[string]any{"kind": "TraefikService", "name": c.serviceName(traffic.MainLane, p.port)})
}

// withWeight returns a reference with the weight of the place.
func (p place) withWeight(reference map[string]any) map[string]any {
	out := unweighted(reference)
	if weight, ok := p.reference["weight"]; ok {
		out["weight"] = weight
	}
	return out
}

// writeAdopted changes only the references and Serin's guards among the middlewares in the user's IngressRoute, with one
// write.
func (r *Router) writeAdopted(ctx context.Context, a *adopted, reference func(place) map[string]any, guards []v1alpha1.MiddlewareRef) error {
	ops := []kubeobjects.Operation{kubeobjects.Test("/metadata/resourceVersion", a.object.ResourceVersion)}
	for _, p := range a.places {
		base := fmt.Sprintf("/spec/routes/%d", p.route)
		at := fmt.Sprintf("%s/services/%d", base, p.service)
		if want := reference(p); !reflect.DeepEqual(want, p.reference) {
			ops = append(ops, kubeobjects.Test(at, p.reference), kubeobjects.Operation{Op: "replace", Path: at, Value: want})
		}
		ops = append(ops, p.guardOperations(base+"/middlewares", &r.config, guards)...)
	}
	if len(ops) == 1 {
		return nil
	}
	return r.objects.Patch(ctx, named(ingressRoutes, a.name), ops)
}

// isLedElsewhere reports whether a place of the route does not lead to the rollout's TraefikService yet.
func (c *Config) isLedElsewhere(a *adopted) bool {
	return slices.ContainsFunc(a.places, func(p place) bool { return !reflect.DeepEqual(c.pointTo(p), p.reference) })
}

// pointAdopted leads the adopted route to the rollout's TraefikService. If other parts of the user's object have changed in
// the meantime, it reads that object alone again, which leaves a shorter window than reading all objects.
func (r *Router) pointAdopted(ctx context.Context, a *adopted, guards []v1alpha1.MiddlewareRef) error {
	return kubeobjects.Retry(ctx, func() error {
		err := r.writeAdopted(ctx, a, r.config.pointTo, guards)
		if !errors.Is(err, kubeobjects.ErrConflict) {
			return err
		}
		now, readErr := r.readAdopted(ctx, r.objects.Live(), a.name)
		if readErr != nil {
			return readErr
		}
		if !reflect.DeepEqual(now.object.Spec, a.object.Spec) || !reflect.DeepEqual(now.places, a.places) {
			return errSpec
		}
		a = now
		return err
	})
}

// errSpec is returned if the routes of an adopted IngressRoute have changed since they were read.
var errSpec = errors.New("the routes of the adopted IngressRoute have changed in the meantime")

// guardOperations returns the changes after which the list of middlewares has the user's own and then the guards.
func (p place) guardOperations(path string, c *Config, guards []v1alpha1.MiddlewareRef) []kubeobjects.Operation {
	want := []any{}
	for _, m := range p.middlewares {
		ref, ok := m.(map[string]any)
		if ok {
			name, _ := ref["name"].(string)
			namespace, _ := ref["namespace"].(string)
			if c.isGuard(name, namespace) {
				continue
			}
		}
		want = append(want, m)
	}
	for _, g := range guards {
		want = append(want, map[string]any{"name": g.Name})
	}
	switch {
	case len(want) == 0 && len(p.middlewares) == 0, reflect.DeepEqual(want, p.middlewares):
		return nil
	case p.middlewares == nil:
		return []kubeobjects.Operation{{Op: "add", Path: path, Value: want}}
	case len(want) == 0:
		return []kubeobjects.Operation{kubeobjects.Test(path, p.middlewares), {Op: "remove", Path: path}}
	}
	return []kubeobjects.Operation{kubeobjects.Test(path, p.middlewares), {Op: "replace", Path: path, Value: want}}
}

// arms says where the arms are among the children of a weighted service.
type arms struct {
	stable   int   // -1 if it is not there
	canaries []int // at most one, unless others have changed the service
	stranger error // names a child that is neither arm
}

func (c *Config) armsAmong(k key, children []v1alpha1.Service) arms {
	out := arms{stable: -1}
	for i, child := range children {
		switch {
		case c.isChild(child.LoadBalancerSpec, c.Stable):
			out.stable = i
		case c.isChild(child.LoadBalancerSpec, c.Canary):
			out.canaries = append(out.canaries, i)
		default:
			out.stranger = fmt.Errorf("%s: %w: it has a child %s that is neither stable nor canary", k, ErrForeign, child.Name)
		}
	}
	return out
}

// writeChildren changes only the weights of the arms and the canary's child in a rollout's TraefikService, which is the
// user's or on the way back to stable. keep leaves the canary's child in at weight 0. A child that others have added does
// not keep the canary in: it stays, with its share, and in a service of the user's it is an error. If others have removed
// stable's child, the way back adds it again.
func (r *Router) writeChildren(ctx context.Context, port int, have *stored, w weights, keep bool) error {
	k := r.config.mainService(port)
	spec, ok := have.Typed.(*v1alpha1.TraefikServiceSpec)
	if !ok || spec.Weighted == nil {
		return fmt.Errorf("%s: %w: only a weighted service can be adopted", k, ErrForeign)
	}
	is := r.config.armsAmong(k, spec.Weighted.Services)
	if is.stranger != nil {
		if w.canary > 0 {
			return is.stranger
		}
		canaryArm, stableArm := r.config.armsAt(port)
		now := r.config.inferWeights(spec, canaryArm, stableArm)
		w.stable = max(now.stable+now.canary, 1)
	}
	made := have.Made(r.config.Rollout)
	if made {
		is.stranger = nil // the caller writes the whole service next
	}
	if is.stable < 0 && (len(is.canaries) == 0 || !made && w.canary > 0) {
		return fmt.Errorf("%s: %w: stable's Service %s is not in it", k, ErrForeign, r.config.Stable.Service)
	}
	changes := r.config.childOperations(port, spec.Weighted.Services, is, w, keep)
	if len(changes) == 0 {
		return is.stranger
	}
	ops := append([]kubeobjects.Operation{kubeobjects.Test("/metadata/resourceVersion", have.GetResourceVersion())}, changes...)
	return errors.Join(r.objects.Patch(ctx, k, ops), is.stranger)
}

// childOperations returns the changes that give the arms among the children of a weighted service their weights. At least
// one of the arms has to be there.
func (c *Config) childOperations(port int, children []v1alpha1.Service, is arms, w weights, keep bool) (ops []kubeobjects.Operation) {
	at := func(i int) string { return fmt.Sprintf("/spec/weighted/services/%d", i) }
	set := func(i, weight int) {
		switch old := children[i].Weight; {
		case old == nil:
			ops = append(ops, kubeobjects.Operation{Op: "add", Path: at(i) + "/weight", Value: weight})
		case *old != weight:
			ops = append(ops, kubeobjects.Test(at(i)+"/weight", *old), kubeobjects.Operation{Op: "replace", Path: at(i) + "/weight", Value: weight})
		}
	}
	add := func(arm traffic.Backend, weight, like int, where string) {
		child := c.childSpec(arm, port, weight, children[like].LoadBalancerSpec)
		ops = append(ops, kubeobjects.Operation{Op: "add", Path: "/spec/weighted/services/" + where, Value: kubeobjects.SpecMap(child)})
	}
	remove := func(canaries []int) {
		for _, i := range slices.Backward(canaries) { // from the end, because removal shifts what follows
			ops = append(ops, kubeobjects.Test(at(i)+"/name", c.Canary.Service), kubeobjects.Operation{Op: "remove", Path: at(i)})
		}
	}
	canaryArm, stableArm := c.armsAt(port)
	if is.stable >= 0 {
		set(is.stable, w.stable)
	}
	switch {
	case w.canary > 0 && len(is.canaries) > 0:
		set(is.canaries[0], w.canary)
		remove(is.canaries[1:]) // together they would have more than the canary's share
	case w.canary > 0:
		add(canaryArm, w.canary, is.stable, "-")
	case keep:
		for _, i := range is.canaries {
			set(i, 0)
		}
	default:
		remove(is.canaries)
	}
	if is.stable < 0 { // left out at weight 0, or removed by others; added last, because it shifts what follows
		add(stableArm, w.stable, is.canaries[0], "0")
	}
	return ops
}
