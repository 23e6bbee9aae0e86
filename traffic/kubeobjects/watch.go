package kubeobjects

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	authorizationv1 "k8s.io/api/authorization/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/serindev/serin/internal/kubernetes"
	"github.com/serindev/serin/internal/mirror"
)

// Place is where objects are watched: in a namespace, all that traffic consists of, or with Arms only Services and
// endpoints; with a Service, only that one and its endpoints, such as Traefik's.
type Place struct {
	Namespace, Service string
	Arms               bool
}

// Everywhere is the place that contains all others: one watch per kind serves the whole cluster. [MayWatch] says
// whether that is allowed.
var Everywhere = Place{}

// Resource is a kind of objects as the API server names it.
type Resource struct{ Group, Name string }

// Resources are the kinds that every backend watches in addition to its own.
var Resources = []Resource{{"", "services"}, {"discovery.k8s.io", "endpointslices"}}

// MayWatch reports whether the API server lets this client list and watch kinds in the whole cluster.
func MayWatch(ctx context.Context, k kubernetes.Interface, kinds []Resource) (bool, error) {
	for _, kind := range kinds {
		for _, verb := range []string{"list", "watch"} {
			r := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
				ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: verb, Group: kind.Group, Resource: kind.Name},
			}}
			answer, err := k.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, r, metav1.CreateOptions{})
			if err != nil {
				return false, fmt.Errorf("ask for the right to %s %s: %w", verb, kind.Name, err)
			}
			if !answer.Status.Allowed {
				return false, nil
			}
		}
	}
	return true, nil
}

// Change is an object that was created, changed or deleted, or a Service whose endpoints were.
type Change struct {
	Namespace string
	Object    Key
}

// Watch watches a place until ctx ends. Stores with this knowledge then see the place without
// requests, and changed is called, from several goroutines, whenever an object of the feeds, a Service or an endpoint
// has changed. feeds are the backend's own kinds; they are watched in whole namespaces only. One watch serves all
// rollouts of a place. Broken watches are opened again automatically; until they are, and where they are not allowed,
// stores ask the API server.
func (n *Knowledge) Watch(ctx context.Context, k kubernetes.Interface, p Place, feeds map[KindName]Feed, changed func(Change)) {
	var running sync.WaitGroup
	defer running.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	all := coreFeeds(k, p)
	if p.Service == "" && !p.Arms {
		maps.Copy(all, feeds)
	}
	for kind, feed := range all {
		// No error is reported here: the requests to the API server that replace a broken watch report theirs.
		m := feed(mirror.Config{Indexers: indexers, Slim: slim, Changed: teller(kind, changed)})
		n.put(feedKey{p, kind}, m)
		defer n.drop(feedKey{p, kind}, m)
		running.Go(func() { m.Run(ctx) })
	}
	<-ctx.Done()
}

// coreFeeds are the kinds that are watched for every backend.
func coreFeeds(k kubernetes.Interface, p Place) map[KindName]Feed {
	core, slicesOf := k.CoreV1().Services(p.Namespace), k.DiscoveryV1().EndpointSlices(p.Namespace)
	if p.Service == "" {
		return map[KindName]Feed{Services: FeedOf(core), endpoints: FeedOf(slicesOf)}
	}
	return map[KindName]Feed{
		Services:  feedOf(core, func(o *metav1.ListOptions) { o.FieldSelector = "metadata.name=" + p.Service }),
		endpoints: feedOf(slicesOf, func(o *metav1.ListOptions) { o.LabelSelector = selects(p.Service).LabelSelector }),
	}
}

// Feed makes the mirror of a kind in a namespace, for [Knowledge.Watch].
type Feed func(mirror.Config) *mirror.Mirror

// FeedOf is the feed of what a client lists and watches.
func FeedOf[L runtime.Object](c mirror.Source[L]) Feed { return feedOf(c, nil) }

func feedOf[L runtime.Object](c mirror.Source[L], narrow func(*metav1.ListOptions)) Feed {
	return func(of mirror.Config) *mirror.Mirror {
		of.Narrow = narrow
		return mirror.Of(c, of)
	}
}

// teller calls changed with each change, except for the objects at the start, which have not changed.
func teller(kind KindName, changed func(Change)) func(mirror.Change) {
	return func(c mirror.Change) {
		if c.First || version(c.Before) == version(c.Now) {
			return
		}
		switch o := c.Object().(type) {
		case *discoveryv1.EndpointSlice:
			changed(Change{o.Namespace, Key{Services, o.Labels[discoveryv1.LabelServiceName]}})
		case metav1.Object:
			changed(Change{o.GetNamespace(), Key{kind, o.GetName()}})
		}
	}
}

func version(o any) string {
	if m, ok := o.(metav1.Object); ok {
		return m.GetResourceVersion()
	}
	return ""
}

// Watched reports whether there are watches on all kinds of the store in its namespaces, and on the Services of the other
// places.
func (s *Store) Watched(places []Place) bool {
	for _, p := range places {
		kinds := []KindName{Services, endpoints}
		if p.Service == "" && !p.Arms {
			for kind := range s.kinds {
				kinds = append(kinds, kind)
			}
		}
		for _, kind := range kinds {
			if s.knowledge.current(p, kind) == nil {
				return false
			}
		}
	}
	return true
}

// Behind reports whether a change in another namespace concerns a Service among the places.
func (s *Store) Behind(places []Place, c Change) bool {
	return slices.ContainsFunc(places, func(p Place) bool {
		return p.Namespace == c.Namespace && p.Service != "" && c.Object == Key{Services, p.Service}
	})
}
