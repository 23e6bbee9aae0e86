package cluster

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/serindev/serin/internal/await"
)

// The sizes that BenchmarkSize measures.
const (
	sizeRollouts   = 1000
	sizeNamespaces = 50
	sizeUnderWay   = 100
)

// arms are the Deployment and Service of one arm in BenchmarkSize. Only those that will be released have pods.
const arms = `
{apiVersion: apps/v1, kind: Deployment, metadata: {name: NAME}, spec: {replicas: PODS, selector: {matchLabels: {app: NAME}},
 template: {metadata: {labels: {app: NAME}}, spec: {containers: [{name: flask, image: "registry.example.com/flask:1", ports: [{name: http, containerPort: 8080}]}]}}}}
---
{apiVersion: v1, kind: Service, metadata: {name: NAME}, spec: {selector: {app: NAME}, ports: [{name: http, port: 80, targetPort: http}]}}
---
`

const sized = `
apiVersion: serin.dev/v1alpha1
kind: Rollout
metadata: {name: NAME}
spec:
  parameters: [{name: image, required: true}]
  traffic: {traefik: {route: {host: NAME.NAMESPACE.example.com, entryPoints: [web]}, verify: {api: ["TRAEFIK"]}}}
  stable: {deployment: NAME, service: {name: NAME, port: 80}}
  canary: {deployment: NAME-canary, service: {name: NAME-canary, port: 80}}
  analysis: [traefik-web]
  steps:
    - deploy: {deployment: NAME-canary, image: {flask: '${image}'}}
    - gray: {weights: [5%], hold: 10h}
    - promote: {}
---
`

// BenchmarkSize measures a daemon with a thousand Rollouts in fifty namespaces, a hundred of them with a release under
// way: its memory, its CPU time and its requests to the API server and to Traefik per minute, with rights in the whole
// cluster and with a Role in each namespace. It also measures how long it takes until all are in force when they are
// created at once, and how long from an apply to the status, at rest and while releases are under way.
func BenchmarkSize(b *testing.B) {
	b.Run("cluster", func(b *testing.B) { benchSize(b, true) })
	b.Run("namespaces", func(b *testing.B) { benchSize(b, false) })
}

func benchSize(b *testing.B, everywhere bool) {
	w, asked := newSize(b, everywhere)
	begun := time.Now()
	w.applyAll(b, sized)
	w.inForce(b, sizeRollouts)
	inForce, idle := time.Since(begun), w.untilObserved(b)
	begun = time.Now()
	w.startAll(b)
	w.underWay(b, sizeUnderWay)
	underWay := time.Since(begun)
	time.Sleep(30 * time.Second)
	cpu, traefik, before := w.cpu(b), asked.Load(), w.between.byKind()
	for b.Loop() {
		time.Sleep(time.Minute)
	}
	minutes, server := b.Elapsed().Minutes(), 0
	for kind, n := range w.between.byKind() {
		if n -= before[kind]; n > 0 {
			b.Logf("%s: %d", kind, n)
			server += n
		}
	}
	b.ReportMetric((w.cpu(b)-cpu)/minutes, "CPU-s/min")
	b.ReportMetric(w.resident(b), "MiB")
	b.ReportMetric(float64(asked.Load()-traefik)/minutes, "traefik-requests/min")
	b.ReportMetric(float64(server)/minutes, "api-requests/min")
	b.ReportMetric(float64(w.between.open()), "watches")
	b.ReportMetric(inForce.Seconds(), "s-until-all-in-force")
	b.ReportMetric(underWay.Seconds(), "s-until-all-under-way")
	b.ReportMetric(idle.Seconds(), "s-apply-to-status-at-rest")
	b.ReportMetric(w.untilObserved(b).Seconds(), "s-apply-to-status")
	b.ReportMetric(0, "ns/op")
}

// byKind are the daemon's requests so far.
func (b *between) byKind() map[string]int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.kinds)
}

// newSize is a world with the Deployments and Services of all rollouts, and a daemon that may act in the whole cluster, or in
// their namespaces.
func newSize(b *testing.B, everywhere bool) (*world, interface{ Load() int64 }) {
	b.Helper()
	w := newPlace(b, example{name: "size", meddled: true, empty: true, powerless: true, further: sizeNamespaces})
	w.c.Definitions(b, "../../deploy/kustomize/definitions/definitions.yaml")
	resources := "hosts: [127.0.0.1]"
	if everywhere {
		w.grantAll(b)
	} else {
		w.grant(b, "--set", "customResources.enabled=true", "--set", "namespaces={"+strings.Join(w.more, ",")+"}")
		resources += ", namespaces: [" + strings.Join(w.more, ", ") + "]"
	}
	api, asked := w.counted(b)
	w.traefik.API = api
	w.applyAll(b, arms)
	w.configureWith(b, nil)
	file := filepath.Join(w.dir, "serin.yaml")
	text, err := os.ReadFile(file)
	require.NoError(b, err)
	more := strings.Replace(string(text), "kubernetes: {", "kubernetes: {resources: {"+resources+"}, ", 1)
	require.NoError(b, os.WriteFile(file, []byte(more), 0o600))
	w.begin(b)
	return w, asked
}

// grantAll gives the daemon the rights of the chart in the whole cluster.
func (w *world) grantAll(b *testing.B) {
	b.Helper()
	w.c.Apply(b, w.home, w.roles(b, "--set", "rbac.clusterWide=true", "--set", "customResources.enabled=true"))
	b.Cleanup(func() {
		name := w.home + "-serin"
		_ = w.c.Client.RbacV1().ClusterRoleBindings().Delete(b.Context(), name, metav1.DeleteOptions{})
		_ = w.c.Client.RbacV1().ClusterRoles().Delete(b.Context(), name, metav1.DeleteOptions{})
	})
}

// applyAll applies a document for each rollout, all namespaces at once.
func (w *world) applyAll(b *testing.B, document string) {
	b.Helper()
	each := sizeRollouts / sizeNamespaces
	var all sync.WaitGroup
	for _, namespace := range w.more {
		all.Go(func() {
			out := strings.Builder{}
			for i := range each {
				pods := "0"
				if i < sizeUnderWay/sizeNamespaces {
					pods = "1"
				}
				replace := func(name string) {
					_, _ = strings.NewReplacer("PODS", pods, "NAMESPACE", namespace, "NAME", name, "TRAEFIK", w.traefik.API).WriteString(&out, document)
				}
				if replace(shopOf(i)); document == arms && pods == "0" {
					replace(shopOf(i) + "-canary") // as a release leaves it
				}
			}
			w.c.Apply(b, namespace, out.String())
		})
	}
	all.Wait()
}

func shopOf(i int) string { return fmt.Sprintf("shop-%d", i) }

// startAll starts a release of those rollouts that have pods.
func (w *world) startAll(b *testing.B) {
	b.Helper()
	for _, namespace := range w.more {
		for i := range sizeUnderWay / sizeNamespaces {
			status, text := w.call(http.MethodPost, "/api/v1/rollouts/"+namespace+"."+shopOf(i)+"/releases",
				map[string]any{"parameters": map[string]string{"image": image2}}, nil)
			require.Contains(b, []int{200, 201}, status, text)
		}
	}
}

// views are those of all rollouts.
func (w *world) views() ([]view, string) {
	var all []view
	if status, text := w.get("/api/v1/rollouts", &all); status != http.StatusOK {
		return nil, text
	}
	return all, ""
}

// inForce waits until n rollouts serve what was written.
func (w *world) inForce(b *testing.B, n int) {
	w.untilSo(b, "in force", n, func(v view) bool { return v.Confirmation == "in force" })
}

// underWay waits until n rollouts have a canary with traffic.
func (w *world) underWay(b *testing.B, n int) {
	w.untilSo(b, "under way", n, func(v view) bool { return v.State.Phase == "active" && v.State.InForce && v.Target.Weight > 0 })
}

func (w *world) untilSo(b *testing.B, what string, n int, is func(view) bool) {
	b.Helper()
	await.UntilAfter(b, 15*time.Minute, fmt.Sprintf("%d rollouts are %s", n, what), func() string {
		time.Sleep(time.Second) // asking for all of them is expensive
		all, wrong := w.views()
		so, example := 0, ""
		for _, v := range all {
			if is(v) {
				so++
			} else if example == "" {
				example = v.String()
			}
		}
		if so >= n {
			return ""
		}
		return fmt.Sprintf("%d; one that is not: %s%s", so, example, wrong)
	})
}

// untilObserved changes a Rollout and returns how long it takes until its status reflects the change.
func (w *world) untilObserved(b *testing.B) time.Duration {
	b.Helper()
	client, err := dynamic.NewForConfig(w.c.Config)
	require.NoError(b, err)
	rollouts := client.Resource(schema.GroupVersionResource{Group: "serin.dev", Version: "v1alpha1", Resource: "rollouts"}).Namespace(w.more[0])
	const name = "shop-7"
	o, err := rollouts.Get(b.Context(), name, metav1.GetOptions{})
	require.NoError(b, err)
	steps, _, err := unstructured.NestedSlice(o.Object, "spec", "steps")
	require.NoError(b, err)
	require.NoError(b, unstructured.SetNestedSlice(o.Object, append(steps[:1:1], append([]any{map[string]any{
		"gate": map[string]any{"name": fmt.Sprintf("go-%d", len(steps)), "approvers": []any{"qa"}}}}, steps[1:]...)...), "spec", "steps"))
	begun := time.Now()
	o, err = rollouts.Update(b.Context(), o, metav1.UpdateOptions{})
	require.NoError(b, err)
	want := o.GetGeneration()
	await.Until(b, "the status reflects the change", func() string {
		o, err := rollouts.Get(b.Context(), name, metav1.GetOptions{})
		require.NoError(b, err)
		if seen, _, _ := unstructured.NestedInt64(o.Object, "status", "observedGeneration"); seen == want {
			return ""
		}
		text, err := json.Marshal(o.Object["status"])
		require.NoError(b, err)
		return string(text)
	})
	return time.Since(begun)
}

// open is how many watches the daemon has.
func (b *between) open() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.watches)
}
