package traefikcrd_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/traffictest"
)

// twoRoutes has two IngressRoutes of the user: one with two routes to the release and others, and a second one.
const twoRoutes = `
apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata: {name: users}
spec:
  routes:
    - {kind: Rule, match: "Host(` + "`HOST`) && PathPrefix(`/other`" + `)", services: [{name: shop-canary, port: 80}]}
    - {kind: Rule, match: "Host(` + "`HOST`" + `)", services: [{name: shop, port: 80}]}
    - {kind: Rule, match: "Host(` + "`HOST`) && PathPrefix(`/api`" + `)", services: [{name: shop, port: 80}], middlewares: [{name: mark}]}
---
apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata: {name: more}
spec:
  routes:
    - {kind: Rule, match: "Host(` + "`more.HOST`" + `)", services: [{name: shop, port: 80}]}
---
{apiVersion: traefik.io/v1alpha1, kind: Middleware, metadata: {name: mark}, spec: {headers: {customRequestHeaders: {X-Mark: "yes"}}}}
`

func several(w *world) {
	w.config.Route, w.config.IngressRoute, w.config.Further = nil, "users", []string{"more"}
	w.manifests = strings.ReplaceAll(twoRoutes, "HOST", w.host)
}

// to sends a request to a path on the first host, or to the second host.
func (w *world) to(change func(*testbed.LoadConfig), host, path string) func(*testbed.LoadConfig) {
	return func(c *testbed.LoadConfig) {
		c.Host, c.URL = host, c.URL+path
		if change != nil {
			change(c)
		}
	}
}

// everywhere checks which versions the three routes answer with.
func (w *world) everywhere(t *testing.T, change func(*testbed.LoadConfig), v1, v2 int) {
	t.Helper()
	for _, at := range [][2]string{{w.host, "/"}, {w.host, "/api"}, {"more." + w.host, "/"}} {
		counts := w.send(t, v1+v2, w.to(change, at[0], at[1]))
		require.Equal(t, [2]int{v1, v2}, [2]int{counts.Status["v1"][http.StatusOK], counts.Status["v2"][http.StatusOK]}, at)
	}
}

func TestSeveralRoutesMoveTogether(t *testing.T) {
	t.Parallel()
	w := begin(t, several)
	w.bring(t, target(0.5))
	// One weighted service serves them all, so they share its rotation.
	w.everywhere(t, nil, 5, 5)
	w.bring(t, withCohort(target(0)))
	w.everywhere(t, inCohort, 5, 5)
	w.everywhere(t, nil, 10, 0)

	mirrored := target(0)
	mirrored.Mirror, mirrored.Preview = &traffic.Mirror{Share: 1}, &traffic.Preview{Match: &traffic.Matcher{Header: &traffic.Header{Name: "X-Preview", Value: "yes"}}}
	w.bring(t, mirrored)
	w.everywhere(t, nil, 4, 0)
	w.everywhere(t, func(c *testbed.LoadConfig) { c.Header = http.Header{"X-Preview": {"yes"}} }, 0, 4)
	mirrored.Preview = &traffic.Preview{Host: "preview." + w.host}
	w.bring(t, mirrored)
	require.Equal(t, 4, w.send(t, 4, w.to(nil, mirrored.Preview.Host, "/")).Status["v2"][http.StatusOK])

	w.bring(t, target(1))
	w.everywhere(t, nil, 0, 4)
	w.bring(t, target(0))
	w.everywhere(t, nil, 4, 0)
}

func TestAForeignEditOfOneOfSeveralRoutesIsReverted(t *testing.T) {
	t.Parallel()
	w := begin(t, several)
	w.bring(t, target(0.5))
	asKubectl(t, w.Cluster, w.ns, "ingressroutes", "more", fmt.Sprintf(
		`{"spec": {"routes": [{"kind": "Rule", "match": "Host(%s)", "services": [{"name": "shop", "port": 80}]}]}}`, "`more."+w.host+"`"))
	o := traffictest.Await(t, w.Router, target(0.5), traffic.NotServed)
	require.Contains(t, strings.Join(o.Configured.Foreign, "\n"), "IngressRoute more does not lead to TraefikService shop")
	w.bring(t, target(0.5))
	w.everywhere(t, nil, 5, 5)

	route := w.raw(t, "ingressroutes", "more")["spec"]
	asKubectl(t, w.Cluster, w.ns, "ingressroutes", "more", fmt.Sprintf(
		`{"spec": {"routes": [{"kind": "Rule", "match": "Host(%s)", "services": [{"name": "other", "port": 80}]}]}}`, "`more."+w.host+"`"))
	require.ErrorContains(t, w.Router.Apply(t.Context(), target(0.6)), "IngressRoute more: none of its routes leads to Service shop:80 or TraefikService shop")
	o = traffictest.Await(t, w.Router, target(0.5), traffic.NotServed)
	require.Contains(t, strings.Join(o.Configured.Foreign, "\n"), "IngressRoute more: none of its routes leads to Service shop:80")
	require.NoError(t, w.Router.Apply(t.Context(), target(0)), "a route that leads elsewhere does not lead to the canary")
	o = traffictest.Await(t, w.Router, target(0), traffic.InForce)
	require.Contains(t, o.Unreadable, "IngressRoute more: none of its routes leads to Service shop:80")
	again, err := json.Marshal(map[string]any{"spec": route})
	require.NoError(t, err)
	asKubectl(t, w.Cluster, w.ns, "ingressroutes", "more", string(again))
	w.bring(t, target(0.5))

	client := w.Client.CoreV1().RESTClient()
	require.NoError(t, client.Delete().AbsPath("/apis/traefik.io/v1alpha1/namespaces/"+w.ns+"/ingressroutes/more").Body(&metav1.DeleteOptions{}).Do(t.Context()).Error())
	require.ErrorContains(t, w.Router.Apply(t.Context(), target(0.6)), "IngressRoute more, which is to be adopted, does not exist")
	o = traffictest.Await(t, w.Router, target(0.5), traffic.NotServed)
	require.Contains(t, o.Configured.Foreign, "IngressRoute more is missing")
	require.NoError(t, w.Router.Apply(t.Context(), target(0)), "a missing route does not lead to the canary")
	o = traffictest.Await(t, w.Router, target(0), traffic.InForce)
	require.Contains(t, o.Unreadable, "IngressRoute more, which is to be adopted, does not exist")
	require.Equal(t, 10, w.send(t, 10, nil).Status["v1"][http.StatusOK])
}

// A cohort's route alongside a deleted one would continue to serve the canary.
func TestTheCohortsRouteOfADeletedRouteIsRemoved(t *testing.T) {
	t.Parallel()
	w := begin(t, several)
	w.bring(t, withCohort(target(0)))
	client := w.Client.CoreV1().RESTClient()
	require.NoError(t, client.Delete().AbsPath("/apis/traefik.io/v1alpha1/namespaces/"+w.ns+"/ingressroutes/more").Body(&metav1.DeleteOptions{}).Do(t.Context()).Error())
	o := traffictest.Await(t, w.Router, withCohort(target(0)), traffic.NotServed)
	require.Contains(t, o.Configured.Foreign, "IngressRoute more is missing")
	require.NoError(t, w.Router.Apply(t.Context(), target(0)))
	traffictest.Await(t, w.Router, target(0), traffic.InForce)
	require.Zero(t, w.send(t, 10, w.to(inCohort, "more."+w.host, "/")).Status["v2"][http.StatusOK])
}

func TestDifferingReferencesAreRefused(t *testing.T) {
	t.Parallel()
	w := begin(t, func(w *world) {
		several(w)
		w.manifests = strings.Replace(w.manifests, "services: [{name: shop, port: 80}], middlewares", "services: [{name: shop, port: 80, passHostHeader: false}], middlewares", 1)
	})
	err := w.Router.Apply(t.Context(), target(0.5))
	require.ErrorContains(t, err, "IngressRoute users: route 2 does not refer to Service shop in the same way as IngressRoute users")
}

func TestAFormerIngressRouteLeadsToStablesServiceAgain(t *testing.T) {
	t.Parallel()
	w := begin(t, several)
	before := w.raw(t, "ingressroutes", "users")["spec"]
	guarded := target(0.5)
	guarded.Guards.RateLimit = &traffic.RateLimit{Average: 1000, Burst: 1000}
	w.bring(t, guarded)
	w.Cluster.Apply(t, w.ns, strings.ReplaceAll(`{apiVersion: traefik.io/v1alpha1, kind: IngressRoute, metadata: {name: theirs}, spec: {routes: [{kind: Rule, match: "Host(`+"`theirs.HOST`"+`)", services: [{kind: TraefikService, name: shop}]}]}}`, "HOST", w.host))

	w.config.IngressRoute, w.config.Further = "more", nil
	w.Router = router(t, w.as, w.config)
	w.bring(t, guarded)
	require.NotEqual(t, before, w.raw(t, "ingressroutes", "users")["spec"], "no reference is restored while the canary has traffic")
	w.bring(t, target(0))
	require.Equal(t, before, w.raw(t, "ingressroutes", "users")["spec"], "it is as before, without the guard")
	leads := func(name string) string { return fmt.Sprint(w.raw(t, "ingressroutes", name)["spec"]) }
	require.Contains(t, leads("more"), "TraefikService")
	require.Contains(t, leads("theirs"), "TraefikService", "Serin never led it there")
	await.True(t, func() bool { return w.send(t, 4, w.to(nil, w.host, "/api")).Status["v1"][http.StatusOK] == 4 })

	w.config.IngressRoute, w.config.Route = "", &traffic.Route{Rule: "Host(`own." + w.host + "`)"}
	w.Router = router(t, w.as, w.config)
	w.bring(t, target(0))
	require.NotContains(t, leads("more"), "TraefikService", "one of Serin's own routes replaces it")
	require.Contains(t, leads("shop"), "TraefikService")
}
