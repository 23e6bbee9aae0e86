package traefikcrd

import (
	"context"
	"fmt"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/traefik/traefik/v3/pkg/provider/kubernetes/crd/traefikio/v1alpha1"
)

// Place is where objects are watched: what traffic consists of in a namespace, or one Service in another namespace with
// its endpoints, such as Traefik's.
type Place struct{ Namespace, Service string }

// Places returns where the objects are that a router looks at.
func (r *Router) Places() []Place {
	out := []Place{{Namespace: r.config.Namespace}}
	for _, api := range r.config.Verify.APIs {
		if s, ok, err := serviceOf(api); err == nil && ok && s.namespace != r.config.Namespace {
			out = append(out, Place{Namespace: s.namespace, Service: s.name})
		}
	}
	return out
}

// Change is an object that was created, changed or deleted, or a Service whose endpoints were. See [Router.Concerns].
type Change struct {
	namespace string
	object    key
}

// Watch watches a place until ctx ends; then it returns nil. Routers of these clients then see the place without
// requests, and changed is called, from several goroutines, whenever an object of Traefik's, a Service or an endpoint
// has changed. One watch serves all rollouts of a place. Broken watches are opened again automatically; until they are,
// and where they are not allowed, routers ask the API server.
func (c *Clients) Watch(ctx context.Context, p Place, changed func(Change)) error {
	var running sync.WaitGroup
	defer running.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for kind, f := range c.feeds(p) {
		err := f.informer.SetTransform(slim)
		if err == nil {
			// Errors are reported by the requests to the API server that replace the watch.
			err = f.informer.SetWatchErrorHandlerWithContext(func(context.Context, *cache.Reflector, error) {})
		}
		if err == nil {
			_, err = f.informer.AddEventHandler(handler(kind, changed))
		}
		if err != nil {
			return fmt.Errorf("watch what is behind a %s in namespace %s: %w", kind, p.Namespace, err)
		}
		c.knowledge.put(feedKey{p, kind}, f)
		defer c.knowledge.put(feedKey{p, kind}, nil)
		running.Go(func() { f.informer.RunWithContext(ctx) })
	}
	<-ctx.Done()
	return nil
}

// feeds are the kinds that are watched in a place.
func (c *Clients) feeds(p Place) map[kindName]*feed {
	core, slices := c.kubernetes.CoreV1().Services(p.Namespace), c.kubernetes.DiscoveryV1().EndpointSlices(p.Namespace)
	if p.Service != "" {
		return map[kindName]*feed{
			coreServices: feedOf(&corev1.Service{}, core, func(o *metav1.ListOptions) { o.FieldSelector = "metadata.name=" + p.Service }),
			endpoints:    feedOf(&discoveryv1.EndpointSlice{}, slices, func(o *metav1.ListOptions) { o.LabelSelector = selects(p.Service).LabelSelector }),
		}
	}
	all, traefik := func(*metav1.ListOptions) {}, c.traefik.TraefikV1alpha1()
	// In Traefik's type an adopted IngressRoute would lose what the type does not know.
	routes := c.dynamic.Resource(v1alpha1.SchemeGroupVersion.WithResource("ingressroutes")).Namespace(p.Namespace)
	return map[kindName]*feed{
		ingressRoutes:   feedOf(&unstructured.Unstructured{}, routes, all),
		traefikServices: feedOf(&v1alpha1.TraefikService{}, traefik.TraefikServices(p.Namespace), all),
		middlewares:     feedOf(&v1alpha1.Middleware{}, traefik.Middlewares(p.Namespace), all),
		coreServices:    feedOf(&corev1.Service{}, core, all),
		endpoints:       feedOf(&discoveryv1.EndpointSlice{}, slices, all),
	}
}

// lister is what the generated clients have in common.
type lister[L runtime.Object] interface {
	List(ctx context.Context, o metav1.ListOptions) (L, error)
	Watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error)
}

func feedOf[L runtime.Object](example runtime.Object, c lister[L], narrow func(*metav1.ListOptions)) *feed {
	f := &feed{}
	f.informer = cache.NewSharedIndexInformerWithOptions(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			narrow(&o)
			return c.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			narrow(&o)
			return f.begun(c.Watch(ctx, o))
		},
	}, example, cache.SharedIndexInformerOptions{Indexers: indexers})
	return f
}

func handler(kind kindName, changed func(Change)) cache.ResourceEventHandler {
	tell := func(o any) {
		if last, ok := o.(cache.DeletedFinalStateUnknown); ok {
			o = last.Obj
		}
		switch o := o.(type) {
		case *discoveryv1.EndpointSlice:
			changed(Change{o.Namespace, key{coreServices, o.Labels[discoveryv1.LabelServiceName]}})
		case metav1.Object:
			changed(Change{o.GetNamespace(), key{kind, o.GetName()}})
		}
	}
	return cache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(o any, initial bool) {
			if !initial { // what is there at the start is no change
				tell(o)
			}
		},
		UpdateFunc: func(old, now any) {
			if version(old) != version(now) {
				tell(now)
			}
		},
		DeleteFunc: tell,
	}
}

func version(o any) string {
	if m, ok := o.(metav1.Object); ok {
		return m.GetResourceVersion()
	}
	return ""
}

// Watched reports whether there are watches on everything in the cluster that the rollout's traffic depends on.
func (r *Router) Watched() bool {
	for _, p := range r.Places() {
		kinds := []kindName{coreServices, endpoints}
		if p.Service == "" {
			kinds = append(kinds, ingressRoutes, traefikServices, middlewares)
		}
		for _, kind := range kinds {
			if r.knowledge.current(p, kind) == nil {
				return false
			}
		}
	}
	return true
}

// Concerns reports whether a change affects something that the rollout's traffic depends on.
func (r *Router) Concerns(c Change) bool {
	if c.namespace != r.config.Namespace {
		for _, p := range r.Places() {
			if p.Namespace == c.namespace && (key{coreServices, p.Service}) == c.object {
				return true
			}
		}
		return false
	}
	if slices.Contains(r.config.keys(), c.object) {
		return true
	}
	switch c.object {
	case key{ingressRoutes, r.config.IngressRoute}, key{coreServices, r.config.Stable.Service}, key{coreServices, r.config.Canary.Service}:
		return true
	}
	return false
}
