// Package deploy answers the question whether the chart and the kustomize base work. It has tests only: they render both with
// the real programs, apply them to a real API server, which checks every field, and check that their rights are enough and
// no more.
package deploy

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"

	"github.com/serindev/serin/config"
	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
	"github.com/serindev/serin/internal/testbed/testcluster"
	"github.com/serindev/serin/leader"
	"github.com/serindev/serin/workload"
	"github.com/serindev/serin/workload/kube"
)

func TestMain(m *testing.M) { testcluster.Main(m) }

var update = flag.Bool("update", false, "write what is rendered from the chart")

// tool returns the path of a program that reads this folder.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := testbed.Tool(name)
	require.NoError(t, err)
	require.NoError(t, testbed.Reads("deploy"))
	return path
}

// program runs a tool and returns what it prints.
func program(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), tool(t, name), args...)
	dir := t.TempDir()
	cmd.Env = append(os.Environ(), "HELM_CACHE_HOME="+dir, "HELM_CONFIG_HOME="+dir, "HELM_DATA_HOME="+dir, "KUBECONFIG="+filepath.Join(dir, "none"))
	var out, wrong bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &wrong
	if err := cmd.Run(); err != nil {
		return out.String(), errors.Join(err, errors.New(wrong.String()))
	}
	return out.String(), nil
}

// render renders the chart with values.
func render(t *testing.T, namespace, values string) (string, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "values.yaml")
	require.NoError(t, os.WriteFile(file, []byte(values), 0o600))
	return program(t, "helm", "template", "serin", "helm/serin", "--namespace", namespace, "--kube-version", "1.34.0", "--values", file)
}

func mustRender(t *testing.T, namespace, values string) string {
	t.Helper()
	out, err := render(t, namespace, values)
	require.NoError(t, err)
	return out
}

func objects(t *testing.T, text string) (out []*unstructured.Unstructured) {
	t.Helper()
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(text), 4096)
	for {
		o := &unstructured.Unstructured{}
		err := decoder.Decode(&o.Object)
		if errors.Is(err, io.EOF) {
			return out
		}
		require.NoError(t, err)
		if len(o.Object) > 0 {
			out = append(out, o)
		}
	}
}

// apply creates objects as an administrator does. The API server refuses unknown fields.
func apply(t *testing.T, c *testcluster.Cluster, list []*unstructured.Unstructured) {
	t.Helper()
	client, err := dynamic.NewForConfig(c.Config)
	require.NoError(t, err)
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(c.Client.Discovery()))
	for _, o := range list {
		kind := o.GroupVersionKind()
		mapping, err := mapper.RESTMapping(kind.GroupKind(), kind.Version)
		require.NoError(t, err)
		_, err = client.Resource(mapping.Resource).Namespace(o.GetNamespace()).Create(t.Context(), o,
			metav1.CreateOptions{FieldManager: "helm", FieldValidation: metav1.FieldValidationStrict})
		require.NoError(t, err, "%s %s", kind.Kind, o.GetName())
	}
}

func find(t *testing.T, list []*unstructured.Unstructured, kind, name string) map[string]any {
	t.Helper()
	for _, o := range list {
		if o.GetKind() == kind && o.GetName() == name {
			return o.Object
		}
	}
	require.Fail(t, "there is no "+kind+" "+name)
	return nil
}

const everything = `
replicas: 3
namespaces: [NS, NS2]
traefikNamespaces: [NS2]
files:
  shop.yaml: "# a rollout"
  jobs/migrate.yaml: "# a job"
store: {postgres: {secretName: serin-store}}
auth: {tokensSecret: serin-tokens, sessionKeySecret: serin-sessions}
spinnaker: {enabled: true, basicAuthSecret: serin-spinnaker}
ingress: {enabled: true, className: traefik, host: serin.example.com, tlsSecretName: serin-web}
networkPolicy:
  from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ingress}}}]
  egress: [{ports: [{port: 53, protocol: UDP}]}, {to: [{ipBlock: {cidr: 10.0.0.0/8}}]}]
serviceMonitor: {enabled: true, tokenSecret: {name: serin-metrics}, labels: {release: prometheus}}
serviceAccount: {annotations: {a: b}}
imagePullSecrets: [{name: registry}]
nodeSelector: {kubernetes.io/os: linux}
tolerations: [{key: a, operator: Exists}]
affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: Exists}]}]}}}
podAnnotations: {c: d}
podLabels: {e: f}
extraVolumes: [{name: more, emptyDir: {}}]
extraVolumeMounts: [{name: more, mountPath: /more}]
daemon: {log: {format: json}, retention: {evidence: 30d}}
`

// variants are values for the chart, by purpose.
var variants = map[string]string{
	"as it is": "", "without TLS": "tls: {insecure: true}", "with everything": everything,
	"with custom resources": "namespaces: [NS]\ncustomResources: {enabled: true, install: false, aggregateRoles: false, reach: {NS: [NS2]}, hosts: [traefik.NS2.svc]}\nauth: {kubernetes: true}",
	"with a webhook":        "namespaces: [NS]\ncustomResources: {enabled: true, install: false, aggregateRoles: false, webhook: {enabled: true, certManagerCertificate: serin}}\nrbac: {oneDeployment: true}",
	"without a Prometheus":  "namespaces: [NS]\ntraefikNamespaces: [NS2]\ndaemon: {prometheus: {scrape: {service: \"http://traefik.NS2.svc:9100/metrics\"}}}",
	"with few rights":       "rbac: {jobs: false, createCanary: false}\nnetworkPolicy: {enabled: false}\npodDisruptionBudget: {enabled: false}\nexistingConfigMap: mine\nstore: {sqlite: {existingClaim: mine}}",
}

func TestTheChartIsAcceptedByTheAPIServerFieldByField(t *testing.T) {
	t.Parallel()
	c := testcluster.Shared(t)
	serviceMonitors(t, c)
	_, err := program(t, "helm", "lint", "--strict", "helm/serin")
	require.NoError(t, err)
	for name, values := range variants {
		t.Run(name, func(t *testing.T) {
			ns, ns2 := c.Namespace(t), c.Namespace(t)
			list := objects(t, mustRender(t, ns, strings.NewReplacer("NS2", ns2, "NS", ns).Replace(values)))
			apply(t, c, list)
			daemon := find(t, list, "ConfigMap", "serin")["data"].(map[string]any)["serin.yaml"].(string)
			file := filepath.Join(t.TempDir(), "serin.yaml")
			require.NoError(t, os.WriteFile(file, []byte(daemon), 0o600))
			_, _, errs := config.LoadDaemon(file)
			require.Empty(t, errs)
		})
	}
}

func TestValuesThatWouldNotRunAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ values, why string }{
		"PostgreSQL without tokens":        {"store: {postgres: {secretName: x}}", "auth.tokensSecret"},
		"PostgreSQL without a session key": {"store: {postgres: {secretName: x}}\nauth: {tokensSecret: tokens}", "auth.sessionKeySecret"},
		"no TLS without tls.insecure":      {"tls: {secretName: ''}", "tls.secretName"},
		"Spinnaker for everybody":          {"spinnaker: {enabled: true}", "spinnaker.basicAuthSecret"},
		"metrics without a token":          {"serviceMonitor: {enabled: true}", "serviceMonitor.tokenSecret.name"},
		"a webhook without TLS":            {"customResources: {enabled: true, webhook: {enabled: true, caBundle: eA==}}\ntls: {insecure: true}", "over HTTPS only"},
		"a webhook without an authority":   {"customResources: {enabled: true, webhook: {enabled: true}}", "caBundle"},
		"an unknown value":                 {"replica: 3", "replica"},
		"several pods on SQLite":           {"replicas: 2", "store.postgres.secretName"},
		"rights everywhere and somewhere":  {"rbac: {clusterWide: true}\nnamespaces: [pro]", "give one of them"},
		"two sources of rollouts":          {"files: {a.yaml: x}\nexistingConfigMap: mine", "give one of them"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := render(t, "serin", c.values)
			require.ErrorContains(t, err, c.why)
			require.Empty(t, out)
		})
	}
}

// kustomized returns the files of the kustomize bases: the chart with its defaults, without what only Helm needs, and its
// rights in a namespace of rollouts or of Traefik.
func kustomized(t *testing.T) map[string]string {
	t.Helper()
	text := mustRender(t, "serin", "traefikNamespaces: [traefik]")
	text = regexp.MustCompile(`(?m)^ *(helm\.sh/.*|annotations: \{helm\.sh/.*)\n|^# Source: .*\n`).ReplaceAllString(text, "")
	text = strings.ReplaceAll(text, "managed-by: Helm", "managed-by: kustomize")
	var all, rights, traefik []string
	for part := range strings.SplitSeq(text, "---\n") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		here := regexp.MustCompile(`(?m)^  namespace: \w+\n`).ReplaceAllString(part, "")
		switch isRight := regexp.MustCompile(`(?m)^kind: Role(Binding)?$`).MatchString(part); {
		case isRight && strings.Contains(part, "\n  namespace: traefik\n"):
			traefik = append(traefik, here)
			continue
		case isRight:
			rights = append(rights, here)
		}
		all = append(all, part)
	}
	out := map[string]string{}
	for file, parts := range map[string][]string{"base/serin.yaml": all, "rights/rights.yaml": rights, "traefik-rights/rights.yaml": traefik} {
		out[file] = "# Rendered from deploy/helm/serin: go test ./deploy -update\n---\n" + strings.Join(parts, "---\n")
	}
	return out
}

func TestTheKustomizeBaseIsTheChart(t *testing.T) { // not parallel: it may write what others read
	for file, text := range kustomized(t) {
		file = filepath.Join("kustomize", file)
		if *update {
			require.NoError(t, os.WriteFile(file, []byte(text), 0o644)) //nolint:gosec // for everybody
		}
		have, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, string(have), text, "stale: go test ./deploy -update")
	}
}

func TestKustomizeSetsTheNamespaces(t *testing.T) {
	t.Parallel()
	c := testcluster.Shared(t)
	home, pro := c.Namespace(t), c.Namespace(t)
	here, err := os.Getwd()
	require.NoError(t, err)
	dir := t.TempDir()
	overlay := func(name, text string) []*unstructured.Unstructured {
		folder := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(folder, 0o700))
		path, err := filepath.Rel(folder, here)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(folder, "kustomization.yaml"), []byte(strings.ReplaceAll(text, "DEPLOY", path)), 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(folder, "shop.yaml"), []byte("# a rollout\n"), 0o600))
		out, err := program(t, "kustomize", "build", "--load-restrictor=LoadRestrictionsNone", folder)
		require.NoError(t, err)
		return objects(t, out)
	}
	list := overlay("home", "namespace: "+home+`
resources: [DEPLOY/kustomize/base]
configMapGenerator: [{name: serin-rollouts, namespace: serin, behavior: replace, files: [shop.yaml]}]
generatorOptions: {disableNameSuffixHash: true}
images: [{name: ghcr.io/serindev/serin, newTag: v9}]
`)
	apply(t, c, list)
	require.Contains(t, find(t, list, "ConfigMap", "serin-rollouts")["data"], "shop.yaml")
	list = overlay("pro", "namespace: "+pro+`
resources: [DEPLOY/kustomize/rights]
patches:
  - target: {kind: RoleBinding}
    patch: |
      - {op: replace, path: /subjects/0/namespace, value: `+home+`}
`)
	apply(t, c, list)
	traefik := c.Namespace(t)
	apply(t, c, overlay("traefik", "namespace: "+traefik+`
resources: [DEPLOY/kustomize/traefik-rights]
patches:
  - target: {kind: RoleBinding}
    patch: |
      - {op: replace, path: /subjects/0/namespace, value: `+home+`}
`))
	require.True(t, can(t, account(c, t, home), traefik, "discovery.k8s.io", "endpointslices", "watch"))
	require.False(t, can(t, account(c, t, home), traefik, "traefik.io", "traefikservices", "get"))
	require.True(t, can(t, account(c, t, home), pro, "apps", "deployments", "patch"))
	require.False(t, can(t, account(c, t, home), "default", "apps", "deployments", "patch"))
}

func account(c *testcluster.Cluster, t *testing.T, namespace string) *rest.Config {
	t.Helper()
	return c.ServiceAccount(t, namespace, "serin")
}

func can(t *testing.T, who *rest.Config, namespace, group, resource, verb string) bool {
	t.Helper()
	client, err := kubernetes.NewForConfig(who)
	require.NoError(t, err)
	review, err := client.AuthorizationV1().SelfSubjectAccessReviews().Create(t.Context(), &authorizationv1.SelfSubjectAccessReview{
		Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: namespace, Group: group, Resource: resource, Verb: verb}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	return review.Status.Allowed
}

const application = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: shop}}
  template: {metadata: {labels: {app: shop}}, spec: {containers: [{name: shop, image: "shop:1", ports: [{name: http, containerPort: 8080}]}]}}
---
apiVersion: v1
kind: Service
metadata: {name: shop}
spec: {selector: {app: shop}, ports: [{port: 80, targetPort: http}]}
`

func TestTheChartsRightsAreEnoughAndNoMore(t *testing.T) {
	t.Parallel()
	c := testcluster.Shared(t)
	home, pro := c.Namespace(t), c.Namespace(t)
	c.Apply(t, pro, application)
	apply(t, c, objects(t, mustRender(t, home, "namespaces: ["+pro+"]")))
	who := account(c, t, home)
	k, err := kube.New(kube.Config{REST: who, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(k.Close)

	stable, canary := workload.Name{Namespace: pro, Name: "shop"}, workload.Name{Namespace: pro, Name: "shop-canary"}
	target := workload.Target{
		Release: "r", Arms: workload.Arms{Stable: workload.Arm{Deployment: stable, Service: "shop"}, Canary: workload.Arm{Deployment: canary, Service: "shop-canary"}},
	}
	ready := func(d workload.Deployment) {
		t.Helper()
		target.Deployments = []workload.Deployment{d}
		var o workload.Observed
		var err error
		await.True(t, func() bool {
			o, err = k.Apply(t.Context(), target)
			phase, _ := o.Phase()
			return err == nil && phase == workload.Ready
		}, "%v", d.Name)
	}
	ready(workload.Deployment{Name: canary, Create: &stable, Images: map[string]string{"shop": "shop:2"}, Replicas: &workload.Replicas{Count: 1}})
	ready(workload.Deployment{Name: stable, From: &canary})
	ready(workload.Deployment{Name: stable, Before: true})
	job := workload.Job{Key: "r/migrate", Namespace: pro, Deadline: time.Minute,
		Manifest: []byte(`{"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "m", "image": "m:1"}]}}}}`)}
	var s workload.Status
	await.True(t, func() bool {
		s, err = k.Run(t.Context(), job)
		return err == nil && s.Phase == workload.Ready
	})
	require.Equal(t, []string{"m:1 has started"}, s.Log)
	found := listsWhatIsMade(t, c, pro)
	require.Equal(t, []string{"shop-canary"}, found["deployments"], "the documentation's way to find what Serin has made")
	require.Equal(t, []string{"shop-canary"}, found["services"])

	for _, verb := range []string{"get", "list", "watch", "create", "patch", "delete"} {
		require.True(t, can(t, who, pro, "traefik.io", "traefikservices", verb), verb)
	}
	require.False(t, can(t, who, pro, "gateway.networking.k8s.io", "httproutes", "patch"), "unless gatewayAPI is enabled")
	for _, forbidden := range [][2]string{{"", "secrets"}, {"", "configmaps"}, {"rbac.authorization.k8s.io", "roles"}, {"", "nodes"}, {"", "serviceaccounts"}} {
		for _, namespace := range []string{home, pro, ""} {
			require.False(t, can(t, who, namespace, forbidden[0], forbidden[1], "get"), forbidden)
		}
	}
	for _, verb := range []string{"delete", "update", "deletecollection"} {
		require.False(t, can(t, who, pro, "apps", "deployments", verb), verb)
	}
	require.False(t, can(t, who, "", "apps", "deployments", "list"), "nothing cluster-wide")
	require.False(t, can(t, who, home, "apps", "deployments", "patch"), "not even in its own namespace, if it has no rollouts")
	_, err = kubernetes.NewForConfigOrDie(who).CoreV1().Secrets(pro).List(t.Context(), metav1.ListOptions{})
	require.ErrorContains(t, err, "forbidden")
}

func TestClusterWideRightsAreTheSameAsThoseInANamespace(t *testing.T) {
	t.Parallel()
	c := testcluster.Shared(t)
	home, pro := c.Namespace(t), c.Namespace(t)
	apply(t, c, objects(t, mustRender(t, home, "rbac: {clusterWide: true}")))
	who := account(c, t, home)
	for _, of := range [][2]string{{"apps", "deployments"}, {"", "pods"}, {"", "services"}, {"traefik.io", "ingressroutes"}} {
		for _, verb := range []string{"get", "list", "watch"} {
			require.True(t, can(t, who, "", of[0], of[1], verb), "%s %s", verb, of)
		}
	}
	require.True(t, can(t, who, pro, "apps", "deployments", "patch"))
	for _, forbidden := range [][2]string{{"", "secrets"}, {"", "configmaps"}, {"rbac.authorization.k8s.io", "roles"}, {"", "nodes"}, {"", "serviceaccounts"}} {
		require.False(t, can(t, who, pro, forbidden[0], forbidden[1], "get"), forbidden)
	}
	require.NotContains(t, mustRender(t, home, "rbac: {clusterWide: true}\ncustomResources: {enabled: true}"), "namespaces:", "Rollouts of all of them are read")
}

func TestTheWebhookCoversTheNamespacesWithRollouts(t *testing.T) {
	t.Parallel()
	const webhook = "customResources: {enabled: true, webhook: {enabled: true, certManagerCertificate: serin}}\n"
	for name, c := range map[string]struct {
		values string
		in     []any // namespaces; all without any
	}{
		"in its own":     {"", []any{"serin"}},
		"in some":        {"namespaces: [pro, dev]", []any{"pro", "dev"}},
		"in all of them": {"rbac: {clusterWide: true}", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := find(t, objects(t, mustRender(t, "serin", webhook+c.values)), "ValidatingWebhookConfiguration", "serin-serin")
			hook := o["webhooks"].([]any)[0].(map[string]any)
			require.Equal(t, "Ignore", hook["failurePolicy"], "a Serin that is away keeps nobody from applying")
			selectors, _, err := unstructured.NestedSlice(hook, "namespaceSelector", "matchExpressions")
			require.NoError(t, err)
			if c.in == nil {
				require.Empty(t, selectors)
				return
			}
			require.Equal(t, []any{map[string]any{"key": "kubernetes.io/metadata.name", "operator": "In", "values": c.in}}, selectors)
		})
	}
}

func TestTheChartsRightsForGatewayAPIAreForRoutesOnly(t *testing.T) {
	t.Parallel()
	c := testcluster.Shared(t)
	home, pro := c.Namespace(t), c.Namespace(t)
	apply(t, c, objects(t, mustRender(t, home, "namespaces: ["+pro+"]\ngatewayAPI: {enabled: true}")))
	who := account(c, t, home)
	for _, resource := range []string{"httproutes", "grpcroutes"} {
		for _, verb := range []string{"get", "list", "watch", "create", "patch", "delete"} {
			require.True(t, can(t, who, pro, "gateway.networking.k8s.io", resource, verb), "%s %s", verb, resource)
		}
	}
	require.False(t, can(t, who, pro, "gateway.networking.k8s.io", "gateways", "get"))
	require.False(t, can(t, who, home, "gateway.networking.k8s.io", "httproutes", "get"))
}

func TestPrometheusGetsATokenAndTheCertificate(t *testing.T) {
	t.Parallel()
	m := find(t, objects(t, mustRender(t, "serin", strings.ReplaceAll(everything, "NS", "ns"))), "ServiceMonitor", "serin")
	endpoints, _, _ := unstructured.NestedSlice(m, "spec", "endpoints")
	require.Equal(t, []any{map[string]any{
		"port": "http", "path": "/metrics", "interval": "15s", "scheme": "https",
		"authorization": map[string]any{"credentials": map[string]any{"name": "serin-metrics", "key": "token"}},
		"tlsConfig": map[string]any{
			"ca": map[string]any{"secret": map[string]any{"name": "serin-tls", "key": "ca.crt"}}, "serverName": "serin.serin.svc",
		},
	}}, endpoints)
}

func TestTheNetworkPolicyAddsToSerinsOwnNamespace(t *testing.T) {
	t.Parallel()
	own := map[string]any{"podSelector": map[string]any{}}
	ingress := map[string]any{"namespaceSelector": map[string]any{"matchLabels": map[string]any{"kubernetes.io/metadata.name": "ingress"}}}
	web, spinnaker := map[string]any{"port": "http"}, map[string]any{"port": "spinnaker"}
	for name, c := range map[string]struct {
		values string
		want   []any
	}{
		"as it is":      {"", []any{map[string]any{"from": []any{own}, "ports": []any{web}}}},
		"with everyone": {strings.ReplaceAll(everything, "NS", "ns"), []any{map[string]any{"from": []any{own, ingress}, "ports": []any{web, spinnaker}}}},
		"with a webhook, which the API server calls": {strings.ReplaceAll(variants["with a webhook"], "NS", "ns"), []any{
			map[string]any{"from": []any{own}, "ports": []any{web}}, map[string]any{"ports": []any{map[string]any{"port": "webhook"}}},
		}},
	} {
		rules, _, _ := unstructured.NestedSlice(find(t, objects(t, mustRender(t, "serin", c.values)), "NetworkPolicy", "serin"), "spec", "ingress")
		require.Equal(t, c.want, rules, name)
	}
}

func TestThePodNeedsNoRightsOnItsNode(t *testing.T) {
	t.Parallel()
	d := find(t, objects(t, mustRender(t, "serin", "")), "Deployment", "serin")
	spec, _, _ := unstructured.NestedMap(d, "spec", "template", "spec")
	pod := spec["securityContext"].(map[string]any)
	require.Equal(t, true, pod["runAsNonRoot"])
	containers := spec["containers"].([]any)
	for _, c := range containers {
		s := c.(map[string]any)["securityContext"].(map[string]any)
		require.Equal(t, true, s["readOnlyRootFilesystem"])
		require.Equal(t, false, s["allowPrivilegeEscalation"])
		require.Equal(t, []any{"ALL"}, s["capabilities"].(map[string]any)["drop"])
	}
}

func TestTheNamespaceOfSerinCanBeRestricted(t *testing.T) {
	t.Parallel()
	c := testcluster.Shared(t)
	ns := c.Namespace(t)
	c.Apply(t, "", "{apiVersion: v1, kind: Namespace, metadata: {name: "+ns+", labels: {pod-security.kubernetes.io/enforce: restricted}}}")
	var pods []*unstructured.Unstructured
	for _, o := range objects(t, mustRender(t, ns, "")) {
		if o.GetKind() != "Deployment" {
			continue
		}
		template, _, _ := unstructured.NestedMap(o.Object, "spec", "template")
		pod := &unstructured.Unstructured{Object: template}
		pod.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "Pod"})
		pod.SetName("serin")
		pod.SetNamespace(ns)
		unstructured.RemoveNestedField(pod.Object, "spec", "serviceAccountName")
		pods = append(pods, pod)
	}
	require.Len(t, pods, 1)
	apply(t, c, pods)
}

func TestTheImageIsBuiltWithTheModulesGoVersion(t *testing.T) {
	t.Parallel()
	module, err := os.ReadFile("../go.mod")
	require.NoError(t, err)
	docker, err := os.ReadFile("Dockerfile")
	require.NoError(t, err)
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(module)
	require.Contains(t, string(docker), "ARG GO=golang:"+string(version[1])+"\n")
	bases := regexp.MustCompile(`(?m)^FROM (\S+)`).FindAllStringSubmatch(string(docker), -1)
	require.Equal(t, [][]string{{"FROM ${GO}", "${GO}"}, {"FROM scratch", "scratch"}}, bases, "there is no other image whose content may change")
	require.Contains(t, string(docker), "USER 65532:65532")
}

// shown returns the values on a page of the documentation.
func shown(t *testing.T, page, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../docs", page))
	require.NoError(t, err)
	found := regexp.MustCompile("(?s)```yaml\n(# " + regexp.QuoteMeta(name) + "\n.*?)```").FindSubmatch(text)
	require.NotNil(t, found)
	return string(found[1])
}

func TestTheChartsRightsAreEnoughForLeaderElection(t *testing.T) {
	t.Parallel()
	c := testcluster.Shared(t)
	ns := c.Namespace(t)
	list := objects(t, mustRender(t, ns, shown(t, "high-availability.md", "values-ha.yaml")))
	apply(t, c, list)
	d := find(t, list, "Deployment", "serin")
	require.EqualValues(t, 2, d["spec"].(map[string]any)["replicas"])
	containers, _, _ := unstructured.NestedSlice(d, "spec", "template", "spec", "containers")
	require.Contains(t, containers[0].(map[string]any)["args"], "--advertise=$(POD_IP)")

	file := filepath.Join(t.TempDir(), "serin.yaml")
	require.NoError(t, os.WriteFile(file, []byte(find(t, list, "ConfigMap", "serin")["data"].(map[string]any)["serin.yaml"].(string)), 0o600))
	spec, _, errs := config.LoadDaemon(file)
	require.Empty(t, errs)
	who := account(c, t, ns)
	candidate, err := leader.New(leader.Config{
		REST: who, Namespace: ns, Name: string(spec.Leader.Lease), Host: "10.0.0.1", Duration: time.Duration(*spec.Leader.Duration), Log: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	led := errors.New("it leads")
	wait := func(ctx context.Context) error { <-ctx.Done(); return nil }
	require.ErrorIs(t, candidate.Run(t.Context(), wait, func(context.Context) error { return led }), led)
	require.False(t, can(t, who, ns, "coordination.k8s.io", "leases", "update"), "another one's lease")
	require.False(t, can(t, who, ns, "coordination.k8s.io", "leases", "delete"))
}

func TestTheValuesOfTheDocumentationRender(t *testing.T) {
	t.Parallel()
	list := objects(t, mustRender(t, "serin", shown(t, "kubernetes.md", "values.yaml")))
	require.Contains(t, find(t, list, "ConfigMap", "serin-rollouts")["data"], "jobs__migrate.yaml")
	volumes, _, _ := unstructured.NestedSlice(find(t, list, "Deployment", "serin"), "spec", "template", "spec", "volumes")
	require.Contains(t, volumes, map[string]any{"name": "rollouts", "configMap": map[string]any{"name": "serin-rollouts", "items": []any{
		map[string]any{"key": "jobs__migrate.yaml", "path": "jobs/migrate.yaml"}, map[string]any{"key": "shop.yaml", "path": "shop.yaml"},
	}}})
}
