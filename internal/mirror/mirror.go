// Package mirror keeps the objects of one kind in memory, up to date by a watch.
//
// It is client-go's Reflector with a store of its own. A shared informer does the same for several listeners; with one
// listener, its queues and goroutines are most of what a quiet watch costs, and a daemon may have hundreds of watches:
// see docs/decisions/0039-a-watch-costs-little.md.
package mirror

import (
	"context"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
)

// Source lists and watches objects. The generated clients do, and the dynamic one.
type Source[L runtime.Object] interface {
	List(ctx context.Context, o metav1.ListOptions) (L, error)
	Watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error)
}

// Config says what to keep, and whom to notify. Its functions are called from one goroutine, one at a time, and the
// watch waits for them, so they have to return at once.
type Config struct {
	// Narrow restricts what is listed and watched; nil for everything.
	Narrow func(*metav1.ListOptions)
	// Indexers are those of [Mirror.Objects]; nil for none.
	Indexers cache.Indexers
	// Slim returns what is kept of an object; nil keeps all of it.
	Slim func(o any) any
	// Changed is called after each change. It may be nil.
	Changed func(Change)
	// Answered is called when the API server has accepted a list or a watch. It may be nil.
	Answered func()
	// Failed is called with the reason why there is no watch. The next attempt follows within a minute. It may be nil.
	Failed func(error)
}

// Change is an object that was created, changed or deleted.
type Change struct {
	// Before is nil for an object that was created, Now for one that was deleted.
	Before, Now any
	// First: it already existed when the mirror was filled.
	First bool
}

// Object is its newest known state.
func (c Change) Object() any {
	if c.Now == nil {
		return c.Before
	}
	return c.Now
}

// Mirror is one kind of objects, in one namespace or in the whole cluster.
type Mirror struct {
	config  Config
	source  *cache.ListWatch
	objects cache.Indexer
	filled  chan struct{} // closed once the first list is complete
	open    atomic.Int32  // how many watches are open
	filling *counted      // a watch that begins with what a list would return; only the reflector's goroutine uses it
}

// Of returns an empty mirror of what a source has. [Mirror.Run] fills it.
func Of[L runtime.Object](s Source[L], c Config) *Mirror {
	m := &Mirror{config: c, objects: cache.NewIndexer(cache.MetaNamespaceKeyFunc, c.Indexers), filled: make(chan struct{})}
	narrow := func(o *metav1.ListOptions) {
		if c.Narrow != nil {
			c.Narrow(o)
		}
	}
	m.source = &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			narrow(&o)
			list, err := s.List(ctx, o)
			if err != nil {
				return nil, err
			}
			m.answered()
			return list, nil
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			narrow(&o)
			w, err := s.Watch(ctx, o)
			if err != nil {
				return nil, err
			}
			m.answered()
			c := &counted{Interface: w, of: &m.open}
			if o.SendInitialEvents != nil && *o.SendInitialEvents {
				m.filling = c // client-go's feature WatchListClient: until all have arrived, the store has what was known before
			} else {
				c.begin()
			}
			return c, nil
		},
	}
	return m
}

func (m *Mirror) answered() {
	if m.config.Answered != nil {
		m.config.Answered()
	}
}

// counted is a watch that counts as open from its begin until it is stopped. A reflector stops one that has ended.
type counted struct {
	watch.Interface
	of    *atomic.Int32
	state atomic.Int32 // 1 while it counts, 2 afterwards
}

func (c *counted) begin() {
	if c.state.CompareAndSwap(0, 1) {
		c.of.Add(1)
	}
}

// Stop implements [watch.Interface].
func (c *counted) Stop() {
	if c.state.Swap(2) == 1 {
		c.of.Add(-1)
	}
	c.Interface.Stop()
}

// Objects returns the last known objects. They must not be changed.
func (m *Mirror) Objects() cache.Indexer { return m.objects }

// Filled is closed once the first list is complete.
func (m *Mirror) Filled() <-chan struct{} { return m.filled }

// HasFilled reports whether the first list is complete.
func (m *Mirror) HasFilled() bool {
	select {
	case <-m.filled:
		return true
	default:
		return false
	}
}

// Current reports whether the objects are up to date, except for events in flight: a watch is open.
func (m *Mirror) Current() bool { return m.open.Load() > 0 && m.HasFilled() }

// The pauses between two attempts, the same as those of client-go's informers.
const (
	firstPause   = 800 * time.Millisecond
	longestPause = 30 * time.Second // plus a random part of up to as much again
	calmAfter    = 2 * time.Minute  // without a failure, the next pause is the first again
)

// Run keeps the mirror up to date until ctx ends. It may be called once.
func (m *Mirror) Run(ctx context.Context) {
	r := cache.NewReflectorWithOptions(m.source, nil, (*store)(m), cache.ReflectorOptions{
		Name: "serin", TypeDescription: "objects", // the API server's own errors say of which kind
	})
	pause := wait.Backoff{Duration: firstPause, Cap: longestPause, Steps: 10, Factor: 2, Jitter: 1}.DelayWithReset(clock.RealClock{}, calmAfter)
	for {
		if err := r.ListAndWatchWithContext(ctx); err != nil && ctx.Err() == nil && m.config.Failed != nil {
			m.config.Failed(err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause()):
		}
	}
}

// store is the mirror as its reflector, which has one goroutine, writes to it.
type store Mirror

var _ cache.ReflectorStore = (*store)(nil)

// Add implements [cache.ReflectorStore].
func (s *store) Add(o any) error { return s.put(o) }

// Update implements [cache.ReflectorStore].
func (s *store) Update(o any) error { return s.put(o) }

// put keeps an object. An event may repeat what a list already had.
func (s *store) put(o any) error {
	o = s.slim(o)
	before, _, err := s.objects.Get(o)
	if err == nil {
		err = s.objects.Update(o)
	}
	if err == nil {
		s.changed(Change{Before: before, Now: o})
	}
	return err
}

// Delete implements [cache.ReflectorStore].
func (s *store) Delete(o any) error {
	o = s.slim(o) // its last state
	err := s.objects.Delete(o)
	if err == nil {
		s.changed(Change{Before: o})
	}
	return err
}

// Replace implements [cache.ReflectorStore].
func (s *store) Replace(list []any, version string) error {
	before := map[string]any{}
	for _, key := range s.objects.ListKeys() {
		before[key], _, _ = s.objects.GetByKey(key) // an indexer never fails
	}
	for i := range list {
		list[i] = s.slim(list[i])
	}
	if err := s.objects.Replace(list, version); err != nil {
		return err
	}
	if s.filling != nil {
		s.filling.begin()
		s.filling = nil
	}
	first := !(*Mirror)(s).HasFilled()
	if first {
		close(s.filled)
	}
	for _, o := range list {
		key, err := cache.MetaNamespaceKeyFunc(o)
		if err != nil {
			return err
		}
		s.changed(Change{Before: before[key], Now: o, First: first})
		delete(before, key)
	}
	for _, gone := range before {
		s.changed(Change{Before: gone})
	}
	return nil
}

// Resync implements [cache.ReflectorStore]; it does nothing.
func (s *store) Resync() error { return nil }

func (s *store) slim(o any) any {
	if s.config.Slim == nil {
		return o
	}
	return s.config.Slim(o)
}

func (s *store) changed(c Change) {
	if s.config.Changed != nil {
		s.config.Changed(c)
	}
}
