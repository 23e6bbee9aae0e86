package traefikcrd_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/traefik/traefik/v3/pkg/provider/kubernetes/crd/generated/clientset/versioned"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/traefikcrd"
	"github.com/serindev/serin/traffic/traffictest"
)

// twoPorts has Services for the arms with a second port each, for the same pods.
const twoPorts = `
{apiVersion: v1, kind: Service, metadata: {name: shop}, spec: {selector: {app: shop}, ports: [{name: http, port: 80, targetPort: web}, {name: rpc, port: 9090, targetPort: web}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: shop-canary}, spec: {selector: {app: shop-canary}, ports: [{name: http, port: 80, targetPort: web}, {name: rpc, port: 9090, targetPort: web}]}}
`

// twoProtocols has two IngressRoutes of the user's, to one port each.
const twoProtocols = twoPorts + `---
apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata: {name: users}
spec: {routes: [{kind: Rule, match: "Host(` + "`HOST`" + `)", services: [{name: shop, port: 80}]}]}
---
apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata: {name: more}
spec: {routes: [{kind: Rule, match: "Host(` + "`more.HOST`" + `)", services: [{name: shop, port: rpc, passHostHeader: false, nativeLB: false}]}]}
`

// bothPorts gives the rollout two ports and adopted routes.
func bothPorts(w *world) {
	w.config.Route, w.config.IngressRoute, w.config.Further = nil, "users", []string{"more"}
	w.config.Ports = []traffic.PortPair{{Stable: "rpc", Canary: "9090"}}
	w.manifests = strings.ReplaceAll(twoProtocols, "HOST", w.host)
}

// onBoth checks which versions the routes to both ports answer with.
func (w *world) onBoth(t *testing.T, change func(*testbed.LoadConfig), v1, v2 int) {
	t.Helper()
	for _, host := range []string{w.host, "more." + w.host} {
		counts := w.send(t, v1+v2, w.to(change, host, "/"))
		require.Equal(t, [2]int{v1, v2}, [2]int{counts.Status["v1"][http.StatusOK], counts.Status["v2"][http.StatusOK]}, host)
	}
}

func preview(c *testbed.LoadConfig) { c.Header = http.Header{"X-Preview": {"yes"}} }

func TestRoutesToSeveralPortsMoveTogether(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*world){
		"adopted": bothPorts,
		"Serin's own": func(w *world) {
			w.config.Ports = []traffic.PortPair{{Stable: "rpc", Canary: "9090", StableBalancing: traffic.Balancing{Scheme: "http"}, CanaryBalancing: traffic.Balancing{Scheme: "http"}}}
			w.config.FurtherRoutes = []traffic.PortRoute{{Route: traffic.Route{Rule: "Host(`more." + w.host + "`)"}, Port: 1}}
			w.manifests = twoPorts
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := begin(t, change)
			w.bring(t, target(0.5))
			w.onBoth(t, nil, 5, 5)
			canaries, stables := w.Labels(traffic.MainLane)
			require.Equal(t, w.ns+"-shop-80@kubernetescrd,"+w.ns+"-shop-rpc@kubernetescrd", stables, "the requests of both ports are counted")
			require.Equal(t, w.ns+"-shop-canary-http@kubernetescrd,"+w.ns+"-shop-canary-9090@kubernetescrd", canaries)

			w.bring(t, withCohort(target(0)))
			w.onBoth(t, inCohort, 5, 5)
			w.onBoth(t, nil, 10, 0)
			mirrored := target(0)
			mirrored.Mirror, mirrored.Preview = &traffic.Mirror{Share: 1}, &traffic.Preview{Match: &traffic.Matcher{Header: &traffic.Header{Name: "X-Preview", Value: "yes"}}}
			w.bring(t, mirrored)
			w.onBoth(t, nil, 4, 0)
			w.onBoth(t, preview, 0, 4)
			w.bring(t, target(1))
			w.onBoth(t, nil, 0, 4)
			w.bring(t, target(0))
			w.onBoth(t, nil, 4, 0)
		})
	}
}

func TestAForeignEditOfOneOfSeveralPortsIsReverted(t *testing.T) {
	t.Parallel()
	w := begin(t, bothPorts)
	w.bring(t, target(0.1))
	asKubectl(t, w.Cluster, w.ns, "traefikservices", "shop-port-2", strings.NewReplacer(`"port": 80`, `"port": "rpc"`, `"port": "http"`, `"port": 9090`).Replace(half(w.ns, stable.Service, canary.Service)))
	o := traffictest.Await(t, w.Router, target(0.1), traffic.NotServed)
	require.Equal(t, 0.5, float64(o.Configured.Main.Weight), "the port with the most for the canary counts")
	w.bring(t, target(0.1))
	w.onBoth(t, nil, 9, 1)
}

func TestFormerPortsAndRoutesAreCleanedUp(t *testing.T) {
	t.Parallel()
	t.Run("adopted", func(t *testing.T) {
		t.Parallel()
		w := begin(t, bothPorts)
		before := w.raw(t, "ingressroutes", "more")["spec"]
		w.bring(t, withCohort(target(0)))
		w.config.Ports, w.config.Further = nil, nil
		w.Router = router(t, w.as, w.config)
		w.bring(t, target(0))
		require.Equal(t, before, w.raw(t, "ingressroutes", "more")["spec"], "it is as before")
		require.Contains(t, w.made(t), "port-2", "Traefik may still have the old route for a moment")
		require.NoError(t, w.Router.Apply(t.Context(), target(0)))
		require.NotContains(t, w.made(t), "port-2")
		await.True(t, func() bool { return w.send(t, 4, w.to(nil, "more."+w.host, "/")).Status["v1"][http.StatusOK] == 4 })
	})
	t.Run("Serin's own", func(t *testing.T) {
		t.Parallel()
		w := begin(t, func(w *world) {
			w.config.Ports = []traffic.PortPair{{Stable: "rpc", Canary: "9090"}}
			w.config.FurtherRoutes = []traffic.PortRoute{{Route: traffic.Route{Rule: "Host(`more." + w.host + "`)"}, Port: 1}}
			w.manifests = twoPorts + "---\n" + strings.ReplaceAll(`{apiVersion: traefik.io/v1alpha1, kind: IngressRoute, metadata: {name: theirs}, spec: {routes: [{kind: Rule, match: "Host(`+"`theirs.HOST`"+`)", services: [{kind: TraefikService, name: shop-port-2}]}]}}`, "HOST", w.host)
		})
		w.bring(t, target(0))
		w.config.Ports, w.config.FurtherRoutes = nil, nil
		w.Router = router(t, w.as, w.config)
		require.NoError(t, w.Router.Apply(t.Context(), target(0)))
		require.NotContains(t, w.made(t), "route-2")
		require.Contains(t, w.made(t), "port-2", "a route of the user's leads there")
		require.NoError(t, versioned.NewForConfigOrDie(w.Cluster.Config).TraefikV1alpha1().IngressRoutes(w.ns).Delete(t.Context(), "theirs", metav1.DeleteOptions{}))
		require.NoError(t, w.Router.Apply(t.Context(), target(0)))
		require.NotContains(t, w.made(t), "port-2")
	})
}

// made returns the names of the rollout's IngressRoutes and TraefikServices.
func (w *world) made(t *testing.T) string {
	t.Helper()
	api := versioned.NewForConfigOrDie(w.Cluster.Config).TraefikV1alpha1()
	mine := metav1.ListOptions{LabelSelector: "serin.dev/rollout=shop"}
	routes, err := api.IngressRoutes(w.ns).List(t.Context(), mine)
	require.NoError(t, err)
	services, err := api.TraefikServices(w.ns).List(t.Context(), mine)
	require.NoError(t, err)
	var names []string
	for i := range routes.Items {
		names = append(names, routes.Items[i].Name)
	}
	for i := range services.Items {
		names = append(names, services.Items[i].Name)
	}
	return strings.Join(names, " ")
}

func TestAPortWithoutARouteIsRefused(t *testing.T) {
	t.Parallel()
	w := begin(t, func(w *world) {
		bothPorts(w)
		w.config.Further = nil
	})
	require.ErrorContains(t, w.Router.Apply(t.Context(), target(0.5)), "no route leads to Service shop:rpc")
}

// The option safeNaming was added in Traefik 3.7. In front of an older one, a proxy changes the names.
func TestAnotherSchemeOfRouterNamesIsReported(t *testing.T) {
	t.Parallel()
	w := begin(t, nil)
	w.bring(t, target(0.5))
	var api string
	if testbed.TraefikKnows(t, "providers.kubernetescrd.safenaming") {
		api = only(t, w.Cluster, w.ns, testbed.TraefikConfig{Throttle: throttle, Args: []string{"--providers.kubernetescrd.safenaming=true"}}).API
	} else {
		api = namedSafely(t, w)
	}
	w.config.Verify = traefikcrd.Verify{APIs: []string{api}}
	w.Router = router(t, w.as, w.config)
	o := traffictest.Await(t, w.Router, target(0.5), traffic.Unconfirmed)
	require.Equal(t, "it calls the router of IngressRoute shop "+w.ns+"_shop_0@kubernetescrd, by its option providers.kubernetesCRD.safeNaming, whose names Serin does not know: set that to false", o.Replicas[0].Err)
}

// namedSafely is the API of w's Traefik, with the names of Traefik 3.7's option.
func namedSafely(t *testing.T, w *world) string {
	t.Helper()
	to, err := url.Parse(w.traefik.API)
	require.NoError(t, err)
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }, ModifyResponse: func(r *http.Response) error {
		body, err := io.ReadAll(r.Body)
		body = regexp.MustCompile(w.ns+"-shop-[0-9a-f]{20}@").ReplaceAll(body, []byte(w.ns+"_shop_0@"))
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		r.Header.Del("Content-Length")
		return err
	}}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if safe := q.Get("search"); safe == w.ns+"_shop_" {
			q.Set("search", w.ns+"-shop-")
			r.URL.RawQuery = q.Encode()
		} else if strings.HasPrefix(r.URL.Path, "/api/http/routers/"+w.ns+"-shop-") {
			rw.Header().Set("Content-Type", "application/json")
			http.Error(rw, `{"message": "router not found"}`, http.StatusNotFound)
			return
		}
		proxy.ServeHTTP(rw, r)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestAMissingRightToCrossNamespacesIsReported(t *testing.T) {
	t.Parallel()
	w := begin(t, nil)
	arms := w.Namespace(t)
	w.Arms(t, arms, stable.Service, canary.Service, w.v1, w.v2)
	w.traefik = only(t, w.Cluster, w.ns+","+arms, testbed.TraefikConfig{Throttle: throttle})
	w.config.Arms, w.config.Verify = arms, traefikcrd.Verify{APIs: []string{w.traefik.API}}
	w.Router = router(t, w.as, w.config)
	require.NoError(t, w.Router.Apply(t.Context(), target(0.5)))
	await.True(t, func() bool {
		o, err := w.Observe(t.Context())
		require.NoError(t, err)
		return strings.Contains(strings.Join(traffic.Differences(target(0.5), o), "\n"), "providers.kubernetesCRD.allowCrossNamespace")
	}, "it says what Traefik lacks")
}
