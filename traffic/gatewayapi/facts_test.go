package gatewayapi_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
	"github.com/serindev/serin/internal/testbed/testcluster"
	"github.com/serindev/serin/share"
	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/gatewayapi"
	"github.com/serindev/serin/traffic/kubeobjects"
	"github.com/serindev/serin/traffic/traffictest"
)

var (
	stable = traffic.Backend{Service: "shop", Port: "80"}
	canary = traffic.Backend{Service: "shop-canary", Port: "80"}
)

// world is the rollout "shop" of one test, with its own Traefik.
type world struct {
	*testcluster.Cluster
	*gatewayapi.Router
	ns      string
	host    string
	traefik *testbed.Traefik
	config  gatewayapi.Config
}

// begin makes the arms and a router. manifests are the user's objects, with HOST for the test's host. Without an API,
// only the conditions say what is in force.
func begin(t *testing.T, manifests string, change func(c *gatewayapi.Config)) *world {
	t.Helper()
	c := testcluster.Shared(t)
	c.GatewayAPI(t)
	w := &world{Cluster: c, ns: c.Namespace(t)}
	w.host = w.ns + ".test"
	w.traefik = c.Gateway(t, w.ns, testbed.TraefikConfig{Throttle: throttle})
	c.Arms(t, w.ns, stable.Service, canary.Service, testbed.NewBackend(t, testbed.Behaviour{Version: "v1"}), testbed.NewBackend(t, testbed.Behaviour{Version: "v2"}))
	c.Apply(t, w.ns, strings.ReplaceAll(manifests, "HOST", w.host))
	w.config = gatewayapi.Config{Rollout: "shop", Namespace: w.ns, Stable: stable, Canary: canary}
	change(&w.config)
	w.Router = w.router(t, w.config)
	return w
}

func (w *world) router(t *testing.T, c gatewayapi.Config) *gatewayapi.Router {
	t.Helper()
	r, err := gatewayapi.New(c, kubernetes.NewForConfigOrDie(w.Config), dynamic.NewForConfigOrDie(w.Config))
	require.NoError(t, err)
	return r
}

func adopt(names ...string) func(c *gatewayapi.Config) {
	return func(c *gatewayapi.Config) { c.HTTP = names }
}

const users = `{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: users}, spec: {parentRefs: [{name: edge}], hostnames: [HOST], rules: [
	{matches: [{path: {type: PathPrefix, value: /api}}], filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: X-Mark, value: "yes"}]}}], backendRefs: [{name: shop, port: 80}]},
	{matches: [{path: {type: PathPrefix, value: /other}}], backendRefs: [{name: other, port: 80}]},
	{matches: [{path: {type: PathPrefix, value: /}}], backendRefs: [{name: shop, port: 80, weight: 7}]}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: other}, spec: {selector: {app: shop}, ports: [{name: http, port: 80, targetPort: web}]}}`

const more = users + `
---
{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: more}, spec: {parentRefs: [{name: edge}], hostnames: [more.HOST], rules: [{backendRefs: [{name: shop, port: 80}]}]}}`

func target(weight share.Share) traffic.Target {
	return traffic.Target{Stable: stable, Canary: canary, Weight: weight}
}

func withCohort(t traffic.Target) traffic.Target {
	t.Cohort = &traffic.Cohort{Match: traffic.Matcher{Header: &traffic.Header{Name: "X-Group", Value: "beta"}}, Split: 0.5}
	return t
}

func (w *world) bring(t *testing.T, target traffic.Target) {
	t.Helper()
	require.NoError(t, w.Router.Apply(t.Context(), target))
	traffictest.Await(t, w.Router, target, traffic.InForce)
}

// drift waits until one of the differences matches.
func (w *world) drift(t *testing.T, target traffic.Target, pattern string) {
	t.Helper()
	re := regexp.MustCompile(pattern)
	await.True(t, func() bool {
		o, err := w.Observe(t.Context())
		require.NoError(t, err)
		return re.MatchString(strings.Join(traffic.Differences(target, o), "\n"))
	}, pattern)
}

func (w *world) send(t *testing.T, host, path string, n int) map[string]int {
	t.Helper()
	counts := testbed.NewLoad(t, testbed.LoadConfig{URL: w.traefik.URL("web") + path, Host: host, Requests: n, Workers: 1}).Wait()
	require.Zero(t, counts.Broken, counts.LastError)
	out := map[string]int{}
	for version, byStatus := range counts.Status {
		for _, k := range byStatus {
			out[version] += k
		}
	}
	return out
}

func TestEveryRuleOfEveryRouteHasTheWeightsAndNothingElseChanges(t *testing.T) {
	t.Parallel()
	w := begin(t, more, adopt("users", "more"))
	w.config.Verify.APIs = []string{w.traefik.API}
	w.Router = w.router(t, w.config)
	before := w.spec(t, "users")
	w.bring(t, withCohort(target(0.25)))
	require.Equal(t, map[string]int{"v1": 15, "v2": 5}, w.send(t, w.host, "/api/x", 20))
	require.Equal(t, map[string]int{"v1": 15, "v2": 5}, w.send(t, w.host, "/", 20))
	require.Equal(t, map[string]int{"v1": 15, "v2": 5}, w.send(t, "more."+w.host, "/", 20))
	require.Equal(t, map[string]int{"v1": 20}, w.send(t, w.host, "/other", 20), "a rule to another Service is left alone")

	// Traefik's metrics have the router's labels.
	canaryLabel, stableLabel := w.Labels(traffic.MainLane)
	body := get(t, w.traefik.Metrics)
	require.Contains(t, body, `service="`+canaryLabel+`"`)
	require.Contains(t, body, `service="`+stableLabel+`"`)

	w.bring(t, target(0))
	rules := before["rules"].([]any)
	rules[2].(map[string]any)["backendRefs"].([]any)[0].(map[string]any)["weight"] = int64(1) // the API server's default for a single one
	require.Equal(t, before, w.spec(t, "users"))
}

// The Services exist before the route, and are removed by the write after the one that removes it: a gateway that has the
// route but not its Services answers 500.
func TestACohortsServicesOutliveItsRoute(t *testing.T) {
	t.Parallel()
	for name, next := range map[string]traffic.Target{"forward": target(0.25), "on the way back": target(0)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := begin(t, users, adopt("users"))
			w.bring(t, withCohort(target(0.25)))
			services := w.Client.CoreV1().Services(w.ns)
			for _, arm := range []traffic.Backend{stable, canary} {
				s, err := services.Get(t.Context(), kubeobjects.CohortBackend(arm).Service, metav1.GetOptions{})
				require.NoError(t, err)
				require.True(t, w.route(t, "shop-ab").GetCreationTimestamp().After(s.CreationTimestamp.Time), "the gateway has had time to learn of %s", s.Name)
			}
			w.bring(t, next)
			for _, arm := range []traffic.Backend{stable, canary} {
				_, err := services.Get(t.Context(), kubeobjects.CohortBackend(arm).Service, metav1.GetOptions{})
				require.NoError(t, err)
			}
			w.bring(t, next)
			for _, arm := range []traffic.Backend{stable, canary} {
				_, err := services.Get(t.Context(), kubeobjects.CohortBackend(arm).Service, metav1.GetOptions{})
				require.True(t, apierrors.IsNotFound(err), err)
			}
		})
	}
}

func TestADifferingRouteIsReportedAndCorrected(t *testing.T) {
	t.Parallel()
	w := begin(t, more, adopt("users", "more"))
	w.bring(t, target(0.1))
	asKubectl(t, w.Cluster, "httproutes", w.ns, "users", types.JSONPatchType, half(2, stable.Service, canary.Service))
	w.drift(t, target(0.1), `HTTPRoute more: rule 0: canary's weight is 10%, not 50% as elsewhere`)
	w.drift(t, target(0.1), `last written by "kubectl-edit" at 20`)
	w.bring(t, target(0.1))

	asKubectl(t, w.Cluster, "httproutes", w.ns, "users", types.JSONPatchType,
		`[{"op": "add", "path": "/spec/rules/2/backendRefs/-", "value": {"name": "other", "port": 80, "weight": 3}}]`)
	w.drift(t, target(0.1), `HTTPRoute users: rule 2 leads to other as well`)
	require.ErrorContains(t, w.Router.Apply(t.Context(), target(0.2)), "a release needs all of a rule")
	require.ErrorContains(t, w.Router.Apply(t.Context(), target(0)), "a release needs all of a rule")
	require.NotContains(t, fmt.Sprint(w.spec(t, "users"), w.spec(t, "more")), canary.Service, "the canary is removed, and the user's backend stays")
	weights := map[string]any{}
	for _, ref := range w.spec(t, "users")["rules"].([]any)[2].(map[string]any)["backendRefs"].([]any) {
		weights[ref.(map[string]any)["name"].(string)] = ref.(map[string]any)["weight"]
	}
	require.Equal(t, map[string]any{"shop": int64(100), "other": int64(3)}, weights, "stable has what both arms had")
}

func TestALostRouteDoesNotStopTheRollbackOfOthers(t *testing.T) {
	t.Parallel()
	w := begin(t, more, adopt("users", "more"))
	w.bring(t, target(0.25))
	asKubectl(t, w.Cluster, "httproutes", w.ns, "more", types.JSONPatchType,
		`[{"op": "replace", "path": "/spec/rules/0/backendRefs", "value": [{"name": "other", "port": 80}]}]`)
	w.drift(t, target(0.25), `HTTPRoute more: no rule leads to Service shop:80.*last written by "kubectl-edit"`)
	require.ErrorContains(t, w.Router.Apply(t.Context(), target(0.5)), "HTTPRoute more: no rule leads to Service shop:80")
	require.NoError(t, w.Router.Apply(t.Context(), target(0)), "a route that leads elsewhere does not lead to the canary")
	require.NotContains(t, fmt.Sprint(w.spec(t, "users")), canary.Service)
	lost := traffictest.Await(t, w.Router, target(0), traffic.InForce)
	require.Contains(t, lost.Unreadable, "HTTPRoute more: no rule leads to Service shop:80")
	w.Cluster.Apply(t, w.ns, strings.ReplaceAll(more, "HOST", w.host))
	w.bring(t, target(0.25))

	require.NoError(t, routes(w.Cluster, "httproutes", w.ns).Delete(t.Context(), "more", metav1.DeleteOptions{}))
	w.drift(t, target(0.25), "HTTPRoute more is missing")
	require.ErrorContains(t, w.Router.Apply(t.Context(), target(0.5)), "HTTPRoute more, which is to be adopted, does not exist")
	require.NoError(t, w.Router.Apply(t.Context(), target(0)), "a missing route does not lead to the canary")
	require.NotContains(t, fmt.Sprint(w.spec(t, "users")), canary.Service)
	o := traffictest.Await(t, w.Router, target(0), traffic.InForce)
	require.Contains(t, o.Unreadable, "HTTPRoute more, which is to be adopted, does not exist")
	w.Cluster.Apply(t, w.ns, strings.ReplaceAll(more, "HOST", w.host))
	w.bring(t, target(0.25))
}

func TestARefusedRouteDoesNotStopTheRollbackOfOthers(t *testing.T) {
	t.Parallel()
	w := begin(t, more, adopt("users", "more"))
	w.bring(t, withCohort(target(0.25)))
	w.Cluster.Apply(t, "", fmt.Sprintf(`{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicy, metadata: {name: %[1]s}, spec: {
  matchConstraints: {resourceRules: [{apiGroups: [gateway.networking.k8s.io], apiVersions: [v1], operations: [UPDATE], resources: [httproutes]}]},
  validations: [{expression: "object.metadata.name != 'users'", message: "the week is frozen"}]}}
---
{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicyBinding, metadata: {name: %[1]s}, spec: {policyName: %[1]s, validationActions: [Deny],
  matchResources: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: %[1]s}}}}}`, w.ns))
	t.Cleanup(func() {
		admission := w.Client.AdmissionregistrationV1()
		_ = admission.ValidatingAdmissionPolicyBindings().Delete(context.WithoutCancel(t.Context()), w.ns, metav1.DeleteOptions{})
		_ = admission.ValidatingAdmissionPolicies().Delete(context.WithoutCancel(t.Context()), w.ns, metav1.DeleteOptions{})
	})
	await.True(t, func() bool {
		_, err := routes(w.Cluster, "httproutes", w.ns).Patch(t.Context(), "users", types.MergePatchType, []byte(`{"metadata": {"labels": {"a": "b"}}}`), metav1.PatchOptions{})
		return err != nil
	}, "the policy applies")
	require.ErrorContains(t, w.Router.Apply(t.Context(), target(0)), "the week is frozen")
	require.NotContains(t, fmt.Sprint(w.spec(t, "more")), canary.Service)
	_, err := routes(w.Cluster, "httproutes", w.ns).Get(t.Context(), "shop-ab", metav1.GetOptions{})
	require.ErrorContains(t, err, "not found", "and the cohort's route is gone")
	w.drift(t, target(0), "HTTPRoute more: rule 0: canary's weight is 0%, not 25% as elsewhere")
}

func TestAWeightIsInForceOnceTheControllerHasSeenIt(t *testing.T) {
	t.Parallel()
	w := begin(t, users, adopt("users"))
	w.bring(t, target(0.1))
	o, err := w.Observe(t.Context())
	require.NoError(t, err)
	require.Len(t, o.Replicas, 1)
	require.Equal(t, "Gateway "+w.ns+"/edge", o.Replicas[0].Name)

	require.NoError(t, w.traefik.Kill())
	require.NoError(t, w.Router.Apply(t.Context(), target(0.2)))
	w.drift(t, target(0.2), `Gateway \S+/edge: main route is not enabled: HTTPRoute users: Accepted is of generation [0-9]+, and the route is at [0-9]+`)
	require.NoError(t, w.traefik.Restart(t.Context()))
	traffictest.Await(t, w.Router, target(0.2), traffic.InForce)
}

func TestARouteThatTheGatewayRejectsIsNotInForce(t *testing.T) {
	t.Parallel()
	own := func(parents ...traffic.GatewayParent) func(c *gatewayapi.Config) {
		return func(c *gatewayapi.Config) {
			c.Own = &traffic.GatewayRoute{Parents: parents, Hostnames: []string{"shop.test"}}
		}
	}
	t.Run("no listener of that name", func(t *testing.T) {
		w := begin(t, "", own(traffic.GatewayParent{Name: "edge", Section: "nowhere"}))
		require.NoError(t, w.Router.Apply(t.Context(), target(0.1)))
		w.drift(t, target(0.1), `main route is not enabled: HTTPRoute shop: Accepted is False \(NoMatchingParent\)`)
	})
	t.Run("a Gateway that nobody serves", func(t *testing.T) {
		w := begin(t, "", own(traffic.GatewayParent{Name: "nobody"}))
		require.NoError(t, w.Router.Apply(t.Context(), target(0.1)))
		o := traffictest.Await(t, w.Router, target(0.1), traffic.Unconfirmed)
		require.Equal(t, "no controller has said anything about HTTPRoute shop", o.Replicas[0].Err)
	})
	t.Run("a Service that is gone", func(t *testing.T) {
		w := begin(t, "", own(traffic.GatewayParent{Name: "edge"}))
		w.bring(t, target(0.1))
		require.NoError(t, w.Client.CoreV1().Services(w.ns).Delete(t.Context(), canary.Service, metav1.DeleteOptions{}))
		w.drift(t, target(0.1), `ResolvedRefs is False`)
	})
}

func TestACanaryThatLosesItsEndpointsLosesItsTraffic(t *testing.T) {
	t.Parallel()
	w := begin(t, users, adopt("users"))
	w.bring(t, withCohort(target(0.25)))
	_, err := w.Client.AppsV1().Deployments(w.ns).UpdateScale(t.Context(), canary.Service,
		&autoscalingv1.Scale{ObjectMeta: metav1.ObjectMeta{Name: canary.Service, Namespace: w.ns}}, metav1.UpdateOptions{})
	require.NoError(t, err)
	w.Cluster.AwaitEndpoints(t, w.ns, canary.Service, 0)
	w.drift(t, withCohort(target(0.25)), "main route is not enabled: no ready endpoints behind Service shop-canary")
	err = w.Router.Apply(t.Context(), withCohort(target(0.25)))
	require.ErrorIs(t, err, gatewayapi.ErrNoEndpoints)
	require.ErrorContains(t, err, "all requests go to stable")
	require.NotContains(t, fmt.Sprint(w.spec(t, "users")), canary.Service)
}

func TestARuleBelongsToOneRollout(t *testing.T) {
	t.Parallel()
	w := begin(t, users, adopt("users"))
	w.bring(t, target(0))
	second := w.config
	second.Rollout = "second"
	err := w.router(t, second).Apply(t.Context(), target(0))
	require.ErrorIs(t, err, gatewayapi.ErrForeign)
	require.ErrorContains(t, err, "rollout shop has the rules that lead to shop:80")
	w.bring(t, target(0.5)) // the second rollout has left no claim

	own := gatewayapi.Config{Rollout: "own", Namespace: w.ns, Stable: stable, Canary: canary}
	own.Own = &traffic.GatewayRoute{Parents: []traffic.GatewayParent{{Name: "edge"}}, Hostnames: []string{"own.test"}}
	require.NoError(t, w.router(t, own).Apply(t.Context(), target(0)))
	own.Rollout = "another"
	require.ErrorIs(t, w.router(t, own).Apply(t.Context(), target(0)), gatewayapi.ErrForeign)
	own.Own.Paths = []traffic.GatewayPath{{Type: "PathPrefix", Value: "/api"}}
	require.NoError(t, w.router(t, own).Apply(t.Context(), target(0)), "another path is another route")

	taken := own
	taken.Rollout, taken.Own = "users", &traffic.GatewayRoute{Parents: own.Own.Parents, Hostnames: []string{"taken.test"}}
	require.ErrorIs(t, w.router(t, taken).Apply(t.Context(), target(0)), gatewayapi.ErrForeign)
}

func TestAGRPCRouteHasTheWeights(t *testing.T) {
	t.Parallel()
	w := begin(t, `{apiVersion: gateway.networking.k8s.io/v1, kind: GRPCRoute, metadata: {name: calls}, spec: {parentRefs: [{name: edge}], hostnames: [HOST], rules: [
	{matches: [{method: {service: shop.Cart, method: Add}}], backendRefs: [{name: shop, port: 80}]}, {backendRefs: [{name: shop, port: 80}]}]}}`,
		func(c *gatewayapi.Config) { c.GRPC = []string{"calls"} })
	w.config.Verify.APIs = []string{w.traefik.API}
	w.Router = w.router(t, w.config)
	w.bring(t, withCohort(target(0.25)))
	w.bring(t, target(0.5))
	w.bring(t, target(0))
}

// route returns a route as the API server has it.
func (w *world) route(t *testing.T, name string) *unstructured.Unstructured {
	t.Helper()
	o, err := routes(w.Cluster, "httproutes", w.ns).Get(t.Context(), name, metav1.GetOptions{})
	require.NoError(t, err)
	return o
}

func (w *world) spec(t *testing.T, name string) map[string]any {
	t.Helper()
	return w.route(t, name).Object["spec"].(map[string]any)
}

func get(t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return string(body)
}
