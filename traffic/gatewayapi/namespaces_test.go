package gatewayapi_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/testbed"
	"github.com/serindev/serin/internal/testbed/testcluster"
	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/gatewayapi"
)

func TestServicesInAnotherNamespaceNeedAGrant(t *testing.T) {
	t.Parallel()
	c := testcluster.Shared(t)
	c.GatewayAPI(t)
	w := &world{Cluster: c, ns: c.Namespace(t)}
	arms := c.Namespace(t)
	w.host = w.ns + ".test"
	w.traefik = c.Gateway(t, w.ns, testbed.TraefikConfig{Throttle: throttle}, arms)
	c.Arms(t, arms, stable.Service, canary.Service, testbed.NewBackend(t, testbed.Behaviour{Version: "v1"}), testbed.NewBackend(t, testbed.Behaviour{Version: "v2"}))
	c.Apply(t, w.ns, fmt.Sprintf(`{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: users}, spec: {parentRefs: [{name: edge}], hostnames: [%s], rules: [
		{backendRefs: [{name: shop, namespace: %s, port: 80}]}]}}`, w.host, arms))
	w.config = gatewayapi.Config{Rollout: "shop", Namespace: w.ns, Arms: arms, Stable: stable, Canary: canary, GatewayRoutes: traffic.GatewayRoutes{HTTP: []string{"users"}}}
	w.config.Verify.APIs = []string{w.traefik.API}
	w.Router = w.router(t, w.config)
	require.NoError(t, w.Router.Apply(t.Context(), target(0.25)))
	w.drift(t, target(0.25), "ResolvedRefs is False.*RefNotPermitted")

	c.Apply(t, arms, fmt.Sprintf(`{apiVersion: gateway.networking.k8s.io/v1beta1, kind: ReferenceGrant, metadata: {name: routes}, spec: {
		from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: %s}], to: [{group: "", kind: Service}]}}`, w.ns))
	w.bring(t, target(0.25))
	require.Equal(t, map[string]int{"v1": 15, "v2": 5}, w.send(t, w.host, "/", 20))
	canaryLabel, _ := w.Labels(traffic.MainLane)
	require.Contains(t, get(t, w.traefik.Metrics), `service="`+canaryLabel+`"`, "Traefik counts under the router's label")
	w.bring(t, withCohort(target(0)))
	require.Equal(t, map[string]int{"v1": 20}, w.send(t, w.host, "/", 20))
	w.bring(t, target(1))
	require.Equal(t, map[string]int{"v2": 20}, w.send(t, w.host, "/", 20))
	w.bring(t, target(0))
	require.Equal(t, map[string]int{"v1": 20}, w.send(t, w.host, "/", 20))
}
