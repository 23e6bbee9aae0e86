package cluster

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
	"github.com/serindev/serin/internal/testbed/testcluster"
)

// team are Kubernetes' own roles, to which the chart's ClusterRoles are aggregated. Only who administers the namespace may
// answer gates.
const team = `
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: deployer}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: edit}
subjects: [{kind: ServiceAccount, name: deployer, namespace: NS}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: approver}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: admin}
subjects: [{kind: ServiceAccount, name: approver, namespace: NS}]
`

// kubectl runs kubectl as the administrator in a namespace, and logs the command and its output.
func (w *world) kubectl(t *testing.T, namespace, stdin string, args ...string) (string, error) {
	t.Helper()
	path, err := testbed.Tool("kubectl")
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), path, append([]string{"--kubeconfig", w.c.Kubeconfig, "-n", namespace}, args...)...) //nolint:gosec // of this test
	cmd.Stdin = strings.NewReader(stdin)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	t.Logf("$ kubectl -n %s %s\n%s", namespace, strings.Join(args, " "), out.String())
	w.note("$ kubectl", namespace, args, out.String())
	return out.String(), err
}

func (w *world) mustKubectl(t *testing.T, namespace, stdin string, args ...string) string {
	t.Helper()
	out, err := w.kubectl(t, namespace, stdin, args...)
	require.NoError(t, err, out)
	return out
}

// resources are the example's documents as custom resources, with the contents of its files inlined.
func (w *world) resources(t *testing.T) string {
	t.Helper()
	migrate, err := os.ReadFile("../../examples/jobs/migrate.yaml")
	require.NoError(t, err)
	job, err := yaml.YAMLToJSON(migrate)
	require.NoError(t, err)
	out := ""
	for _, name := range []string{"web", "checkout-conversion"} {
		out += fmt.Sprintf(analysis, name, name)
	}
	return out + strings.NewReplacer(
		"manifest: jobs/migrate.yaml", "manifest: "+string(job),
		"api: http://traefik."+w.gate+".svc:8080", "api: [http://traefik."+w.gate+".svc:8080]",
		"analysis: web\n", "analysis: [web]\n", "ingressRoute: cart ", "ingressRoute: [cart] ",
		"approvers: [qa]", "approvers: ['system:serviceaccount:"+w.pro+":approver']",
		"approvers: [release-managers]", "approvers: ['system:serviceaccount:"+w.pro+":approver']",
	).Replace(w.rollout(t))
}

// newResourceWorld is a world whose rollouts are custom resources, with the chart's rights for that.
func newResourceWorld(t *testing.T, e example) *world {
	t.Helper()
	return prepareResourceWorld(t, e, true)
}

// prepareResourceWorld is newResourceWorld, with or without starting the daemon.
func prepareResourceWorld(t *testing.T, e example, begin bool) *world {
	t.Helper()
	w := newApplication(t, e)
	require.NoError(t, testbed.Reads("deploy/kustomize/definitions"))
	w.c.Definitions(t, "../../deploy/kustomize/definitions/definitions.yaml")
	values := []string{"--set", "customResources.enabled=true", "--set", "customResources.install=false", "--set", "auth.kubernetes=true"}
	w.grant(t, values...)
	w.grant(t, append(values, "--show-only", "templates/definitions.yaml")...)
	t.Cleanup(func() {
		_ = w.c.Client.RbacV1().ClusterRoleBindings().Delete(t.Context(), w.home+"-serin-auth-delegator", metav1.DeleteOptions{})
	})
	w.c.Apply(t, w.pro, strings.ReplaceAll(team, "NS", w.pro))
	w.configure(t)
	require.NoError(t, os.RemoveAll(filepath.Join(w.dir, "rollouts", "rollout.yaml")))
	file := filepath.Join(w.dir, "serin.yaml")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	nobody, err := url.Parse(w.traefik.API)
	require.NoError(t, err)
	more := strings.Replace(string(text), "kubernetes: {", fmt.Sprintf("auth: {kubernetes: {}}\n  kubernetes: {resources: {namespaces: [%s], reach: {%s: [%s]}, hosts: [traefik.%s.svc, %s]}, ",
		w.pro, w.pro, w.dev, w.gate, nobody.Hostname()), 1)
	require.NoError(t, os.WriteFile(file, []byte(more), 0o600))
	w.name = w.pro + "." + e.name
	if begin {
		w.begin(t)
	}
	return w
}

// inTheCluster puts the daemon behind a pod with the chart's Service, for people who use kubectl.
func (w *world) inTheCluster(t *testing.T) {
	t.Helper()
	to, err := url.Parse(w.url)
	require.NoError(t, err)
	w.c.SetImage(w.home, "serin:1", testcluster.Image{Handler: httputil.NewSingleHostReverseProxy(to)})
	w.c.Apply(t, w.home, strings.NewReplacer("NAME", "serin", "PRO", w.pro).Replace(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: serin}
spec:
  selector: {matchLabels: {app.kubernetes.io/name: serin}}
  template:
    metadata: {labels: {app.kubernetes.io/name: serin}}
    spec: {containers: [{name: serin, image: "serin:1", ports: [{name: http, containerPort: 7474}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: serin, labels: {app.kubernetes.io/name: serin}}
spec: {selector: {app.kubernetes.io/name: serin}, ports: [{name: http, port: 7474, targetPort: http}]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: forward}
rules:
  - {apiGroups: [""], resources: [services, pods], verbs: [get, list]}
  - {apiGroups: [""], resources: [pods/portforward], verbs: [create, get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: forward}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: forward}
subjects: [{kind: ServiceAccount, name: deployer, namespace: PRO}, {kind: ServiceAccount, name: approver, namespace: PRO}]
`))
	await.Until(t, "the daemon's pod is ready", func() string {
		d := w.deployment(t, w.home, "serin")
		if d.Status.ReadyReplicas == 1 {
			return ""
		}
		return fmt.Sprint(d.Status)
	})
}

// plugin runs kubectl serin as a ServiceAccount of the application's namespace: the program finds Serin's Service, and
// forwards its port.
func (w *world) plugin(t *testing.T, account string, args ...string) (string, error) {
	t.Helper()
	cmd := w.pluginCommand(t, account, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	t.Logf("%s$ kubectl serin -n %s %s\n%s", account, w.pro, strings.Join(args, " "), out.String())
	w.note(account+"$ kubectl serin", w.pro, args, out.String())
	return out.String(), err
}

// pluginCommand is kubectl serin as a ServiceAccount of the application's namespace, not yet started.
func (w *world) pluginCommand(t *testing.T, account string, args ...string) *exec.Cmd {
	t.Helper()
	kubectl, err := testbed.Tool("kubectl")
	require.NoError(t, err)
	path, err := program()
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.Symlink(path, filepath.Join(dir, "kubectl-serin")))
	cmd := exec.CommandContext(t.Context(), kubectl, append([]string{"serin", "-n", w.pro, "--serin-namespace", w.home}, args...)...) //nolint:gosec // of this test
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "KUBECONFIG="+w.c.WriteKubeconfig(t, w.serviceAccount(t, account)))
	return cmd
}

func (w *world) mustPlugin(t *testing.T, account string, args ...string) string {
	t.Helper()
	out, err := w.plugin(t, account, args...)
	require.NoError(t, err, out)
	return out
}

// as calls the daemon's API with the token of a ServiceAccount of the application's namespace.
func (w *world) as(t *testing.T, account, path string, body any) (int, string) {
	t.Helper()
	own := w.token
	defer func() { w.token = own }()
	w.token = w.serviceAccount(t, account).BearerToken
	return w.call(http.MethodPost, path, body, nil)
}

func (w *world) serviceAccount(t *testing.T, name string) *rest.Config {
	return w.c.ServiceAccount(t, w.pro, name)
}

// transcriptFile is where the commands of [TestThePipelineRunsFromCustomResources] are written with their output, in a
// short form for quoting.
const transcriptFile = "../../.demo/pipeline-with-kubectl.txt"

// shownLines is how many lines of a command's output are in the transcript.
const shownLines = 2

// note adds a command to the transcript, if the test keeps one.
func (w *world) note(program, namespace string, args []string, out string) {
	if w.transcript == nil || slices.ContainsFunc(args, func(a string) bool { return a == "yaml" || a == "describe" || strings.HasPrefix(a, "jsonpath") }) {
		return // its output is long, or it is run again and again
	}
	names := strings.NewReplacer(w.pro, "pro", w.dev, "dev", w.home, "serin")
	fmt.Fprintf(w.transcript, "%s -n %s %s\n", program, names.Replace(namespace), names.Replace(strings.Join(args, " ")))
	lines := strings.Split(strings.TrimSpace(names.Replace(out)), "\n")
	for _, line := range lines[:min(len(lines), shownLines)] {
		fmt.Fprintf(w.transcript, "  %.160s\n", line)
	}
}

// A whole pipeline from custom resources: a migration, a pre-release in another namespace, a gate, A/B by header, gray,
// a gate, full release, a circuit breaker and a rate limit.
func TestThePipelineRunsFromCustomResources(t *testing.T) {
	t.Parallel()
	w := newResourceWorld(t, pipeline)
	w.transcript = &strings.Builder{}
	const app = "k8s-flask"
	bad := strings.Replace(w.resources(t), "weights: [5%, 10%", "weights: [50%, 10%", 1)
	w.mustKubectl(t, w.pro, bad, "apply", "-f", "-")
	await.Until(t, "the status says what is wrong", func() string {
		out, err := w.kubectl(t, w.pro, "", "get", "rollouts.serin.dev", app, "-o", "jsonpath={.status.message}")
		require.NoError(t, err)
		if strings.Contains(out, "spec.steps[5].gray.weights[1]: 10% after 50%: weights have to grow") {
			return ""
		}
		return out
	})
	w.mustKubectl(t, w.pro, w.resources(t), "apply", "-f", "-")
	w.mustKubectl(t, w.pro, "", "wait", "rollouts.serin.dev/"+app, "--for=condition=Ready", "--timeout=300s")
	w.mustKubectl(t, w.pro, "", "get", "rollouts.serin.dev")
	loads := w.users(t, beta)

	status, text := w.as(t, "nobody", "/api/v1/rollouts/"+w.name+"/releases", map[string]any{"parameters": map[string]string{"image": image2}})
	require.Equal(t, http.StatusNotFound, status, "it is not found by somebody who may not see it: %s", text)
	w.inTheCluster(t)
	w.mustPlugin(t, "deployer", "start", app, "--set", "image="+image2)
	w.mustKubectl(t, w.pro, "", "wait", "rollouts.serin.dev/"+app, "--for=jsonpath={.status.gate.name}=start-ab-test", "--timeout=300s")
	w.mustKubectl(t, w.pro, "", "get", "rollouts.serin.dev")
	require.Equal(t, image2, imageOf(w.deployment(t, w.dev, "k8s-flask-nodeport")), "pre-release runs the new version")
	approve := map[string]string{"answer": "approve", "reason": "looks good"}
	id := w.mustKubectl(t, w.pro, "", "get", "rollouts.serin.dev", app, "-o", "jsonpath={.status.release.id}")
	out, err := w.plugin(t, "deployer", "approve", app, "start-ab-test")
	require.Error(t, err)
	require.Contains(t, out, "may not approve rollouts.serin.dev")
	require.Contains(t, w.mustPlugin(t, "approver", "get", app), "start-ab-test")
	status, text = w.as(t, "deployer", "/api/v1/releases/"+id+"/gates/start-ab-test", approve)
	require.Equal(t, http.StatusForbidden, status, text)
	t.Logf("the ServiceAccount deployer approves: %d %s", status, text)
	w.mustPlugin(t, "approver", "approve", app, "start-ab-test", "--reason", "looks good")

	w.mustKubectl(t, w.pro, "", "wait", "rollouts.serin.dev/"+app, "--for=jsonpath={.status.gate.name}=full-release", "--timeout=300s")
	w.mustKubectl(t, w.pro, "", "get", "rollouts.serin.dev", "-o", "wide")
	status, text = w.as(t, "approver", "/api/v1/releases/"+id+"/gates/full-release", approve)
	require.Equal(t, http.StatusOK, status, text)
	w.mustKubectl(t, w.pro, "", "wait", "rollouts.serin.dev/"+app, "--for=condition=Released", "--timeout=300s")
	w.mustKubectl(t, w.pro, "", "get", "rollouts.serin.dev", app, "-o", "yaml")
	require.Equal(t, image2, imageOf(w.deployment(t, w.pro, "k8s-flask")), "stable is the new version")
	noRequestFailed(t, loads)
	w.mustPlugin(t, "approver", "explain", app)
	w.mustPlugin(t, "approver", "logs", w.pro+"/"+app)
	require.Contains(t, w.mustPlugin(t, "approver", "list"), w.name)
	out = w.mustKubectl(t, w.pro, "", "describe", "rollouts.serin.dev", app)
	require.Contains(t, out, "ReleaseStarted")
	require.Contains(t, out, "GateOpen")
	w.writersAreKnown(t)
	require.NoError(t, os.MkdirAll(filepath.Dir(transcriptFile), 0o750))
	require.NoError(t, os.WriteFile(transcriptFile, []byte(w.transcript.String()), 0o600))
}

// writersAreKnown checks that what Serin has written has the field manager serin, so that GitOps controllers can be configured to
// leave it alone: besides Serin only this test, Kubernetes' own controllers and the node have written.
func (w *world) writersAreKnown(t *testing.T) {
	t.Helper()
	client, err := metadata.NewForConfig(w.c.Config)
	require.NoError(t, err)
	wrote := map[string]int{}
	for _, r := range []schema.GroupVersionResource{
		{Group: "apps", Version: "v1", Resource: "deployments"}, {Version: "v1", Resource: "services"}, {Group: "batch", Version: "v1", Resource: "jobs"},
		{Group: "traefik.io", Version: "v1alpha1", Resource: "ingressroutes"}, {Group: "traefik.io", Version: "v1alpha1", Resource: "traefikservices"},
		{Group: "traefik.io", Version: "v1alpha1", Resource: "middlewares"}, {Group: "serin.dev", Version: "v1alpha1", Resource: "rollouts"},
	} {
		for _, namespace := range []string{w.pro, w.dev} {
			list, err := client.Resource(r).Namespace(namespace).List(t.Context(), metav1.ListOptions{})
			require.NoError(t, err)
			for i := range list.Items {
				for _, m := range list.Items[i].ManagedFields {
					wrote[r.Resource+" "+m.Manager]++
				}
			}
		}
	}
	for _, resource := range []string{"deployments", "jobs", "ingressroutes", "traefikservices", "rollouts"} {
		require.Positive(t, wrote[resource+" serin"], "Serin has written %s: %v", resource, wrote)
	}
	for who := range wrote {
		_, manager, _ := strings.Cut(who, " ")
		require.Contains(t, []string{"serin", "kube-controller-manager", "kubectl", "kubectl-client-side-apply", "cluster.test"}, manager, "%v", wrote)
	}
}

func TestARolloutThatIsDeletedWhileUsersAreOnTheCanaryGoesBackFirst(t *testing.T) {
	t.Parallel()
	w := newResourceWorld(t, pipeline.with("hold: 1s", "hold: 10m", "min: 1s", "min: 10m"))
	const app = "k8s-flask"
	w.mustKubectl(t, w.pro, w.resources(t), "apply", "-f", "-")
	w.mustKubectl(t, w.pro, "", "wait", "rollouts.serin.dev/"+app, "--for=condition=Ready", "--timeout=300s")
	loads := w.users(t, beta)
	id := w.start(t, image2)
	w.wait(t, "the first gate is open", atGate("start-ab-test"))
	w.approve(t, id, "start-ab-test")
	w.wait(t, "users are on the canary", at("ab", 0))
	w.mustKubectl(t, w.pro, "", "delete", "rollouts.serin.dev", app, "--timeout=300s")
	var v view
	status, text := w.get("/api/v1/releases/"+id, &v)
	require.Equal(t, http.StatusOK, status, text)
	require.Equal(t, "rolledBack", v.State.Outcome, "it was gone only after the release had ended")
	require.Contains(t, v.State.Why, "its Rollout is deleted")
	require.Equal(t, image1, imageOf(w.deployment(t, w.pro, "k8s-flask")))
	noRequestFailed(t, loads)
}

// A command that lasts survives the pod to which it has forwarded a port: it forwards one to the next.
func TestACommandThatWaitsOutlivesSerinsPod(t *testing.T) {
	t.Parallel()
	w := newResourceWorld(t, pipeline)
	const app = "k8s-flask"
	w.mustKubectl(t, w.pro, w.resources(t), "apply", "-f", "-")
	w.mustKubectl(t, w.pro, "", "wait", "rollouts.serin.dev/"+app, "--for=condition=Ready", "--timeout=300s")
	w.users(t, beta)
	w.inTheCluster(t)
	waiting := w.inBackground(t, "deployer", "start", app, "--set", "image="+image2, "--wait")
	w.mustKubectl(t, w.pro, "", "wait", "rollouts.serin.dev/"+app, "--for=jsonpath={.status.gate.name}=start-ab-test", "--timeout=300s")
	id := w.mustKubectl(t, w.pro, "", "get", "rollouts.serin.dev", app, "-o", "jsonpath={.status.release.id}")
	watching := w.inBackground(t, "deployer", "watch", id, "--lines")
	watching.prints(t, "start-ab-test")

	w.mustKubectl(t, w.home, "", "delete", "pods", "-l", "app.kubernetes.io/name=serin", "--timeout=300s")
	w.approve(t, id, "start-ab-test")
	w.wait(t, "the last gate is open", atGate("full-release"))
	for _, c := range []*background{waiting, watching} {
		c.prints(t, "full-release")
	}
	w.approve(t, id, "full-release")
	for _, c := range []*background{waiting, watching} {
		require.NoError(t, <-c.ended, c.text())
		require.Contains(t, c.text(), "released")
	}
}

// background is a command that runs alongside a test.
type background struct {
	ended chan error

	mu  sync.Mutex // guards out
	out bytes.Buffer
}

// inBackground starts kubectl serin as a ServiceAccount.
func (w *world) inBackground(t *testing.T, account string, args ...string) *background {
	t.Helper()
	cmd, b := w.pluginCommand(t, account, args...), &background{ended: make(chan error, 1)}
	cmd.Stdout, cmd.Stderr = b, b
	require.NoError(t, cmd.Start())
	go func() { b.ended <- cmd.Wait() }()
	t.Cleanup(func() { t.Logf("%s$ kubectl serin %s\n%s", account, strings.Join(args, " "), b.text()) })
	return b
}

// Write implements [io.Writer].
func (b *background) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.out.Write(p)
}

func (b *background) text() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.out.String()
}

// prints waits until the command has printed some words.
func (b *background) prints(t *testing.T, words string) {
	t.Helper()
	await.Until(t, "the command prints "+words, func() string {
		if out := b.text(); !strings.Contains(out, words) {
			return out
		}
		return ""
	})
}
