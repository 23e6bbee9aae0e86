package traefiktcp_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/traefik/traefik/v3/pkg/provider/kubernetes/crd/traefikio/v1alpha1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
	"github.com/serindev/serin/internal/testbed/testcluster"
	"github.com/serindev/serin/share"
	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/traefiktcp"
	"github.com/serindev/serin/traffic/traffictest"
)

var stable, canary = traffic.Backend{Service: "db", Port: "80"}, traffic.Backend{Service: "db-canary", Port: "http"}

func target(weight share.Share) traffic.Target {
	return traffic.Target{Stable: stable, Canary: canary, Weight: weight}
}

// world makes the arms of rollout "db", with its own Traefik.
func world(t *testing.T) (*testcluster.Cluster, traefiktcp.Config) {
	t.Helper()
	c := testcluster.Shared(t)
	ns := c.Namespace(t)
	traefik := c.Traefik(t, testbed.TraefikConfig{Throttle: throttle, Args: []string{"--providers.kubernetescrd.namespaces=" + ns}})
	c.Arms(t, ns, stable.Service, canary.Service, testbed.NewBackend(t, testbed.Behaviour{Version: "v1"}), testbed.NewBackend(t, testbed.Behaviour{Version: "v2"}))
	config := traefiktcp.Config{Rollout: "db", Namespace: ns, Stable: stable, Canary: canary}
	config.Verify.APIs = []string{traefik.API}
	return c, config
}

// worldOfTwo has two users' routes that the rollout adopts.
func worldOfTwo(t *testing.T) (*testcluster.Cluster, traefiktcp.Config) {
	t.Helper()
	c, config := world(t)
	config.Adopted = []string{"one", "two"}
	for _, name := range config.Adopted {
		c.Apply(t, config.Namespace, fmt.Sprintf("{apiVersion: traefik.io/v1alpha1, kind: IngressRouteTCP, metadata: {name: %[1]s}, spec: {tls: {}, routes: [{match: \"HostSNI(`%[1]s.%[2]s.test`)\", services: [{name: db, port: 80}]}]}}", name, config.Namespace))
	}
	return c, config
}

func TestADeletedRouteDoesNotStopTheRollbackOfOthers(t *testing.T) {
	t.Parallel()
	c, config := worldOfTwo(t)
	ns := config.Namespace
	r, err := traefiktcp.New(config, kubernetes.NewForConfigOrDie(c.Config), dynamic.NewForConfigOrDie(c.Config))
	require.NoError(t, err)
	require.NoError(t, r.Apply(t.Context(), target(0.5)))
	traffictest.Await(t, r, target(0.5), traffic.InForce)

	before, err := routesIn(c, ns).Get(t.Context(), "two", metav1.GetOptions{})
	require.NoError(t, err)
	asKubectl(t, c, ns, "two", `[{"op": "replace", "path": "/spec/routes/0/services", "value": [{"name": "other", "port": 80}]}]`)
	require.ErrorContains(t, r.Apply(t.Context(), target(0.6)), "IngressRouteTCP two: no route leads to Service db:80")
	o := traffictest.Await(t, r, target(0.5), traffic.NotServed)
	require.Contains(t, fmt.Sprint(o.Configured.Foreign), "IngressRouteTCP two: no route leads to Service db:80")
	require.NoError(t, r.Apply(t.Context(), target(0)), "a route that leads elsewhere does not lead to the canary")
	o = traffictest.Await(t, r, target(0), traffic.InForce)
	require.Contains(t, o.Unreadable, "IngressRouteTCP two: no route leads to Service db:80")
	services, err := json.Marshal(before.Object["spec"].(map[string]any)["routes"].([]any)[0].(map[string]any)["services"])
	require.NoError(t, err)
	asKubectl(t, c, ns, "two", fmt.Sprintf(`[{"op": "replace", "path": "/spec/routes/0/services", "value": %s}]`, services))
	require.NoError(t, r.Apply(t.Context(), target(0.5)))
	traffictest.Await(t, r, target(0.5), traffic.InForce)

	require.NoError(t, routesIn(c, ns).Delete(t.Context(), "two", metav1.DeleteOptions{}))
	require.ErrorContains(t, r.Apply(t.Context(), target(0.6)), "IngressRouteTCP two, which is to be adopted, does not exist")
	o = traffictest.Await(t, r, target(0.5), traffic.NotServed)
	require.Contains(t, o.Configured.Foreign, "IngressRouteTCP two is missing")
	require.NoError(t, r.Apply(t.Context(), target(0)), "a missing route does not lead to the canary")
	o = traffictest.Await(t, r, target(0), traffic.InForce)
	require.Contains(t, o.Unreadable, "IngressRouteTCP two, which is to be adopted, does not exist")

	require.NoError(t, routesIn(c, ns).Delete(t.Context(), "one", metav1.DeleteOptions{}))
	require.Error(t, r.Apply(t.Context(), target(0)), "without any route no rollback can be in force")
}

const rights = `
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: serin-traffic}
rules:
- {apiGroups: [traefik.io], resources: [ingressroutetcps], verbs: [get, list, watch, patch]}
- {apiGroups: [""], resources: [services], verbs: [get]}
- {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: serin-traffic}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: serin-traffic},
 subjects: [{kind: ServiceAccount, name: serin}]}`

// A route that cannot be read does not stop the rollback of others, but then it is not known what is in force.
func TestLostRightsDoNotStopARollback(t *testing.T) {
	t.Parallel()
	c, config := worldOfTwo(t)
	ns := config.Namespace
	account := c.ServiceAccount(t, ns, "serin")
	c.Apply(t, ns, rights)
	client := dynamic.NewForConfigOrDie(account)
	r, err := traefiktcp.New(config, kubernetes.NewForConfigOrDie(account), client)
	require.NoError(t, err)
	await.True(t, func() bool { return r.Apply(t.Context(), target(0.5)) == nil }, "the rights")
	c.Apply(t, ns, strings.Replace(rights, "verbs: [get, list, watch, patch]", "resourceNames: [one], verbs: [get, patch]", 1))
	await.True(t, func() bool {
		_, err := client.Resource(v1alpha1.SchemeGroupVersion.WithResource("ingressroutetcps")).Namespace(ns).Get(t.Context(), "two", metav1.GetOptions{})
		return apierrors.IsForbidden(err)
	}, "the right to read one of the routes is gone")
	require.ErrorContains(t, r.Apply(t.Context(), target(0)), "is forbidden")
	got, err := routesIn(c, ns).Get(t.Context(), "one", metav1.GetOptions{})
	require.NoError(t, err)
	require.NotContains(t, fmt.Sprint(got.Object["spec"]), canary.Service)
	_, err = r.Observe(t.Context())
	require.ErrorContains(t, err, "is forbidden")
}

func TestRemovedLabelsDoNotStopARollback(t *testing.T) {
	t.Parallel()
	c, config := world(t)
	config.Route = &traffic.Route{Rule: "HostSNI(`" + config.Namespace + ".test`)", TLS: &traffic.TLS{}}
	r, err := traefiktcp.New(config, kubernetes.NewForConfigOrDie(c.Config), dynamic.NewForConfigOrDie(c.Config))
	require.NoError(t, err)
	require.NoError(t, r.Apply(t.Context(), target(0.5)))
	asKubectl(t, c, config.Namespace, "db", `[{"op": "remove", "path": "/metadata/labels"}]`)
	require.ErrorIs(t, r.Apply(t.Context(), target(0)), traefiktcp.ErrForeign)
	got, err := routesIn(c, config.Namespace).Get(t.Context(), "db", metav1.GetOptions{})
	require.NoError(t, err)
	services := got.Object["spec"].(map[string]any)["routes"].([]any)[0].(map[string]any)["services"].([]any)
	require.Len(t, services, 1)
	require.Equal(t, "db", services[0].(map[string]any)["name"])
}

func TestAForeignReferenceToTheCanaryDoesNotStopARollback(t *testing.T) {
	t.Parallel()
	c, config := worldOfTwo(t)
	r, err := traefiktcp.New(config, kubernetes.NewForConfigOrDie(c.Config), dynamic.NewForConfigOrDie(c.Config))
	require.NoError(t, err)
	require.NoError(t, r.Apply(t.Context(), target(0.5)))
	asKubectl(t, c, config.Namespace, "two", `[{"op": "replace", "path": "/spec/routes/0/services", "value": [{"name": "db", "port": 80}, {"name": "db-canary", "port": 80}]}]`)
	require.ErrorContains(t, r.Apply(t.Context(), target(0.6)), "IngressRouteTCP two: route 0 leads to db-canary as well")
	require.NoError(t, r.Apply(t.Context(), target(0)))
	for _, name := range config.Adopted {
		got, err := routesIn(c, config.Namespace).Get(t.Context(), name, metav1.GetOptions{})
		require.NoError(t, err)
		require.NotContains(t, fmt.Sprint(got.Object["spec"]), canary.Service)
	}
	traffictest.Await(t, r, target(0), traffic.InForce)
}

// The option safeNaming came with Traefik 3.7. With an older one, a server of this test has the names.
func TestAnotherSchemeOfRouterNamesIsReported(t *testing.T) {
	t.Parallel()
	c, config := worldOfTwo(t)
	safe := func(route string) string { return config.Namespace + "_" + route + "_0@kubernetescrd" }
	if testbed.TraefikKnows(t, "providers.kubernetescrd.safenaming") {
		config.Verify.APIs = []string{c.Traefik(t, testbed.TraefikConfig{
			Throttle: throttle, Args: []string{"--providers.kubernetescrd.namespaces=" + config.Namespace, "--providers.kubernetescrd.safenaming=true"},
		}).API}
	} else {
		names := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			if name := path.Base(r.URL.Path); name != safe("one") && name != safe("two") {
				http.Error(w, `{"message": "router not found"}`, http.StatusNotFound)
				return
			}
			_, _ = io.WriteString(w, `{"status": "enabled"}`)
		})
		server := httptest.NewServer(names)
		t.Cleanup(server.Close)
		config.Verify.APIs = []string{server.URL}
	}
	r := watching(t, c.Config).router(t, config)
	require.NoError(t, r.Apply(t.Context(), target(0.5)))
	await.Until(t, "the option is named", func() string {
		o, err := r.Observe(t.Context())
		require.NoError(t, err)
		want := "it calls the router of IngressRouteTCP one " + safe("one") + ", by its option providers.kubernetesCRD.safeNaming, whose names Serin does not know: set that to false"
		if o.Replicas[0].Err == want {
			return ""
		}
		return fmt.Sprint(o.Replicas[0])
	})
}
