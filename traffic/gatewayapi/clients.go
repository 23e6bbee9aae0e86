package gatewayapi

import (
	"context"
	"slices"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/serindev/serin/internal/kubernetes"
	"github.com/serindev/serin/traffic/kubeobjects"
	"github.com/serindev/serin/traffic/traefikapi"
)

// Clients talk to one cluster on behalf of the routers of all rollouts, which share a limit of requests per second and the
// state that watches have reported.
type Clients struct {
	kubernetes kubernetes.Interface
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

// Watch is [kubeobjects.Knowledge.Watch] with the kinds of Gateway API, for the routers of these clients. A kind that
// the cluster does not have costs an occasional request.
func (c *Clients) Watch(ctx context.Context, p kubeobjects.Place, changed func(kubeobjects.Change)) {
	feeds := map[kubeobjects.KindName]kubeobjects.Feed{}
	for kind, resource := range resources {
		feeds[kind] = kubeobjects.FeedOf(c.dynamic.Resource(resource).Namespace(p.Namespace))
	}
	c.knowledge.Watch(ctx, c.kubernetes, p, feeds, changed)
}

// Everywhere reports whether [kubeobjects.Everywhere] may be watched.
func (c *Clients) Everywhere(ctx context.Context) (bool, error) {
	kinds := slices.Clone(kubeobjects.Resources)
	for _, r := range resources {
		kinds = append(kinds, kubeobjects.Resource{Group: r.Group, Name: r.Resource})
	}
	return kubeobjects.MayWatch(ctx, c.kubernetes, kinds)
}

// Places returns the places whose objects the router reads.
func (r *Router) Places() []kubeobjects.Place { return r.objects.Places(&r.config.Verify) }

// Watched reports whether everything in the cluster that the rollout's traffic depends on is being watched.
func (r *Router) Watched() bool { return r.objects.Watched(r.Places()) }

// Concerns reports whether a change affects something that the rollout's traffic depends on.
func (r *Router) Concerns(c kubeobjects.Change) bool {
	home := r.config.Namespace
	if c.Object.Kind == kubeobjects.Services {
		home = r.config.arms()
	}
	if c.Namespace != home {
		return r.objects.Behind(r.Places(), c)
	}
	if slices.Contains(r.config.ownKeys(), c.Object) {
		return true
	}
	switch {
	case slices.Contains(r.config.kinds(), c.Object.Kind):
		for i := range r.config.names() {
			if c.Object == r.config.mainKey(i) {
				return true
			}
		}
	case c.Object.Kind == kubeobjects.Services:
		return c.Object.Name == r.config.Stable.Service || c.Object.Name == r.config.Canary.Service
	}
	return false
}
