package traefikcrd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/traefik/traefik/v3/pkg/provider/kubernetes/crd/traefikio/v1alpha1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/serindev/serin/traffic/kubeobjects"
)

// leftoverForm matches what follows the rollout's name in the names of objects for further ports and routes.
var leftoverForm = regexp.MustCompile(`^(-route-\d+|(-ab|-mirrored|-previewed)-\d+|(-ab|-mirrored|-previewed)?-port-\d+)$`)

// tidy removes the objects of further ports and routes that an earlier document had. It is called with all traffic on stable.
// A route of the user's that led to such a port gets its own reference back. A TraefikService stays as long as a route leads
// to it.
func (r *Router) tidy(ctx context.Context) error {
	routes, services := r.leftovers(ctx)
	if len(routes)+len(services) == 0 {
		return nil
	}
	objects, err := r.objects.Read(ctx, r.objects.Live(), slices.Concat(routes, services))
	if err != nil {
		return err
	}
	var errs []error
	for _, k := range routes {
		errs = append(errs, r.objects.Remove(ctx, k, objects[k]))
	}
	led, err := r.giveBack(ctx, services, objects)
	errs = append(errs, err)
	for _, k := range services {
		if !led[k.Name] {
			errs = append(errs, r.objects.Remove(ctx, k, objects[k]))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove objects of former ports and routes: %w", err)
	}
	return nil
}

// leftovers returns the rollout's objects whose numbers the document no longer has. It returns none if they cannot be listed:
// traffic is on stable, so they do no harm.
func (r *Router) leftovers(ctx context.Context) (routes, services []key) {
	mine := metav1.ListOptions{LabelSelector: kubeobjects.ManagedLabel + "=" + kubeobjects.Manager + "," +
		kubeobjects.RolloutLabel + "=" + r.config.Rollout}
	api, keys := r.traefik.TraefikV1alpha1(), r.config.keys()
	left := func(k key) bool {
		base := len(r.config.Rollout)
		return len(k.Name) > base && leftoverForm.MatchString(k.Name[base:]) && !slices.Contains(keys, k)
	}
	ingress, err := api.IngressRoutes(r.config.Namespace).List(ctx, mine)
	if err != nil {
		return nil, nil
	}
	for i := range ingress.Items {
		if k := named(ingressRoutes, ingress.Items[i].Name); left(k) {
			routes = append(routes, k)
		}
	}
	weighted, err := api.TraefikServices(r.config.Namespace).List(ctx, mine)
	if err != nil {
		return routes, nil
	}
	for i := range weighted.Items {
		if k := named(traefikServices, weighted.Items[i].Name); left(k) {
			services = append(services, k)
		}
	}
	return routes, services
}

// giveBack replaces references to leftover TraefikServices in users' routes by the users' own. led names the services that a
// route leads to or has just led to. Traefik learns of routes and services through separate watches, so a later write removes
// those. A service stays as long as the user's own reference of a route to it is not known.
func (r *Router) giveBack(ctx context.Context, services []key, objects map[key]*stored) (led map[string]bool, err error) {
	led = map[string]bool{}
	all, err := r.traefik.TraefikV1alpha1().IngressRoutes(r.config.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		for _, k := range services {
			led[k.Name] = true
		}
		return led, fmt.Errorf("list the IngressRoutes: %w", err)
	}
	var errs []error
	for i := range all.Items {
		route := &all.Items[i]
		ops := []kubeobjects.Operation{kubeobjects.Test("/metadata/resourceVersion", route.ResourceVersion)}
		for _, ref := range leading(route, r.config.Namespace, services) {
			led[ref.name] = true
			if was := r.replacedBy(objects[named(traefikServices, ref.name)]); was != nil {
				ops = append(ops, ref.replace(was))
			}
		}
		if len(ops) == 1 {
			continue
		}
		errs = append(errs, r.objects.Patch(ctx, named(ingressRoutes, route.Name), ops))
	}
	return led, errors.Join(errs...)
}

// reference is a reference to a TraefikService in an IngressRoute.
type reference struct {
	path, name string
	weight     *int
}

// replace puts another reference in the place of this one, with the weight relative to others that this one has.
func (f reference) replace(by map[string]any) kubeobjects.Operation {
	out := unweighted(by)
	if f.weight != nil {
		out["weight"] = *f.weight
	}
	return kubeobjects.Operation{Op: "replace", Path: f.path, Value: out}
}

// leading returns the references in an IngressRoute to the given TraefikServices of a namespace.
func leading(route *v1alpha1.IngressRoute, namespace string, services []key) (out []reference) {
	for i, rule := range route.Spec.Routes {
		for j, s := range rule.Services {
			if s.Kind == string(traefikServices) && (s.Namespace == "" || s.Namespace == namespace) &&
				slices.Contains(services, named(traefikServices, s.Name)) {
				out = append(out, reference{fmt.Sprintf("/spec/routes/%d/services/%d", i, j), s.Name, s.Weight})
			}
		}
	}
	return out
}

// replacedBy returns the user's reference that a TraefikService replaced. It returns nil if that is not known, or if it leads
// to other pods than stable's: with one Deployment in Git, the user's Service may have none.
func (r *Router) replacedBy(o *stored) map[string]any {
	if o == nil {
		return nil
	}
	var was replacement
	if json.Unmarshal([]byte(o.GetAnnotations()[replacedAnnotation]), &was) != nil || was.Reference["name"] != r.config.Stable.Service {
		return nil
	}
	return was.Reference
}

// leave gives back the IngressRoutes that the document no longer names: their references lead to stable's Service again,
// without the guards. It is called with all traffic on stable, and before the objects of s are written, because that may
// change the references stored in them. A route that others have written since stays as it is.
func (r *Router) leave(ctx context.Context, s *snapshot) error {
	all, err := r.traefik.TraefikV1alpha1().IngressRoutes(r.config.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil // no harm: traffic is on stable, through the TraefikService
	}
	var mains []key
	for port := range r.config.ports() {
		mains = append(mains, r.config.mainService(port))
	}
	var errs []error
	for i := range all.Items {
		route := &all.Items[i]
		if !r.unnamed(route) {
			continue
		}
		ops := []kubeobjects.Operation{kubeobjects.Test("/metadata/resourceVersion", route.ResourceVersion)}
		for _, ref := range leading(route, r.config.Namespace, mains) {
			if was := r.replacedBy(s.objects[named(traefikServices, ref.name)]); was != nil {
				ops = append(ops, ref.replace(was))
			}
		}
		if ops = append(ops, r.unguard(route)...); len(ops) > 1 {
			errs = append(errs, r.objects.Patch(ctx, named(ingressRoutes, route.Name), ops))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("give back IngressRoutes that the document no longer names: %w", err)
	}
	return nil
}

// unnamed reports whether an IngressRoute is a user's that the document does not name, but whose routes Serin wrote last.
func (r *Router) unnamed(route *v1alpha1.IngressRoute) bool {
	made := (&stored{Object: route}).Made(r.config.Rollout)
	return !made && !slices.Contains(r.config.adopts(), route.Name) &&
		slices.ContainsFunc(route.ManagedFields, func(m metav1.ManagedFieldsEntry) bool {
			return m.Manager == kubeobjects.Manager && slices.Contains(kubeobjects.SpecFields(m), "routes")
		})
}

// unguard removes the rollout's guards from the middlewares of a user's routes.
func (r *Router) unguard(route *v1alpha1.IngressRoute) (ops []kubeobjects.Operation) {
	remove := func(path string) { ops = append(ops, kubeobjects.Operation{Op: "remove", Path: path}) }
	ours := func(m v1alpha1.MiddlewareRef) bool { return r.config.isGuard(m.Name, m.Namespace) }
	for i, rule := range route.Spec.Routes {
		list := fmt.Sprintf("/spec/routes/%d/middlewares", i)
		if left := slices.DeleteFunc(slices.Clone(rule.Middlewares), ours); len(left) == 0 && len(rule.Middlewares) > 0 {
			remove(list)
			continue
		}
		for k, m := range slices.Backward(rule.Middlewares) { // from the end, because removal shifts what follows
			if ours(m) {
				remove(fmt.Sprintf("%s/%d", list, k))
			}
		}
	}
	return ops
}
