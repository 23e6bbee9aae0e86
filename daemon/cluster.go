package daemon

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/serindev/serin/config"
	"github.com/serindev/serin/engine"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/gatewayapi"
	"github.com/serindev/serin/traffic/kubeobjects"
	"github.com/serindev/serin/traffic/traefikapi"
	"github.com/serindev/serin/traffic/traefikcrd"
	"github.com/serindev/serin/traffic/traefiktcp"
	"github.com/serindev/serin/workload"
	"github.com/serindev/serin/workload/kube"
)

// Requests per second to the API server, for all rollouts together, from each part of the daemon. A write takes about
// fifteen; a look takes none while watches are open, and about ten otherwise. The API server shares its time fairly by
// itself (API Priority and Fairness); this is a bound on mistakes of ours.
const (
	clusterQPS   = 300
	clusterBurst = 600
)

// cluster is the Kubernetes cluster of the rollouts: their Deployments, and the routes to them.
type cluster struct {
	*kube.Cluster // implements [engine.Workloads], but for Watch
	traefik       *traefikcrd.Clients
	gateway       *gatewayapi.Clients
	tcp           *traefiktcp.Clients

	mu      sync.Mutex                        // guards what follows
	routers map[string]map[string]routeWriter // by each namespace that they look at, and by rollout
	places  map[watchedPlace]bool             // that they look at
	watch   func(watchedPlace)                // starts to watch one; nil before Run
}

// routeWriter is a router whose routes are objects in the cluster.
type routeWriter interface {
	engine.Router
	Places() []kubeobjects.Place
	Concerns(c kubeobjects.Change) bool
}

// routeWatcher is the clients of one kind of routes.
type routeWatcher interface {
	Watch(ctx context.Context, p kubeobjects.Place, changed func(kubeobjects.Change))
	// Everywhere reports whether the whole cluster may be watched.
	Everywhere(ctx context.Context) (bool, error)
}

// watchedPlace is where the objects of one kind of routes are.
type watchedPlace struct {
	by routeWatcher
	kubeobjects.Place
}

// newCluster connects to the configured cluster, or to the one that this process runs in; it is nil without either.
func newCluster(o Options) (*cluster, error) {
	c, err := clusterConfig(o)
	if c == nil || err != nil {
		return nil, err
	}
	workloads, err := kube.New(kube.Config{REST: c, Log: o.Log})
	if err != nil {
		return nil, err
	}
	traefik, err := traefikcrd.Connect(c)
	if err != nil {
		return nil, err
	}
	gateway, err := gatewayapi.Connect(c)
	if err != nil {
		return nil, err
	}
	tcp, err := traefiktcp.Connect(c)
	if err != nil {
		return nil, err
	}
	return &cluster{Cluster: workloads, traefik: traefik, gateway: gateway, tcp: tcp,
		routers: map[string]map[string]routeWriter{}, places: map[watchedPlace]bool{}}, nil
}

// clusterConfig is how the daemon's parts speak to the API server, each with its own limit; it is nil without a cluster.
func clusterConfig(o Options) (*rest.Config, error) {
	c, err := restConfig(o.Spec.Kubernetes)
	if c == nil || err != nil {
		return nil, err
	}
	c.QPS, c.Burst = clusterQPS, clusterBurst
	return rest.AddUserAgent(c, "serin/"+o.Version), nil
}

// needCluster is the same for a part that cannot do without one.
func needCluster(o Options) (*rest.Config, error) {
	c, err := clusterConfig(o)
	if err == nil && c == nil {
		err = engine.ErrNoCluster
	}
	return c, err
}

func restConfig(spec *config.KubernetesSpec) (*rest.Config, error) {
	if spec == nil || spec.Kubeconfig == "" {
		c, err := rest.InClusterConfig()
		if errors.Is(err, rest.ErrNotInCluster) {
			return nil, nil //nolint:nilnil // there is no cluster, and none was asked for
		}
		if err != nil {
			return nil, err
		}
		return bounded(c), nil
	}
	c, err := kubeconfig(spec).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("kubernetes.kubeconfig: %w", err)
	}
	return bounded(c), nil
}

func kubeconfig(spec *config.KubernetesSpec) clientcmd.ClientConfig {
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		&clientcmd.ClientConfigLoadingRules{ExplicitPath: spec.Kubeconfig}, &clientcmd.ConfigOverrides{CurrentContext: spec.Context},
	)
}

// router makes the router of a rollout on Kubernetes.
func (c *cluster) router(rollout string, g *record.Gateway) (engine.Router, error) {
	if c == nil {
		return nil, engine.ErrNoCluster
	}
	name := rollout
	if object, ok := config.ParseObjectID(name); ok {
		name = object.Name // the objects are named as the rollout's own is, in its namespace
	}
	r, by, err := c.routeWriter(traffic.ObjectBase(name), g)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, at := range c.routers {
		delete(at, rollout) // its router may have been elsewhere
	}
	for _, place := range r.Places() {
		if c.routers[place.Namespace] == nil {
			c.routers[place.Namespace] = map[string]routeWriter{}
		}
		c.routers[place.Namespace][rollout] = r
		p := watchedPlace{by, place}
		if !c.places[p] {
			c.places[p] = true
			if c.watch != nil {
				c.watch(p)
			}
		}
	}
	return r, nil
}

// splitter makes the router of a rollout whose work is divided by pods.
func (c *cluster) splitter(g *record.SplitGateway) (engine.Router, error) {
	if c == nil {
		return nil, engine.ErrNoCluster
	}
	return c.Splitter(g.Arms, g.Split), nil
}

func (c *cluster) routeWriter(name string, g *record.Gateway) (routeWriter, routeWatcher, error) {
	var verify kubeobjects.Verify
	for _, r := range g.Replicas {
		verify.APIs = append(verify.APIs, r.URL)
		if r.PasswordFile != "" {
			verify.User, verify.Password = r.User, traefikapi.SecretFile(r.PasswordFile)
		}
	}
	if k := g.Routes; k != nil {
		r, err := c.gateway.Router(gatewayapi.Config{
			Rollout: name, Namespace: k.Namespace, Arms: k.Arms, GatewayRoutes: k.GatewayRoutes, Stable: k.Stable,
			Canary: k.Canary, Ports: k.Ports, Verify: verify,
		})
		return r, c.gateway, err
	}
	if k := g.TCP; k != nil {
		r, err := c.tcp.Router(traefiktcp.Config{
			Rollout: name, Namespace: k.Namespace, Arms: k.Arms, Route: k.Route, Adopted: k.Adopted, Stable: k.Stable,
			Canary: k.Canary, Verify: verify,
		})
		return r, c.tcp, err
	}
	k := g.Cluster
	r, err := c.traefik.Router(traefikcrd.Config{
		Rollout: name, Namespace: k.Namespace, Arms: k.Arms, Route: k.Route, IngressRoute: k.IngressRoute,
		Further: k.Further, Adopt: k.Adopt, Stable: k.Stable, Canary: k.Canary,
		Direct: k.Direct, StableBalancing: k.StableBalancing, CanaryBalancing: k.CanaryBalancing, Ports: k.Ports,
		FurtherRoutes: k.FurtherRoutes, Verify: verify,
	})
	return r, c.traefik, err
}

// watchRoutes keeps the routers' view of the cluster up to date, and calls changed with each rollout whose traffic has
// changed there, until ctx ends.
func (c *cluster) watchRoutes(ctx context.Context, changed func(rollout string)) error {
	var running sync.WaitGroup
	defer running.Wait()
	watches := newRouteWatches(func(p watchedPlace) func() {
		ctx, end := context.WithCancel(ctx)
		running.Go(func() {
			p.by.Watch(ctx, p.Place, func(change kubeobjects.Change) {
				for _, rollout := range c.concerned(change) {
					changed(rollout)
				}
			})
		})
		return end
	})
	c.mu.Lock()
	c.watch = func(p watchedPlace) { running.Go(func() { watches.add(ctx, p) }) }
	for p := range c.places {
		c.watch(p)
	}
	c.mu.Unlock()
	c.rescope(ctx, watches)
	c.mu.Lock()
	c.watch = nil
	c.mu.Unlock()
	return nil
}

// rescope notices rights in the whole cluster that are granted or taken away, until ctx ends.
func (c *cluster) rescope(ctx context.Context, watches *routeWatches) {
	tick := time.NewTicker(scopeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			watches.rescope(ctx)
			c.Rescope(ctx)
		}
	}
}

func (c *cluster) concerned(change kubeobjects.Change) (rollouts []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for rollout, r := range c.routers[change.Namespace] {
		if r.Concerns(change) {
			rollouts = append(rollouts, rollout)
		}
	}
	return rollouts
}

// Watch implements [engine.Workloads].
func (c *cluster) Watch(ctx context.Context, changed func([]workload.Name)) {
	c.Cluster.Watch(ctx, changed)
	c.Close()
}
