package traefiktcp

import (
	"context"
	"slices"

	"github.com/traefik/traefik/v3/pkg/provider/kubernetes/crd/traefikio/v1alpha1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/serindev/serin/internal/kubernetes"
	"github.com/serindev/serin/traffic/kubeobjects"
	"github.com/serindev/serin/traffic/traefikapi"
)

// routes is the kind of objects that Serin writes for Traefik.
const routes kubeobjects.KindName = "IngressRouteTCP"

var resource = v1alpha1.SchemeGroupVersion.WithResource("ingressroutetcps")

func kindsOf(c *Config, d dynamic.Interface) map[kubeobjects.KindName]kubeobjects.Kind {
	if d == nil {
		return nil
	}
	return map[kubeobjects.KindName]kubeobjects.Kind{
		routes: kubeobjects.KindOfRaw(v1alpha1.SchemeGroupVersion.String(), d.Resource(resource).Namespace(c.Namespace)),
	}
}

// Clients talk to one cluster on behalf of the routers of all rollouts, which share a limit of requests per second and the
// state that watches have reported.
type Clients struct {
	kubernetes kubernetes.Interface
	dynamic    dynamic.Interface
	knowledge  *kubeobjects.Knowledge
	api        *traefikapi.Client // shared, with its connections
}

// Connect makes clients for the cluster that c leads to, without sending a request.
func Connect(c *rest.Config) (*Clients, error) {
	k, d, err := kubeobjects.Connect(c)
	if err != nil {
		return nil, err
	}
	return &Clients{kubernetes: k, dynamic: d, knowledge: kubeobjects.NewKnowledge(), api: traefikapi.NewClient(nil)}, nil
}

// Router is [New] with these clients and their watches.
func (c *Clients) Router(config Config) (*Router, error) {
	r, err := newRouter(config, c.kubernetes, c.dynamic, c.knowledge)
	if err == nil && config.Verify.Client == nil {
		r.api = c.api
	}
	return r, err
}

// Watch is [kubeobjects.Knowledge.Watch] with IngressRouteTCPs, for the routers of these clients.
func (c *Clients) Watch(ctx context.Context, p kubeobjects.Place, changed func(kubeobjects.Change)) {
	c.knowledge.Watch(ctx, c.kubernetes, p, map[kubeobjects.KindName]kubeobjects.Feed{
		routes: kubeobjects.FeedOf(c.dynamic.Resource(resource).Namespace(p.Namespace)),
	}, changed)
}

// Everywhere reports whether [kubeobjects.Everywhere] may be watched.
func (c *Clients) Everywhere(ctx context.Context) (bool, error) {
	return kubeobjects.MayWatch(ctx, c.kubernetes,
		append(slices.Clone(kubeobjects.Resources), kubeobjects.Resource{Group: resource.Group, Name: resource.Resource}))
}

// Places returns the places whose objects the router reads.
func (r *Router) Places() []kubeobjects.Place { return r.objects.Places(&r.config.Verify) }

// Watched reports whether everything in the cluster that the rollout's traffic depends on is being watched.
func (r *Router) Watched() bool { return r.objects.Watched(r.Places()) }

// Concerns reports whether a change affects something that the rollout's traffic depends on.
func (r *Router) Concerns(c kubeobjects.Change) bool {
	switch {
	case c.Object.Kind == routes && c.Namespace == r.config.Namespace:
		return slices.Contains(r.config.names(), c.Object.Name)
	case c.Object.Kind == kubeobjects.Services && c.Namespace == r.config.arms() &&
		(c.Object.Name == r.config.Stable.Service || c.Object.Name == r.config.Canary.Service):
		return true
	}
	return r.objects.Behind(r.Places(), c)
}
