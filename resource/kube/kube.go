// Package kube brings rollouts and analyses that are custom resources to Serin, and their statuses to the cluster. It
// lists the objects ([Cluster.Documents]), and keeps the status of each up to date ([Cluster.Report]).
//
// It does not validate objects: it passes them on as they are, and receives the outcome ([Cluster.Loaded]). Its only
// decision about a release is to roll it back when its object is deleted. Objects are watched, with one watch for each
// kind, or one for each kind and namespace, and never polled.
//
// # Rights
//
//	serin.dev  rollouts, analyses                get list watch
//	           rollouts                          patch     (finalizer)
//	           rollouts/status, analyses/status  patch
//	           events                            create    (for kubectl describe; optional)
//
// Without the definitions in the cluster, or without these rights, there are no such objects; Serin keeps looking for
// both.
package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/workqueue"

	"github.com/serindev/serin/internal/kubernetes"
	"github.com/serindev/serin/internal/mirror"
)

// Group and Version of the custom resources.
const (
	Group   = "serin.dev"
	Version = "v1alpha1"
)

// The kinds of objects.
const (
	Rollout  = "Rollout"
	Analysis = "Analysis"
)

var resources = map[string]schema.GroupVersionResource{
	Rollout:  {Group: Group, Version: Version, Resource: "rollouts"},
	Analysis: {Group: Group, Version: Version, Resource: "analyses"},
}

const (
	// manager is Serin's name among the field managers.
	manager = "serin"
	// finalizer, on a Rollout with a release under way, holds its deletion until all traffic is on one version.
	finalizer = Group + "/release"
)

// Config is what a [Cluster] needs.
type Config struct {
	// REST says where the API server is, who asks, and how often it may be asked.
	REST *rest.Config
	// Namespaces to watch; the whole cluster if empty.
	Namespaces []string
	// Leads returns nil as long as no other daemon can have begun to act; otherwise nothing is written. A nil Leads means
	// that this daemon is alone.
	Leads func() error
	Log   *slog.Logger
}

// Document is an object as its author wrote it.
type Document struct {
	Kind, Namespace, Name string
	Generation            int64
	Created               time.Time
	Spec                  json.RawMessage
}

// Cluster is one cluster. Its methods may be called concurrently.
type Cluster struct {
	client  kubernetes.Interface
	dynamic dynamic.Interface
	leads   func() error
	log     *slog.Logger
	feeds   []*feed
	changed chan struct{}
	queue   workqueue.TypedDelayingInterface[key]

	mu      sync.Mutex // guards what follows
	read    map[key]read
	loaded  map[key]Loaded
	written map[key]written
}

// key names an object.
type key ID

// rollout is what the daemon calls the object.
func (k key) rollout() string { return k.Namespace + "." + k.Name }

func (k key) String() string { return k.Kind + " " + k.Namespace + "/" + k.Name }

// read is the document made from one version of an object.
type read struct {
	uid types.UID
	Document
}

// feed is one watch.
type feed struct {
	kind, namespace string
	*mirror.Mirror

	mu     sync.Mutex
	absent error // why there can be no objects; nil if they are watched
}

// New makes a cluster without sending a request.
func New(c Config) (*Cluster, error) {
	if c.REST == nil || c.Log == nil {
		return nil, errors.New("a cluster needs the API server's address and a log")
	}
	client, err := kubernetes.NewForConfig(c.REST)
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	d, err := dynamic.NewForConfig(c.REST)
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	out := &Cluster{
		client: client, dynamic: d, leads: c.Leads, log: c.Log, changed: make(chan struct{}, 1),
		queue: workqueue.NewTypedDelayingQueue[key](), read: map[key]read{}, loaded: map[key]Loaded{}, written: map[key]written{},
	}
	if out.leads == nil {
		out.leads = func() error { return nil }
	}
	namespaces := slices.Compact(slices.Sorted(slices.Values(c.Namespaces)))
	if len(namespaces) == 0 {
		namespaces = []string{metav1.NamespaceAll}
	}
	for _, kind := range []string{Analysis, Rollout} {
		for _, namespace := range namespaces {
			out.feeds = append(out.feeds, out.feed(kind, namespace))
		}
	}
	return out, nil
}

func (c *Cluster) feed(kind, namespace string) *feed {
	f := &feed{kind: kind, namespace: namespace}
	f.Mirror = mirror.Of(c.dynamic.Resource(resources[kind]).Namespace(namespace), mirror.Config{
		Slim: slim, Changed: func(change mirror.Change) { c.saw(kind, change) },
		Answered: func() { f.stands(c) }, Failed: func(err error) { f.failed(c, err) },
	})
	return f
}

// slim drops what is not needed here.
func slim(o any) any {
	if u, ok := o.(*unstructured.Unstructured); ok {
		u.SetManagedFields(nil)
		u.SetAnnotations(nil)
	}
	return o
}

// stands is called when the cluster has answered.
func (f *feed) stands(c *Cluster) {
	f.mu.Lock()
	was := f.absent
	f.absent = nil
	f.mu.Unlock()
	if was != nil {
		c.log.Info("custom resources are watched", "kind", f.kind, "namespace", f.namespace)
	}
}

// failed is called when the cluster has refused, or has not answered.
func (f *feed) failed(c *Cluster, err error) {
	if !apierrors.IsNotFound(err) && !apierrors.IsForbidden(err) && !apierrors.IsMethodNotSupported(err) {
		c.log.Debug("the watch of custom resources has ended, it begins again", "kind", f.kind, "err", err)
		return
	}
	f.mu.Lock()
	known := f.absent != nil
	f.absent = err
	f.mu.Unlock()
	if known {
		return
	}
	what := "Serin may not watch custom resources of this kind"
	if apierrors.IsNotFound(err) {
		what = "the definitions of Serin's custom resources are not installed"
	}
	c.log.Warn("no custom resources are read", "kind", f.kind, "namespace", f.namespace, "why", what, "err", err)
	c.stir()
}

// known reports whether the objects are known.
func (f *feed) known() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.absent != nil || f.HasFilled()
}

// Run watches until ctx is done.
func (c *Cluster) Run(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	for _, f := range c.feeds {
		running.Go(func() { f.Run(ctx) })
		running.Go(func() {
			select {
			case <-f.Filled():
				c.stir()
			case <-ctx.Done():
			}
		})
	}
	<-ctx.Done()
	return nil
}

// Changed has something in it when [Cluster.Documents] may have changed.
func (c *Cluster) Changed() <-chan struct{} { return c.changed }

func (c *Cluster) stir() {
	select {
	case c.changed <- struct{}{}:
	default: // a change is pending already
	}
}

// saw is called for each object that was created, changed or deleted.
func (c *Cluster) saw(kind string, change mirror.Change) {
	u, ok := change.Object().(*unstructured.Unstructured)
	if !ok {
		return
	}
	c.queue.Add(keyOf(kind, u))
	if before, ok := change.Before.(*unstructured.Unstructured); ok && change.Now != nil && before.GetUID() == u.GetUID() &&
		before.GetGeneration() == u.GetGeneration() && (before.GetDeletionTimestamp() == nil) == (u.GetDeletionTimestamp() == nil) {
		return // only its status or its labels have changed
	}
	c.stir()
}

func keyOf(kind string, u *unstructured.Unstructured) key {
	return key{kind, u.GetNamespace(), u.GetName()}
}

// Documents returns the objects that exist and are not being deleted; known is false until the cluster has listed them.
func (c *Cluster) Documents() (out []Document, known bool) {
	known = true
	c.mu.Lock()
	defer c.mu.Unlock()
	here := map[key]read{}
	for _, f := range c.feeds {
		known = known && f.known()
		for _, o := range f.Objects().List() {
			u, ok := o.(*unstructured.Unstructured)
			if !ok || u.GetDeletionTimestamp() != nil {
				continue
			}
			k := keyOf(f.kind, u)
			r := c.read[k]
			if r.uid != u.GetUID() || r.Generation != u.GetGeneration() {
				r = document(f.kind, u)
			}
			here[k] = r
			out = append(out, r.Document)
		}
	}
	c.read = here
	return out, known
}

func document(kind string, u *unstructured.Unstructured) read {
	spec, err := json.Marshal(u.Object["spec"])
	if err != nil {
		spec = nil // cannot happen: it came as JSON
	}
	return read{u.GetUID(), Document{
		Kind: kind, Namespace: u.GetNamespace(), Name: u.GetName(), Generation: u.GetGeneration(),
		Created: u.GetCreationTimestamp().Time, Spec: spec,
	}}
}

// object returns an object from the cache, or nil. It must not be changed.
func (c *Cluster) object(k key) *unstructured.Unstructured {
	for _, f := range c.feeds {
		if f.kind != k.Kind || f.namespace != metav1.NamespaceAll && f.namespace != k.Namespace {
			continue
		}
		o, there, err := f.Objects().GetByKey(k.Namespace + "/" + k.Name)
		if u, ok := o.(*unstructured.Unstructured); ok && there && err == nil {
			return u
		}
	}
	return nil
}

// watched reports whether an object would be in the cache if it existed.
func (c *Cluster) watched(k key) bool {
	for _, f := range c.feeds {
		if f.kind == k.Kind && (f.namespace == metav1.NamespaceAll || f.namespace == k.Namespace) {
			f.mu.Lock()
			defer f.mu.Unlock()
			return f.absent == nil && f.HasFilled()
		}
	}
	return false
}

// maxNote is the longest message of an Event that the API server accepts.
const maxNote = 1024

// note creates an Event for an object. Nothing depends on Events.
func (c *Cluster) note(ctx context.Context, u *unstructured.Unstructured, reason, text string, warning bool) {
	now, kind := metav1.Now(), corev1.EventTypeNormal
	if warning {
		kind = corev1.EventTypeWarning
	}
	if len(text) > maxNote {
		text = string([]rune(text)[:maxNote/4]) + "…"
	}
	e := &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: u.GetNamespace(), Name: fmt.Sprintf("%.230s.%x", u.GetName(), time.Now().UnixNano())},
		InvolvedObject: corev1.ObjectReference{
			APIVersion: u.GetAPIVersion(), Kind: u.GetKind(), Namespace: u.GetNamespace(), Name: u.GetName(), UID: u.GetUID(),
		},
		Reason: reason, Message: text, Type: kind, Count: 1, FirstTimestamp: now, LastTimestamp: now,
		Source: corev1.EventSource{Component: manager}, ReportingController: "serin.dev/serin", ReportingInstance: manager,
	}
	if _, err := c.client.CoreV1().Events(u.GetNamespace()).Create(ctx, e, metav1.CreateOptions{}); err != nil {
		c.log.Debug("an Event was not written", "err", err)
	}
}
