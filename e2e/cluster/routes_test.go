package cluster

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/serindev/serin/internal/testbed"
	"github.com/serindev/serin/internal/testbed/testcluster"
)

var tcpRoutes = schema.GroupVersionResource{Group: "traefik.io", Version: "v1alpha1", Resource: "ingressroutetcps"}

// onTCP is judged by what the pods count themselves: Traefik sees no requests on a TCP route.
const onTCP = `apiVersion: serin.dev/v1alpha1
kind: Analysis
metadata: {name: jobs}
` + inSeconds + `    - name: failed-jobs
      ratio: {bad: 'worker_jobs_total{pod=~"${pods}",result="failed"}', total: 'worker_jobs_total{pod=~"${pods}"}'}
      margin: {relative: 100%, absolute: 5%}
---
apiVersion: serin.dev/v1alpha1
kind: Rollout
metadata: {name: db-proxy}
spec:
  parameters: [{name: image, required: true}]
  traffic: {traefik: {namespace: PRO, ingressRouteTCP: db-proxy, verify: {api: http://traefik.GATE.svc:8080}}}
  keepOld: 1h
  stable: {deployment: db-proxy, service: {name: db-proxy, port: 80}}
  canary: {deployment: db-proxy-canary, service: {name: db-proxy-canary, port: 80}}
  analysis: [jobs]
  steps:
    - deploy: {deployment: db-proxy-canary, image: {proxy: '${image}'}}
    - gray: {weights: [25%, 50%], hold: 1s}
    - promote: {}
  rollback: {drain: 1s}
`

func TestATCPRouteIsReleasedByItsPodsAndABadVersionGoesBack(t *testing.T) {
	t.Parallel()
	w := newPlace(t, example{name: "db-proxy", container: "proxy"})
	w.c.Apply(t, w.pro, app("db-proxy", "proxy")+"\n---\n"+
		"{apiVersion: traefik.io/v1alpha1, kind: IngressRouteTCP, metadata: {name: db-proxy}, spec: {entryPoints: [web], routes: [{match: \"HostSNI(`*`)\", services: [{name: db-proxy, port: 80}]}]}}")
	w.scrapes(t, testbed.ScrapeJob{Name: "pods", Targets: []string{newQueue(t, w, image3)}})
	w.configureWith(t, map[string]string{"rollout.yaml": strings.NewReplacer("PRO", w.pro, "GATE", w.gate).Replace(onTCP)})
	require.Empty(t, w.live(t), "the chart's rights are sufficient")
	w.begin(t)
	w.usersAt(t, 1)
	load := testbed.NewLoad(t, testbed.LoadConfig{URL: w.entry, Rate: 20, Workers: 4, Vary: func(_ int, r *http.Request) { r.Close = true }})

	id := w.start(t, image2)
	w.ends(t, id, "the good version has ended", "released")
	require.Equal(t, image2, imageOf(w.deployment(t, w.pro, "db-proxy")))
	require.Equal(t, []string{"db-proxy"}, w.leadsTo(t, tcpRoutes, "routes", "services"), "the route leads to stable alone")

	w.untilKept(t, "db-proxy-previous", image1, 4)
	made := w.podsMade(t, "db-proxy-previous")
	w.undone(t, "db-proxy", image1)
	require.Equal(t, 4, made(), "the undo needs no new pods")
	require.Equal(t, []string{"db-proxy"}, w.leadsTo(t, tcpRoutes, "routes", "services"), "it leads to stable alone again")

	id = w.start(t, image3)
	v := w.ends(t, id, "the bad version has gone back", "rolledBack")
	require.Contains(t, v.State.Why, "failed-jobs")
	require.Equal(t, []string{"db-proxy"}, w.leadsTo(t, tcpRoutes, "routes", "services"))
	counts := load.Stop()
	require.NotZero(t, counts.Sent)
	require.Zero(t, counts.Broken, counts.LastError)
}

// elsewhere is on two IngressRoutes, each to a port of its own, in another namespace than the arms.
const elsewhere = `apiVersion: serin.dev/v1alpha1
kind: Rollout
metadata: {name: cart}
spec:
  parameters: [{name: image, required: true}]
  traffic: {traefik: {namespace: ROUTES, ingressRoute: [cart-http, cart-rpc], verify: {api: ADDRESS}}}
  stable: {namespace: PRO, deployment: cart, service: {name: cart, port: 80, furtherPorts: [{port: rpc}]}}
  canary: {namespace: PRO, deployment: cart-canary, service: {name: cart-canary, port: 80, furtherPorts: [{port: rpc}]}}
  analysis: [web]
  steps:
    - deploy: {deployment: cart-canary, image: {cart: '${image}'}}
    - ab: {cohort: {header: {name: X-User-Group, value: beta}}, split: 50%, decide: {min: 1s}}
    - gray: {weights: [25%, 50%], hold: 1s}
    - promote: {}
  rollback: {drain: 1s}
`

func TestArmsInAnotherNamespaceWithTwoPortsAreReleased(t *testing.T) {
	t.Parallel()
	w := newPlace(t, example{name: "cart", container: "cart"})
	edge := w.c.Traefik(t, testbed.TraefikConfig{Throttle: 100 * time.Millisecond, Args: []string{
		"--providers.kubernetescrd.namespaces=" + w.pro + "," + w.dev, "--providers.kubernetescrd.allowcrossnamespace=true",
	}})
	w.entry = edge.URL("web")
	w.scrapes(t, testbed.ScrapeJob{Name: "traefik", Targets: []string{edge.MetricsAddr}})
	w.c.Apply(t, w.pro, strings.Replace(app("cart", "cart"), "targetPort: http}", "targetPort: http}, {name: rpc, port: 9090, targetPort: http}", 1))
	for name, route := range map[string][2]string{"cart-http": {w.host, "80"}, "cart-rpc": {"rpc." + w.host, "rpc"}} {
		w.c.Apply(t, w.dev, fmt.Sprintf("{apiVersion: traefik.io/v1alpha1, kind: IngressRoute, metadata: {name: %s}, spec: {routes: [{kind: Rule, match: \"Host(`%s`)\", services: [{name: cart, namespace: %s, port: %s}]}]}}",
			name, route[0], w.pro, route[1]))
	}
	w.configureWith(t, map[string]string{"rollout.yaml": fmt.Sprintf(analysis, "web", "web") +
		strings.NewReplacer("ROUTES", w.dev, "PRO", w.pro, "ADDRESS", edge.API).Replace(elsewhere)})
	require.Empty(t, w.live(t), "the chart's rights in both namespaces are sufficient")
	w.begin(t)
	loads := append(w.users(t, beta), testbed.NewLoad(t, testbed.LoadConfig{URL: w.entry, Host: "rpc." + w.host, Rate: 40, Workers: 8}))

	id := w.start(t, image2)
	w.ends(t, id, "the good version has ended", "released")
	require.Equal(t, image2, imageOf(w.deployment(t, w.pro, "cart")))

	// Errors at the second port alone are found, because requests to both are counted.
	w.c.SetImage(w.pro, image3, testcluster.Image{Handler: http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		out.Header().Set("X-Version", "3")
		if strings.HasPrefix(r.Host, "rpc.") {
			out.WriteHeader(http.StatusInternalServerError)
		}
	})})
	id = w.start(t, image3)
	w.ends(t, id, "the bad version has gone back", "rolledBack")
	for _, l := range loads {
		counts := l.Stop()
		require.NotZero(t, counts.Sent)
		require.Zero(t, counts.Broken, counts.LastError)
	}
}
