package traefiktcp_test

import (
	"fmt"
	"strings"
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
	"github.com/serindev/serin/traffic/kubeobjects"
	"github.com/serindev/serin/traffic/traefiktcp"
	"github.com/serindev/serin/traffic/traffictest"
)

var _ engine.Router = (*traefiktcp.Router)(nil)

func TestMain(m *testing.M) { testcluster.Main(m) }

// throttle is Traefik's provider throttle, shortened because no test measures it.
const throttle = 50 * time.Millisecond

// clients has watches, as in a daemon.
type clients struct {
	*traefiktcp.Clients
	watch func([]kubeobjects.Place)
}

func watching(t testing.TB, as *rest.Config) *clients {
	t.Helper()
	c, err := traefiktcp.Connect(as)
	require.NoError(t, err)
	return &clients{c, traffictest.Watching(t, c.Watch, func(kubeobjects.Change) {})}
}

func (c *clients) router(t testing.TB, config traefiktcp.Config) *traefiktcp.Router {
	t.Helper()
	r, err := c.Router(config)
	require.NoError(t, err)
	c.watch(r.Places())
	return r
}

func routesIn(c *testcluster.Cluster, ns string) dynamic.ResourceInterface {
	return dynamic.NewForConfigOrDie(c.Config).Resource(schema.GroupVersionResource{Group: "traefik.io", Version: "v1alpha1", Resource: "ingressroutetcps"}).Namespace(ns)
}

// asKubectl patches a route as another user would.
func asKubectl(t *testing.T, c *testcluster.Cluster, ns, name, patch string) *unstructured.Unstructured {
	t.Helper()
	got, err := routesIn(c, ns).Patch(t.Context(), name, types.JSONPatchType, []byte(patch), metav1.PatchOptions{FieldManager: "kubectl-edit"})
	require.NoError(t, err)
	return got
}

// half is a patch that gives the canary half of the connections.
func half(stable, canary string) string {
	return fmt.Sprintf(`[{"op": "replace", "path": "/spec/routes/0/services", "value": [{"name": %q, "port": 80, "weight": 50}, {"name": %q, "port": "http", "weight": 50}]}]`, stable, canary)
}

// onTCP returns the rule of a TCP route for the host of another rule.
func onTCP(rule string) string { return strings.Replace(rule, "Host(", "HostSNI(", 1) }

func TestAnOwnedRoutePassesTheSuite(t *testing.T) {
	t.Parallel()
	suite(t, func(_ *testcluster.Cluster, w traffictest.Wanted, config *traefiktcp.Config) {
		config.Route = &traffic.Route{Rule: onTCP(w.Rule), TLS: &traffic.TLS{}}
	})
}

func TestAnAdoptedRoutePassesTheSuite(t *testing.T) {
	t.Parallel()
	suite(t, func(c *testcluster.Cluster, w traffictest.Wanted, config *traefiktcp.Config) {
		config.Adopted = []string{w.Rollout + "-users"}
		c.Apply(t, config.Namespace, fmt.Sprintf(`{apiVersion: traefik.io/v1alpha1, kind: IngressRouteTCP, metadata: {name: %s}, spec: {tls: {}, routes: [
			{match: %q, services: [{name: %s, port: 80}]}]}}`, config.Adopted[0], onTCP(w.Rule), config.Stable.Service))
	})
}

// suite runs the suite in one namespace, with a Traefik that sees only that one.
func suite(t *testing.T, change func(c *testcluster.Cluster, w traffictest.Wanted, config *traefiktcp.Config)) {
	t.Helper()
	c := testcluster.Shared(t)
	ns := c.Namespace(t)
	traefik := c.Traefik(t, testbed.TraefikConfig{Throttle: throttle, Args: []string{"--providers.kubernetescrd.namespaces=" + ns}})
	all := watching(t, c.Config)
	traffictest.Run(t, func(t *testing.T, w traffictest.Wanted) traffictest.Gateway {
		stable, canary := traffic.Backend{Service: w.Rollout + "-s", Port: "80"}, traffic.Backend{Service: w.Rollout + "-c", Port: "http"}
		c.Arms(t, ns, stable.Service, canary.Service, w.Stable, w.Canary)
		config := traefiktcp.Config{Rollout: w.Rollout, Namespace: ns, Stable: stable, Canary: canary}
		if !w.OnlyDead {
			config.Verify.APIs = append(config.Verify.APIs, traefik.API)
		}
		if w.DeadReplica {
			config.Verify.APIs = append(config.Verify.APIs, testbed.DeadURL(t))
		}
		change(c, w, &config)
		r := all.router(t, config)
		name := w.Rollout
		if config.Route == nil {
			name = config.Adopted[0]
		}
		return traffictest.Gateway{
			Router: r, URL: strings.Replace(traefik.URL("web"), "http://", "https://", 1), Stable: stable, Canary: canary, Connections: true,
			Refuses: []traffictest.Feature{traffictest.StickyUsers, traffictest.Guards, traffictest.Cohorts, traffictest.Mirrors, traffictest.Previews},
			Meddle: func(t *testing.T) {
				asKubectl(t, c, ns, name, half(stable.Service, canary.Service))
				await.True(t, func() bool {
					o, err := r.Observe(t.Context())
					return err == nil && o.Configured.Main.Weight == 0.5
				}, "a watch has reported it")
			},
		}
	})
}
