// Package kube brings Deployments and Jobs to where a release needs them, on a real cluster. It answers how Kubernetes gets
// to a [workload.Target]. It decides nothing about releases and knows no gateway. What a Deployment was before a release is
// recorded in an annotation on the Deployment itself; but for one thing, see [Cluster.Run], a restart loses no state. Start
// at [Cluster.Apply].
//
// What Serin writes carries the field manager serin and the resourceVersion that the decision was made on, and is a JSON
// patch of the few fields that matter: everything else in a user's object stays, including fields that this version of the
// client does not know.
//
// # Rights
//
// All of it works with Roles in the namespaces of the rollouts, nothing cluster-wide:
//
//	apps         deployments               get list watch create patch
//	apps         statefulsets              get list watch patch           (where an arm is one)
//	apps         replicasets               get list watch
//	             pods                      get list watch
//	             pods/log                  get
//	             services                  get list watch create
//	             configmaps                get list watch create delete   (for one Deployment that tracks them)
//	autoscaling  horizontalpodautoscalers  get list watch patch
//	keda.sh      scaledobjects             get patch                      (where KEDA scales an arm)
//	policy       poddisruptionbudgets      list                           (to say which is in the way; optional)
//	autoscaling  horizontalpodautoscalers  create delete                  (for one Deployment in Git)
//	policy       poddisruptionbudgets      get watch create patch delete  (for one Deployment in Git)
//	batch        jobs                      get list watch create patch    (for job steps)
//	             events                    create                         (for kubectl describe; optional)
//
// Create is needed for Deployments only if Serin makes the canary's, and for Services only if it makes the canary's. Anyone
// who may create Deployments or Jobs in a namespace can run any image with any ServiceAccount and mount any Secret there.
package kube

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/serindev/serin/internal/kubernetes"
	"github.com/serindev/serin/workload"
)

const (
	// manager is Serin's name among the field managers.
	manager = "serin"
	// The labels of what Serin makes.
	managedLabel    = "app.kubernetes.io/managed-by"
	releaseLabel    = "serin.dev/release"
	armLabel        = "serin.dev/arm"
	deploymentLabel = "serin.dev/deployment"
	// keyAnnotation, on a Job, is the key that it was made for.
	keyAnnotation = "serin.dev/key"
	// beforeAnnotation, on a Deployment, remembers what a release has changed: see memory.
	beforeAnnotation = "serin.dev/before"
	// previousAnnotation, on stable's Deployment, remembers what the last release has replaced that ended well, so that it can
	// be undone.
	previousAnnotation = "serin.dev/previous"
	// templateAnnotation, on a Deployment, is the hash of the newest pod template that Serin knows of, and the
	// generation at which it was seen.
	templateAnnotation = "serin.dev/template"
	// copyOfAnnotation, on a Deployment that Serin has made, is the Deployment that it is a copy of.
	copyOfAnnotation = "serin.dev/copy-of"
	// inServiceAnnotation, on a Deployment that is copied, is what its copy has in service: see inService.
	inServiceAnnotation = "serin.dev/in-service"
	// heldAnnotation, on an autoscaler, is what a release has changed of it: see held.
	heldAnnotation = "serin.dev/held"
	// pausedAnnotation, on a workload without pods, is the ScaledObject that Serin has paused so that it stays without.
	pausedAnnotation = "serin.dev/paused"

	// defaultPatience is for how long pulling an image may fail: registries and their credentials have brief outages, and the
	// kubelet has tried four times by then.
	defaultPatience = time.Minute
	// settle is how long changes are collected before they are reported: one change of a Deployment causes many.
	settle = 100 * time.Millisecond
)

// Config is what a [Cluster] needs.
type Config struct {
	// REST says where the API server is, who asks, and how often it may be asked.
	REST *rest.Config
	// Log gets everything that is changed.
	Log *slog.Logger
	// Patience is for how long pulling an image may fail before its Deployment has failed; 0: a minute.
	Patience time.Duration
}

// Cluster is one Kubernetes cluster, for all rollouts in it. Its methods may be called concurrently.
type Cluster struct {
	client   kubernetes.Interface
	dynamic  dynamic.Interface
	log      *slog.Logger
	patience time.Duration

	busy   sync.WaitGroup
	asking singleflight.Group // of mayWatchAll, by kind

	mu        sync.Mutex // guards what follows
	closed    bool
	feeds     map[feedKey]*feed
	listeners map[*listener]bool
	scopes    map[string]bool             // kinds that are watched in the whole cluster; with false, by namespace
	asked     map[workload.Name]bool      // Deployments and StatefulSets
	confirmed map[workload.Name]string    // the resourceVersion that the API server itself has answered with
	same      map[workload.Name]rendering // what the API server makes of a template
	there     map[workload.Name]string    // the release that has seen it
	remade    map[workload.Name]bool      // it was deleted by another writer, and is not ready again
	jobs      map[string]*jobState        // by key
	tracked   map[workload.Name]bool      // Deployments whose ConfigMaps are tracked, or are not
	mentioned map[workload.Name]bool      // ConfigMaps that a tracked pod template names
	since     map[workload.Name]time.Time // when their content was last seen to change
	denied    map[workload.Name]denial    // autoscalers that could not be held
	holds     map[workload.Name]holder    // autoscalers that were held
	way       map[workload.Arms]inTheWay  // disruption budgets that are in the way
	noted     map[workload.Arms]string    // the notes that were left as Events
}

// rendering: defaults and admission turn the template with the hash asked into the one with the hash made.
type rendering struct{ asked, made string }

// New makes a client of a cluster without sending it a request. [Cluster.Close] ends all that is started later.
func New(c Config) (*Cluster, error) {
	if c.REST == nil || c.Log == nil {
		return nil, errors.New("a cluster needs the API server's address and a log")
	}
	client, err := kubernetes.NewForConfig(c.REST)
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	dyn, err := dynamic.NewForConfig(c.REST)
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	k := &Cluster{
		client: client, dynamic: dyn, log: c.Log, patience: c.Patience,
		feeds: map[feedKey]*feed{}, listeners: map[*listener]bool{}, scopes: map[string]bool{}, asked: map[workload.Name]bool{},
		confirmed: map[workload.Name]string{}, same: map[workload.Name]rendering{},
		there: map[workload.Name]string{}, remade: map[workload.Name]bool{}, jobs: map[string]*jobState{},
		tracked: map[workload.Name]bool{}, mentioned: map[workload.Name]bool{}, since: map[workload.Name]time.Time{},
		denied: map[workload.Name]denial{}, holds: map[workload.Name]holder{}, way: map[workload.Arms]inTheWay{}, noted: map[workload.Arms]string{},
	}
	if k.patience == 0 {
		k.patience = defaultPatience
	}
	return k, nil
}

// Close ends all watches and waits for them. Nothing may be asked afterwards.
func (c *Cluster) Close() {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		for _, f := range c.feeds {
			f.end()
		}
	}
	c.mu.Unlock()
	c.busy.Wait()
}

// listener is one call of [Cluster.Watch]: what it has not reported yet.
type listener struct {
	signal  chan struct{}
	pending map[workload.Name]bool // guarded by the cluster's mu
}

// Watch calls changed with the Deployments that may have changed, or whose pods, ReplicaSets or autoscalers may have, at
// most ten times a second, until ctx ends. A name without a Name stands for everything in its namespace: a Service or a
// disruption budget there has changed. Only Deployments that [Cluster.Apply] or another method has been asked about are
// reported.
func (c *Cluster) Watch(ctx context.Context, changed func([]workload.Name)) {
	l := &listener{signal: make(chan struct{}, 1), pending: map[workload.Name]bool{}}
	c.mu.Lock()
	c.listeners[l] = true
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.listeners, l)
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.signal:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(settle):
		}
		c.mu.Lock()
		names := slices.Collect(maps.Keys(l.pending))
		clear(l.pending)
		c.mu.Unlock()
		if len(names) > 0 {
			changed(names)
		}
	}
}

// changed notifies watchers. The caller holds c.mu.
func (c *Cluster) changed(n workload.Name) {
	for l := range c.listeners {
		l.pending[n] = true
		select {
		case l.signal <- struct{}{}:
		default: // it has not looked at the last one yet
		}
	}
}
