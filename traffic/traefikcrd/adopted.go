package traefikcrd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/traefik/traefik/v3/pkg/provider/kubernetes/crd/traefikio/v1alpha1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/kubeobjects"
)

// adopted is one of the user's IngressRoutes, with the places in it that Serin may change.
type adopted struct {
	name   string
	object v1alpha1.IngressRoute
	places []place // each in a route of its own; none if the IngressRoute does not exist
}

// place is a reference to stable's Service or, if it has been replaced, to the rollout's TraefikService.
type place struct {
	route, service int
	replaced       bool
	// reference and middlewares are as the API server has them, with everything that Traefik's types may not know.
	reference   map[string]any
	middlewares []any
}

// replaced reports whether all places lead to the rollout's TraefikService.
func (a *adopted) replaced() bool {
	return !a.gone() && !slices.ContainsFunc(a.places, func(p place) bool { return !p.replaced })
}

// gone reports whether the IngressRoute does not exist.
func (a *adopted) gone() bool { return len(a.places) == 0 }

// errGone is returned for an IngressRoute that is to be adopted.
var errGone = errors.New("does not exist")

// replacement remembers what was in the adopted route.
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

// parseAdopted finds the references in an IngressRoute's JSON: one in each route that has any.
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
			here := s.Namespace == "" || s.Namespace == c.Namespace
			replaced := s.Kind == "TraefikService" && s.Name == c.Rollout
			direct := isChild(s.LoadBalancerSpec, c.direct()) && s.Port == intstr.Parse(c.direct().Port)
			if !here || !replaced && !direct {
				continue
			}
			if found++; found > 1 {
				return nil, fmt.Errorf("its route %d leads to Service %s:%s or TraefikService %s twice", i, c.direct().Service, c.direct().Port, c.Rollout)
			}
			if k := slices.IndexFunc(a.places, func(p place) bool { return a.object.Spec.Routes[p.route].Match == route.Match }); k >= 0 {
				return nil, fmt.Errorf("its routes %d and %d have the same rule %s: Traefik takes one of them", a.places[k].route, i, route.Match)
			}
			raw := raw.Spec.Routes[i]
			a.places = append(a.places, place{i, j, replaced, raw.Services[j], raw.Middlewares})
		}
	}
	if len(a.places) == 0 {
		return nil, fmt.Errorf("none of its routes leads to Service %s:%s or TraefikService %s", c.direct().Service, c.direct().Port, c.Rollout)
	}
	return a, nil
}

// direct is the Service that the adopted route leads to as its users wrote it.
func (c *Config) direct() traffic.Backend {
	if c.Direct.Service == "" {
		return c.Stable
	}
	return c.Direct
}

// adoptedFrames are the frames of the adopted routes. main is the rollout's TraefikService, nil if there is none yet. One
// TraefikService serves them all, so that they move with one write: all references to stable's Service have to be alike.
func (c *Config) adoptedFrames(all []*adopted, main *stored) ([]frame, error) {
	was, err := c.replacement(all, main)
	if err != nil {
		return nil, err
	}
	var child v1alpha1.LoadBalancerSpec
	if was != nil {
		data, err := json.Marshal(was.Reference)
		if err == nil {
			err = json.Unmarshal(data, &child)
		}
		if err != nil {
			return nil, fmt.Errorf("decode the reference to stable's Service: %w", err)
		}
		child.Name, child.Namespace, child.Kind, child.Port, child.Weight = "", "", "", intstr.IntOrString{}, nil
	}
	var out []frame
	for _, a := range all {
		f := frame{name: a.name, spec: *a.object.Spec.DeepCopy(), child: child, replaced: was}
		whole := f.spec.Routes
		f.spec.Routes = nil
		for _, p := range a.places {
			route := whole[p.route]
			f.shared = append(f.shared, len(route.Services) > 1)
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

// replacement is what is, or was, in the adopted routes; nil if that is unknown.
func (c *Config) replacement(all []*adopted, main *stored) (*replacement, error) {
	var was *replacement
	anyReplaced := slices.ContainsFunc(all, func(a *adopted) bool { return slices.ContainsFunc(a.places, func(p place) bool { return p.replaced }) })
	if anyReplaced && main != nil && main.GetAnnotations()[replacedAnnotation] != "" {
		was = &replacement{}
		if err := json.Unmarshal([]byte(main.GetAnnotations()[replacedAnnotation]), was); err != nil {
			return nil, fmt.Errorf("decode the annotation %s of TraefikService %s: %w", replacedAnnotation, c.Rollout, err)
		}
	}
	for _, a := range all {
		for _, p := range a.places {
			switch {
			case p.replaced:
			case was == nil:
				was = &replacement{IngressRoute: a.name, Reference: p.reference}
			case !reflect.DeepEqual(unweighted(was.Reference), unweighted(p.reference)):
				return nil, fmt.Errorf("IngressRoute %s: route %d does not lead to Service %s as a route of IngressRoute %s does: the references of one release have to say the same but for their weights",
					a.name, p.route, c.direct().Service, was.IngressRoute)
			}
		}
	}
	return was, nil
}

// unweighted is a reference without its weight relative to others.
func unweighted(reference map[string]any) map[string]any {
	out := maps.Clone(reference)
	delete(out, "weight")
	return out
}

// isGuard tells whether a route's middleware is a guard of this rollout.
func (c *Config) isGuard(name, namespace string) bool {
	return (namespace == "" || namespace == c.Namespace) && (name == c.Rollout+limitSuffix || name == c.Rollout+breakerSuffix)
}

// pointTo is the reference that replaces the user's: it leads to the rollout's TraefikService and keeps the weight
// relative to others.
func (p place) pointTo(rollout string) map[string]any {
	return p.withWeight(map[string]any{"kind": "TraefikService", "name": rollout})
}

// withWeight is a reference with the weight that the place has.
func (p place) withWeight(reference map[string]any) map[string]any {
	out := unweighted(reference)
	if weight, ok := p.reference["weight"]; ok {
		out["weight"] = weight
	}
	return out
}

// writeAdopted changes no more in the user's IngressRoute than the references and Serin's guards in the lists of
// middlewares, all of it at once.
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

// pointAdopted leads the adopted route to the rollout's TraefikService. If the user's object has changed elsewhere in
// the meantime, it alone is read again: that window is shorter than for all objects.
func (r *Router) pointAdopted(ctx context.Context, a *adopted, guards []v1alpha1.MiddlewareRef) error {
	return kubeobjects.Retry(ctx, func() error {
		err := r.writeAdopted(ctx, a, func(p place) map[string]any { return p.pointTo(r.config.Rollout) }, guards)
		if !errors.Is(err, kubeobjects.ErrConflict) {
			return err
		}
		now, readErr := r.readAdopted(ctx, r.objects.Live(), a.name)
		if readErr != nil {
			return readErr
		}
		if !reflect.DeepEqual(now.object.Spec, a.object.Spec) || !reflect.DeepEqual(now.places, a.places) {
			return fmt.Errorf("%w: its routes too", errSpec)
		}
		a = now
		return err
	})
}

// errSpec is returned if what was read of the adopted route is no longer true.
var errSpec = errors.New("the adopted route has changed meanwhile")

// guardOperations bring the list of middlewares to the user's own and then the guards.
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

// writeChildren changes no more in the rollout's TraefikService than the weights of the arms and the canary's child:
// in one of the user's, or on the way back to stable. keep leaves that child at weight 0.
func (r *Router) writeChildren(ctx context.Context, have *stored, w weights, keep bool) error {
	k := named(traefikServices, r.config.Rollout)
	spec, ok := have.Typed.(*v1alpha1.TraefikServiceSpec)
	if !ok || spec.Weighted == nil {
		return fmt.Errorf("%s: %w: to be adopted it has to be a weighted one", k, ErrForeign)
	}
	ops := []kubeobjects.Operation{kubeobjects.Test("/metadata/resourceVersion", have.GetResourceVersion())}
	stable, canary := -1, -1
	for i, child := range spec.Weighted.Services {
		switch {
		case isChild(child.LoadBalancerSpec, r.config.Stable):
			stable = i
		case isChild(child.LoadBalancerSpec, r.config.Canary):
			canary = i
		default:
			return fmt.Errorf("%s: %w: it has a child %s that is neither stable nor canary", k, ErrForeign, child.Name)
		}
	}
	at := func(i int) string { return fmt.Sprintf("/spec/weighted/services/%d", i) }
	set := func(i, weight int) {
		switch old := spec.Weighted.Services[i].Weight; {
		case old == nil:
			ops = append(ops, kubeobjects.Operation{Op: "add", Path: at(i) + "/weight", Value: weight})
		case *old != weight:
			ops = append(ops, kubeobjects.Test(at(i)+"/weight", *old), kubeobjects.Operation{Op: "replace", Path: at(i) + "/weight", Value: weight})
		}
	}
	switch {
	case stable >= 0:
		set(stable, w.stable)
	case canary >= 0 && have.Owned(r.config.Rollout): // it had no weight and was left out
		child := r.config.childSpec(r.config.Stable, w.stable, spec.Weighted.Services[canary].LoadBalancerSpec)
		ops = append(ops, kubeobjects.Operation{Op: "add", Path: "/spec/weighted/services/-", Value: kubeobjects.SpecMap(child)})
	default:
		return fmt.Errorf("%s: %w: stable's Service %s is not in it", k, ErrForeign, r.config.Stable.Service)
	}
	switch {
	case canary >= 0 && (w.canary > 0 || keep):
		set(canary, w.canary)
	case canary >= 0:
		ops = append(ops, kubeobjects.Test(at(canary)+"/name", r.config.Canary.Service), kubeobjects.Operation{Op: "remove", Path: at(canary)})
	case w.canary > 0:
		child := r.config.childSpec(r.config.Canary, w.canary, spec.Weighted.Services[stable].LoadBalancerSpec)
		ops = append(ops, kubeobjects.Operation{Op: "add", Path: "/spec/weighted/services/-", Value: kubeobjects.SpecMap(child)})
	}
	if len(ops) == 1 {
		return nil
	}
	return r.objects.Patch(ctx, k, ops)
}

// LetGo restores the adopted routes and deletes everything that Serin made. It is refused while any traffic goes to the
// canary, and for an owned route, which would be gone.
func (r *Router) LetGo(ctx context.Context) error {
	r.writing.Lock()
	defer r.writing.Unlock()
	if r.config.Route != nil {
		return fmt.Errorf("let go of %s: its route is Serin's own", r.config.Rollout)
	}
	return r.retry(ctx, "let go of", func() error {
		s, err := r.read(ctx, r.objects.Live())
		if err != nil {
			return err
		}
		frames, err := s.frames(&r.config)
		if err != nil {
			return err
		}
		l := r.infer(s, frames)
		if l.serves() {
			return fmt.Errorf("traffic goes to the canary: %s of the main route", l.main.share())
		}
		was := frames[0].replaced
		for _, a := range s.adopted {
			back := func(p place) map[string]any {
				if !p.replaced || was == nil {
					return p.reference
				}
				return p.withWeight(was.Reference)
			}
			if err := r.writeAdopted(ctx, a, back, nil); err != nil {
				return err
			}
		}
		var errs []error
		for _, k := range r.config.keys() {
			errs = append(errs, r.objects.Remove(ctx, k, s.objects[k]))
		}
		return errors.Join(errs...)
	})
}
