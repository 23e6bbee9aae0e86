package gatewayapi_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/serindev/serin/engine"
	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
	"github.com/serindev/serin/internal/testbed/testcluster"
	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/gatewayapi"
	"github.com/serindev/serin/traffic/kubeobjects"
	"github.com/serindev/serin/traffic/traffictest"
)

var _ engine.Router = (*gatewayapi.Router)(nil)

func TestMain(m *testing.M) { testcluster.Main(m) }

// throttle is Traefik's provider throttle, shortened because no test measures it.
const throttle = 50 * time.Millisecond

// clients has watches, as in a daemon.
type clients struct {
	*gatewayapi.Clients
	watch func([]kubeobjects.Place)
}

func watching(t testing.TB, as *rest.Config) *clients {
	t.Helper()
	c, err := gatewayapi.Connect(as)
	require.NoError(t, err)
	return &clients{c, traffictest.Watching(t, c.Watch, func(kubeobjects.Change) {})}
}

func (c *clients) router(t testing.TB, config gatewayapi.Config) *gatewayapi.Router {
	t.Helper()
	r, err := c.Router(config)
	require.NoError(t, err)
	c.watch(r.Places())
	return r
}

func routes(c *testcluster.Cluster, resource, ns string) dynamic.ResourceInterface {
	return dynamic.NewForConfigOrDie(c.Config).Resource(schema.GroupVersionResource{Group: "gateway.networking.k8s.io", Version: "v1", Resource: resource}).Namespace(ns)
}

// asKubectl patches a route as another user would.
func asKubectl(t *testing.T, c *testcluster.Cluster, resource, ns, name string, pt types.PatchType, patch string) *unstructured.Unstructured {
	t.Helper()
	got, err := routes(c, resource, ns).Patch(t.Context(), name, pt, []byte(patch), metav1.PatchOptions{FieldManager: "kubectl-edit"})
	require.NoError(t, err)
	return got
}

// half is a patch that gives the canary half of the traffic on a route's rule.
func half(rule int, stable, canary string) string {
	return fmt.Sprintf(`[{"op": "replace", "path": "/spec/rules/%d/backendRefs", "value": [{"name": %q, "port": 80, "weight": 50}, {"name": %q, "port": 80, "weight": 50}]}]`,
		rule, stable, canary)
}

func TestAnOwnedRoutePassesTheSuite(t *testing.T) {
	t.Parallel()
	suite(t, func(_ *testcluster.Cluster, _ traffictest.Wanted, host string, config *gatewayapi.Config) {
		config.Own = &traffic.GatewayRoute{Parents: []traffic.GatewayParent{{Name: "edge", Section: "web"}}, Hostnames: []string{host}}
	})
}

func TestAnAdoptedRoutePassesTheSuite(t *testing.T) {
	t.Parallel()
	suite(t, func(c *testcluster.Cluster, w traffictest.Wanted, host string, config *gatewayapi.Config) {
		config.HTTP = []string{w.Rollout + "-users"}
		c.Apply(t, config.Namespace, fmt.Sprintf(`{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: %s}, spec: {
			parentRefs: [{name: edge}], hostnames: [%s], rules: [{backendRefs: [{name: %s, port: 80}]}]}}`, config.HTTP[0], host, config.Stable.Service))
	})
}

// suite runs the suite in one namespace, with a Traefik whose Gateway provider sees only that one.
func suite(t *testing.T, change func(c *testcluster.Cluster, w traffictest.Wanted, host string, config *gatewayapi.Config)) {
	t.Helper()
	c := testcluster.Shared(t)
	c.GatewayAPI(t)
	ns := c.Namespace(t)
	traefik := c.Gateway(t, ns, testbed.TraefikConfig{Throttle: throttle})
	all := watching(t, c.Config)
	traffictest.Run(t, func(t *testing.T, w traffictest.Wanted) traffictest.Gateway {
		stable, canary := traffic.Backend{Service: w.Rollout + "-s", Port: "80"}, traffic.Backend{Service: w.Rollout + "-c", Port: "80"}
		c.Arms(t, ns, stable.Service, canary.Service, w.Stable, w.Canary)
		config := gatewayapi.Config{Rollout: w.Rollout, Namespace: ns, Stable: stable, Canary: canary}
		if !w.OnlyDead {
			config.Verify.APIs = append(config.Verify.APIs, traefik.API)
		}
		if w.DeadReplica {
			config.Verify.APIs = append(config.Verify.APIs, testbed.DeadURL(t))
		}
		var host string
		_, err := fmt.Sscanf(w.Rule, "Host(`%s", &host)
		require.NoError(t, err)
		change(c, w, host[:len(host)-2], &config)
		r := all.router(t, config)
		name := w.Rollout
		if config.Own == nil {
			name = config.HTTP[0]
		}
		return traffictest.Gateway{
			Router: r, URL: traefik.URL("web"), Stable: stable, Canary: canary,
			Refuses: []traffictest.Feature{traffictest.StickyUsers, traffictest.Guards, traffictest.Negation, traffictest.Mirrors, traffictest.Previews},
			Meddle: func(t *testing.T) {
				asKubectl(t, c, "httproutes", ns, name, types.JSONPatchType, half(0, stable.Service, canary.Service))
				await.True(t, func() bool {
					o, err := r.Observe(t.Context())
					return err == nil && o.Configured.Main.Weight == 0.5
				}, "a watch has reported it")
			},
		}
	})
}
