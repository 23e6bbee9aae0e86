package traefikcrd

import (
	"context"
	"encoding/json"
	"strconv"
	"sync"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/traefik/traefik/v3/pkg/provider/kubernetes/crd/traefikio/v1alpha1"
)

// knowledge is what the watches of all rollouts have reported about the cluster. A cached object is trusted while a
// watch of its kind stands there, and if that watch has come as far as what Serin itself wrote. Where it is not, the
// API server is asked: a daemon without the right to watch works as well, at more requests.
type knowledge struct {
	mu    sync.Mutex // guards what follows
	feeds map[feedKey]*feed
	wrote map[writtenKey]mark
}

// feedKey is a kind of objects in a place.
type feedKey struct {
	Place
	kind kindName
}

// endpoints is the kind of EndpointSlices, which belong to a Service.
const endpoints kindName = "EndpointSlice"

type writtenKey struct {
	namespace string
	key
}

// mark is what Serin has made of an object last: a version of it, or that the one with the UID is gone.
type mark struct {
	version string
	gone    types.UID
}

func newKnowledge() *knowledge {
	return &knowledge{feeds: map[feedKey]*feed{}, wrote: map[writtenKey]mark{}}
}

// feed is one kind in one place, kept up to date by a watch.
type feed struct {
	informer cache.SharedIndexInformer

	mu    sync.Mutex // guards stand
	stand int        // watches that stand
}

// current reports whether the cache is up to date, except for events in flight.
func (f *feed) current() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stand > 0 && f.informer.HasSynced()
}

// standing is a watch that counts as open until it is stopped. A reflector stops one that ends.
type standing struct {
	watch.Interface
	end func()
}

func (s *standing) Stop() {
	s.end()
	s.Interface.Stop()
}

// begun counts a watch as open.
func (f *feed) begun(w watch.Interface, err error) (watch.Interface, error) {
	if err != nil {
		return nil, err
	}
	f.count(1)
	return &standing{w, sync.OnceFunc(func() { f.count(-1) })}, nil
}

func (f *feed) count(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stand += n
}

// current returns the feed of a kind in a place; nil while the API server has to be asked.
func (n *knowledge) current(p Place, kind kindName) cache.Indexer {
	n.mu.Lock()
	f := n.feeds[feedKey{p, kind}]
	n.mu.Unlock()
	if f == nil || !f.current() {
		return nil
	}
	return f.informer.GetIndexer()
}

func (n *knowledge) put(k feedKey, f *feed) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if f == nil {
		delete(n.feeds, k)
		return
	}
	n.feeds[k] = f
}

// mark remembers the version of an object that Serin has written.
func (n *knowledge) mark(namespace string, k key, m mark) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.wrote[writtenKey{namespace, k}] = m
}

func (n *knowledge) forget(namespace string, k key) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.wrote, writtenKey{namespace, k})
}

// caughtUp reports whether the cached object is at least as new as Serin's own last write; o is nil if none is cached.
func (n *knowledge) caughtUp(namespace string, k key, o metav1.Object) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	at := writtenKey{namespace, k}
	m, wrote := n.wrote[at]
	switch {
	case !wrote:
		return true
	case m.gone != "" && o != nil && o.GetUID() == m.gone, m.gone == "" && (o == nil || !asNew(o.GetResourceVersion(), m.version)):
		return false
	}
	delete(n.wrote, at)
	return true
}

// asNew compares versions, which are growing numbers.
func asNew(version, than string) bool {
	a, errA := strconv.ParseUint(version, 10, 64)
	b, errB := strconv.ParseUint(than, 10, 64)
	return errA == nil && errB == nil && a >= b
}

// known reads from the cache what it has, and the rest from the API server.
type known struct {
	*live
	knowledge *knowledge
}

func (c *known) object(ctx context.Context, k key) (*stored, error) {
	if in := c.knowledge.current(Place{Namespace: c.namespace}, k.kind); in != nil {
		o, err := objectIn(in, c.namespace, k.name)
		if err == nil && c.knowledge.caughtUp(c.namespace, k, o) {
			if o == nil {
				return nil, nil //nolint:nilnil // nothing is an answer
			}
			return c.kinds[k.kind].of(o)
		}
	}
	s, err := c.live.object(ctx, k)
	if err == nil && s == nil {
		c.knowledge.forget(c.namespace, k) // another writer has deleted what Serin wrote
	}
	return s, err
}

func (c *known) ingressRoute(ctx context.Context, name string) ([]byte, error) {
	k := key{ingressRoutes, name}
	if in := c.knowledge.current(Place{Namespace: c.namespace}, k.kind); in != nil {
		o, err := objectIn(in, c.namespace, name)
		if err == nil && o != nil && c.knowledge.caughtUp(c.namespace, k, o) {
			return json.Marshal(o)
		}
	}
	return c.live.ingressRoute(ctx, name) // the API server's answer is the best way to say that there is none
}

func (c *known) service(ctx context.Context, namespace, name string) (*corev1.Service, error) {
	for _, p := range []Place{{Namespace: namespace}, {Namespace: namespace, Service: name}} {
		if in := c.knowledge.current(p, coreServices); in != nil {
			o, err := objectIn(in, namespace, name)
			if s, ok := o.(*corev1.Service); ok && err == nil {
				return s, nil
			}
		}
	}
	return c.live.service(ctx, namespace, name)
}

func (c *known) slices(ctx context.Context, namespace, service string) ([]discoveryv1.EndpointSlice, error) {
	for _, p := range []Place{{Namespace: namespace}, {Namespace: namespace, Service: service}} {
		in := c.knowledge.current(p, endpoints)
		if in == nil {
			continue
		}
		list, err := in.ByIndex(byService, service)
		if err != nil {
			continue
		}
		var out []discoveryv1.EndpointSlice
		for _, o := range list {
			if s, ok := o.(*discoveryv1.EndpointSlice); ok {
				out = append(out, *s)
			}
		}
		return out, nil
	}
	return c.live.slices(ctx, namespace, service)
}

// objectIn returns an object of a feed; nil if there is none.
func objectIn(in cache.Indexer, namespace, name string) (metav1.Object, error) {
	found, there, err := in.GetByKey(namespace + "/" + name)
	if err != nil || !there {
		return nil, err
	}
	o, ok := found.(metav1.Object)
	if !ok {
		return nil, nil //nolint:nilnil // there is nothing else in it
	}
	return o, nil
}

// byService finds the endpoint slices of a Service.
const byService = "service"

var indexers = cache.Indexers{byService: func(o any) ([]string, error) {
	if s, ok := o.(*discoveryv1.EndpointSlice); ok {
		return []string{s.Labels[discoveryv1.LabelServiceName]}, nil
	}
	return nil, nil
}}

// slim drops what is not needed here: a namespace may have thousands of endpoints. Managed fields stay on Serin's own
// objects and Traefik's: messages say who wrote what.
func slim(o any) (any, error) {
	switch o := o.(type) {
	case *discoveryv1.EndpointSlice:
		o.ManagedFields, o.Annotations = nil, nil
		for i := range o.Endpoints {
			e := &o.Endpoints[i]
			*e = discoveryv1.Endpoint{Addresses: e.Addresses, Conditions: discoveryv1.EndpointConditions{Ready: e.Conditions.Ready}}
		}
	case *corev1.Service:
		if o.Labels[managedLabel] != manager {
			o.ManagedFields = nil
		}
	}
	return o, nil
}

// routeOf converts an IngressRoute to Traefik's type.
func routeOf(o *unstructured.Unstructured) (*v1alpha1.IngressRoute, error) {
	data, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	route := &v1alpha1.IngressRoute{}
	return route, json.Unmarshal(data, route)
}
