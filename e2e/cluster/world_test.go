// Package cluster runs the whole pipeline on a real API server with real controllers, a real Traefik that reads its
// custom resources, a real Prometheus, and pods that answer. The daemon is the built program. It runs as a ServiceAccount
// with the Roles that the Helm chart makes and no other rights. Start reading at [world].
package cluster

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
	"github.com/serindev/serin/internal/testbed/testcluster"
)

// parallel is how many tests run at once. They spend much of their time waiting, and a run of all tests waits for them
// longest.
const parallel = "10"

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", parallel); err != nil {
		panic(err) // every test binary has this flag
	}
	testbed.FromOutside()
	testcluster.Main(m)
}

// program builds serin once, outside of any test's folder, and returns its path.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "serin-e2e-cluster-")
	if err != nil {
		return "", err
	}
	return testbed.Serin(dir)
})

// The images of the tests. An image determines what its pods answer.
const (
	image1 = "registry.example.com/flask:1"
	image2 = "registry.example.com/flask:2"
)

// application is what a team has before it uses Serin: a Deployment and its Service.
const application = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME}
spec:
  replicas: 4
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}}
    spec: {containers: [{name: CONTAINER, image: "registry.example.com/flask:1", ports: [{name: http, containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: NAME}
spec: {selector: {app: NAME}, ports: [{name: http, port: 80, targetPort: http}]}
`

// example is one of ../../examples, and the application that it is for. It runs as written except for hosts and times:
// those in the examples are meant for real users and would take hours here.
type example struct {
	file, name, container string
	// preRelease is a Deployment that the example expects to exist, in a namespace of its own.
	preRelease string
	// secret names the Secret of the host's certificate. If it is set, users use HTTPS.
	secret string
	// powerless: the daemon starts without any rights.
	powerless bool
	// meddled: a proxy stands between the daemon and the API server, see between.
	meddled bool
	// apart: the daemon has its own API server over the same etcd, which a test may kill.
	apart bool
	// empty: Traefik accepts Services without pods.
	empty bool
	// further is how many more namespaces Traefik sees.
	further int
	// scraped: the daemon has no Prometheus and reads the metrics of every Traefik behind a Service itself.
	scraped bool
	// traefikArgs are further arguments of Traefik.
	traefikArgs []string
	// change edits the text further: old, new, old, new.
	change []string
}

var (
	pipeline  = example{file: "pipeline.yaml", name: "k8s-flask", container: "flask", preRelease: "k8s-flask-nodeport"}
	fiveSteps = example{file: "five-steps.yaml", name: "feed", container: "feed", secret: "feed-tls"}
)

func (e example) with(change ...string) example {
	e.change = append(slices.Clone(e.change), change...)
	return e
}

func app(name, container string) string {
	return strings.NewReplacer("NAME", name, "CONTAINER", container).Replace(application)
}

// world is a team's application in namespaces of its own, Traefik and Prometheus, and Serin.
type world struct {
	example
	c          *testcluster.Cluster
	pro, dev   string // where the application and its pre-release are
	more       []string
	gate, home string // where Traefik's Service and Serin's ServiceAccount are
	host       string
	traefik    *testbed.Traefik
	entry      string // where users send requests
	tls        *tls.Config
	prometheus *testbed.Prometheus
	between    *between
	apiServer  *testbed.Process // the daemon's own
	access     *rest.Config     // the daemon's to the API server, and as a file
	kubeconfig string
	dir        string
	url, token string
	api        http.RoundTripper // how to reach the daemon; nil for the default
	daemon     *testbed.Process
	transcript *strings.Builder // of what kubectl was asked, if the test keeps one
}

// traefikHost is where Traefiks listen: an EndpointSlice takes no loopback address.
const traefikHost = "10.77.250.1"

func newWorld(t *testing.T, e example) *world {
	t.Helper()
	w := newApplication(t, e)
	w.configure(t)
	w.begin(t)
	return w
}

// newApplication is a world before it uses Serin.
func newApplication(t *testing.T, e example) *world {
	t.Helper()
	w := newPlace(t, e)
	w.c.Apply(t, w.pro, app(e.name, e.container))
	if e.preRelease != "" {
		w.c.Apply(t, w.dev, app(e.preRelease, e.container))
	}
	return w
}

// newPlace is a world without an application or Serin.
func newPlace(t testing.TB, e example) *world {
	t.Helper()
	w := &world{example: e, c: testcluster.Shared(t), dir: t.TempDir()}
	w.pro, w.dev, w.gate, w.home = w.c.Namespace(t), w.c.Namespace(t), w.c.Namespace(t), w.c.Namespace(t)
	w.host = w.pro + ".example.com"
	for range e.further {
		w.more = append(w.more, w.c.Namespace(t))
	}
	w.startTraefik(t)
	w.prometheus = testbed.NewPrometheus(t, testbed.PrometheusConfig{
		ScrapeInterval: 250 * time.Millisecond,
		Jobs:           []testbed.ScrapeJob{{Name: "traefik", Targets: []string{w.traefik.MetricsAddr}}},
	})
	w.account(t)
	return w
}

// startTraefik starts a Traefik with a Service in front of it, which the examples name as its API.
func (w *world) startTraefik(t testing.TB) {
	t.Helper()
	// It sees only this test's namespaces. A change in another would make it reload, which resets its circuit breakers,
	// and a new circuit breaker opens if the first answer that it sees is an error.
	args := []string{"--providers.kubernetescrd.namespaces=" + strings.Join(append([]string{w.pro}, w.more...), ",")}
	args = append(args, w.traefikArgs...)
	if w.empty {
		args = append(args, "--providers.kubernetescrd.allowemptyservices=true")
	}
	w.traefik = w.c.Traefik(t, testbed.TraefikConfig{
		Host: traefikHost, EntryPoints: []string{"web", "websecure"},
		Throttle: 100 * time.Millisecond, Args: args,
	})
	w.c.Apply(t, w.gate, "{apiVersion: v1, kind: Service, metadata: {name: traefik}, spec: {ports: [{name: api, port: 8080}]}}")
	w.endpointSlice(t, "traefik", "traefik", "api", w.traefik.Addr("traefik"), true)
	w.entry = w.traefik.URL("web")
	if w.secret == "" {
		return
	}
	cert, key := w.c.Certificate(t, w.host)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: w.secret}, Type: corev1.SecretTypeTLS, Data: map[string][]byte{"tls.crt": cert, "tls.key": key}}
	_, err := w.c.Client.CoreV1().Secrets(w.pro).Create(t.Context(), secret, metav1.CreateOptions{})
	require.NoError(t, err)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(w.c.Config.CAData))
	w.entry, w.tls = "https://"+w.traefik.Addr("websecure"), &tls.Config{RootCAs: roots, ServerName: w.host, MinVersion: tls.VersionTLS12}
}

// endpointSlice puts an address of a Traefik behind a port of a Service in Traefik's namespace.
func (w *world) endpointSlice(t testing.TB, service, name, port, address string, ready bool) {
	t.Helper()
	_, number, err := net.SplitHostPort(address)
	require.NoError(t, err)
	w.c.Apply(t, w.gate, fmt.Sprintf(`
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: %s, labels: {kubernetes.io/service-name: %s}},
 addressType: IPv4, ports: [{name: %s, port: %s}], endpoints: [{addresses: [%s], conditions: {ready: %t}}]}`,
		name, service, port, number, traefikHost, ready))
}

// scrapes makes Prometheus scrape these jobs and nothing else.
func (w *world) scrapes(t *testing.T, jobs ...testbed.ScrapeJob) {
	t.Helper()
	require.NoError(t, w.prometheus.SetJobs(t.Context(), jobs...))
}

// leadsTo are the Services to which the first rule of the application's route sends requests. The fields of a route that
// hold its rules and their Services depend on its kind.
func (w *world) leadsTo(t *testing.T, kind schema.GroupVersionResource, rules, services string) (out []string) {
	t.Helper()
	route, err := dynamic.NewForConfigOrDie(w.c.Config).Resource(kind).Namespace(w.pro).Get(t.Context(), w.name, metav1.GetOptions{})
	require.NoError(t, err)
	rule := route.Object["spec"].(map[string]any)[rules].([]any)[0].(map[string]any)
	for _, ref := range rule[services].([]any) {
		out = append(out, ref.(map[string]any)["name"].(string))
	}
	return out
}

// account makes the daemon's ServiceAccount, with the rights that the chart gives it.
func (w *world) account(t testing.TB) {
	t.Helper()
	config := w.c.ServiceAccount(t, w.home, "serin")
	if w.meddled {
		w.between = newBetween(t, w.c)
		config.Host = w.between.URL
	}
	if w.apart {
		w.apiServer, config.Host = w.c.AnotherAPIServer(t)
	}
	w.access, w.kubeconfig = config, w.c.WriteKubeconfig(t, config)
	if !w.powerless {
		w.grant(t)
	}
}

// grant gives the daemon the rights that the chart gives it: Roles in the namespaces of the rollout and of Traefik. More
// are further arguments of helm.
func (w *world) grant(t testing.TB, more ...string) {
	t.Helper()
	w.c.Apply(t, w.home, w.roles(t, append([]string{
		"--set", "namespaces={" + w.pro + "," + w.dev + "}", "--set", "traefikNamespaces={" + w.gate + "}",
	}, more...)...))
}

// roles are those of the chart, with further arguments of helm.
func (w *world) roles(t testing.TB, more ...string) string {
	t.Helper()
	return w.chart(t, append([]string{"--show-only", "templates/rbac.yaml"}, more...)...)
}

// chart renders Serin's chart in the daemon's namespace, with further arguments.
func (w *world) chart(t testing.TB, more ...string) string {
	t.Helper()
	helm, err := testbed.Tool("helm")
	require.NoError(t, err)
	require.NoError(t, testbed.Reads("deploy/helm"))
	cmd := exec.CommandContext(t.Context(), helm, append([]string{ //nolint:gosec // of this test
		"template", "serin", "../../deploy/helm/serin", "--namespace", w.home, "--kube-version", "1.34.0",
	}, more...)...)
	var wrong bytes.Buffer
	cmd.Stderr = &wrong
	objects, err := cmd.Output()
	require.NoError(t, err, wrong.String())
	return string(objects)
}

// revoke takes away the daemon's rights in the rollout's namespace.
func (w *world) revoke(t *testing.T) {
	t.Helper()
	require.NoError(t, w.c.Client.RbacV1().RoleBindings(w.pro).Delete(t.Context(), "serin", metav1.DeleteOptions{}))
}

// inSeconds lets an analysis decide in seconds, with the traffic of these tests. Its metrics follow.
const inSeconds = `spec:
  interval: 1s
  warmUp: 0s
  passAfter: 1s
  settle: 500ms
  minRequests: 15
  metrics:
`

// analysis decides in seconds: its margin fits the traffic of these tests.
const analysis = `apiVersion: serin.dev/v1alpha1
kind: Analysis
metadata: {name: %s}
` + inSeconds + `    - name: %s-errors
      preset: traefik-errors
      margin: {relative: 100%%, absolute: 20%%}
---
`

func (w *world) rollout(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../../examples", w.file))
	require.NoError(t, err)
	text := strings.NewReplacer(
		"namespace: pro", "namespace: "+w.pro, "namespace: dev", "namespace: "+w.dev,
		"host: pro.coding", "host: "+w.host, "host: feed.example.com", "host: "+w.host,
		"traefik.traefik.svc", "traefik."+w.gate+".svc",
		"hold: 10m", "hold: 1s", "hold: 30m", "hold: 1s", "min: 30m", "min: 1s", "min: 2h", "min: 1s", "min: 24h", "min: 1s",
		"drain: 30s", "drain: 1s", "https://chat.example.com/hooks/releases", w.traefik.API+"/nobody",
	).Replace(string(b))
	return strings.NewReplacer(w.change...).Replace(text)
}

const daemonYAML = `apiVersion: serin.dev/v1alpha1
kind: Daemon
spec:
  listen: 127.0.0.1:%d
  config: rollouts/
  store: sqlite:serin.db
  prometheus: {url: "%s", scrapeInterval: 250ms, timeout: 1s}
  kubernetes: {kubeconfig: "%s"}
`

func (w *world) configure(t *testing.T) {
	t.Helper()
	migrate, err := os.ReadFile("../../examples/jobs/migrate.yaml")
	require.NoError(t, err)
	documents := w.rollout(t)
	for _, name := range []string{"web", "checkout-conversion", "engagement"} {
		documents = fmt.Sprintf(analysis, name, name) + documents
	}
	w.configureWith(t, map[string]string{"rollout.yaml": documents, "jobs/migrate.yaml": string(migrate)})
}

// configureWith writes the daemon's configuration, with these documents by file name.
func (w *world) configureWith(t testing.TB, documents map[string]string) {
	t.Helper()
	port, err := testbed.FreePort()
	require.NoError(t, err)
	w.url = fmt.Sprintf("http://127.0.0.1:%d", port)
	require.NoError(t, os.MkdirAll(filepath.Join(w.dir, "rollouts", "jobs"), 0o700))
	daemon := fmt.Sprintf(daemonYAML, port, w.prometheus.URL, w.kubeconfig)
	if w.scraped {
		daemon = strings.Replace(daemon, fmt.Sprintf(`{url: "%s", scrapeInterval: 250ms, timeout: 1s}`, w.prometheus.URL),
			`{scrape: {service: "http://metrics.`+w.gate+`.svc:9100/metrics", interval: 250ms}}`, 1)
	}
	require.NoError(t, os.WriteFile(filepath.Join(w.dir, "serin.yaml"), []byte(daemon), 0o600))
	for name, text := range documents {
		require.NoError(t, os.WriteFile(filepath.Join(w.dir, "rollouts", name), []byte(text), 0o600))
	}
}

func (w *world) begin(t testing.TB) {
	t.Helper()
	path, err := program()
	require.NoError(t, err)
	w.daemon = testbed.New(t, testbed.Command{Name: "serin", Path: path, Args: []string{"daemon", "--config", "serin.yaml"}, Dir: w.dir})
	w.signIn(t)
}

// signIn waits until the daemon is ready, and reads its first token.
func (w *world) signIn(t testing.TB) {
	t.Helper()
	await.Until(t, "the daemon is ready", func() string {
		status, text := w.get("/readyz", nil)
		if status == http.StatusOK {
			return ""
		}
		return text
	})
	token, err := os.ReadFile(filepath.Join(w.dir, "serin.token"))
	require.NoError(t, err)
	w.token = strings.TrimSpace(string(token))
}

// call sends a request to the daemon's API: see [testbed.Call].
func (w *world) call(method, path string, body, out any) (int, string) {
	return testbed.Call(&http.Client{Timeout: await.Patience, Transport: w.api}, method, w.url+path, w.token, body, out)
}

func (w *world) get(path string, out any) (int, string) {
	return w.call(http.MethodGet, path, nil, out)
}

// view is the part of a rollout's state that these tests look at.
type view struct {
	Release struct{ ID string }
	State   struct {
		Phase, Outcome, Why, StepName, Doing string
		Seq, Step, Stage                     int
		InForce                              bool
		Pending                              json.RawMessage // the target that the canary is being scaled for, before the traffic changes
	}
	Declared                    bool
	Target                      struct{ Weight float64 }
	Confirmation, Gate, Waiting string
	Differences, Trouble        []string
	Workloads                   []json.RawMessage
}

func (v view) String() string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func (w *world) view() (v view, err error) {
	status, text := w.get("/api/v1/rollouts/"+w.name, &v)
	if status != http.StatusOK {
		return v, fmt.Errorf("%d %s", status, text)
	}
	return v, nil
}

// wait returns once ok accepts the rollout's state.
func (w *world) wait(t *testing.T, what string, ok func(view) bool) (v view) {
	t.Helper()
	await.Until(t, what, func() string {
		var err error
		if v, err = w.view(); err != nil {
			return err.Error()
		}
		if ok(v) {
			return ""
		}
		return v.String()
	})
	return v
}

// ends waits until a release has ended, and requires its outcome.
func (w *world) ends(t *testing.T, id, what, outcome string) view {
	t.Helper()
	v := w.wait(t, what, func(v view) bool { return v.Release.ID == id && ended(v) })
	require.Equal(t, outcome, v.State.Outcome, v.State.Why)
	return v
}

func ended(v view) bool { return v.State.Phase == "ended" }
func atGate(name string) func(view) bool {
	return func(v view) bool { return v.Gate == name }
}

func at(step string, stage int) func(view) bool {
	return func(v view) bool {
		return v.State.Phase == "active" && v.State.StepName == step && v.State.Stage == stage && v.State.InForce && len(v.State.Pending) == 0
	}
}

// start starts a release of an image.
func (w *world) start(t *testing.T, image string) string {
	t.Helper()
	var r struct{ ID string }
	status, text := w.call(http.MethodPost, "/api/v1/rollouts/"+w.name+"/releases", map[string]any{"parameters": map[string]string{"image": image}}, &r)
	require.Contains(t, []int{200, 201}, status, text)
	return r.ID
}

func (w *world) approve(t *testing.T, id, gate string) {
	t.Helper()
	status, text := w.call(http.MethodPost, "/api/v1/releases/"+id+"/gates/"+gate, map[string]string{"answer": "approve", "reason": "looks good"}, nil)
	require.Equal(t, http.StatusOK, status, text)
}

// Requests per second of each group of users. They are half of what these tests cost, a millisecond of processor time
// each. Tests that measure shares need more.
const (
	rate        = 25
	countedRate = 100
)

// users starts a constant load of ordinary users, and one for each cohort.
func (w *world) users(t *testing.T, cohorts ...http.Header) []*testbed.Load {
	t.Helper()
	return w.usersAt(t, rate, cohorts...)
}

func (w *world) usersAt(t *testing.T, rate float64, cohorts ...http.Header) (loads []*testbed.Load) {
	t.Helper()
	await.Until(t, "stable is served before any release", func() string {
		req, err := http.NewRequest(http.MethodGet, w.entry, http.NoBody) //nolint:noctx // the client has a timeout
		require.NoError(t, err)
		req.Host = w.host
		res, err := (&http.Client{Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: w.tls, DisableKeepAlives: true}}).Do(req)
		if err != nil {
			return err.Error()
		}
		defer res.Body.Close() //nolint:errcheck // only the header is read
		if res.StatusCode != http.StatusOK {
			return res.Status
		}
		return ""
	})
	for _, header := range append([]http.Header{nil}, cohorts...) {
		load := testbed.NewLoad(t, testbed.LoadConfig{URL: w.entry, TLS: w.tls, Host: w.host, Rate: rate, Header: header})
		t.Cleanup(func() {
			if t.Failed() {
				t.Logf("users with %v: %+v", header, load.Counts())
			}
		})
		loads = append(loads, load)
	}
	return loads
}

// event is the part of an event that these tests look at.
type event struct {
	Kind, By string
	At       time.Time
	Log      []string
	// What others have changed, and Why something is not in force.
	What, Why json.RawMessage
}

// told returns what a release's events of a kind say.
func (w *world) told(t *testing.T, id, kind string) string {
	t.Helper()
	var out strings.Builder
	for _, e := range w.events(t, id) {
		if e.Kind == kind {
			fmt.Fprintf(&out, "%s%s\n", e.What, e.Why)
		}
	}
	return out.String()
}

func (w *world) events(t *testing.T, id string) (out []event) {
	t.Helper()
	status, text := w.get("/api/v1/releases/"+id+"/events", &out)
	require.Equal(t, http.StatusOK, status, text)
	return out
}

func (w *world) deployment(t *testing.T, namespace, name string) *appsv1.Deployment {
	t.Helper()
	d, err := w.c.Client.AppsV1().Deployments(namespace).Get(t.Context(), name, metav1.GetOptions{})
	require.NoError(t, err)
	return d
}

// hang makes new pods of an image in a namespace neither become ready nor end.
func (w *world) hang(namespace, image string) {
	w.c.SetImage(namespace, image, testcluster.Image{Fate: testcluster.Hang})
}

// runs waits until pods of an image are running in a namespace.
func (w *world) runs(t *testing.T, namespace, image string) {
	t.Helper()
	await.Until(t, "pods of "+image+" run", func() string {
		list, err := w.c.Client.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{})
		require.NoError(t, err)
		for i := range list.Items {
			if p := &list.Items[i]; p.Spec.Containers[0].Image == image && p.Status.Phase == corev1.PodRunning {
				return ""
			}
		}
		return fmt.Sprintf("%d pods", len(list.Items))
	})
}

// revive makes the hanging pods of a Job succeed, and deletes those of a Deployment, which are made again.
func (w *world) revive(t *testing.T, namespace, image string) {
	t.Helper()
	w.c.SetImage(namespace, image, testcluster.Image{})
	pods := w.c.Client.CoreV1().Pods(namespace)
	list, err := pods.List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	for i := range list.Items {
		pod := &list.Items[i]
		owner := metav1.GetControllerOf(pod)
		switch {
		case owner == nil || pod.Spec.Containers[0].Image != image || pod.DeletionTimestamp != nil:
		case owner.Kind == "Job" && pod.Status.Phase != corev1.PodRunning:
		case owner.Kind == "Job":
			pod.Status.Phase = corev1.PodSucceeded
			_, err := pods.UpdateStatus(t.Context(), pod, metav1.UpdateOptions{})
			require.NoError(t, err)
		case pod.Annotations[testcluster.FateAnnotation] == string(testcluster.Hang): // even if it is not running yet
			if err := pods.Delete(t.Context(), pod.Name, metav1.DeleteOptions{}); !apierrors.IsNotFound(err) {
				require.NoError(t, err)
			}
		}
	}
}

func imageOf(d *appsv1.Deployment) string { return d.Spec.Template.Spec.Containers[0].Image }

// noRequestFailed checks that only the canary itself failed requests: users do not notice what Serin does.
func noRequestFailed(t *testing.T, loads []*testbed.Load) {
	t.Helper()
	for _, l := range loads {
		answered(t, l.Counts(), "2")
	}
}

// answered checks that requests were sent, and that all were answered with 200, except by the version but. If that is
// empty, there is no exception.
func answered(t *testing.T, c testbed.LoadCounts, but string) {
	t.Helper()
	require.Zero(t, c.Broken, c.LastError)
	require.Positive(t, c.Sent)
	for version, byStatus := range c.Status {
		for status := range byStatus {
			if but == "" || version != but {
				require.Equal(t, http.StatusOK, status, "%q: %v", version, c.Status)
			}
		}
	}
}
