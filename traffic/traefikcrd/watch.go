package traefikcrd

import (
	"context"
	"fmt"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/traefik/traefik/v3/pkg/provider/kubernetes/crd/generated/clientset/versioned"
	traefikinformers "github.com/traefik/traefik/v3/pkg/provider/kubernetes/crd/generated/informers/externalversions"
)

// Change is an object that has come, changed or gone, or a Service whose endpoints have. See [Router.Concerns].
type Change struct{ object key }

// Watch calls changed, from several goroutines, whenever anything of Traefik's or any endpoint in a namespace has
// changed, until ctx ends; then it returns nil. One watch serves all rollouts of a namespace: each that is concerned
// observes its own traffic. Watches that break are begun anew by themselves.
func Watch(ctx context.Context, namespace string, k kubernetes.Interface, t versioned.Interface, changed func(Change)) error {
	traefik := traefikinformers.NewSharedInformerFactoryWithOptions(t, 0, traefikinformers.WithNamespace(namespace))
	core := informers.NewSharedInformerFactoryWithOptions(k, 0, informers.WithNamespace(namespace))
	for kind, informer := range map[kindName]cache.SharedIndexInformer{
		ingressRoutes:   traefik.Traefik().V1alpha1().IngressRoutes().Informer(),
		traefikServices: traefik.Traefik().V1alpha1().TraefikServices().Informer(),
		middlewares:     traefik.Traefik().V1alpha1().Middlewares().Informer(),
		coreServices:    core.Discovery().V1().EndpointSlices().Informer(),
	} {
		if _, err := informer.AddEventHandler(handler(kind, changed)); err != nil {
			return fmt.Errorf("watch what is behind a %s in namespace %s: %w", kind, namespace, err)
		}
	}
	traefik.Start(ctx.Done())
	core.Start(ctx.Done())
	<-ctx.Done()
	traefik.Shutdown()
	core.Shutdown()
	return nil
}

func handler(kind kindName, changed func(Change)) cache.ResourceEventHandler {
	tell := func(o any) {
		if last, ok := o.(cache.DeletedFinalStateUnknown); ok {
			o = last.Obj
		}
		switch o := o.(type) {
		case *discoveryv1.EndpointSlice:
			changed(Change{key{kind, o.Labels[discoveryv1.LabelServiceName]}})
		case metav1.Object:
			changed(Change{key{kind, o.GetName()}})
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

// Concerns tells whether a change in the rollout's namespace is one of what its traffic depends on.
func (r *Router) Concerns(c Change) bool {
	for _, k := range r.config.keys() {
		if k == c.object {
			return true
		}
	}
	switch c.object {
	case key{ingressRoutes, r.config.IngressRoute}, key{coreServices, r.config.Stable.Service}, key{coreServices, r.config.Canary.Service}:
		return true
	}
	return false
}
