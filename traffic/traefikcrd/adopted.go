package traefikcrd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/traefik/traefik/v3/pkg/provider/kubernetes/crd/traefikio/v1alpha1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/kubeobjects"
)

// adopted is the user's IngressRoute, with the one place in it that is Serin's to change.
type adopted struct {
	object v1alpha1.IngressRoute
	// The reference to stable's Service or, if it has been replaced, to the rollout's TraefikService.
	route, service int
	replaced       bool
	// reference and middlewares are there as the API server has them, with all that Traefik's types may not know.
	reference   map[string]any
	middlewares []any
}

// replacement remembers what stood in the adopted route.
type replacement struct {
	IngressRoute string         `json:"ingressRoute"`
	Reference    map[string]any `json:"reference"`
}

// readAdopted reads the user's IngressRoute and finds the reference; there has to be one and no other.
func (r *Router) readAdopted(ctx context.Context, in source) (*adopted, error) {
	k := named(ingressRoutes, r.config.IngressRoute)
	data, err := in.Raw(ctx, k)
	if errors.Is(err, kubeobjects.ErrMissing) {
		return nil, fmt.Errorf("%s, which is to be adopted, does not exist", k)
	}
	if err != nil {
		return nil, err
	}
	a, err := r.config.parseAdopted(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", k, err)
	}
	return a, nil
}

// parseAdopted finds the reference in an IngressRoute's JSON.
func (c *Config) parseAdopted(data []byte) (*adopted, error) {
	a := &adopted{}
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
	found := 0
	for i, route := range a.object.Spec.Routes {
		for j, s := range route.Services {
			here := s.Namespace == "" || s.Namespace == c.Namespace
			replaced := s.Kind == "TraefikService" && s.Name == c.Rollout
			direct := isChild(s.LoadBalancerSpec, c.direct()) && s.Port == intstr.Parse(c.direct().Port)
			if here && (replaced || direct) {
				found++
				a.route, a.service, a.replaced = i, j, replaced
			}
		}
	}
	if found != 1 {
		return nil, fmt.Errorf("%d of its routes lead to Service %s:%s or TraefikService %s; it has to be one", found, c.direct().Service, c.direct().Port, c.Rollout)
	}
	a.reference, a.middlewares = raw.Spec.Routes[a.route].Services[a.service], raw.Spec.Routes[a.route].Middlewares
	return a, nil
}

// direct is the Service that the adopted route leads to as its users wrote it.
func (c *Config) direct() traffic.Backend {
	if c.Direct.Service == "" {
		return c.Stable
	}
	return c.Direct
}

// adoptedFrame is the frame of an adopted route. main is the rollout's TraefikService, nil if there is none yet.
func (c *Config) adoptedFrame(a *adopted, main *stored) (frame, error) {
	f := frame{spec: *a.object.Spec.DeepCopy()}
	f.spec.Routes = f.spec.Routes[a.route : a.route+1]
	route := f.route()
	f.shared = len(route.Services) > 1
	route.Services = nil
	route.Middlewares = slices.DeleteFunc(route.Middlewares, func(m v1alpha1.MiddlewareRef) bool { return c.isGuard(m.Name, m.Namespace) })
	if class := a.object.Annotations[classAnnotation]; class != "" {
		f.annotations = map[string]string{classAnnotation: class}
	}
	switch {
	case !a.replaced:
		f.replaced = &replacement{IngressRoute: c.IngressRoute, Reference: a.reference}
	case main != nil && main.GetAnnotations()[replacedAnnotation] != "":
		f.replaced = &replacement{}
		if err := json.Unmarshal([]byte(main.GetAnnotations()[replacedAnnotation]), f.replaced); err != nil {
			return frame{}, fmt.Errorf("decode the annotation %s of TraefikService %s: %w", replacedAnnotation, c.Rollout, err)
		}
	}
	if f.replaced == nil {
		return f, nil
	}
	var like v1alpha1.LoadBalancerSpec
	data, err := json.Marshal(f.replaced.Reference)
	if err == nil {
		err = json.Unmarshal(data, &like)
	}
	if err != nil {
		return frame{}, fmt.Errorf("decode the reference to stable's Service: %w", err)
	}
	like.Name, like.Namespace, like.Kind, like.Port, like.Weight = "", "", "", intstr.IntOrString{}, nil
	f.child = like
	return f, nil
}

// isGuard tells whether a route's middleware is a guard of this rollout.
func (c *Config) isGuard(name, namespace string) bool {
	return (namespace == "" || namespace == c.Namespace) && (name == c.Rollout+limitSuffix || name == c.Rollout+breakerSuffix)
}

// pointTo is the reference that replaces the user's: to the rollout's TraefikService, with the weight among others
// that the user's had.
func (a *adopted) pointTo(rollout string) map[string]any {
	ref := map[string]any{"kind": "TraefikService", "name": rollout}
	if weight, ok := a.reference["weight"]; ok {
		ref["weight"] = weight
	}
	return ref
}

// writeAdopted changes no more in the user's IngressRoute than the reference and Serin's guards in the list of
// middlewares.
func (r *Router) writeAdopted(ctx context.Context, a *adopted, reference map[string]any, guards []v1alpha1.MiddlewareRef) error {
	base := fmt.Sprintf("/spec/routes/%d", a.route)
	at := fmt.Sprintf("%s/services/%d", base, a.service)
	ops := []kubeobjects.Operation{kubeobjects.Test("/metadata/resourceVersion", a.object.ResourceVersion)}
	if reference != nil && !reflect.DeepEqual(reference, a.reference) {
		ops = append(ops, kubeobjects.Test(at, a.reference), kubeobjects.Operation{Op: "replace", Path: at, Value: reference})
	}
	ops = append(ops, a.guardOperations(base+"/middlewares", &r.config, guards)...)
	if len(ops) == 1 {
		return nil
	}
	return r.objects.Patch(ctx, named(ingressRoutes, r.config.IngressRoute), ops)
}

// pointAdopted leads the adopted route to the rollout's TraefikService. A version of the user's object that changed
// meanwhile in something else is read again by itself: that window is shorter than the one of all objects.
func (r *Router) pointAdopted(ctx context.Context, a *adopted, guards []v1alpha1.MiddlewareRef) error {
	return kubeobjects.Retry(ctx, func() error {
		err := r.writeAdopted(ctx, a, a.pointTo(r.config.Rollout), guards)
		if !errors.Is(err, kubeobjects.ErrConflict) {
			return err
		}
		now, readErr := r.readAdopted(ctx, r.objects.Live())
		if readErr != nil {
			return readErr
		}
		if !reflect.DeepEqual(now.object.Spec, a.object.Spec) || !reflect.DeepEqual(now.reference, a.reference) {
			return fmt.Errorf("%w: its routes too", errSpec)
		}
		a = now
		return err
	})
}

// errSpec is returned if what was read of the adopted route does not hold any more.
var errSpec = errors.New("the adopted route has changed meanwhile")

// guardOperations bring the list of middlewares to the user's own and then the guards.
func (a *adopted) guardOperations(path string, c *Config, guards []v1alpha1.MiddlewareRef) []kubeobjects.Operation {
	want := []any{}
	for _, m := range a.middlewares {
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
	case len(want) == 0 && len(a.middlewares) == 0, reflect.DeepEqual(want, a.middlewares):
		return nil
	case a.middlewares == nil:
		return []kubeobjects.Operation{{Op: "add", Path: path, Value: want}}
	case len(want) == 0:
		return []kubeobjects.Operation{kubeobjects.Test(path, a.middlewares), {Op: "remove", Path: path}}
	}
	return []kubeobjects.Operation{kubeobjects.Test(path, a.middlewares), {Op: "replace", Path: path, Value: want}}
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
	case canary >= 0 && have.Owned(r.config.Rollout): // it had no weight, and so was left out
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

// LetGo puts the adopted route back to what it was and deletes what Serin made, all of it. It is refused while any
// traffic goes to the canary, and for an owned route: that one would be gone.
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
		f, err := s.frame(&r.config)
		if err != nil {
			return err
		}
		l := r.infer(s, &f)
		if l.serves() {
			return fmt.Errorf("traffic goes to the canary: %s of the main route", l.main.share())
		}
		if !s.adopted.replaced || f.replaced == nil {
			f.replaced = &replacement{Reference: s.adopted.reference}
		}
		if err := r.writeAdopted(ctx, s.adopted, f.replaced.Reference, nil); err != nil {
			return err
		}
		var errs []error
		for _, k := range r.config.keys() {
			errs = append(errs, r.objects.Remove(ctx, k, s.objects[k]))
		}
		return errors.Join(errs...)
	})
}
