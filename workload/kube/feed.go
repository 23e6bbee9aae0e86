package kube

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/cache"

	"github.com/serindev/serin/internal/mirror"
	"github.com/serindev/serin/workload"
)

// The kinds that are watched.
const (
	deployments = "deployments"
	sets        = "statefulsets"
	replicaSets = "replicasets"
	pods        = "pods"
	services    = "services"
	autoscalers = "horizontalpodautoscalers"
	jobs        = "jobs"
	budgets     = "poddisruptionbudgets"
	configMaps  = "configmaps"
)

// Workloads are read as they are: typed, they would lose the fields that this client does not know.
var (
	deploymentResource = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: deployments}
	setResource        = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: sets}
)

// ResourceOf is the resource of a kind of workload, or of autoscaler, which are read and written untyped. Without a kind it is
// a Deployment's.
func ResourceOf(kind string) schema.GroupVersionResource {
	switch kind {
	case workload.StatefulSet:
		return setResource
	case horizontal:
		return autoscalerResource
	case scaledObject:
		return scaledObjectResource
	}
	return deploymentResource
}

// nameOf is the name of a workload.
func nameOf(o *unstructured.Unstructured) workload.Name {
	n := workload.Name{Namespace: o.GetNamespace(), Name: o.GetName()}
	if o.GetKind() == workload.StatefulSet {
		n.Kind = workload.StatefulSet
	}
	return n
}

type feedKey struct{ kind, namespace string }

// feed is the cache of one kind in one namespace, or in the whole cluster, kept up to date by a watch.
type feed struct {
	key feedKey
	*mirror.Mirror
	end    context.CancelFunc
	ended  <-chan struct{} // closed once another feed may have taken its place
	failed chan struct{}   // closed at the first failure

	mu      sync.Mutex // guards what follows
	trouble error      // the newest reason why it cannot be listed or watched
	at      time.Time
}

// longestRetry: a watch is tried again after at most half a minute to a minute, and only failures are reported.
const longestRetry = time.Minute

// feed returns a feed that has been filled. The first call for a kind in a namespace begins to watch it. It returns an
// error that names verb and kind if that is not possible now; it goes on trying.
func (c *Cluster) feed(ctx context.Context, kind, namespace string) (cache.Indexer, error) {
	for {
		f, err := c.begin(c.scoped(ctx, kind, namespace))
		if err != nil {
			return nil, err
		}
		err = f.why() // before the question whether it is filled: it may be filled meanwhile
		if f.HasFilled() {
			return f.Objects(), nil
		}
		if err == nil {
			select {
			case <-f.Filled():
				continue
			case <-f.failed:
				continue
			case <-f.ended:
				continue
			case <-ctx.Done():
				err = context.Cause(ctx)
			}
		}
		return nil, fmt.Errorf("list and watch %s in namespace %s: %w", kind, namespace, err)
	}
}

func (f *feed) why() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.trouble
}

// stale says why the cache of a namespace may be out of date, by the newest trouble; empty if there is none.
func (c *Cluster) stale(namespace string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	text, newest := "", time.Now().Add(-longestRetry)
	for key, f := range c.feeds {
		if key.namespace != namespace && key.namespace != metav1.NamespaceAll || !f.HasFilled() {
			continue
		}
		f.mu.Lock()
		if f.trouble != nil && f.at.After(newest) {
			text, newest = fmt.Sprintf("what is known of the %s may be old: %v", key.kind, f.trouble), f.at
		}
		f.mu.Unlock()
	}
	return text
}

// watched reports whether the cache of a kind in a namespace is up to date.
func (c *Cluster) watched(kind, namespace string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, ns := range []string{namespace, metav1.NamespaceAll} {
		if f := c.feeds[feedKey{kind, ns}]; f != nil && f.Current() {
			return true
		}
	}
	return false
}

// fill waits for several feeds of one namespace at once.
func (c *Cluster) fill(ctx context.Context, namespace string, kinds ...string) error {
	for _, kind := range kinds {
		if _, err := c.begin(c.scoped(ctx, kind, namespace)); err != nil {
			return err
		}
	}
	for _, kind := range kinds {
		if _, err := c.feed(ctx, kind, namespace); err != nil {
			return err
		}
	}
	return nil
}

// groups are the API groups of the kinds that are watched.
var groups = map[string]string{
	deployments: "apps", sets: "apps", replicaSets: "apps", pods: "", services: "", autoscalers: "autoscaling", jobs: "batch", budgets: "policy",
	configMaps: "",
}

// scoped is the feed that has the objects of a kind in a namespace: one for the whole cluster where Serin may watch that,
// else one for the namespace. The API server is asked once per kind; while it does not answer, the feed is the namespace's.
// [Cluster.Rescope] asks again.
func (c *Cluster) scoped(ctx context.Context, kind, namespace string) feedKey {
	c.mu.Lock()
	whole, known := c.scopes[kind]
	narrow := c.feeds[feedKey{kind, namespace}] != nil
	c.mu.Unlock()
	if !known && !narrow {
		answer, err, _ := c.asking.Do(kind, func() (any, error) { return c.mayWatchAll(ctx, groups[kind], kind) })
		if may, ok := answer.(bool); ok && err == nil {
			whole = may
			c.mu.Lock()
			c.scopes[kind] = whole
			c.mu.Unlock()
		}
	}
	if whole && !narrow {
		return feedKey{kind, metav1.NamespaceAll}
	}
	return feedKey{kind, namespace}
}

// mayWatchAll asks whether Serin may list and watch a kind in all namespaces.
func (c *Cluster) mayWatchAll(ctx context.Context, group, resource string) (bool, error) {
	for _, verb := range []string{"list", "watch"} {
		r := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
			ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: verb, Group: group, Resource: resource},
		}}
		answer, err := c.client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, r, metav1.CreateOptions{})
		if err != nil || !answer.Status.Allowed {
			return false, err
		}
	}
	return true, nil
}

// Rescope asks again which kinds may be watched in the whole cluster, and begins the watches of those again of which that
// has changed: rights are granted and taken away while Serin runs. A kind whose answer is missing stays as it is.
func (c *Cluster) Rescope(ctx context.Context) {
	c.mu.Lock()
	before := map[string]bool{} // the kinds that are watched, and whether in the whole cluster
	for key := range c.feeds {
		before[key.kind] = before[key.kind] || key.namespace == metav1.NamespaceAll
	}
	c.mu.Unlock()
	for kind, whole := range before {
		if may, err := c.mayWatchAll(ctx, groups[kind], kind); err == nil && may != whole {
			c.log.Info("watches begin again, since the rights have changed", "kind", kind, "wholeCluster", may)
			c.rescope(kind, may)
		}
	}
}

// rescope begins the watches of a kind again, in the whole cluster or in each namespace that was asked about.
func (c *Cluster) rescope(kind string, whole bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.scopes[kind] = whole
	for key, f := range c.feeds {
		if key.kind == kind {
			f.end()
			delete(c.feeds, key)
		}
	}
	if whole {
		_, _ = c.beginLocked(feedKey{kind, metav1.NamespaceAll}) // it fails once all is closed
		return
	}
	for n := range c.asked {
		_, _ = c.beginLocked(feedKey{kind, n.Namespace})
	}
}

func (c *Cluster) begin(key feedKey) (*feed, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.beginLocked(key)
}

// beginLocked returns the feed, begun if it was not there. The caller holds c.mu.
func (c *Cluster) beginLocked(key feedKey) (*feed, error) {
	if c.closed {
		return nil, context.Canceled
	}
	if f := c.feeds[key]; f != nil {
		return f, nil
	}
	ctx, end := context.WithCancel(context.Background())
	f := &feed{key: key, end: end, ended: ctx.Done(), failed: make(chan struct{})}
	f.Mirror = c.mirror(key, mirror.Config{Indexers: byNamespace, Slim: slim, Changed: c.sawChange, Failed: func(err error) { c.trouble(f, err) }})
	c.feeds[key] = f
	c.busy.Go(func() { f.Run(ctx) })
	return f, nil
}

func (c *Cluster) mirror(key feedKey, of mirror.Config) *mirror.Mirror {
	switch ns := key.namespace; key.kind {
	case deployments, sets:
		resource := schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: key.kind}
		return mirror.Of(c.dynamic.Resource(resource).Namespace(ns), of)
	case replicaSets:
		return mirror.Of(c.client.AppsV1().ReplicaSets(ns), of)
	case pods:
		return mirror.Of(c.client.CoreV1().Pods(ns), of)
	case services:
		return mirror.Of(c.client.CoreV1().Services(ns), of)
	case autoscalers:
		return mirror.Of(c.client.AutoscalingV2().HorizontalPodAutoscalers(ns), of)
	case jobs:
		of.Narrow = func(o *metav1.ListOptions) { o.LabelSelector = managedLabel + "=" + manager }
		return mirror.Of(c.client.BatchV1().Jobs(ns), of)
	case budgets:
		return mirror.Of(c.client.PolicyV1().PodDisruptionBudgets(ns), of)
	case configMaps:
		return mirror.Of(c.client.CoreV1().ConfigMaps(ns), of)
	}
	panic("no feed of " + key.kind)
}

var byNamespace = cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc}

// trouble keeps the newest reason why a feed is not up to date. Where Serin may not watch the whole cluster any more, its
// namespaces are watched.
func (c *Cluster) trouble(f *feed, err error) {
	if apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
		return // it lists again
	}
	f.mu.Lock()
	if f.trouble == nil {
		close(f.failed) // for all who wait
	}
	f.trouble, f.at = err, time.Now()
	f.mu.Unlock()
	if apierrors.IsForbidden(err) && f.key.namespace == metav1.NamespaceAll {
		c.log.Warn("the whole cluster may not be watched any more, namespaces are", "kind", f.key.kind, "err", err)
		c.rescope(f.key.kind, false)
	}
}

// slim drops what is not needed here: a namespace may have thousands of pods.
func slim(o any) any {
	switch o := o.(type) {
	case *corev1.Pod:
		o.ManagedFields, o.Annotations = nil, nil
		o.Spec = corev1.PodSpec{NodeName: o.Spec.NodeName, Containers: names(o.Spec.Containers), InitContainers: names(o.Spec.InitContainers)}
		o.Status.PodIPs, o.Status.HostIPs = nil, nil
	case *appsv1.ReplicaSet:
		o.ManagedFields, o.Spec.Template = nil, corev1.PodTemplateSpec{}
	case *autoscalingv2.HorizontalPodAutoscaler:
		mark, held := o.Annotations[heldAnnotation]
		if o.ManagedFields, o.Annotations = nil, nil; held {
			o.Annotations = map[string]string{heldAnnotation: mark}
		}
	case *batchv1.Job:
		o.ManagedFields = nil
	case *policyv1.PodDisruptionBudget:
		o.ManagedFields, o.Annotations = nil, nil
	case *corev1.ConfigMap:
		return slimConfigMap(o)
	case *unstructured.Unstructured:
		slimManagers(o)
	}
	return o
}

// slimManagers keeps who has written which part of a Deployment, and drops the individual fields, which take more memory
// than the rest of it.
func slimManagers(o *unstructured.Unstructured) {
	managers, _, err := unstructured.NestedSlice(o.Object, "metadata", "managedFields")
	if err != nil {
		return
	}
	for _, m := range managers {
		entry, _ := m.(map[string]any)
		fields, _ := entry["fieldsV1"].(map[string]any)
		for part := range fields {
			fields[part] = map[string]any{}
		}
	}
	if len(managers) > 0 {
		_ = unstructured.SetNestedSlice(o.Object, managers, "metadata", "managedFields") // it was one before
	}
}

func names(containers []corev1.Container) []corev1.Container {
	out := make([]corev1.Container, len(containers))
	for i := range containers {
		out[i].Name = containers[i].Name
	}
	return out
}

// version tells the versions of an object apart; those of a ConfigMap by what it says.
func version(o any) string {
	if m, ok := o.(*configMap); ok {
		return m.content
	}
	if m, ok := o.(metav1.Object); ok {
		return m.GetResourceVersion()
	}
	return ""
}

// sawChange is called for each change of an object.
func (c *Cluster) sawChange(change mirror.Change) {
	_, isConfigMap := change.Object().(*configMap)
	if isConfigMap && change.First || version(change.Before) == version(change.Now) {
		return // what is there at the start has not just changed
	}
	c.saw(change.Object())
}

// saw notifies watchers of an object that was created, changed or deleted, if it can matter to them. Jobs are polled while
// they run, so no watcher waits for them.
func (c *Cluster) saw(o any) {
	switch o := o.(type) {
	case *unstructured.Unstructured:
		c.sawWorkload(nameOf(o))
	case *appsv1.ReplicaSet:
		if owner := metav1.GetControllerOf(o); owner != nil {
			c.sawWorkload(workload.Name{Namespace: o.Namespace, Name: owner.Name})
		}
	case *corev1.Pod:
		switch owner := metav1.GetControllerOf(o); {
		case owner == nil:
		case owner.Kind == workload.StatefulSet:
			c.sawWorkload(workload.Name{Namespace: o.Namespace, Name: owner.Name, Kind: owner.Kind})
		case owner.Kind == "ReplicaSet":
			if i := strings.LastIndexByte(owner.Name, '-'); i > 0 { // a ReplicaSet of a Deployment is NAME-HASH
				c.sawWorkload(workload.Name{Namespace: o.Namespace, Name: owner.Name[:i]})
			}
		}
	case *autoscalingv2.HorizontalPodAutoscaler:
		n := workload.Name{Namespace: o.Namespace, Name: o.Spec.ScaleTargetRef.Name}
		if o.Spec.ScaleTargetRef.Kind == workload.StatefulSet {
			n.Kind = workload.StatefulSet
		}
		c.sawWorkload(n)
	case *configMap:
		c.sawConfigMap(o)
	case *corev1.Service, *policyv1.PodDisruptionBudget:
		if m, ok := o.(metav1.Object); ok {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.changed(workload.Name{Namespace: m.GetNamespace()})
		}
	}
}

// sawWorkload notifies watchers of a workload that was asked about.
func (c *Cluster) sawWorkload(n workload.Name) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asked[n] {
		c.changed(n)
	}
}

// all returns the objects of a kind in a namespace from the cache. They must not be changed.
func all[T any](ctx context.Context, c *Cluster, kind, namespace string) ([]T, error) {
	f, err := c.feed(ctx, kind, namespace)
	if err != nil {
		return nil, err
	}
	here, err := f.ByIndex(cache.NamespaceIndex, namespace) // the feed may be of the whole cluster
	if err != nil {
		return nil, fmt.Errorf("list %s in namespace %s: %w", kind, namespace, err)
	}
	var out []T
	for _, o := range here {
		if t, ok := o.(T); ok {
			out = append(out, t)
		}
	}
	return out, nil
}

// known returns an object from the cache; ok is false if it is not there. It must not be changed.
func known[T any](ctx context.Context, c *Cluster, kind string, n workload.Name) (o T, ok bool, err error) {
	f, err := c.feed(ctx, kind, n.Namespace)
	if err != nil {
		return o, false, err
	}
	found, there, err := f.GetByKey(n.Namespace + "/" + n.Name)
	if err != nil || !there {
		return o, false, err
	}
	o, ok = found.(T)
	return o, ok, nil
}
