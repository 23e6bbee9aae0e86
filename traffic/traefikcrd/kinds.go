package traefikcrd

import (
	"context"

	"github.com/traefik/traefik/v3/pkg/provider/kubernetes/crd/generated/clientset/versioned"
	"github.com/traefik/traefik/v3/pkg/provider/kubernetes/crd/traefikio/v1alpha1"

	"github.com/serindev/serin/traffic/kubeobjects"
)

type (
	key    = kubeobjects.Key
	object = kubeobjects.Object
	stored = kubeobjects.Stored
	source = kubeobjects.Source
)

// The kinds of objects that Serin writes for Traefik.
const (
	ingressRoutes   kubeobjects.KindName = "IngressRoute"
	traefikServices kubeobjects.KindName = "TraefikService"
	middlewares     kubeobjects.KindName = "Middleware"
	coreServices                         = kubeobjects.Services
)

// ErrForeign and ErrNoEndpoints are returned by [Router.Apply].
var (
	ErrForeign     = kubeobjects.ErrForeign
	ErrNoEndpoints = kubeobjects.ErrNoEndpoints
)

func named(kind kubeobjects.KindName, name string) key { return key{Kind: kind, Name: name} }

func kindsOf(namespace string, t versioned.Interface) map[kubeobjects.KindName]kubeobjects.Kind {
	if t == nil {
		return nil
	}
	const traefik = "traefik.io/v1alpha1"
	api := t.TraefikV1alpha1()
	raw := func(ctx context.Context, name string) ([]byte, error) {
		return api.RESTClient().Get().Namespace(namespace).Resource("ingressroutes").Name(name).Do(ctx).Raw()
	}
	return map[kubeobjects.KindName]kubeobjects.Kind{
		ingressRoutes:   kubeobjects.KindOf(traefik, api.IngressRoutes(namespace), func(o *v1alpha1.IngressRoute) any { return &o.Spec }, raw),
		traefikServices: kubeobjects.KindOf(traefik, api.TraefikServices(namespace), func(o *v1alpha1.TraefikService) any { return &o.Spec }, nil),
		middlewares:     kubeobjects.KindOf(traefik, api.Middlewares(namespace), func(o *v1alpha1.Middleware) any { return &o.Spec }, nil),
	}
}
