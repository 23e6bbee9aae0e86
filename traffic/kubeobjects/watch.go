package kubeobjects

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/serindev/serin/internal/kubernetes"
)

// Place is where objects are watched: what traffic consists of in a namespace; with Arms, its Services and endpoints alone;
// with a Service, that one and its endpoints, such as Traefik's.
type Place struct {
	Namespace, Service string
	Arms               bool
}

// Everywhere is the place that holds all others: one watch a kind serves the whole cluster. [MayWatch] says
// whether it is allowed.
var Everywhere = Place{}

// Resource is a kind of objects as the API server names it.
type Resource struct{ Group, Name string }

// Resources are what every backend watches, in addition to its own kinds.
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

// Watch watches a place until ctx ends; then it returns nil. Stores with this knowledge then see the place without
// requests, and changed is called, from several goroutines, whenever an object of the feeds, a Service or an endpoint
// has changed. feeds are the backend's own kinds; they are watched in whole namespaces only. One watch serves all
// rollouts of a place. Broken watches are opened again automatically; until they are, and where they are not allowed,
// stores ask the API server.
func (n *Knowledge) Watch(ctx context.Context, k kubernetes.Interface, p Place, feeds map[KindName]*Feed, changed func(Change)) error {
	var running sync.WaitGroup
	defer running.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	all := coreFeeds(k, p)
	if p.Service == "" && !p.Arms {
		maps.Copy(all, feeds)
	}
	for kind, f := range all {
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
		n.put(feedKey{p, kind}, f)
		defer n.put(feedKey{p, kind}, nil)
		running.Go(func() { f.informer.RunWithContext(ctx) })
	}
	<-ctx.Done()
	return nil
}

// coreFeeds are the kinds that are watched for every backend.
func coreFeeds(k kubernetes.Interface, p Place) map[KindName]*Feed {
	core, slicesOf := k.CoreV1().Services(p.Namespace), k.DiscoveryV1().EndpointSlices(p.Namespace)
	if p.Service != "" {
		return map[KindName]*Feed{
			Services:  feedOf(&corev1.Service{}, core, func(o *metav1.ListOptions) { o.FieldSelector = "metadata.name=" + p.Service }),
			endpoints: feedOf(&discoveryv1.EndpointSlice{}, slicesOf, func(o *metav1.ListOptions) { o.LabelSelector = selects(p.Service).LabelSelector }),
		}
	}
	return map[KindName]*Feed{Services: FeedOf(&corev1.Service{}, core), endpoints: FeedOf(&discoveryv1.EndpointSlice{}, slicesOf)}
}

// Lister is what the generated clients have in common.
type Lister[L runtime.Object] interface {
	List(ctx context.Context, o metav1.ListOptions) (L, error)
	Watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error)
}

// FeedOf makes the feed of a kind in a namespace, for [Knowledge.Watch].
func FeedOf[L runtime.Object](example runtime.Object, c Lister[L]) *Feed {
	return feedOf(example, c, func(*metav1.ListOptions) {})
}

func feedOf[L runtime.Object](example runtime.Object, c Lister[L], narrow func(*metav1.ListOptions)) *Feed {
	f := &Feed{}
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

func handler(kind KindName, changed func(Change)) cache.ResourceEventHandler {
	tell := func(o any) {
		if last, ok := o.(cache.DeletedFinalStateUnknown); ok {
			o = last.Obj
		}
		switch o := o.(type) {
		case *discoveryv1.EndpointSlice:
			changed(Change{o.Namespace, Key{Services, o.Labels[discoveryv1.LabelServiceName]}})
		case metav1.Object:
			changed(Change{o.GetNamespace(), Key{kind, o.GetName()}})
		}
	}
	return cache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(o any, initial bool) {
			if !initial { // what exists at the start is not a change
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

// Behind reports whether a change in another namespace concerns a Service that is a place.
func (s *Store) Behind(places []Place, c Change) bool {
	return slices.ContainsFunc(places, func(p Place) bool {
		return p.Namespace == c.Namespace && p.Service != "" && c.Object == Key{Services, p.Service}
	})
}
