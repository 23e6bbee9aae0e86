package cluster

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
)

// field is a folder of documents that people have tried to write.
const field = "../../config/testdata/field"

// trial is one of the valid ones. It runs as written, except for the names of hosts, namespaces, rollouts and analyses
// and the addresses of servers and of Traefik's API.
type trial struct {
	// objects are those that its author has. HOST stands for the host in them; their namespace is that of the trial.
	objects string
	// stable and canary are the addresses of its servers, without Kubernetes.
	stable, canary []string
	// entry, host and path are where users send requests; without an entry point there are no users. host is a part of
	// HOST unless it is a complete one.
	entry, host, path string
	https             bool
	// header selects the users of the first step; reply is a header that its middlewares add.
	header, reply http.Header
	// also is another host that leads to it, a part of HOST.
	also string
	// versions are what stable and the canary answer; 1 and 2 if they are empty.
	versions [2]string
	// step is where it stays; gray if it is empty.
	step       string
	parameters map[string]string
	// carried is the name of its analysis, if it has no rollout of its own.
	carried string
	// share is the canary's, if it is too small for any request of the test to reach the canary.
	share float64
	// unjudged: it compares nothing.
	unjudged bool

	name, namespace, id string
	load                *testbed.Load
	traefik             *testbed.Traefik
}

// arm is a Deployment with its Service; with version 2 it is a canary's, without pods. more are replacements in it:
// old, new, old, new.
func arm(name, version string, more ...string) string {
	replicas := map[string]string{"1": "2", "2": "0"}[version]
	return strings.NewReplacer(append(more, "SERVICE", name, "NAME", name, "CONTAINER", "shop", "VERSION", version, "REPLICAS", replicas, "PORTNAME", "http", "PORT", "80", "INIT", "", "SIDECAR", "")...).Replace(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME}
spec:
  replicas: REPLICAS
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}}
    spec: {INITcontainers: [{name: CONTAINER, image: "registry.example.com/shop:VERSION", ports: [{containerPort: 8080}]}SIDECAR]}
---
{apiVersion: v1, kind: Service, metadata: {name: SERVICE}, spec: {selector: {app: NAME}, ports: [{name: PORTNAME, port: PORT, targetPort: 8080}]}}
---
`)
}

// shop are the arms of most inputs.
func shop(more ...string) string { return arm("shop", "1", more...) + arm("shop-canary", "2", more...) }

// route is an IngressRoute to a Service.
func route(name, host, service, port string) string {
	return fmt.Sprintf("{apiVersion: traefik.io/v1alpha1, kind: IngressRoute, metadata: {name: %s}, spec: {entryPoints: [web], routes: [{kind: Rule, match: \"Host(`%s`)\", services: [{name: %s, port: %s}]}]}}\n---\n",
		name, host, service, port)
}

// trials are all valid inputs, by name.
func trials(old, young servers) map[string]*trial {
	const long = "acme-storefront-checkout-payment-gateway-adapter-"
	toShop := route("shop", "HOST", "shop", "80")
	digest := [2]string{"1", "sha256:" + strings.Repeat("1", 64)}
	onShop := func() *trial { return &trial{entry: "web", objects: shop() + toShop} }
	return map[string]*trial{
		"01-file-middlewares":  {stable: old.plain, canary: young.plain, entry: "websecure", https: true, path: "/docs", reply: http.Header{"X-Middleware": {"secure-headers"}}},
		"02-file-loadbalancer": {stable: append(old.secure, young.another...), canary: young.secure, entry: "websecure", https: true, host: "erp."},
		"03-route-middlewares": {entry: "websecure", host: "shop.", objects: shop() +
			"{apiVersion: traefik.io/v1alpha1, kind: Middleware, metadata: {name: compress}, spec: {compress: {}}}", reply: http.Header{"X-Middleware": {"forward-auth"}}},
		"04-gray-sticky":      {entry: "websecure", https: true, host: "shop.", objects: shop()},
		"05-tls-domains":      {entry: "websecure", https: true, host: "a.shop.example.com", objects: shop()},
		"06-two-routes":       {entry: "web", also: "grpc.", objects: shop() + route("shop-http", "HOST", "shop", "80") + route("shop-grpc", "grpc.HOST", "shop", "80")},
		"08-long-names":       {entry: "websecure", host: "shop.", objects: arm(long+"app", "1", "SERVICE", long+"svc") + arm(long+"app-c", "2", "SERVICE", long+"svc-c")},
		"10b-worker-as-split": {objects: arm("mail-worker", "1", "REPLICAS", "12") + arm("mail-worker-canary", "2")},
		"11-statefulset": {entry: "web", objects: strings.NewReplacer("kind: Deployment", "kind: StatefulSet", "spec:\n  replicas", "spec:\n  serviceName: search\n  podManagementPolicy: Parallel\n  replicas").Replace(
			arm("search", "1", "PORT", "9200")+arm("search-canary", "2", "PORT", "9200")) + route("search", "HOST", "search", "9200")},
		"12b-manual-gates-said": {stable: old.plain, canary: young.plain, entry: "web", host: "shop.", step: "to-50", unjudged: true},
		"13-exported-service":   onShop(),
		"14-grpc":               {entry: "web", objects: shop("PORTNAME", "grpc") + route("shop", "HOST", "shop", "grpc")},
		"15-init-containers": {entry: "web", versions: digest, objects: shop("INIT", `initContainers: [{name: init-assets, image: "registry.example.com/assets:1"}], `,
			"SIDECAR", `, {name: istio-proxy, image: "proxy:1"}`) + toShop},
		"17-configmap":               {entry: "web", versions: digest, objects: shop() + toShop},
		"18-h2c-own-route":           {entry: "websecure", https: true, host: "rpc.", objects: arm("rpc", "1", "PORT", "50051") + arm("rpc-canary", "2", "PORT", "50051") + "{apiVersion: traefik.io/v1alpha1, kind: ServersTransport, metadata: {name: mtls}, spec: {insecureSkipVerify: true}}"},
		"20-gatewayapi-as-its-own":   {entry: "web", step: "ab", header: http.Header{"X-Group": {"beta"}}, also: "static.", objects: shop() + httpRoute("shop", "HOST") + httpRoute("shop-static", "static.HOST")},
		"21-two-deployments":         {entry: "web", objects: shop() + toShop + arm("shop-worker", "1", "CONTAINER", "worker")},
		"25-tiny-weights":            {stable: old.h2c, canary: young.h2c, entry: "web", host: "shop.", share: 0.0001},
		"27-preset-match":            {entry: "web", objects: shop() + toShop, carried: "web"},
		"28-absolute-count":          {entry: "web", objects: shop() + toShop, carried: "crashes"},
		"29-own-route-http-redirect": {entry: "web", objects: shop() + route("shop.api-route", "HOST", "shop", "80")},
		"migration": {entry: "web", host: "app.", parameters: map[string]string{"image": "registry.example.com/shop:2"},
			objects: arm("podinfo-primary", "1", "CONTAINER", "podinfo") + arm("podinfo", "2", "SERVICE", "podinfo-canary", "CONTAINER", "podinfo", "VERSION", "1")},
	}
}

func httpRoute(name, host string) string {
	return fmt.Sprintf("{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: %s}, spec: {parentRefs: [{name: edge}], hostnames: [%s], rules: [{backendRefs: [{name: shop, port: 80}]}]}}\n---\n", name, host)
}

// carrier is the rollout of an input that has none.
const carrier = `
---
apiVersion: serin.dev/v1alpha1
kind: Rollout
metadata: {name: shop}
spec:
  traffic: {traefik: {namespace: pro, ingressRoute: shop}}
  stable: {deployment: shop, service: {name: shop, port: 80}}
  canary: {deployment: shop-canary, service: {name: shop-canary, port: 80}}
  analysis: %s
  steps:
    - gray: {weights: [5%%, 50%%]}
    - promote: {}
`

// servers are addresses of application servers without Kubernetes.
type servers struct{ plain, secure, another, h2c []string }

// newServers starts servers of a version, and puts the certificate of those with TLS into a file.
func newServers(t *testing.T, version, ca string) servers {
	t.Helper()
	plain := testbed.NewBackend(t, testbed.Behaviour{Version: version})
	secure := func(version string) string {
		s := httptest.NewTLSServer(testbed.Unserved(testbed.Behaviour{Version: version}, 1))
		t.Cleanup(s.Close)
		require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600))
		return s.URL
	}
	return servers{
		plain: []string{plain.URL}, secure: []string{secure(version)}, another: []string{secure("1")},
		h2c: []string{strings.Replace(plain.URL, "http:", "h2c:", 1)},
	}
}

// written is an input with the names and addresses of this world.
func (w *world) written(t *testing.T, input string, tr *trial) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(field, input+".yaml"))
	require.NoError(t, err)
	if tr.carried != "" {
		text = fmt.Appendf(text, carrier, tr.carried)
	}
	whole := strings.NewReplacer("example.com", w.hostOf(tr), "namespace: auth", "namespace: "+w.pro).Replace(string(text))
	var out strings.Builder
	for one := range strings.SplitSeq(whole, "\n---\n") {
		var doc map[string]any
		require.NoError(t, yaml.Unmarshal([]byte(one), &doc))
		spec, meta := doc["spec"].(map[string]any), doc["metadata"].(map[string]any)
		if doc["kind"] == "Analysis" {
			meta["name"] = tr.name + "-" + meta["name"].(string)
		} else {
			meta["name"] = tr.name
			w.place(tr, spec)
		}
		data, err := json.Marshal(doc)
		require.NoError(t, err)
		fmt.Fprintf(&out, "%s\n---\n", data)
	}
	return out.String()
}

// place puts a rollout's specification where the trial is.
func (w *world) place(tr *trial, spec map[string]any) {
	if name := spec["analysis"].(string); name != "none" && name != "traefik-web" {
		spec["analysis"] = tr.name + "-" + name
	}
	for kind, gateway := range spec["traffic"].(map[string]any) {
		gateway := gateway.(map[string]any)
		switch kind {
		case "traefikFile":
			gateway["path"] = filepath.Join(w.traefik.Directory, tr.name+".yaml")
			gateway["verify"] = map[string]any{"api": w.traefik.API}
			spec["stable"].(map[string]any)["servers"], spec["canary"].(map[string]any)["servers"] = tr.stable, tr.canary
		case "traefik":
			gateway["namespace"], gateway["verify"] = tr.namespace, map[string]any{"api": "http://traefik." + w.gate + ".svc:8080"}
		case "gatewayAPI":
			gateway["namespace"], gateway["verify"] = tr.namespace, map[string]any{"api": tr.traefik.API}
		default:
			gateway["namespace"] = tr.namespace
		}
	}
}

// hostOf is the replacement for example.com.
func (w *world) hostOf(tr *trial) string { return tr.name + "." + w.host }

// users is the load of its users, who come by its entry point, host and path.
func (tr *trial) users(w *world, rate float64) testbed.LoadConfig {
	c := testbed.LoadConfig{URL: tr.traefik.URL(tr.entry) + tr.path, Rate: rate, Header: tr.header}
	if c.Host = tr.host; !strings.HasSuffix(tr.host, "example.com") {
		c.Host = tr.host + w.hostOf(tr)
	}
	if tr.https {
		c.URL = strings.Replace(c.URL, "http:", "https:", 1)
		c.TLS = &tls.Config{InsecureSkipVerify: true} //nolint:gosec // its certificate is Traefik's own
	}
	return c
}

// ask sends one request to a host of the trial: a part of HOST, or empty for that of its users.
func (tr *trial) ask(t *testing.T, w *world, host string) (version string, header http.Header) {
	t.Helper()
	c := tr.users(w, 0)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.URL, http.NoBody)
	require.NoError(t, err)
	req.Host = c.Host
	if host != "" {
		req.Host = host + w.hostOf(tr)
	}
	maps.Copy(req.Header, tr.header)
	res, err := (&http.Client{Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: c.TLS, DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return err.Error(), nil
	}
	defer res.Body.Close() //nolint:errcheck // only the header is read
	return res.Header.Get(testbed.VersionHeader), res.Header
}

// judged is the part of a rollout's state with its newest verdict.
type judged struct {
	view
	Verdict *struct {
		Look    int
		Metrics []struct {
			Metric           string
			Canary, Baseline struct{ Total float64 }
		}
	}
}

func (w *world) judged(tr *trial) (v judged, err error) {
	if status, text := w.get("/api/v1/rollouts/"+tr.name, &v); status != http.StatusOK {
		return v, fmt.Errorf("%s: %d %s", tr.name, status, text)
	}
	return v, nil
}

// all waits until check, which returns what is missing, finds nothing missing in any trial.
func (w *world) all(t *testing.T, all map[string]*trial, what string, check func(tr *trial, v judged) string) {
	t.Helper()
	for _, input := range slices.Sorted(maps.Keys(all)) {
		await.Until(t, input+": "+what, func() string {
			v, err := w.judged(all[input])
			if err != nil {
				return err.Error()
			}
			if missing := check(all[input], v); missing != "" {
				return fmt.Sprintf("%s: %+v", missing, v)
			}
			return ""
		})
	}
}

// podMetrics are what pods would count of their own work, since the pods of the tests run nothing: all do the same.
type podMetrics struct {
	w          *world
	namespaces []string

	mu    sync.Mutex
	asked time.Time
	text  string
}

// ServeHTTP answers a scrape.
func (p *podMetrics) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.asked) > time.Second {
		p.asked, p.text = time.Now(), p.count(r.Context())
	}
	out.Header().Set("Content-Type", "text/plain; version=0.0.4")
	_, _ = io.WriteString(out, p.text)
}

func (p *podMetrics) count(ctx context.Context) string {
	var out strings.Builder
	line := func(name, labels string, value int) { fmt.Fprintf(&out, "%s{%s} %d\n", name, labels, value) }
	for _, version := range []string{"1", "2"} {
		line("b_total", fmt.Sprintf("v=%q", version), int(time.Now().Unix()%1e6)*50)
	}
	for _, namespace := range p.namespaces {
		list, err := p.w.c.Client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			continue // the next scrape has it
		}
		for i := range list.Items {
			if pod := &list.Items[i]; ready(pod) {
				work(pod, line)
			}
		}
	}
	return out.String()
}

// work counts forty pieces a second since the pod began, one in a hundred of which fails.
func work(pod *corev1.Pod, line func(name, labels string, value int)) {
	done := int(time.Since(pod.CreationTimestamp.Time).Seconds() * 40)
	of := fmt.Sprintf("pod=%q", pod.Name)
	line("worker_jobs_total", of+`,result="done"`, done-done/100)
	line("worker_jobs_total", of+`,result="failed"`, done/100)
	line("grpc_server_handled_total", of+`,grpc_service="shop.Orders",grpc_code="OK"`, done-done/100)
	line("grpc_server_handled_total", of+`,grpc_service="shop.Orders",grpc_code="Internal"`, done/100)
	line("grpc_server_handling_seconds_bucket", of+`,grpc_type="unary",le="0.25"`, done-done/50)
	line("grpc_server_handling_seconds_bucket", of+`,grpc_type="unary",le="+Inf"`, done)
	line("kube_pod_container_status_restarts_total", of, 0)
}

// clusterIP passes what comes to a Service's address on to its pods, as kube-proxy does.
func (w *world) clusterIP(t *testing.T, namespace, service string) {
	t.Helper()
	s, err := w.c.Client.CoreV1().Services(namespace).Get(t.Context(), service, metav1.GetOptions{})
	require.NoError(t, err)
	l, err := net.Listen("tcp4", net.JoinHostPort(s.Spec.ClusterIP, fmt.Sprint(s.Spec.Ports[0].Port))) //nolint:noctx // it returns at once
	require.NoError(t, err)
	var running sync.WaitGroup
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	t.Cleanup(func() { cancel(); l.Close(); running.Wait() }) //nolint:errcheck,gosec // it serves nobody any more
	pass := func(client net.Conn) {
		defer client.Close() //nolint:errcheck // it is over
		list, err := w.c.Client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: "app=" + service})
		if err != nil || len(list.Items) == 0 {
			return
		}
		pod, err := net.Dial("tcp4", net.JoinHostPort(list.Items[0].Status.PodIP, "8080")) //nolint:noctx // it is there, or not
		if err != nil {
			return
		}
		both := func() { _, _ = client.Close(), pod.Close() }
		defer context.AfterFunc(ctx, both)() // a gateway keeps its connections
		running.Go(func() { _, _ = io.Copy(pod, client); both() })
		_, _ = io.Copy(client, pod)
		both()
	}
	running.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return // it was closed
			}
			running.Go(func() { pass(client) })
		}
	})
}

// shared is what Traefik's file provider has apart from the rollouts.
const shared = `http:
  middlewares:
    strip-docs: {stripPrefix: {prefixes: [/docs]}}
    sso-auth: {headers: {customRequestHeaders: {X-User: alice}}}
    secure-headers: {headers: {customResponseHeaders: {X-Middleware: secure-headers}}}
  serversTransports:
    private-ca: {serverName: example.com, rootCAs: [%q]}
`

// resolver are Traefik's arguments for a resolver of certificates whose authority does not answer.
func resolver(dir, name string) []string {
	at := "--certificatesresolvers." + name + ".acme."
	return []string{at + "email=alice@example.com", at + "storage=" + filepath.Join(dir, name+".json"), at + "caserver=https://127.0.0.1:1/directory", at + "tlschallenge=true"}
}

// The valid inputs work on real servers: each release starts and really serves the canary at its first weight, its
// metrics have data, and it goes back.
func TestEveryValidInputIsReleased(t *testing.T) {
	t.Parallel()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	all := trials(newServers(t, "1", ca), newServers(t, "2", ca))
	everyValidInput(t, all)
	dir := t.TempDir()
	w := newPlace(t, example{further: len(all), traefikArgs: slices.Concat(resolver(dir, "dns"), resolver(dir, "letsencrypt"), []string{
		"--providers.kubernetescrd.allowcrossnamespace=true", "--serverstransport.rootcas=" + ca, // for servers whose authority everybody knows
	})})
	w.stage(t, all, ca)
	for _, tr := range all {
		if tr.entry != "" {
			tr.load = testbed.NewLoad(t, tr.users(w, 8))
		}
	}
	for input, tr := range all {
		body := map[string]any{"key": "once"}
		if tr.parameters != nil {
			body["parameters"] = tr.parameters
		}
		await.Until(t, input+" is started", func() string {
			var r struct{ ID string }
			status, text := w.call(http.MethodPost, "/api/v1/rollouts/"+tr.name+"/releases", body, &r)
			if tr.id = r.ID; status != http.StatusOK && status != http.StatusCreated {
				return text
			}
			return ""
		})
	}
	w.all(t, all, "its first weight is in force", func(tr *trial, v judged) string {
		step := tr.step
		if step == "" {
			step = "gray"
		}
		if !at(step, 0)(v.view) {
			return "at " + v.State.StepName
		}
		return ""
	})
	w.all(t, all, "the canary is served", w.served(t))
	w.all(t, all, "its metrics have data of both versions", hasData)
	for input, tr := range all {
		status, text := w.call(http.MethodPost, "/api/v1/releases/"+tr.id+"/rollback", map[string]string{"reason": "it is enough"}, nil)
		require.Equal(t, http.StatusOK, status, "%s: %s", input, text)
	}
	w.all(t, all, "it has gone back", func(_ *trial, v judged) string {
		if ended(v.view) && v.State.Outcome == "rolledBack" {
			return ""
		}
		return v.State.Outcome
	})
	for input, tr := range all {
		for i := 0; i < 20 && tr.entry != ""; i++ {
			version, _ := tr.ask(t, w, "")
			require.Equal(t, tr.versions[0], version, input)
		}
	}
}

// triedElsewhere are valid inputs that tests of traffic release: a route in another namespace than its arms, and TCP.
var triedElsewhere = []string{"16-cross-namespace", "19b-tcp-by-pods"}

// everyValidInput holds the trials to the table of all inputs.
func everyValidInput(t *testing.T, all map[string]*trial) {
	t.Helper()
	table, err := os.ReadFile(filepath.Join(field, "README.md"))
	require.NoError(t, err)
	var valid []string
	for _, row := range regexp.MustCompile(`(?m)^\| ([^|]+) \| [^|]+ \| [^|]+ \| valid\b`).FindAllStringSubmatch(string(table), -1) {
		valid = append(valid, row[1])
	}
	valid = slices.DeleteFunc(valid, func(input string) bool { return slices.Contains(triedElsewhere, input) })
	require.ElementsMatch(t, valid, slices.Collect(maps.Keys(all)), "each input that is valid is run")
}

// stage creates the namespace and the objects of each trial, and starts the daemon with all trials.
func (w *world) stage(t *testing.T, all map[string]*trial, ca string) {
	t.Helper()
	require.NoError(t, testbed.Reads(strings.TrimPrefix(field, "../../")))
	for i, input := range slices.Sorted(maps.Keys(all)) {
		tr := all[input]
		number, _, _ := strings.Cut(input, "-")
		tr.name, tr.namespace, tr.traefik = "f"+number, w.more[i], w.traefik
		if tr.versions[0] == "" {
			tr.versions = [2]string{"1", "2"}
		}
	}
	auth := "{apiVersion: traefik.io/v1alpha1, kind: Middleware, metadata: {name: forward-auth}, spec: {headers: {customResponseHeaders: {X-Middleware: forward-auth}}}}"
	w.c.Apply(t, w.pro, auth)
	require.NoError(t, os.WriteFile(filepath.Join(w.traefik.Directory, "shared.yaml"), fmt.Appendf(nil, shared, ca), 0o600))
	w.c.GatewayAPI(t)
	edge := all["20-gatewayapi-as-its-own"]
	edge.traefik = w.c.Gateway(t, edge.namespace, testbed.TraefikConfig{Throttle: 100 * time.Millisecond})
	documents := map[string]string{}
	for input, tr := range all {
		if tr.objects != "" {
			w.c.Apply(t, tr.namespace, strings.ReplaceAll(tr.objects, "HOST", w.hostOf(tr)))
		}
		documents[input+".yaml"] = w.written(t, input, tr)
	}
	w.clusterIP(t, all["18-h2c-own-route"].namespace, "rpc")
	pods := &podMetrics{w: w}
	for _, input := range []string{"10b-worker-as-split", "14-grpc", "28-absolute-count"} {
		pods.namespaces = append(pods.namespaces, all[input].namespace)
	}
	metrics := httptest.NewServer(pods)
	t.Cleanup(metrics.Close)
	w.scrapes(t,
		testbed.ScrapeJob{Name: "traefik", Targets: []string{w.traefik.MetricsAddr}, Labels: map[string]string{"cluster": "eu-1"}},
		testbed.ScrapeJob{Name: "edge", Targets: []string{edge.traefik.MetricsAddr}},
		testbed.ScrapeJob{Name: "pods", Targets: []string{strings.TrimPrefix(metrics.URL, "http://")}},
		testbed.ScrapeJob{Name: "operator", Targets: []string{w.traefik.MetricsAddr}, Relabel: `[{source_labels: [service], target_label: exported_service}, {action: labeldrop, regex: service}]`},
	)
	w.grant(t, "--set", "namespaces={"+strings.Join(append([]string{w.pro}, w.more...), ",")+"}", "--set", "gatewayAPI.enabled=true")
	template, err := os.ReadFile(filepath.Join(field, "templates", "shop.yaml"))
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(filepath.Join(w.dir, "rollouts", "templates"), 0o700))
	documents["templates/shop.yaml"] = string(template)
	w.configureWith(t, documents)
	w.begin(t)
}

// served explains what is missing until users, or pods, see both versions.
func (w *world) served(t *testing.T) func(tr *trial, _ judged) string {
	t.Helper()
	return func(tr *trial, _ judged) string {
		switch {
		case tr.entry == "":
			if now := w.divided(t, tr.namespace); now != [2]int32{11, 1} {
				return fmt.Sprint(now)
			}
			return ""
		case tr.share > 0:
			return tr.weighted(t)
		}
		counts := tr.load.Counts()
		if counts.Answered(tr.versions[0]) == 0 || counts.Answered(tr.versions[1]) == 0 {
			return fmt.Sprintf("answers %v", counts.Status)
		}
		_, header := tr.ask(t, w, "")
		for name := range tr.reply {
			if header.Get(name) != tr.reply.Get(name) {
				return fmt.Sprintf("an answer without its middlewares: %v", header)
			}
		}
		if tr.also != "" {
			return tr.leads(t, w)
		}
		return ""
	}
}

// leads explains what is missing until requests to its other host meet both versions.
func (tr *trial) leads(t *testing.T, w *world) string {
	t.Helper()
	met := map[string]int{}
	for range 60 {
		version, _ := tr.ask(t, w, tr.also)
		if met[version]++; met[tr.versions[0]] > 0 && met[tr.versions[1]] > 0 {
			return ""
		}
	}
	return fmt.Sprintf("%s leads to %v", tr.also, met)
}

// weighted explains what is missing until Traefik has the canary's share, which no request meets here.
func (tr *trial) weighted(t *testing.T) string {
	t.Helper()
	var service struct {
		Weighted struct{ Services []struct{ Weight float64 } }
	}
	status, text := testbed.Call(&http.Client{Timeout: time.Minute}, http.MethodGet, tr.traefik.API+"/api/http/services/"+tr.name+"@file", "", nil, &service)
	if status != http.StatusOK || len(service.Weighted.Services) != 2 {
		return text
	}
	a, b := service.Weighted.Services[0].Weight, service.Weighted.Services[1].Weight
	if share := min(a, b) / (a + b); share < tr.share*0.99 || share > tr.share*1.01 {
		return fmt.Sprintf("a share of %v", share)
	}
	return ""
}

// hasData explains what is missing until each metric has data of both versions.
func hasData(tr *trial, v judged) string {
	switch {
	case len(v.Trouble) > 0:
		return strings.Join(v.Trouble, "; ")
	case tr.unjudged:
		return ""
	case v.Verdict == nil:
		return "no verdict"
	case tr.share > 0:
		return "" // they were asked, and nobody has met the canary
	}
	for _, m := range v.Verdict.Metrics {
		if m.Baseline.Total == 0 || m.Canary.Total == 0 {
			return m.Metric + " has no data"
		}
	}
	return ""
}
