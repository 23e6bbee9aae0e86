package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
)

// These tests run each command of docs/migration.md as written, except for namespaces, hosts and times. They create
// what the other controllers would have created (Flagger 1.44.0: pkg/canary/deployment_controller.go,
// pkg/router/kubernetes_default.go, pkg/router/traefik.go; Argo Rollouts 1.9.1: utils/replicaset, service.go), with the
// owner references that the real garbage collector follows.

// page is docs/migration.md.
const page = "../../docs/migration.md"

var (
	canaries = schema.GroupVersionResource{Group: "flagger.app", Version: "v1beta1", Resource: "canaries"}
	rollouts = schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "rollouts"}
	// The kinds with their metrics are only read.
	metricTemplates   = schema.GroupVersionResource{Group: "flagger.app", Version: "v1beta1", Resource: "metrictemplates"}
	analysisTemplates = schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "analysistemplates"}
)

// peers are the kinds of the other controllers.
var peers = strings.Join([]string{
	definition(canaries, "Canary"), definition(rollouts, "Rollout", "ro"),
	definition(metricTemplates, "MetricTemplate"), definition(analysisTemplates, "AnalysisTemplate"),
}, "---\n")

// definition is a kind without its fields: what matters here is ownership.
func definition(r schema.GroupVersionResource, kind string, short ...string) string {
	return fmt.Sprintf(`apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %[1]s.%[2]s}
spec:
  group: %[2]s
  names: {plural: %[1]s, singular: %[4]s, kind: %[5]s, listKind: %[5]sList, shortNames: [%[6]s]}
  scope: Namespaced
  versions:
    - {name: %[3]s, served: true, storage: true, subresources: {status: {}}, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
`, r.Resource, r.Group, r.Version, strings.ToLower(kind), kind, strings.Join(short, ", "))
}

// migration is a service that moves from another controller to Serin, as the page says.
type migration struct {
	*world
	dynamic dynamic.Interface
	page    string // with this world's namespaces and hosts
	files   string // where its files are, and its commands run
}

// newMigration is a world with the page's files, and a daemon that has no documents yet.
func newMigration(t *testing.T, rollout, namespace, host string) *migration {
	t.Helper()
	m := &migration{world: newPlace(t, example{name: rollout}), files: t.TempDir()}
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	m.page = strings.NewReplacer(
		"namespace: "+namespace, "namespace: "+m.pro, "kubectl -n "+namespace, "kubectl -n "+m.pro,
		host, m.host, "traefik.traefik.svc", "traefik."+m.gate+".svc",
		"hold: 10m", "hold: 1s", "    - promote: {}\n", "    - promote: {}\n  rollback: {drain: 1s}\n", "analysis: traefik-web", "analysis: podinfo",
	).Replace(string(text))
	for name, b := range m.blocks() {
		if name != "" {
			require.NoError(t, os.WriteFile(filepath.Join(m.files, name), []byte(b), 0o600))
		}
	}
	m.dynamic, err = dynamic.NewForConfig(m.c.Config)
	require.NoError(t, err)
	m.installPeers(t)
	m.configureWith(t, nil)
	m.begin(t)
	return m
}

// installPeers makes the definitions of the other controllers' kinds, and waits until they are served.
func (m *migration) installPeers(t *testing.T) {
	t.Helper()
	m.c.Apply(t, "", peers)
	await.Until(t, "the other controllers' kinds are served", func() string {
		for _, kind := range []schema.GroupVersionResource{canaries, rollouts, metricTemplates, analysisTemplates} {
			if _, err := m.dynamic.Resource(kind).Namespace(m.pro).List(t.Context(), metav1.ListOptions{}); err != nil {
				return err.Error()
			}
		}
		return ""
	})
}

// fenced matches a block of the page.
var fenced = regexp.MustCompile("(?ms)^```(sh elsewhere|yaml file=(\\S+))\n(.*?)^```$")

// blocks are the page's files by their name.
func (m *migration) blocks() map[string]string {
	out := map[string]string{}
	for _, b := range fenced.FindAllStringSubmatch(m.page, -1) {
		out[b[2]] = b[3]
	}
	return out
}

// commands are the blocks of commands of a section, in order.
func (m *migration) commands(t *testing.T, section string) (out []string) {
	t.Helper()
	_, text, found := strings.Cut(m.page, "\n### "+section+"\n")
	require.True(t, found, "the page has no section %q", section)
	text, _, _ = strings.Cut(text, "\n## ")
	for _, b := range fenced.FindAllStringSubmatch(text, -1) {
		if b[2] == "" {
			out = append(out, b[3])
		}
	}
	require.NotEmpty(t, out)
	return out
}

// run runs commands where the page's files are, as the cluster's administrator.
func (m *migration) run(t *testing.T, commands string) string {
	t.Helper()
	serin, err := program()
	require.NoError(t, err)
	kubectl, err := testbed.Tool("kubectl")
	require.NoError(t, err)
	bin := t.TempDir()
	for name, path := range map[string]string{"serin": serin, "kubectl": kubectl} {
		require.NoError(t, os.Symlink(path, filepath.Join(bin, name)))
	}
	ctx, cancel := context.WithTimeout(t.Context(), await.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", commands) //nolint:gosec // of the page
	cmd.Dir = m.files
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "HOME="+m.files, "NO_COLOR=1",
		"KUBECONFIG="+m.c.Kubeconfig, "SERIN_SERVER="+m.url, "SERIN_TOKEN="+m.token)
	out, err := cmd.CombinedOutput()
	t.Logf("$ %s%s", commands, out)
	require.NoError(t, err, "%s", out)
	return string(out)
}

// place puts one of the page's files among the daemon's documents, with an analysis that decides in seconds.
func (m *migration) place(t *testing.T, file string) {
	t.Helper()
	text := m.blocks()[file]
	text = fmt.Sprintf(analysis, "podinfo", "podinfo") + text[strings.Index(text, "apiVersion: serin.dev/v1alpha1\nkind: Rollout"):]
	require.NoError(t, os.WriteFile(filepath.Join(m.dir, "rollouts", file), []byte(text), 0o600))
}

// owned creates objects that by owns as their controller.
func (m *migration) owned(t *testing.T, by *unstructured.Unstructured, manifests string) {
	t.Helper()
	owner := fmt.Sprintf("ownerReferences: [{apiVersion: %s, kind: %s, name: %s, uid: %s, controller: true, blockOwnerDeletion: true}]",
		by.GetAPIVersion(), by.GetKind(), by.GetName(), by.GetUID())
	m.c.Apply(t, m.pro, strings.ReplaceAll(manifests, "OWNER", owner))
}

// peer creates an object of another controller's kind, with a status.
func (m *migration) peer(t *testing.T, kind schema.GroupVersionResource, file string, status map[string]any) *unstructured.Unstructured {
	t.Helper()
	m.c.Apply(t, m.pro, m.blocks()[file])
	name := strings.TrimSuffix(strings.TrimSuffix(file, "-canary.yaml"), "-argo.yaml")
	o, err := m.dynamic.Resource(kind).Namespace(m.pro).Get(t.Context(), name, metav1.GetOptions{})
	require.NoError(t, err)
	require.NoError(t, unstructured.SetNestedMap(o.Object, status, "status"))
	o, err = m.dynamic.Resource(kind).Namespace(m.pro).UpdateStatus(t.Context(), o, metav1.UpdateOptions{})
	require.NoError(t, err)
	return o
}

// collected deletes an object of a kind in the ordinary way, and waits until the garbage collector has removed what it
// owned. Then the collector knows the kind, and has finished everything before.
func (m *migration) collected(t *testing.T, like *unstructured.Unstructured, kind schema.GroupVersionResource) {
	t.Helper()
	o := like.DeepCopy()
	o.SetName("")
	o.SetGenerateName("control-")
	o.SetUID("")
	o.SetResourceVersion("")
	o, err := m.dynamic.Resource(kind).Namespace(m.pro).Create(t.Context(), o, metav1.CreateOptions{})
	require.NoError(t, err)
	m.owned(t, o, "{apiVersion: v1, kind: ConfigMap, metadata: {name: "+o.GetName()+", OWNER}}")
	m.run(t, fmt.Sprintf("kubectl -n %s delete %s.%s %s\n", m.pro, kind.Resource, kind.Group, o.GetName()))
	await.Until(t, "the objects that it owned are collected", func() string {
		_, err := m.c.Client.CoreV1().ConfigMaps(m.pro).Get(t.Context(), o.GetName(), metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return ""
		}
		return fmt.Sprint("one still exists: ", err)
	})
}

// inside starts users who reach a Service by another route than the one that moves.
func (m *migration) inside(t *testing.T, service string) *testbed.Load {
	t.Helper()
	host := "inside." + m.host
	m.c.Apply(t, m.pro, fmt.Sprintf("{apiVersion: traefik.io/v1alpha1, kind: IngressRoute, metadata: {name: inside}, "+
		"spec: {entryPoints: [web], routes: [{match: \"Host(`%s`)\", kind: Rule, services: [{name: %s, port: 80}]}]}}", host, service))
	outside := m.host
	m.host = host
	defer func() { m.host = outside }()
	return m.users(t)[0]
}

// noneFailed ends the loads, and checks that all requests of all users were answered with 200.
func noneFailed(t *testing.T, loads ...*testbed.Load) {
	t.Helper()
	for _, l := range loads {
		answered(t, l.Stop(), "")
	}
}

// flagger is what Flagger has made for the page's Canary after a successful release: primary has the pods.
const flagger = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: podinfo-primary, labels: {app: podinfo-primary}, OWNER}
spec:
  replicas: 2
  selector: {matchLabels: {app: podinfo-primary}}
  template:
    metadata: {labels: {app: podinfo-primary}}
    spec: {containers: [{name: podinfod, image: "registry.example.com/podinfo:1", ports: [{name: http, containerPort: 9898}]}]}
---
{apiVersion: v1, kind: Service, metadata: {name: podinfo, OWNER}, spec: {selector: {app: podinfo-primary}, ports: [{name: http, port: 80, targetPort: 9898}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: podinfo-primary, OWNER}, spec: {selector: {app: podinfo-primary}, ports: [{name: http, port: 80, targetPort: 9898}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: podinfo-canary, OWNER}, spec: {selector: {app: podinfo}, ports: [{name: http, port: 80, targetPort: 9898}]}}
---
{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: podinfo-primary, OWNER}, spec: {minReplicas: 2, maxReplicas: 4,
 scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: podinfo-primary}}}
---
{apiVersion: traefik.io/v1alpha1, kind: TraefikService, metadata: {name: podinfo, OWNER}, spec: {weighted: {services: [{name: podinfo-primary, port: 80, weight: 100}]}}}
`

// podinfo is what the team has: the Deployment that the Canary names, and a route.
const podinfo = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: podinfo}
spec:
  replicas: 0
  selector: {matchLabels: {app: podinfo}}
  template:
    metadata: {labels: {app: podinfo}}
    spec: {containers: [{name: podinfod, image: "registry.example.com/podinfo:1", ports: [{name: http, containerPort: 9898}]}]}
`

// route is an IngressRoute to a TraefikService of the same name.
func (m *migration) route(t *testing.T, name string) {
	t.Helper()
	m.c.Apply(t, m.pro, fmt.Sprintf("{apiVersion: traefik.io/v1alpha1, kind: IngressRoute, metadata: {name: %s}, "+
		"spec: {entryPoints: [web], routes: [{match: \"Host(`%s`)\", kind: Rule, services: [{name: %[1]s, kind: TraefikService}]}]}}", name, m.host))
}

func TestAServiceMovesFromFlaggerByThePage(t *testing.T) {
	t.Parallel()
	m := newMigration(t, "podinfo-release", "test", "app.example.com")
	m.c.Apply(t, m.pro, podinfo)
	canary := m.peer(t, canaries, "podinfo-canary.yaml", map[string]any{"phase": "Succeeded", "canaryWeight": int64(0)})
	m.owned(t, canary, flagger)
	m.route(t, "podinfo")
	loads := append(m.users(t), m.inside(t, "podinfo"))
	m.collected(t, canary, canaries)
	for _, commands := range m.commands(t, "The order, for a Canary") {
		if strings.Contains(commands, "serin status") {
			m.place(t, "podinfo.yaml")
		}
		out := m.run(t, commands)
		if strings.Contains(commands, "serin migrate") {
			m.migrated(t, "from-flagger.yaml", "host: "+m.host, "image: {podinfod: '${image}'}", "baseline: {fixed: 1%}")
		}
		if strings.Contains(commands, "--cascade=orphan") {
			require.NotRegexp(t, `(?m) Canary$`, out, "the Canary no longer owns anything")
		}
	}
	m.collected(t, canary, canaries)
	for _, name := range []string{"podinfo", "podinfo-primary", "podinfo-canary"} {
		_, err := m.c.Client.CoreV1().Services(m.pro).Get(t.Context(), name, metav1.GetOptions{})
		require.NoError(t, err)
	}
	_, err := m.c.Client.AutoscalingV2().HorizontalPodAutoscalers(m.pro).Get(t.Context(), "podinfo-primary", metav1.GetOptions{})
	require.NoError(t, err)
	require.EqualValues(t, 2, m.deployment(t, m.pro, "podinfo-primary").Status.ReadyReplicas)
	m.releases(t, "podinfo", "podinfo-primary", "registry.example.com/podinfo:2")
	noneFailed(t, loads...)
}

// migrated checks that the file that serin migrate wrote contains all of want.
func (m *migration) migrated(t *testing.T, file string, want ...string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(m.files, file))
	require.NoError(t, err)
	for _, one := range want {
		require.Contains(t, string(text), one)
	}
}

// releases releases an image with Serin's Rollout.
func (m *migration) releases(t *testing.T, canary, stable, image string) {
	t.Helper()
	id := m.start(t, image)
	v := m.wait(t, "the release has ended, or is at its gate", func(v view) bool { return v.Release.ID == id && (ended(v) || v.Gate != "") })
	if v.Gate != "" {
		m.approve(t, id, v.Gate)
		v = m.wait(t, "the release has ended", ended)
	}
	require.Equal(t, "released", v.State.Outcome, v.State.Why)
	require.Equal(t, image, imageOf(m.deployment(t, m.pro, stable)))
	require.Equal(t, image, imageOf(m.deployment(t, m.pro, canary)))
}

// argo is what Argo Rollouts has made for the page's Rollout, which is healthy: one ReplicaSet, and its hash in the
// selectors of both Services. The TraefikService is the team's.
const argo = `
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: shop-6d4cf56db6, labels: {app: shop, rollouts-pod-template-hash: 6d4cf56db6}, OWNER}
spec:
  replicas: 6
  selector: {matchLabels: {app: shop, rollouts-pod-template-hash: 6d4cf56db6}}
  template:
    metadata: {labels: {app: shop, rollouts-pod-template-hash: 6d4cf56db6}}
    spec: {containers: [{name: shop, image: "shop:1", ports: [{containerPort: 8080}]}]}
---
{apiVersion: v1, kind: Service, metadata: {name: shop}, spec: {selector: {app: shop, rollouts-pod-template-hash: 6d4cf56db6}, ports: [{port: 80, targetPort: 8080}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: shop-canary}, spec: {selector: {app: shop, rollouts-pod-template-hash: 6d4cf56db6}, ports: [{port: 80, targetPort: 8080}]}}
---
{apiVersion: traefik.io/v1alpha1, kind: TraefikService, metadata: {name: shop}, spec: {weighted: {services: [{name: shop, port: 80, weight: 100}, {name: shop-canary, port: 80, weight: 0}]}}}
`

// referred is the Deployment of a workloadRef: Argo has its template, and has scaled it to zero.
const referred = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  replicas: 0
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec: {containers: [{name: shop, image: "shop:1", ports: [{containerPort: 8080}]}]}
`

func TestAServiceMovesFromArgoRolloutsByThePage(t *testing.T) {
	t.Parallel()
	for name, workload := range map[string]string{"with a template": "", "with a workloadRef scaled to zero": referred} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMigration(t, "shop-release", "pro", "shop.example.com")
			if workload != "" {
				m.c.Apply(t, m.pro, workload)
			}
			rollout := m.peer(t, rollouts, "shop-argo.yaml", map[string]any{"phase": "Healthy", "stableRS": "6d4cf56db6", "currentPodHash": "6d4cf56db6"})
			if workload != "" {
				patch := `{"spec": {"template": null, "selector": null, "workloadRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "shop", "scaleDown": "onsuccess"}}}`
				var err error
				rollout, err = m.dynamic.Resource(rollouts).Namespace(m.pro).Patch(t.Context(), "shop", "application/merge-patch+json", []byte(patch), metav1.PatchOptions{})
				require.NoError(t, err)
			}
			m.owned(t, rollout, argo)
			m.route(t, "shop")
			loads := append(m.users(t), m.inside(t, "shop"))
			m.collected(t, rollout, rollouts)
			for _, commands := range m.commands(t, "The order, for an Argo Rollout") {
				if strings.Contains(commands, "serin status") && strings.Contains(commands, "ingressroute") {
					m.place(t, "shop.yaml")
				}
				out := m.run(t, commands)
				if strings.Contains(commands, "serin migrate") {
					m.migrated(t, "from-argo.yaml", "host: "+m.host, "- gate: {name: after-50-percent}")
				}
				if strings.Contains(commands, "--cascade=orphan") {
					require.Regexp(t, `shop-6d4cf56db6 +6 +<none>`, out, "the pods have stayed, without an owner")
				}
			}
			m.collected(t, rollout, rollouts)
			m.releases(t, "shop-next", "shop-stable", "shop:2")
			noneFailed(t, loads...)
			list, err := m.c.Client.AppsV1().ReplicaSets(m.pro).List(t.Context(), metav1.ListOptions{LabelSelector: "rollouts-pod-template-hash"})
			require.NoError(t, err)
			require.Empty(t, list.Items, "nothing of Argo's is left")
		})
	}
}
