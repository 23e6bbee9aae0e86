package traefikcrd

import (
	"context"
	"fmt"
	"slices"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/traefik/traefik/v3/pkg/provider/kubernetes/crd/generated/clientset/versioned"
	"github.com/traefik/traefik/v3/pkg/provider/kubernetes/crd/traefikio/v1alpha1"

	"github.com/serindev/serin/internal/kubernetes"
	"github.com/serindev/serin/traffic/kubeobjects"
	"github.com/serindev/serin/traffic/traefikapi"
)

// Clients talk to one cluster on behalf of the routers of all rollouts, which share a limit of requests per second and the
// state that watches have reported.
type Clients struct {
	kubernetes kubernetes.Interface
	traefik    versioned.Interface
	dynamic    dynamic.Interface
	knowledge  *kubeobjects.Knowledge
	api        *traefikapi.Client // shared, so that requests of several rollouts can be merged
}

// Connect makes clients for the cluster that c leads to, without sending a request.
func Connect(c *rest.Config) (*Clients, error) {
	k, d, err := kubeobjects.Connect(c)
	if err != nil {
		return nil, err
	}
	t, err := versioned.NewForConfig(c)
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	return &Clients{kubernetes: k, traefik: t, dynamic: d, knowledge: kubeobjects.NewKnowledge(), api: traefikapi.NewClient(nil)}, nil
}

// Router is [New] with these clients and their watches.
func (c *Clients) Router(config Config) (*Router, error) {
	r, err := newRouter(config, c.kubernetes, c.traefik, c.knowledge)
	if err == nil && config.Verify.Client == nil {
		r.api = c.api
	}
	return r, err
}

// Place and Change are the types of [Clients.Watch].
type (
	Place  = kubeobjects.Place
	Change = kubeobjects.Change
)

// Watch is [kubeobjects.Knowledge.Watch] with Traefik's kinds, for the routers of these clients.
func (c *Clients) Watch(ctx context.Context, p Place, changed func(Change)) {
	traefik := c.traefik.TraefikV1alpha1()
	// Traefik's type would drop fields of an adopted IngressRoute that it does not know.
	routes := c.dynamic.Resource(v1alpha1.SchemeGroupVersion.WithResource("ingressroutes")).Namespace(p.Namespace)
	c.knowledge.Watch(ctx, c.kubernetes, p, map[kubeobjects.KindName]kubeobjects.Feed{
		ingressRoutes:   kubeobjects.FeedOf(routes),
		traefikServices: kubeobjects.FeedOf(traefik.TraefikServices(p.Namespace)),
		middlewares:     kubeobjects.FeedOf(traefik.Middlewares(p.Namespace)),
	}, changed)
}

// Everywhere reports whether [kubeobjects.Everywhere] may be watched.
func (c *Clients) Everywhere(ctx context.Context) (bool, error) {
	group := v1alpha1.SchemeGroupVersion.Group
	return kubeobjects.MayWatch(ctx, c.kubernetes, append(slices.Clone(kubeobjects.Resources),
		kubeobjects.Resource{Group: group, Name: "ingressroutes"}, kubeobjects.Resource{Group: group, Name: "traefikservices"},
		kubeobjects.Resource{Group: group, Name: "middlewares"}))
}

// Places returns the places whose objects the router reads.
func (r *Router) Places() []Place { return r.objects.Places(&r.config.Verify) }

// Watched reports whether everything in the cluster that the rollout's traffic depends on is being watched.
func (r *Router) Watched() bool { return r.objects.Watched(r.Places()) }

// Concerns reports whether a change affects something that the rollout's traffic depends on.
func (r *Router) Concerns(c Change) bool {
	home := r.config.Namespace
	if c.Object.Kind == coreServices {
		home = r.config.arms()
	}
	switch {
	case c.Namespace != home:
		return r.objects.Behind(r.Places(), c)
	case slices.Contains(r.config.keys(), c.Object):
		return true
	case c.Object.Kind == ingressRoutes:
		return slices.Contains(r.config.adopts(), c.Object.Name)
	}
	return c.Object == named(coreServices, r.config.Stable.Service) || c.Object == named(coreServices, r.config.Canary.Service)
}
