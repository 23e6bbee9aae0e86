package kubeobjects

import (
	"context"
	"encoding/json"
	"strconv"
	"sync"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"github.com/serindev/serin/internal/mirror"
)

// Knowledge is what the watches of all rollouts have reported about the cluster. A cached object is trusted while a
// watch of its kind is open there and has caught up with what Serin itself wrote. Otherwise the API server is asked: a
// daemon without the right to watch works too, with more requests.
type Knowledge struct {
	mu    sync.Mutex // guards what follows
	feeds map[feedKey]*mirror.Mirror
	wrote map[writtenKey]mark
}

// feedKey is a kind of objects in a place.
type feedKey struct {
	Place
	kind KindName
}

type writtenKey struct {
	namespace string
	Key
}

// mark is what Serin last did to an object: a version of it, or that the one with the UID is gone.
type mark struct {
	version string
	gone    types.UID
}

// NewKnowledge knows nothing yet.
func NewKnowledge() *Knowledge {
	return &Knowledge{feeds: map[feedKey]*mirror.Mirror{}, wrote: map[writtenKey]mark{}}
}

// current returns the feed of a kind in a place; nil while the API server has to be asked.
func (n *Knowledge) current(p Place, kind KindName) cache.Indexer {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, at := range []Place{p, Everywhere} {
		if f := n.feeds[feedKey{at, kind}]; f != nil && f.Current() {
			return f.Objects()
		}
	}
	return nil
}

// among returns the feed of a kind in a whole namespace, as [Knowledge.current] does.
func (n *Knowledge) among(namespace string, kind KindName) cache.Indexer {
	if in := n.current(Place{Namespace: namespace}, kind); in != nil {
		return in
	}
	return n.current(Place{Namespace: namespace, Arms: true}, kind)
}

func (n *Knowledge) put(k feedKey, m *mirror.Mirror) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.feeds[k] = m
}

// drop removes a feed, unless the place is watched again already.
func (n *Knowledge) drop(k feedKey, m *mirror.Mirror) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.feeds[k] == m {
		delete(n.feeds, k)
	}
}

// mark remembers the version of an object that Serin has written.
func (n *Knowledge) mark(namespace string, k Key, m mark) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.wrote[writtenKey{namespace, k}] = m
}

func (n *Knowledge) forget(namespace string, k Key) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.wrote, writtenKey{namespace, k})
}

// caughtUp reports whether the cached object is at least as new as Serin's own last write; o is nil if none is cached.
func (n *Knowledge) caughtUp(namespace string, k Key, o metav1.Object) bool {
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
type known struct{ live }

func (c *known) Object(ctx context.Context, k Key) (*Stored, error) {
	home := c.home(k.Kind)
	if in := c.knowledge.among(home, k.Kind); in != nil {
		o, err := objectIn(in, home, k.Name)
		if err == nil && c.knowledge.caughtUp(home, k, o) {
			if o == nil {
				return nil, nil //nolint:nilnil // there is none, which is known
			}
			return c.kinds[k.Kind].of(o)
		}
	}
	s, err := c.live.Object(ctx, k)
	if err == nil && s == nil {
		c.knowledge.forget(home, k) // another writer has deleted what Serin wrote
	}
	return s, err
}

func (c *known) Raw(ctx context.Context, k Key) ([]byte, error) {
	if in := c.knowledge.current(Place{Namespace: c.namespace}, k.Kind); in != nil {
		o, err := objectIn(in, c.namespace, k.Name)
		if err == nil && o != nil && c.knowledge.caughtUp(c.namespace, k, o) {
			return json.Marshal(o)
		}
	}
	return c.live.Raw(ctx, k) // the API server's answer is the best error for a missing one
}

func (c *known) Service(ctx context.Context, namespace, name string) (*corev1.Service, error) {
	for _, in := range []cache.Indexer{
		c.knowledge.among(namespace, Services), c.knowledge.current(Place{Namespace: namespace, Service: name}, Services),
	} {
		if in != nil {
			o, err := objectIn(in, namespace, name)
			if s, ok := o.(*corev1.Service); ok && err == nil {
				return s, nil
			}
		}
	}
	return c.live.Service(ctx, namespace, name)
}

func (c *known) Slices(ctx context.Context, namespace, service string) ([]discoveryv1.EndpointSlice, error) {
	for _, in := range []cache.Indexer{
		c.knowledge.among(namespace, endpoints), c.knowledge.current(Place{Namespace: namespace, Service: service}, endpoints),
	} {
		if in == nil {
			continue
		}
		list, err := in.ByIndex(byService, namespace+"/"+service)
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
	return c.live.Slices(ctx, namespace, service)
}

// objectIn returns an object of a feed; nil if there is none.
func objectIn(in cache.Indexer, namespace, name string) (metav1.Object, error) {
	found, there, err := in.GetByKey(namespace + "/" + name)
	if err != nil || !there {
		return nil, err
	}
	o, ok := found.(metav1.Object)
	if !ok {
		return nil, nil //nolint:nilnil // the index holds nothing else
	}
	return o, nil
}

// byService finds the endpoint slices of a Service.
const byService = "service"

var indexers = cache.Indexers{byService: func(o any) ([]string, error) {
	if s, ok := o.(*discoveryv1.EndpointSlice); ok {
		return []string{s.Namespace + "/" + s.Labels[discoveryv1.LabelServiceName]}, nil
	}
	return nil, nil
}}

// slim drops what is not needed here: a namespace may have thousands of endpoints. Managed fields stay on Serin's own
// objects and Traefik's: messages say who wrote what.
func slim(o any) any {
	switch o := o.(type) {
	case *discoveryv1.EndpointSlice:
		o.ManagedFields, o.Annotations = nil, nil
		for i := range o.Endpoints {
			e := &o.Endpoints[i]
			*e = discoveryv1.Endpoint{Addresses: e.Addresses, Conditions: discoveryv1.EndpointConditions{Ready: e.Conditions.Ready}}
		}
	case *corev1.Service:
		if o.Labels[ManagedLabel] != Manager {
			o.ManagedFields = nil
		}
	}
	return o
}
