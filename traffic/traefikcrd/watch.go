package traefikcrd

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/traefik/traefik/v3/pkg/provider/kubernetes/crd/generated/clientset/versioned"
	traefikinformers "github.com/traefik/traefik/v3/pkg/provider/kubernetes/crd/generated/informers/externalversions"
)

// settle is how long changes are gathered before they are told: one act of a person or a controller is several events.
const settle = 20 * time.Millisecond

// Watch calls changed, from one goroutine, soon after anything of Traefik's or any endpoint in a namespace has changed,
// until ctx ends; then it returns nil. One watch serves all rollouts of a namespace: each that is told observes its
// own traffic. Watches that break are begun anew by themselves.
func Watch(ctx context.Context, namespace string, k kubernetes.Interface, t versioned.Interface, changed func()) error {
	events := make(chan struct{}, 1)
	tell := func() {
		select {
		case events <- struct{}{}:
		default: // it will be told anyway
		}
	}
	handler := cache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(_ any, initial bool) { // what is there at the start is no change
			if !initial {
				tell()
			}
		},
		UpdateFunc: func(old, now any) {
			if version(old) != version(now) {
				tell()
			}
		},
		DeleteFunc: func(any) { tell() },
	}
	traefik := traefikinformers.NewSharedInformerFactoryWithOptions(t, 0, traefikinformers.WithNamespace(namespace))
	core := informers.NewSharedInformerFactoryWithOptions(k, 0, informers.WithNamespace(namespace))
	for what, informer := range map[string]cache.SharedIndexInformer{
		"IngressRoutes":   traefik.Traefik().V1alpha1().IngressRoutes().Informer(),
		"TraefikServices": traefik.Traefik().V1alpha1().TraefikServices().Informer(),
		"Middlewares":     traefik.Traefik().V1alpha1().Middlewares().Informer(),
		"EndpointSlices":  core.Discovery().V1().EndpointSlices().Informer(),
	} {
		if _, err := informer.AddEventHandler(handler); err != nil {
			return fmt.Errorf("watch the %s of namespace %s: %w", what, namespace, err)
		}
	}
	traefik.Start(ctx.Done())
	core.Start(ctx.Done())
	defer traefik.Shutdown()
	defer core.Shutdown()
	gather := time.NewTimer(settle)
	gather.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-events:
			gather.Reset(settle)
		case <-gather.C:
			changed()
		}
	}
}

func version(o any) string {
	if m, ok := o.(metav1.Object); ok {
		return m.GetResourceVersion()
	}
	return ""
}
