package cluster

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/serindev/serin/internal/testbed"
	"github.com/serindev/serin/internal/testbed/testcluster"
)

var httpRoutes = schema.GroupVersionResource{Group: "gateway.networking.k8s.io", Version: "v1", Resource: "httproutes"}

const onGatewayAPI = `apiVersion: serin.dev/v1alpha1
kind: Rollout
metadata: {name: cart}
spec:
  parameters: [{name: image, required: true}]
  traffic: {gatewayAPI: {namespace: PRO, httpRoute: [cart], grpcRoute: [calls], verify: {api: ADDRESS}}}
  keepOld: 1h
  stable: {deployment: cart, service: {name: cart, port: 80}}
  canary: {deployment: cart-canary, service: {name: cart-canary, port: 80}}
  analysis: [web]
  steps:
    - deploy: {deployment: cart-canary, image: {cart: '${image}'}}
    - ab: {cohort: {header: {name: X-User-Group, value: beta}}, split: 50%, decide: {min: 1s}}
    - gray: {weights: [25%, 50%], hold: 1s}
    - promote: {}
  rollback: {drain: 1s}
`

func TestReleasesRunOnARouteOfGatewayAPI(t *testing.T) {
	t.Parallel()
	w := newPlace(t, example{name: "cart", container: "cart"})
	w.grant(t, "--set", "gatewayAPI.enabled=true")
	w.c.GatewayAPI(t)
	edge := w.c.Gateway(t, w.pro, testbed.TraefikConfig{Throttle: 100 * time.Millisecond})
	w.entry = edge.URL("web")
	w.scrapes(t, testbed.ScrapeJob{Name: "traefik", Targets: []string{edge.MetricsAddr}})
	w.c.Apply(t, w.pro, app("cart", "cart")+fmt.Sprintf(`
---
{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: cart}, spec: {parentRefs: [{name: edge}], hostnames: [%[1]s], rules: [{backendRefs: [{name: cart, port: 80}]}]}}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: GRPCRoute, metadata: {name: calls}, spec: {parentRefs: [{name: edge}], hostnames: [rpc.%[1]s], rules: [{backendRefs: [{name: cart, port: 80}]}]}}`, w.host))
	w.configureWith(t, map[string]string{"rollout.yaml": fmt.Sprintf(analysis, "web", "web") + strings.NewReplacer("PRO", w.pro, "ADDRESS", edge.API).Replace(onGatewayAPI)})
	w.begin(t)
	loads := append(w.users(t, beta), testbed.NewLoad(t, testbed.LoadConfig{URL: w.entry, Host: "rpc." + w.host, Rate: rate}))

	id := w.start(t, image2)
	w.ends(t, id, "the good version has ended", "released")
	require.Equal(t, image2, imageOf(w.deployment(t, w.pro, "cart")))
	require.Equal(t, []string{"cart"}, w.leadsTo(t, httpRoutes, "rules", "backendRefs"), "the route leads to stable alone")

	w.untilKept(t, "cart-previous", image1, 4)
	made := w.podsMade(t, "cart-previous")
	w.undone(t, "cart", image1)
	require.Equal(t, 4, made(), "the undo needs no new pods")
	require.Equal(t, []string{"cart"}, w.leadsTo(t, httpRoutes, "rules", "backendRefs"), "it leads to stable alone again")

	w.c.SetImage(w.pro, image3, testcluster.Image{Handler: testbed.Unserved(testbed.Behaviour{Version: "3", ErrorRate: 1}, 1)})
	id = w.start(t, image3)
	w.ends(t, id, "the bad version has gone back", "rolledBack")
	require.Equal(t, []string{"cart"}, w.leadsTo(t, httpRoutes, "rules", "backendRefs"))
	for _, l := range loads {
		answered(t, l.Counts(), "3")
	}
}
