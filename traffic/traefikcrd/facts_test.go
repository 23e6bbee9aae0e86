package traefikcrd_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/traefik/traefik/v3/pkg/provider/kubernetes/crd/generated/clientset/versioned"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
	"github.com/serindev/serin/internal/testbed/testcluster"
	"github.com/serindev/serin/share"
	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/traefikcrd"
	"github.com/serindev/serin/traffic/traffictest"
)

// world is the rollout "shop" of one test, with its own Traefik.
type world struct {
	*testcluster.Cluster
	*traefikcrd.Router
	ns      string
	host    string
	traefik *testbed.Traefik
	v1, v2  *testbed.Backend
	config  traefikcrd.Config
	as      *rest.Config // of the router's user
	// manifests are the user's objects.
	manifests string
}

// begin makes the arms and a router for an owned route, after change has modified the world.
func begin(t *testing.T, change func(w *world)) *world {
	t.Helper()
	c := testcluster.Shared(t)
	w := &world{
		Cluster: c, ns: c.Namespace(t), v1: testbed.NewBackend(t, testbed.Behaviour{Version: "v1"}), v2: testbed.NewBackend(t, testbed.Behaviour{Version: "v2"}),
	}
	w.host = w.ns + ".test"
	w.traefik = only(t, c, w.ns, testbed.TraefikConfig{Throttle: throttle})
	c.Arms(t, w.ns, stable.Service, canary.Service, w.v1, w.v2)
	w.config = traefikcrd.Config{
		Rollout: "shop", Namespace: w.ns, Stable: stable, Canary: canary, Route: &traffic.Route{Rule: "Host(`" + w.host + "`)"},
		Verify: traefikcrd.Verify{APIs: []string{w.traefik.API}},
	}
	if change != nil {
		change(w)
		w.Cluster.Apply(t, w.ns, w.manifests)
	}
	w.as = c.Config
	w.Router = router(t, w.as, w.config)
	return w
}

// apart gives the router its own API server, which the test can stop.
func (w *world) apart(t *testing.T) *testbed.Process {
	t.Helper()
	server, url := w.AnotherAPIServer(t)
	w.as = rest.CopyConfig(w.as)
	w.as.Host = url
	w.Router = router(t, w.as, w.config)
	return server
}

// adopt replaces the owned route with a user's.
func adopt(manifests string) func(w *world) {
	return func(w *world) {
		w.config.Route, w.config.IngressRoute = nil, "users"
		w.manifests = strings.ReplaceAll(manifests, "HOST", w.host)
	}
}

func target(weight share.Share) traffic.Target {
	return traffic.Target{Stable: stable, Canary: canary, Weight: weight}
}

// bring applies a target and waits until it is in force.
func (w *world) bring(t *testing.T, target traffic.Target) {
	t.Helper()
	require.NoError(t, w.Router.Apply(t.Context(), target))
	traffictest.Await(t, w.Router, target, traffic.InForce)
}

func (w *world) send(t *testing.T, n int, change func(*testbed.LoadConfig)) testbed.LoadCounts {
	t.Helper()
	c := testbed.LoadConfig{URL: w.traefik.URL("web"), Host: w.host, Requests: n, Workers: 1}
	if change != nil {
		change(&c)
	}
	return testbed.NewLoad(t, c).Wait()
}

// raw returns an object as the API server has it.
func (w *world) raw(t *testing.T, resource, name string) map[string]any {
	t.Helper()
	data, err := versioned.NewForConfigOrDie(w.Cluster.Config).TraefikV1alpha1().RESTClient().Get().Namespace(w.ns).Resource(resource).Name(name).Do(t.Context()).Raw()
	require.NoError(t, err)
	var out map[string]any
	require.NoError(t, json.Unmarshal(data, &out))
	return out
}

func (w *world) scale(t *testing.T, deployment string, replicas int32) {
	t.Helper()
	_, err := w.Client.AppsV1().Deployments(w.ns).UpdateScale(t.Context(), deployment,
		&autoscalingv1.Scale{ObjectMeta: metav1.ObjectMeta{Name: deployment, Namespace: w.ns}, Spec: autoscalingv1.ScaleSpec{Replicas: replicas}}, metav1.UpdateOptions{})
	require.NoError(t, err)
	w.Cluster.AwaitEndpoints(t, w.ns, deployment, int(replicas))
}

const beta = "X-User-Group"

func withCohort(target traffic.Target) traffic.Target {
	target.Cohort = &traffic.Cohort{Match: traffic.Matcher{Header: &traffic.Header{Name: beta, Value: "beta"}}, Split: 0.5}
	return target
}

func inCohort(c *testbed.LoadConfig) { c.Header = http.Header{beta: {"beta"}} }

const usersRoute = `
apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata: {name: users, annotations: {team: checkout, kubernetes.io/description: "the shop"}, labels: {app: shop}}
spec:
  entryPoints: [web]
  routes:
  - {kind: Rule, match: "Host(` + "`HOST`) && PathPrefix(`/mirror`" + `)", priority: 900, services: [{kind: TraefikService, name: mirror}]}
  - kind: Rule
    match: "Host(` + "`HOST`" + `)"
    middlewares: [{name: marks}]
    services:
    - {name: shop, port: 80, nativeLB: false, passHostHeader: true, strategy: RoundRobin, sticky: {cookie: {name: pod, httpOnly: true}}, responseForwarding: {flushInterval: 1ms}}
---
{apiVersion: traefik.io/v1alpha1, kind: TraefikService, metadata: {name: mirror}, spec: {mirroring: {name: shop, port: 80, mirrors: [{name: shop-canary, port: http, percent: 10}]}}}
---
{apiVersion: traefik.io/v1alpha1, kind: Middleware, metadata: {name: marks}, spec: {headers: {customResponseHeaders: {X-Marked: "yes"}}}}
`

func TestOnlyTheReferenceInAnAdoptedRouteChanges(t *testing.T) {
	t.Parallel()
	w := begin(t, adopt(usersRoute))
	before, mirror := w.raw(t, "ingressroutes", "users"), w.raw(t, "traefikservices", "mirror")
	guarded := withCohort(target(0.25))
	guarded.Guards.RateLimit = &traffic.RateLimit{Average: 1000, Burst: 1000}
	w.bring(t, guarded)

	after := w.raw(t, "ingressroutes", "users")
	require.Equal(t, before["metadata"].(map[string]any)["annotations"], after["metadata"].(map[string]any)["annotations"])
	require.Equal(t, before["metadata"].(map[string]any)["labels"], after["metadata"].(map[string]any)["labels"])
	want := before["spec"].(map[string]any)
	route := want["routes"].([]any)[1].(map[string]any)
	reference := route["services"].([]any)[0].(map[string]any)
	route["services"] = []any{map[string]any{"kind": "TraefikService", "name": "shop"}}
	route["middlewares"] = []any{map[string]any{"name": "marks"}, map[string]any{"name": "shop-rate-limit"}}
	require.Equal(t, want, after["spec"])
	require.Equal(t, mirror, w.raw(t, "traefikservices", "mirror"), "another object of the user is not touched")

	children := w.raw(t, "traefikservices", "shop")["spec"].(map[string]any)["weighted"].(map[string]any)["services"].([]any)
	require.Len(t, children, 2)
	for i, name := range []string{"shop", "shop-canary"} {
		child := children[i].(map[string]any)
		require.Equal(t, name, child["name"])
		require.Equal(t, []any{float64(75), float64(25)}[i], child["weight"])
		for _, field := range []string{"sticky", "nativeLB", "passHostHeader", "strategy", "responseForwarding"} {
			require.Equal(t, reference[field], child[field], "%s of %s is as the user has it", field, name)
		}
	}
	// Traefik's rotation restarts at each reload, and another reload may follow after the write is in force.
	require.InDelta(t, 25, w.send(t, 100, nil).Answered("v2"), 2)
	require.InDelta(t, 20, w.send(t, 40, inCohort).Answered("v2"), 2)
}

func TestTheCohortsRouteHasTheUsersMiddlewares(t *testing.T) {
	t.Parallel()
	w := begin(t, adopt(usersRoute))
	w.bring(t, withCohort(target(0)))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.traefik.URL("web"), nil)
	require.NoError(t, err)
	req.Host = w.host
	req.Header.Set(beta, "beta")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, "yes", resp.Header.Get("X-Marked"))
}

func TestAUsersWeightedServiceIsAdoptedOnlyOnRequest(t *testing.T) {
	t.Parallel()
	const users = `{apiVersion: traefik.io/v1alpha1, kind: TraefikService, metadata: {name: shop, annotations: {team: checkout}}, spec: {weighted: {
		sticky: {cookie: {name: arm}}, services: [{name: shop, port: 80, nativeLB: false}, {name: shop-canary, port: http, weight: 0, serversTransport: ""}]}}}`
	w := begin(t, nil)
	w.Cluster.Apply(t, w.ns, users)
	require.ErrorIs(t, w.Router.Apply(t.Context(), target(0.5)), traefikcrd.ErrForeign)
	before := w.raw(t, "traefikservices", "shop")
	w.config.Adopt = true
	w.Router = router(t, w.Config, w.config)
	w.bring(t, target(0.25))
	after := w.raw(t, "traefikservices", "shop")
	require.Equal(t, before["metadata"].(map[string]any)["annotations"], after["metadata"].(map[string]any)["annotations"])
	want := before["spec"].(map[string]any)
	children := want["weighted"].(map[string]any)["services"].([]any)
	children[0].(map[string]any)["weight"], children[1].(map[string]any)["weight"] = float64(75), float64(25)
	require.Equal(t, want, after["spec"], "only the two weights have changed")

	w.bring(t, target(0))
	children[0].(map[string]any)["weight"], children[1].(map[string]any)["weight"] = float64(100), float64(0)
	require.Equal(t, want, w.raw(t, "traefikservices", "shop")["spec"])
	out := target(0)
	out.Out = true
	w.bring(t, out)
	require.Len(t, w.raw(t, "traefikservices", "shop")["spec"].(map[string]any)["weighted"].(map[string]any)["services"], 1)
}

func TestForeignObjectsAreRefusedAndLeftAlone(t *testing.T) {
	t.Parallel()
	for name, manifest := range map[string]string{
		"traefikservices/shop":        `{apiVersion: traefik.io/v1alpha1, kind: TraefikService, metadata: {name: shop}, spec: {weighted: {services: [{name: other, port: 80}]}}}`,
		"ingressroutes/shop":          `{apiVersion: traefik.io/v1alpha1, kind: IngressRoute, metadata: {name: shop}, spec: {routes: [{kind: Rule, match: "Host(` + "`x`" + `)", services: [{name: other, port: 80}]}]}}`,
		"ingressroutes/shop-ab":       `{apiVersion: traefik.io/v1alpha1, kind: IngressRoute, metadata: {name: shop-ab}, spec: {routes: [{kind: Rule, match: "Host(` + "`x`" + `)", services: [{name: other, port: 80}]}]}}`,
		"middlewares/shop-rate-limit": `{apiVersion: traefik.io/v1alpha1, kind: Middleware, metadata: {name: shop-rate-limit}, spec: {rateLimit: {average: 3}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			w := begin(t, nil)
			w.Cluster.Apply(t, w.ns, manifest)
			resource, object, _ := strings.Cut(name, "/")
			before := w.raw(t, resource, object)
			all := withCohort(target(0.5))
			all.Guards.RateLimit = &traffic.RateLimit{Average: 1000, Burst: 1000}
			err := w.Router.Apply(t.Context(), all)
			require.ErrorIs(t, err, traefikcrd.ErrForeign)
			require.ErrorContains(t, err, object)
			require.Equal(t, before, w.raw(t, resource, object))
			list, err := versioned.NewForConfigOrDie(w.Cluster.Config).TraefikV1alpha1().TraefikServices(w.ns).List(t.Context(), metav1.ListOptions{LabelSelector: "serin.dev/rollout"})
			require.NoError(t, err)
			require.Empty(t, list.Items, "nothing was written")
		})
	}
}

func TestTwoRolloutsOnOneHostAreRefused(t *testing.T) {
	t.Parallel()
	w := begin(t, nil)
	w.bring(t, target(0))
	w.config.Rollout = "second"
	second := router(t, w.Config, w.config)
	err := second.Apply(t.Context(), target(0))
	require.ErrorIs(t, err, traefikcrd.ErrForeign)
	require.ErrorContains(t, err, "rollout shop has Host(`"+w.host+"`)")
	w.config.Route = &traffic.Route{Rule: w.config.Route.Rule + " && PathPrefix(`/api`)"}
	require.NoError(t, router(t, w.Config, w.config).Apply(t.Context(), target(0)), "another path is another route")
}

func TestAForeignEditIsReportedWithItsWriterAndReverted(t *testing.T) {
	t.Parallel()
	w := begin(t, nil)
	w.bring(t, withCohort(target(0.1)))
	asKubectl(t, w.Cluster, w.ns, "traefikservices", "shop", half(w.ns, stable.Service, canary.Service))
	asKubectl(t, w.Cluster, w.ns, "traefikservices", "shop-ab", `{"spec": {"weighted": {"sticky": {"cookie": {"name": "theirs"}}}}}`)
	asKubectl(t, w.Cluster, w.ns, "ingressroutes", "shop", `{"spec": {"entryPoints": ["other"]}}`)
	o, err := w.Observe(t.Context())
	require.NoError(t, err)
	drift := strings.Join(traffic.Drift(withCohort(target(0.1)), o), "\n")
	require.Contains(t, drift, "canary's weight is 50%, not 10%")
	require.Regexp(t, `TraefikService shop: weighted.services was written by "kubectl-edit" at 20`, drift)
	require.Regexp(t, `TraefikService shop-ab: weighted.sticky.cookie.name was written by "kubectl-edit"`, drift)
	require.Regexp(t, `IngressRoute shop: entryPoints was written by "kubectl-edit"`, drift)
	w.bring(t, withCohort(target(0.1)))
	o, err = w.Observe(t.Context())
	require.NoError(t, err)
	require.Empty(t, o.Configured.Foreign)

	require.NoError(t, versioned.NewForConfigOrDie(w.Cluster.Config).TraefikV1alpha1().TraefikServices(w.ns).Delete(t.Context(), "shop", metav1.DeleteOptions{}))
	o, err = w.Observe(t.Context())
	require.NoError(t, err)
	require.Contains(t, o.Configured.Foreign, "TraefikService shop is missing")
	w.bring(t, withCohort(target(0.1)))
}

func TestARestoredReferenceIsReplacedAgain(t *testing.T) {
	t.Parallel()
	w := begin(t, adopt(usersRoute))
	w.bring(t, target(0.1))
	w.Cluster.Apply(t, w.ns, w.manifests) // GitOps
	o, err := w.Observe(t.Context())
	require.NoError(t, err)
	require.Contains(t, strings.Join(o.Configured.Foreign, "\n"), `IngressRoute users does not lead to TraefikService shop: it was last written by "kubectl" at 20`)
	w.bring(t, target(0.1))
}

func TestACanaryWithoutEndpointsGetsNoTraffic(t *testing.T) {
	t.Parallel()
	w := begin(t, nil)
	w.bring(t, target(0))
	w.scale(t, canary.Service, 0)
	err := w.Router.Apply(t.Context(), target(0.25))
	require.ErrorIs(t, err, traefikcrd.ErrNoEndpoints)
	require.ErrorContains(t, err, "no ready endpoints behind Service shop-canary")
	require.Equal(t, 20, w.send(t, 20, nil).Answered("v1"), "what is written is left alone")

	w.scale(t, canary.Service, 1)
	w.bring(t, withCohort(target(0.25)))
	w.scale(t, canary.Service, 0)
	o, err := w.Observe(t.Context())
	require.NoError(t, err)
	require.Contains(t, strings.Join(traffic.Drift(withCohort(target(0.25)), o), "\n"), "main route is not enabled: no ready endpoints behind Service shop-canary")
	err = w.Router.Apply(t.Context(), withCohort(target(0.25)))
	require.ErrorIs(t, err, traefikcrd.ErrNoEndpoints)
	require.ErrorContains(t, err, "all requests go to stable")
	traffictest.Await(t, w.Router, target(0), traffic.InForce)
	require.Equal(t, 20, w.send(t, 20, nil).Answered("v1"))
	require.Equal(t, 20, w.send(t, 20, inCohort).Answered("v1"))

	w.scale(t, canary.Service, 1)
	w.bring(t, withCohort(target(0.25)))
}

func TestNoRequestFailsWhileTheCanaryComesAndGoes(t *testing.T) {
	t.Parallel()
	w := begin(t, nil)
	w.bring(t, target(0))
	load := testbed.NewLoad(t, testbed.LoadConfig{URL: w.traefik.URL("web"), Host: w.host, Rate: 200, Workers: 8})
	for range 2 {
		w.scale(t, canary.Service, 2)
		w.bring(t, target(0.5))
		w.bring(t, target(0))
		w.scale(t, canary.Service, 0)
	}
	counts := load.Stop()
	require.Zero(t, counts.Broken, counts.LastError)
	require.Equal(t, counts.Sent, counts.Answered("v1")+counts.Answered("v2"), "%v", counts.Status)
	require.Zero(t, counts.Failed("v1")+counts.Failed("v2"))
}

func TestNothingForeignStopsARollback(t *testing.T) {
	t.Parallel()
	guarded := withCohort(target(0.5))
	guarded.Guards.RateLimit = &traffic.RateLimit{Average: 1000, Burst: 1000}
	back := target(0)
	back.Guards = guarded.Guards
	for name, c := range map[string]struct{ foreign, want string }{
		"a guard that now belongs to others": {
			`{apiVersion: traefik.io/v1alpha1, kind: Middleware, metadata: {name: shop-rate-limit, labels: {serin.dev/rollout: other}}, spec: {rateLimit: {average: 1000}}}`,
			"Middleware shop-rate-limit exists and is not Serin's",
		},
		"a further route that leads to stable in another way": {
			strings.Replace(usersRoute, "name: mirror}]}\n", "name: mirror}]}\n  - {kind: Rule, match: \"Host(`twice`)\", services: [{name: shop, port: 80}]}\n", 1),
			"does not refer to Service shop in the same way as IngressRoute users",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := begin(t, adopt(usersRoute))
			w.bring(t, guarded)
			w.Cluster.Apply(t, w.ns, strings.ReplaceAll(c.foreign, "HOST", w.host))
			require.ErrorContains(t, w.Router.Apply(t.Context(), back), c.want)
			children := w.raw(t, "traefikservices", "shop")["spec"].(map[string]any)["weighted"].(map[string]any)["services"].([]any)
			require.Len(t, children, 1)
			require.Equal(t, "shop", children[0].(map[string]any)["name"])
			await.True(t, func() bool { return w.send(t, 20, inCohort).Answered("v1") == 20 }, "no request reaches the canary")
		})
	}
}

func TestAllTrafficGoesToTheCanaryAndBack(t *testing.T) {
	t.Parallel()
	w := begin(t, nil)
	w.bring(t, target(1))
	require.Equal(t, 20, w.send(t, 20, nil).Answered("v2"))
	w.bring(t, target(0))
	require.Equal(t, 20, w.send(t, 20, nil).Answered("v1"))
}

func TestConflictsAreRetried(t *testing.T) {
	t.Parallel()
	w := begin(t, adopt(usersRoute))
	w.bring(t, target(0))
	stop := make(chan struct{})
	var busy sync.WaitGroup
	for _, k := range [][2]string{{"ingressroutes", "users"}, {"traefikservices", "shop"}} {
		busy.Go(func() {
			tick := time.NewTicker(50 * time.Millisecond)
			defer tick.Stop()
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				case <-tick.C:
					asKubectl(t, w.Cluster, w.ns, k[0], k[1], fmt.Sprintf(`{"metadata": {"annotations": {"n": "%d"}}}`, n))
				}
			}
		})
	}
	guarded := target(0)
	var errs []error
	for i := range 5 {
		guarded.Weight = share.Share(i+1) / 100
		guarded.Guards = traffic.Guards{}
		if i%2 == 0 {
			guarded.Guards.RateLimit = &traffic.RateLimit{Average: 1000, Burst: 1000}
		}
		errs = append(errs, w.Router.Apply(t.Context(), guarded))
	}
	close(stop)
	busy.Wait()
	require.NoError(t, errors.Join(errs...))
	traffictest.Await(t, w.Router, guarded, traffic.InForce)
}

func TestTheDocumentedRightsAreSufficient(t *testing.T) {
	t.Parallel()
	w := begin(t, nil)
	account := w.ServiceAccount(t, w.ns, "serin")
	denied := router(t, account, w.config)
	err := denied.Apply(t.Context(), target(0.1))
	require.ErrorContains(t, err, "is forbidden")
	require.ErrorContains(t, err, "system:serviceaccount:"+w.ns+":serin")
	_, err = denied.Observe(t.Context())
	require.NoError(t, err, "Traefik could be asked")
	w.Cluster.Apply(t, w.ns, rights)
	w.Router = denied
	await.True(t, func() bool { return w.Router.Apply(t.Context(), target(0.1)) == nil }, "the rights")
	all := withCohort(target(0.1))
	all.Guards.CircuitBreaker = &traffic.CircuitBreaker{Expression: "NetworkErrorRatio() > 0.5"}
	w.bring(t, all)
	w.bring(t, target(0))
}

const rights = `
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: serin-traffic}
rules:
- {apiGroups: [traefik.io], resources: [ingressroutes, traefikservices, middlewares], verbs: [get, list, watch, create, patch, delete]}
- {apiGroups: [""], resources: [services], verbs: [get, create, patch, delete]}
- {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: serin-traffic}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: serin-traffic},
 subjects: [{kind: ServiceAccount, name: serin}]}`

func TestTraefikIsAskedEvenWithoutTheAPIServer(t *testing.T) {
	t.Parallel()
	w := begin(t, nil)
	server := w.apart(t)
	w.bring(t, target(0.1))
	require.NoError(t, server.Kill())
	await.True(t, func() bool { // an open connection may break first
		err := w.Router.Apply(t.Context(), target(0))
		return err != nil && strings.Contains(err.Error(), "connection refused")
	}, "the API server is gone")
	o, err := w.Observe(t.Context())
	require.NoError(t, err)
	require.Contains(t, o.Unreadable, "connection refused")
	require.InDelta(t, 0.1, float64(o.Replicas[0].Main.Weight), 1e-9)
	require.Equal(t, 20, w.send(t, 20, nil).Sent)
	require.NoError(t, server.Restart(t.Context()))
	w.bring(t, target(0))
}

func TestEveryReplicaBehindTraefiksServiceIsAsked(t *testing.T) {
	t.Parallel()
	w := begin(t, nil)
	second := only(t, w.Cluster, w.ns, testbed.TraefikConfig{Throttle: throttle, Host: "10.77.250.2"})
	third := only(t, w.Cluster, w.ns, testbed.TraefikConfig{Throttle: throttle, Host: "10.77.250.3"})
	traefiks := w.Namespace(t)
	w.Cluster.Apply(t, traefiks, "{apiVersion: v1, kind: Service, metadata: {name: traefik}, spec: {ports: [{name: api, port: 8080}]}}")
	for i, traefik := range []*testbed.Traefik{second, third} {
		host, port, _ := strings.Cut(strings.TrimPrefix(traefik.API, "http://"), ":")
		w.Cluster.Apply(t, traefiks, fmt.Sprintf(`{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: traefik-%d, labels: {kubernetes.io/service-name: traefik}},
			addressType: IPv4, ports: [{name: api, port: %s}], endpoints: [{addresses: [%s], conditions: {ready: true}}]}`, i, port, host))
	}
	w.config.Verify.APIs = []string{"http://traefik." + traefiks + ".svc:8080", "http://traefik.nowhere.svc:8080"}
	w.Router = router(t, w.Config, w.config)
	w.bring(t, target(0.1))
	o, err := w.Observe(t.Context())
	require.NoError(t, err)
	require.Len(t, o.Replicas, 3)
	require.ElementsMatch(t, []string{second.API, third.API}, []string{o.Replicas[0].Name, o.Replicas[1].Name})
	require.Equal(t, "http://traefik.nowhere.svc:8080", o.Replicas[2].Name)
	require.Contains(t, o.Replicas[2].Err, "not found")
	require.NoError(t, third.Kill())
	o, err = w.Observe(t.Context())
	require.NoError(t, err)
	require.Equal(t, traffic.InForce, traffic.Confirm(target(0.1), o), "a replica that does not answer is listed, but does not count against it")
}

// metrics returns Traefik's metrics as text.
func (w *world) metrics(t *testing.T) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.traefik.Metrics, nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return string(text)
}

// counts waits until Traefik has counted n requests under a service label.
func (w *world) counts(t *testing.T, label string, n int) {
	t.Helper()
	await.True(t, func() bool {
		return strings.Contains(w.metrics(t), fmt.Sprintf("traefik_service_requests_total{code=%q,method=\"GET\",protocol=\"http\",service=%q} %d\n", "200", label, n))
	}, label)
}

func TestTraefiksMetricsHaveTheRoutersLabels(t *testing.T) {
	t.Parallel()
	w := begin(t, nil)
	w.bring(t, withCohort(target(0.5)))
	w.send(t, 20, nil)
	w.send(t, 20, inCohort)
	for _, lane := range []traffic.Lane{traffic.MainLane, traffic.CohortLane} {
		canary, stable := w.Labels(lane)
		w.counts(t, canary, 10)
		w.counts(t, stable, 10)
	}
}

// Copies and previews have separate names, so that they do not count as users on the canary.
func TestCopiesAndPreviewsAreCountedSeparately(t *testing.T) {
	t.Parallel()
	w := begin(t, nil)
	mirrored := target(0)
	mirrored.Mirror, mirrored.Preview = &traffic.Mirror{Share: 0.5}, &traffic.Preview{Host: "preview." + w.host}
	w.bring(t, target(0))
	w.send(t, 4, nil)
	w.bring(t, mirrored)
	w.send(t, 20, nil)
	w.send(t, 3, func(c *testbed.LoadConfig) { c.Host = mirrored.Preview.Host })
	for lane, n := range map[traffic.Lane][2]int{traffic.MirrorLane: {10, 20}, traffic.PreviewLane: {3, 4}} {
		canary, stable := w.Labels(lane)
		w.counts(t, canary, n[0])
		w.counts(t, stable, n[1])
	}
	users, _ := w.Labels(traffic.MainLane)
	require.NotContains(t, w.metrics(t), users, "no user was on the canary")
}

// When a canary that gets copies dies, Traefik drops the route with the mirror, and the main one below it leads to
// stable alone.
func TestUsersDoNotNoticeWhenAMirroredCanaryDies(t *testing.T) {
	t.Parallel()
	w := begin(t, nil)
	mirrored := target(0)
	mirrored.Mirror, mirrored.Preview = &traffic.Mirror{Share: 1}, &traffic.Preview{Host: "preview." + w.host}
	w.bring(t, mirrored)
	load := testbed.NewLoad(t, testbed.LoadConfig{URL: w.traefik.URL("web"), Host: w.host, Rate: 200, Workers: 4})
	w.scale(t, "shop-canary", 0)
	traffictest.Await(t, w.Router, mirrored, traffic.NotServed)
	await.True(t, func() bool {
		o, err := w.Observe(t.Context())
		return err == nil && (o.Replicas[0].Mirror == nil || !o.Replicas[0].Mirror.Enabled)
	}, "Traefik has dropped the route")
	require.ErrorIs(t, w.Router.Apply(t.Context(), mirrored), traefikcrd.ErrNoEndpoints)
	traffictest.Await(t, w.Router, target(0), traffic.InForce)
	counts := load.Stop()
	require.Zero(t, counts.Broken, counts.LastError)
	require.Equal(t, counts.Sent, counts.Status["v1"][http.StatusOK])
}

func TestAWatchReportsForeignChangesToTheTraffic(t *testing.T) {
	t.Parallel()
	w := begin(t, nil)
	server := w.apart(t)
	w.bring(t, target(0.1))
	told, others := make(chan struct{}, 1000), make(chan struct{}, 1000)
	done := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	clients, err := traefikcrd.Connect(w.as)
	require.NoError(t, err)
	go func() {
		defer close(done)
		clients.Watch(ctx, traefikcrd.Place{Namespace: w.ns}, func(c traefikcrd.Change) {
			if w.Concerns(c) {
				told <- struct{}{}
			} else {
				others <- struct{}{}
			}
		})
	}()
	n := 0
	await.True(t, func() bool { // the watch may not have begun yet
		n++
		asKubectl(t, w.Cluster, w.ns, "traefikservices", "shop", fmt.Sprintf(`{"metadata": {"annotations": {"n": "%d"}}}`, n))
		select {
		case <-told:
			return true
		default:
			return false
		}
	}, "a report of the edit")
	require.NoError(t, server.Kill())
	require.NoError(t, server.Restart(t.Context()))
	for len(told) > 0 {
		<-told
	}
	w.scale(t, canary.Service, 0)
	<-told
	w.Cluster.Apply(t, w.ns, `{apiVersion: traefik.io/v1alpha1, kind: TraefikService, metadata: {name: somebody-elses}, spec: {weighted: {services: [{name: x, port: 80}]}}}`)
	<-others
	cancel()
	<-done
}

func TestACohortWorksWithTheLongestServiceNames(t *testing.T) {
	t.Parallel()
	w := begin(t, nil)
	w.config.Rollout = "long"
	w.config.Stable.Service, w.config.Canary.Service = "s"+strings.Repeat("a", 62), "s"+strings.Repeat("a", 61)+"c"
	w.config.Route = &traffic.Route{Rule: "Host(`long." + w.host + "`)"}
	w.Cluster.Arms(t, w.ns, w.config.Stable.Service, w.config.Canary.Service, w.v1, w.v2)
	w.Router = router(t, w.Config, w.config)
	all := withCohort(target(0.25))
	all.Stable, all.Canary = w.config.Stable, w.config.Canary
	w.bring(t, all)
}

// docs/kubernetes.md recommends this setting.
func TestWithAllowEmptyServicesOnlyTheCanarysShareFails(t *testing.T) {
	t.Parallel()
	w := begin(t, func(w *world) {
		w.traefik = only(t, w.Cluster, w.ns, testbed.TraefikConfig{Throttle: throttle, Args: []string{"--providers.kubernetescrd.allowemptyservices=true"}})
		w.config.Verify.APIs = []string{w.traefik.API}
	})
	w.bring(t, target(0.25))
	w.scale(t, canary.Service, 0)
	var c testbed.LoadCounts
	await.True(t, func() bool { c = w.send(t, 40, nil); return c.Answered("v2") == 0 }, "Traefik has noticed")
	require.InDelta(t, 30, c.Answered("v1"), 2, "%v", c.Status)
	w.scale(t, canary.Service, 1)
}
