package traefikcrd_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/traefik/traefik/v3/pkg/provider/kubernetes/crd/generated/clientset/versioned"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/serindev/serin/engine"
	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
	"github.com/serindev/serin/internal/testbed/testcluster"
	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/traefikcrd"
	"github.com/serindev/serin/traffic/traffictest"
)

var _ engine.Router = (*traefikcrd.Router)(nil)

func TestMain(m *testing.M) { testcluster.Main(m) }

// throttle is Traefik's provider throttle, shortened because no test measures it.
const throttle = 50 * time.Millisecond

// arms are the two Deployments with their Services.
var (
	stable = traffic.Backend{Service: "shop", Port: "80"}
	canary = traffic.Backend{Service: "shop-canary", Port: "http"}
)

// only starts a Traefik that sees only one namespace: changes in others would make its rotation start over.
func only(t testing.TB, c *testcluster.Cluster, ns string, config testbed.TraefikConfig) *testbed.Traefik {
	t.Helper()
	config.Args = append(config.Args, "--providers.kubernetescrd.namespaces="+ns)
	return c.Traefik(t, config)
}

// router makes a router as a user of the cluster.
func router(t testing.TB, as *rest.Config, c traefikcrd.Config) *traefikcrd.Router {
	t.Helper()
	r, err := traefikcrd.New(c, kubernetes.NewForConfigOrDie(as), versioned.NewForConfigOrDie(as))
	require.NoError(t, err)
	return r
}

// asKubectl patches as another user would.
func asKubectl(t *testing.T, c *testcluster.Cluster, ns, resource, name, patch string) {
	t.Helper()
	client := versioned.NewForConfigOrDie(c.Config).TraefikV1alpha1().RESTClient()
	err := client.Patch(types.MergePatchType).Namespace(ns).Resource(resource).Name(name).
		VersionedParams(&metav1.PatchOptions{FieldManager: "kubectl-edit"}, metav1.ParameterCodec).Body([]byte(patch)).Do(t.Context()).Error()
	require.NoError(t, err)
}

// half is a patch of the main TraefikService that gives the canary half of the traffic.
func half(ns, stable, canary string) string {
	return fmt.Sprintf(`{"spec": {"weighted": {"services": [
		{"kind": "Service", "name": %[2]q, "namespace": %[1]q, "port": 80, "weight": 50},
		{"kind": "Service", "name": %[3]q, "namespace": %[1]q, "port": "http", "weight": 50}]}}}`, ns, stable, canary)
}

func TestAnOwnedRoutePassesTheSuite(t *testing.T) {
	t.Parallel()
	suite(t, func(c *testcluster.Cluster, w traffictest.Wanted, config *traefikcrd.Config) {
		c.Apply(t, config.Namespace, `{apiVersion: traefik.io/v1alpha1, kind: Middleware, metadata: {name: mark}, spec: {headers: {customRequestHeaders: {X-Mark: "yes"}}}}
---
{apiVersion: traefik.io/v1alpha1, kind: ServersTransport, metadata: {name: own}, spec: {maxIdleConnsPerHost: 7}}`)
		off, no := false, false
		config.Route = &traffic.Route{
			Rule: w.Rule, Middlewares: []traffic.Middleware{{Name: "mark", Namespace: config.Namespace}}, Observability: &traffic.Observability{AccessLogs: &off},
		}
		how := traffic.Balancing{Scheme: "http", ServersTransport: "own", PassHostHeader: &no, NativeLB: &no, FlushInterval: 50 * time.Millisecond}
		config.StableBalancing, config.CanaryBalancing = how, how
	})
}

func TestAnAdoptedRoutePassesTheSuite(t *testing.T) {
	t.Parallel()
	suite(t, func(c *testcluster.Cluster, w traffictest.Wanted, config *traefikcrd.Config) {
		config.IngressRoute = w.Rollout + "-users"
		c.Apply(t, config.Namespace, fmt.Sprintf(`{apiVersion: traefik.io/v1alpha1, kind: IngressRoute, metadata: {name: %s}, spec: {routes: [
			{kind: Rule, match: %q, services: [{name: %s, port: 80}]}]}}`, config.IngressRoute, w.Rule, config.Stable.Service))
	})
}

func TestARouteToServicesInAnotherNamespacePassesTheSuite(t *testing.T) {
	t.Parallel()
	c := testcluster.Shared(t)
	ns, arms := c.Namespace(t), c.Namespace(t)
	traefik := only(t, c, ns+","+arms, testbed.TraefikConfig{Throttle: throttle, Args: []string{"--providers.kubernetescrd.allowcrossnamespace=true"}})
	suiteOn(t, c, traefik, ns, arms, func(_ *testcluster.Cluster, w traffictest.Wanted, config *traefikcrd.Config) {
		config.Route = &traffic.Route{Rule: w.Rule}
	})
}

func TestAnAdoptedRouteToServicesInAnotherNamespacePassesTheSuite(t *testing.T) {
	t.Parallel()
	c := testcluster.Shared(t)
	ns, arms := c.Namespace(t), c.Namespace(t)
	traefik := only(t, c, ns+","+arms, testbed.TraefikConfig{Throttle: throttle, Args: []string{"--providers.kubernetescrd.allowcrossnamespace=true"}})
	suiteOn(t, c, traefik, ns, arms, func(c *testcluster.Cluster, w traffictest.Wanted, config *traefikcrd.Config) {
		config.IngressRoute = w.Rollout + "-users"
		c.Apply(t, config.Namespace, fmt.Sprintf(`{apiVersion: traefik.io/v1alpha1, kind: IngressRoute, metadata: {name: %s}, spec: {routes: [
			{kind: Rule, match: %q, services: [{name: %s, namespace: %s, port: 80}]}]}}`, config.IngressRoute, w.Rule, config.Stable.Service, arms))
	})
}

// suite runs the suite in one namespace, with a Traefik that sees only that one.
func suite(t *testing.T, change func(c *testcluster.Cluster, w traffictest.Wanted, config *traefikcrd.Config)) {
	t.Helper()
	c := testcluster.Shared(t)
	ns := c.Namespace(t)
	suiteOn(t, c, only(t, c, ns, testbed.TraefikConfig{Throttle: throttle}), ns, ns, change)
}

// suiteOn runs the suite with routes in one namespace, and the arms in the same or another.
func suiteOn(t *testing.T, c *testcluster.Cluster, traefik *testbed.Traefik, ns, arms string, change func(c *testcluster.Cluster, w traffictest.Wanted, config *traefikcrd.Config)) {
	t.Helper()
	clients := watching(t, c.Config) // as in a daemon; other tests have no watches
	traffictest.Run(t, func(t *testing.T, w traffictest.Wanted) traffictest.Gateway {
		stable := traffic.Backend{Service: w.Rollout + "-s", Port: "80"}
		canary := traffic.Backend{Service: w.Rollout + "-c", Port: "http"}
		c.Arms(t, arms, stable.Service, canary.Service, w.Stable, w.Canary)
		config := traefikcrd.Config{Rollout: w.Rollout, Namespace: ns, Stable: stable, Canary: canary}
		if arms != ns {
			config.Arms = arms
		}
		if !w.OnlyDead {
			config.Verify.APIs = append(config.Verify.APIs, traefik.API)
		}
		if w.DeadReplica {
			config.Verify.APIs = append(config.Verify.APIs, testbed.DeadURL(t))
		}
		change(c, w, &config)
		r := clients.router(t, config)
		return traffictest.Gateway{
			Router: r, URL: traefik.URL("web"), Stable: stable, Canary: canary,
			Meddle: func(t *testing.T) {
				asKubectl(t, c, ns, "traefikservices", w.Rollout, half(arms, stable.Service, canary.Service))
				await.True(t, func() bool {
					o, err := r.Observe(t.Context())
					return err == nil && o.Configured.Main.Weight == 0.5
				}, "a watch has reported it")
			},
		}
	})
}
