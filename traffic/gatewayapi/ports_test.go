package gatewayapi_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/serindev/serin/internal/testbed"
	"github.com/serindev/serin/internal/testbed/testcluster"
	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/gatewayapi"
	"github.com/serindev/serin/traffic/traffictest"
)

// twoPorts has Services for the arms with a second port each, for the same pods, and routes of both kinds.
const twoPorts = `
{apiVersion: v1, kind: Service, metadata: {name: shop}, spec: {selector: {app: shop}, ports: [{name: http, port: 80, targetPort: web}, {name: rpc, port: 9090, targetPort: web}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: shop-canary}, spec: {selector: {app: shop-canary}, ports: [{name: http, port: 80, targetPort: web}, {name: rpc, port: 9091, targetPort: web}]}}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: web}, spec: {parentRefs: [{name: edge}], hostnames: [HOST], rules: [
	{matches: [{path: {type: PathPrefix, value: /}}], backendRefs: [{name: shop, port: 80}]}, {matches: [{path: {type: PathPrefix, value: /rpc}}], backendRefs: [{name: shop, port: 9090}]}]}}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: GRPCRoute, metadata: {name: web}, spec: {parentRefs: [{name: edge}], hostnames: [rpc.HOST], rules: [{backendRefs: [{name: shop, port: 9090}]}]}}`

func TestRoutesOfBothKindsToSeveralPortsMoveTogether(t *testing.T) {
	t.Parallel()
	w := begin(t, twoPorts, func(c *gatewayapi.Config) {
		c.HTTP, c.GRPC = []string{"web"}, []string{"web"}
		c.Ports = []traffic.PortPair{{Stable: "9090", Canary: "9091"}}
	})
	w.config.Verify.APIs = []string{w.traefik.API}
	w.Router = w.router(t, w.config)
	canaries, stables := w.Labels(traffic.MainLane)
	require.Equal(t, strings.ReplaceAll("NS-shop-http-80@kubernetesgateway,NS-shop-80-grpc@kubernetesgateway,NS-shop-http-9090@kubernetesgateway,NS-shop-9090-grpc@kubernetesgateway", "NS", w.ns), stables)
	require.Contains(t, canaries, w.ns+"-shop-canary-9091-grpc@kubernetesgateway")

	w.bring(t, withCohort(target(0.25)))
	require.Equal(t, map[string]int{"v1": 15, "v2": 5}, w.send(t, w.host, "/", 20))
	require.Equal(t, map[string]int{"v1": 15, "v2": 5}, w.send(t, w.host, "/rpc", 20))
	body := get(t, w.traefik.Metrics)
	require.Contains(t, body, `service="`+w.ns+`-shop-canary-http-9091@kubernetesgateway"`)
	calls, err := routes(w.Cluster, "grpcroutes", w.ns).Get(t.Context(), "web", metav1.GetOptions{})
	require.NoError(t, err)
	require.Contains(t, fmt.Sprint(calls.Object["spec"]), "name:shop-canary port:9091 weight:25")

	// An edit of one port's weights is noticed and reverted.
	asKubectl(t, w.Cluster, "grpcroutes", w.ns, "web", types.JSONPatchType, `[{"op": "replace", "path": "/spec/rules/0/backendRefs", "value": [{"name": "shop", "port": 9090, "weight": 1}, {"name": "shop-canary", "port": 9091, "weight": 1}]}]`)
	w.drift(t, withCohort(target(0.25)), "HTTPRoute web: rule 0: canary's weight is 25%, not 50% as elsewhere")
	w.bring(t, withCohort(target(0.25)))
	w.bring(t, target(0))
	require.Equal(t, map[string]int{"v1": 4}, w.send(t, w.host, "/rpc", 4))

	w.config.GRPC, w.config.Ports[0].Stable = nil, "9099"
	require.ErrorContains(t, w.router(t, w.config).Apply(t.Context(), target(0.5)), "no rule leads to Service shop:9099")
}

// says writes the status that another gateway's controller would report for a route's current generation.
func says(t *testing.T, c *testcluster.Cluster, ns, name string, resolved metav1.ConditionStatus) {
	t.Helper()
	api := routes(c, "httproutes", ns)
	route, err := api.Get(t.Context(), name, metav1.GetOptions{})
	require.NoError(t, err)
	condition := func(kind string, status metav1.ConditionStatus, reason string) metav1.Condition {
		return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: "says the other gateway", ObservedGeneration: route.GetGeneration(), LastTransitionTime: metav1.Now()}
	}
	reason := map[metav1.ConditionStatus]string{metav1.ConditionTrue: "ResolvedRefs", metav1.ConditionFalse: "BackendNotFound"}[resolved]
	patch, err := json.Marshal(map[string]any{"status": map[string]any{"parents": []any{map[string]any{
		"parentRef": map[string]any{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "theirs"}, "controllerName": "example.com/another-gateway",
		"conditions": []metav1.Condition{
			condition("Accepted", metav1.ConditionTrue, "Accepted"), condition("ResolvedRefs", resolved, reason),
			condition("example.com/Programmed", metav1.ConditionFalse, "Later"), // its own condition, which does not matter
		},
	}}}})
	require.NoError(t, err)
	_, err = api.Patch(t.Context(), name, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
	require.NoError(t, err)
}

// There is no Traefik: the controller of another gateway reports in conditions what it has accepted.
func TestAnotherGatewayConfirmsByConditions(t *testing.T) {
	t.Parallel()
	c := testcluster.Shared(t)
	c.GatewayAPI(t)
	ns := c.Namespace(t)
	c.Arms(t, ns, stable.Service, canary.Service, testbed.NewBackend(t, testbed.Behaviour{Version: "v1"}), testbed.NewBackend(t, testbed.Behaviour{Version: "v2"}))
	c.Apply(t, ns, strings.ReplaceAll(`{apiVersion: gateway.networking.k8s.io/v1, kind: GatewayClass, metadata: {name: NS-theirs}, spec: {controllerName: example.com/another-gateway}}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: theirs}, spec: {gatewayClassName: NS-theirs, listeners: [{name: web, port: 80, protocol: HTTP}]}}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: users}, spec: {parentRefs: [{name: theirs}], rules: [{backendRefs: [{name: shop, port: 80}]}]}}`, "NS", ns))
	w := &world{Cluster: c, ns: ns, config: gatewayapi.Config{Rollout: "shop", Namespace: ns, Stable: stable, Canary: canary}}
	w.config.HTTP = []string{"users"}
	w.Router = w.router(t, w.config)

	require.NoError(t, w.Router.Apply(t.Context(), target(0.25)))
	o := traffictest.Await(t, w.Router, target(0.25), traffic.Unconfirmed)
	require.Equal(t, "no controller has said anything about HTTPRoute users", o.Replicas[0].Err)
	says(t, c, ns, "users", metav1.ConditionTrue)
	o = traffictest.Await(t, w.Router, target(0.25), traffic.InForce)
	require.Equal(t, "Gateway "+ns+"/theirs", o.Replicas[0].Name)

	require.NoError(t, w.Router.Apply(t.Context(), target(0.5)))
	w.drift(t, target(0.5), "Accepted is of generation [0-9]+, and the route is at [0-9]+")
	says(t, c, ns, "users", metav1.ConditionFalse)
	w.drift(t, target(0.5), `ResolvedRefs is False \(BackendNotFound\): says the other gateway`)
	says(t, c, ns, "users", metav1.ConditionTrue)
	traffictest.Await(t, w.Router, target(0.5), traffic.InForce)

	// A cohort's route has to be accepted too.
	require.NoError(t, w.Router.Apply(t.Context(), withCohort(target(0))))
	says(t, c, ns, "users", metav1.ConditionTrue)
	w.drift(t, withCohort(target(0)), "no controller has said anything about HTTPRoute shop-ab yet")
	says(t, c, ns, "shop-ab", metav1.ConditionTrue)
	traffictest.Await(t, w.Router, withCohort(target(0)), traffic.InForce)
	require.NoError(t, w.Router.Apply(t.Context(), target(0)))
	says(t, c, ns, "users", metav1.ConditionTrue)
	traffictest.Await(t, w.Router, target(0), traffic.InForce)
}
