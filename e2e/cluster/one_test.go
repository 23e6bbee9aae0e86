package cluster

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
	"github.com/serindev/serin/internal/testbed/testcluster"
)

// oneDeployment is a service with one Deployment in Git, which a GitOps controller applies continuously.
var oneDeployment = example{file: "one-deployment.yaml", name: "cart", container: "flask", change: []string{
	"analysis: traefik-web", "analysis: web", "    - promote: {}\n", "    - promote: {}\n  rollback: {drain: 1s}\n",
}}

// direct is the route in Git, which leads to the Service of the Deployment.
const direct = `
apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata: {name: cart}
spec:
  entryPoints: [web]
  routes: [{kind: Rule, match: "Host(` + "`HOST`" + `)", services: [{name: cart, port: http}]}]
`

// keepOld changes an example with one Deployment: the previous version is kept after a release.
var keepOld = []string{"  deployment: cart", "  keepOld: 1h\n  deployment: cart"}

// policies apply to the pods of the Deployment: its autoscaler, which has no metrics here and so keeps to its minimum,
// and its disruption budget.
const policies = `
{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: cart}, spec: {minReplicas: 4, maxReplicas: 9,
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: cart}, metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}]}}
---
{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: cart}, spec: {minAvailable: 3, selector: {matchLabels: {app: cart}}}}`

// newOne is such a service before it uses Serin, with an autoscaler, a disruption budget and users. The previous
// version is kept after a release.
func newOne(t *testing.T) (*world, []*testbed.Load) {
	t.Helper()
	w := newApplication(t, oneDeployment.with(keepOld...))
	w.grant(t, "--set", "rbac.oneDeployment=true")
	w.c.Apply(t, w.pro, strings.ReplaceAll(direct, "HOST", w.host)+"\n---\n"+policies)
	return w, w.users(t)
}

// atRest waits until nothing is under way and users get stable's copy.
func (w *world) atRest(t *testing.T) {
	t.Helper()
	w.wait(t, "the copy has all the traffic", func(v view) bool {
		return v.Confirmation == "in force" && len(v.Trouble) == 0 && (v.State.Phase == "" || ended(v))
	})
}

func TestOneDeploymentInGitIsReleasedByACommitAndLeftWithoutLosingARequest(t *testing.T) {
	t.Parallel()
	w, loads := newOne(t)
	w.configure(t)
	w.begin(t)
	w.atRest(t)
	git := w.sync(t)
	require.Equal(t, image1, imageOf(w.deployment(t, w.pro, "cart-stable")))
	untilServed(t, loads, w, "cart-stable")

	git.commit(image2)
	v := w.wait(t, "the commit is released", ended)
	require.Equal(t, "released", v.State.Outcome, v.State.Why)
	require.Equal(t, image2, imageOf(w.deployment(t, w.pro, "cart-stable")))
	w.atRest(t)

	w.untilKept(t, "cart-previous", image1, 4)
	made := w.podsMade(t, "cart-previous")
	w.mustKubectl(t, w.pro, "", "patch", "hpa", "cart", "--type=merge", "-p", `{"spec": {"minReplicas": 6}}`)
	w.untilKept(t, "cart-previous", image1, 6)
	w.protected(t, map[string]int32{"cart": 6, "cart-stable": 6})
	w.undone(t, "cart-stable", image1) // Serin has released only one version
	require.Equal(t, image2, imageOf(w.deployment(t, w.pro, "cart")), "it still has the image in Git")
	require.Equal(t, 6, made(), "the undo needs no new pods")
	require.Zero(t, *w.deployment(t, w.pro, "cart-previous").Spec.Replicas, "an undo keeps nothing")
	v = w.undone(t, "cart-stable", image2)
	require.Equal(t, 12, made(), "it starts pods first, because none were kept")
	w.autoscaled(t, map[string]int32{"cart": 6, "cart-stable": 6})
	w.atRest(t)

	w.c.SetImage(w.pro, image3, testcluster.Image{Handler: testbed.Unserved(testbed.Behaviour{Version: "3", ErrorRate: 0.5}, 1)})
	git.commit(image3)
	v = w.wait(t, "the bad commit has gone back", func(n view) bool { return ended(n) && n.Release.ID != v.Release.ID })
	require.Equal(t, "rolledBack", v.State.Outcome, v.State.Why)
	require.Equal(t, image2, imageOf(w.deployment(t, w.pro, "cart-stable")))
	require.Equal(t, image3, imageOf(w.deployment(t, w.pro, "cart")), "it still has the image in Git")
	require.EqualValues(t, 6, *w.deployment(t, w.pro, "cart").Spec.Replicas, "and its replicas")

	bad := w.deployment(t, w.pro, "cart").Annotations["serin.dev/template"]
	git.commit(image2)
	await.Until(t, "the revert is seen", func() string {
		if now := w.deployment(t, w.pro, "cart").Annotations["serin.dev/template"]; now == bad {
			return now
		}
		return ""
	})
	w.atRest(t)
	now, err := w.view()
	require.NoError(t, err)
	require.Equal(t, v.Release.ID, now.Release.ID, "a revert to what is in service starts nothing")
	require.Empty(t, w.told(t, v.Release.ID, "drifted"), "nothing of what Serin wrote was changed")
	git.apply(t.Context())
	require.Equal(t, []string{image1, image2, image3, image2}, git.had(t), "Serin does not write to Git's Deployment")

	w.leave(t)
	untilServed(t, loads, w, "cart")
	w.c.Apply(t, w.pro, strings.ReplaceAll(direct, "HOST", w.host))
	w.mustKubectl(t, w.pro, "", "delete", "deployment,service,traefikservice,hpa,pdb", "-l", "app.kubernetes.io/managed-by=serin")
	w.protected(t, map[string]int32{"cart": 6})
	w.autoscaled(t, map[string]int32{"cart": 6})
	untilServed(t, loads, w, "cart")
	answered(t, loads[0].Counts(), "3")
}

// undone undoes the last release, and waits until stable's Deployment has an image again.
func (w *world) undone(t *testing.T, stable, image string) view {
	t.Helper()
	undo, status, text := w.undo()
	require.Equal(t, http.StatusCreated, status, text)
	v := w.wait(t, "the undo has ended", func(n view) bool { return ended(n) && n.Release.ID == undo })
	require.Equal(t, "released", v.State.Outcome, v.State.Why)
	require.Equal(t, image, imageOf(w.deployment(t, w.pro, stable)))
	return v
}

// untilKept waits until a Deployment has this many pods of an image.
func (w *world) untilKept(t *testing.T, name, image string, pods int32) {
	t.Helper()
	await.Until(t, name+" is kept", func() string {
		d, err := w.c.Client.AppsV1().Deployments(w.pro).Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err.Error()
		}
		if d.Status.AvailableReplicas != pods || d.Status.Replicas != pods || imageOf(d) != image {
			return fmt.Sprint(imageOf(d), d.Status)
		}
		return ""
	})
}

// protected waits until the disruption budgets of the namespace are these, by name, with these numbers of pods.
func (w *world) protected(t *testing.T, pods map[string]int32) {
	t.Helper()
	await.Until(t, "what disruption budgets count", func() string {
		list, err := w.c.Client.PolicyV1().PodDisruptionBudgets(w.pro).List(t.Context(), metav1.ListOptions{})
		require.NoError(t, err)
		got := map[string]int32{}
		for i := range list.Items {
			got[list.Items[i].Name] = list.Items[i].Status.ExpectedPods
		}
		if maps.Equal(got, pods) {
			return ""
		}
		return fmt.Sprint(got)
	})
}

// autoscaled requires that the autoscalers of the namespace are these, by the Deployment that each scales, with these
// minimums, and that none is held.
func (w *world) autoscaled(t *testing.T, least map[string]int32) {
	t.Helper()
	list, err := w.c.Client.AutoscalingV2().HorizontalPodAutoscalers(w.pro).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	got := map[string]int32{}
	for i := range list.Items {
		spec := list.Items[i].Spec
		got[spec.ScaleTargetRef.Name] = *spec.MinReplicas
		require.Nil(t, spec.Behavior, "%s is as it was", list.Items[i].Name)
	}
	require.Equal(t, least, got)
}

// podsMade counts the pods that a Deployment has now and those that it gets later. Events cannot be used: Kubernetes
// drops some when it is busy.
func (w *world) podsMade(t *testing.T, deployment string) func() int {
	t.Helper()
	var made sync.Map
	informer := informers.NewSharedInformerFactoryWithOptions(w.c.Client, 0, informers.WithNamespace(w.pro)).Core().V1().Pods().Informer()
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: func(o any) {
		if p := o.(*corev1.Pod); strings.HasPrefix(p.Name, deployment+"-") {
			made.Store(p.UID, true)
		}
	}})
	require.NoError(t, err)
	go informer.RunWithContext(t.Context())
	require.True(t, cache.WaitForCacheSync(t.Context().Done(), informer.HasSynced))
	return func() int { return len(maps.Collect(made.Range)) }
}

// leave sets leave in the rollout's document, waits until Git's Deployment has the traffic, and deletes the document.
func (w *world) leave(t *testing.T) {
	t.Helper()
	file := filepath.Join(w.dir, "rollouts", "rollout.yaml")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, []byte(strings.Replace(string(text), "  deployment: cart", "  leave: true\n  deployment: cart", 1)), 0o600))
	w.wait(t, "the traffic is with Git's Deployment again", func(v view) bool { return v.Target.Weight == 1 && v.Confirmation == "in force" })
	require.NoError(t, os.Remove(file))
	await.Until(t, "the rollout is gone", func() string {
		v, err := w.view()
		if err != nil || !v.Declared {
			return ""
		}
		return v.String()
	})
}

// untilServed waits until only the pods of this Deployment answer users.
func untilServed(t *testing.T, loads []*testbed.Load, w *world, deployment string) {
	t.Helper()
	await.Until(t, "users get "+deployment, func() string {
		before, sent := w.c.RequestsByOwner(w.pro), loads[0].Counts().Sent
		await.Until(t, "users send requests", func() string {
			if loads[0].Counts().Sent > sent+20 {
				return ""
			}
			return "they do not yet"
		})
		asked := map[string]int{}
		for owner, by := range w.c.RequestsByOwner(w.pro) {
			n := 0
			for status, count := range by {
				n += count - before[owner][status]
			}
			if n > 0 {
				asked[owner] = n
			}
		}
		if len(asked) == 1 && asked[deployment] > 0 {
			return ""
		}
		return fmt.Sprint(asked)
	})
}

// A copy deleted in the middle of a release is made again unchanged, and a killed daemon continues; no old version
// comes back, and no release is lost. The rollout is a custom resource, and leaves Serin as docs/kubernetes.md says.
func TestTheCopyIsDeletedAndTheDaemonKilledInTheMiddleOfARelease(t *testing.T) {
	t.Parallel()
	w := newResourceWorld(t, oneDeployment.with(keepOld...).with("hold: 1s", "hold: 10s"))
	w.grant(t, "--set", "customResources.enabled=true", "--set", "customResources.install=false", "--set", "rbac.oneDeployment=true")
	w.c.Apply(t, w.pro, strings.ReplaceAll(direct, "HOST", w.host))
	before := w.users(t)
	w.mustKubectl(t, w.pro, w.resources(t), "apply", "-f", "-")
	w.mustKubectl(t, w.pro, "", "wait", "rollouts.serin.dev/cart", "--for=condition=Ready", "--timeout=300s")
	w.atRest(t)
	w.mustKubectl(t, w.pro, "", "set", "image", "deployment/cart", "flask="+image2)
	w.wait(t, "the canary is tried", at("gray", 0))
	require.NoError(t, w.daemon.Kill())
	require.NoError(t, w.c.Client.AppsV1().Deployments(w.pro).Delete(t.Context(), "cart-stable", metav1.DeleteOptions{}))
	require.NoError(t, w.daemon.Restart(t.Context()))
	w.signIn(t)
	await.Until(t, "the copy is there again", func() string {
		d, err := w.c.Client.AppsV1().Deployments(w.pro).Get(t.Context(), "cart-stable", metav1.GetOptions{})
		if err != nil {
			return err.Error()
		}
		if d.Status.AvailableReplicas != 4 || imageOf(d) != image1 {
			return fmt.Sprint(imageOf(d), d.Status)
		}
		return ""
	})
	v := w.wait(t, "the release has ended", ended)
	require.Equal(t, "released", v.State.Outcome, v.State.Why)
	require.Equal(t, image2, imageOf(w.deployment(t, w.pro, "cart-stable")))
	w.untilKept(t, "cart-previous", image1, 4)
	before[0].Stop() // some requests failed while there was no copy
	after := w.users(t)
	w.mustKubectl(t, w.pro, "", "rollout", "restart", "deployment/cart")
	w.leaveAsThePageSays(t)
	now, err := w.view()
	require.NoError(t, err)
	require.Equal(t, v.Release.ID, now.Release.ID, "a restart is not a release")
	w.mustKubectl(t, w.pro, "", "delete", "rollouts.serin.dev/cart", "--timeout=300s")
	w.untilKept(t, "cart-previous", image1, 0)
	answered(t, after[0].Counts(), "")
}

// A commit that changes only a ConfigMap is released while a controller applies Git continuously and users send
// requests; a revert in the middle sends it back, and only the canary ever reads it.
func TestAChangedConfigMapIsReleased(t *testing.T) {
	t.Parallel()
	w := newApplication(t, oneDeployment.with("  deployment: cart", "  track: configMaps\n  keepOld: 1h\n  deployment: cart", "hold: 1s", "hold: 15s"))
	w.grant(t, "--set", "rbac.oneDeployment=true", "--set", "rbac.configMaps=true")
	w.c.Apply(t, w.pro, strings.ReplaceAll(direct, "HOST", w.host))
	configure := func(colour string) {
		w.mustKubectl(t, w.pro, `{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"COLOUR": "`+colour+`"}}`, "apply", "-f", "-")
	}
	configure("blue")
	w.mustKubectl(t, w.pro, "", "set", "env", "deployment/cart", "--from=configmap/settings")
	w.mustKubectl(t, w.pro, "", "rollout", "status", "deployment/cart", "--timeout=300s")
	loads := w.users(t)
	w.configure(t)
	w.begin(t)
	w.atRest(t)
	git := w.sync(t)
	readsOf := func(deployment string) string {
		return w.mustKubectl(t, w.pro, "", "get", "deployment/"+deployment, "-o", "jsonpath={.spec.template.spec.containers[0].env[0].valueFrom.configMapKeyRef.name}")
	}
	reads := func() string { return readsOf("cart-stable") }
	blue := reads()
	require.NotEqual(t, "settings", blue)

	configure("red")
	v := w.wait(t, "the canary is tried", at("gray", 0))
	configure("blue")
	w.wait(t, "the revert has sent it back", func(n view) bool { return ended(n) && n.Release.ID == v.Release.ID })
	require.Equal(t, blue, reads())

	configure("red")
	v = w.wait(t, "the change is released", func(n view) bool { return ended(n) && n.Release.ID != v.Release.ID })
	require.Equal(t, "released", v.State.Outcome, v.State.Why)
	red := reads()
	require.NotEqual(t, blue, red)
	require.Equal(t, "red", w.mustKubectl(t, w.pro, "", "get", "configmap", red, "-o", "jsonpath={.data.COLOUR}"))
	w.untilKept(t, "cart-previous", image1, 4)
	require.Equal(t, blue, readsOf("cart-previous"), "the previous version reads what it read before")
	v = w.undone(t, "cart-stable", image1)
	require.Equal(t, blue, reads())

	configure("green")
	w.wait(t, "the next one is released", func(n view) bool { return ended(n) && n.Release.ID != v.Release.ID })
	await.Until(t, "what is no longer needed is gone", func() string {
		if _, err := w.kubectl(t, w.pro, "", "get", "configmap", red); err != nil {
			return ""
		}
		return red
	})
	w.mustKubectl(t, w.pro, "", "get", "configmap", blue) // the next undo would need it
	git.apply(t.Context())
	require.Equal(t, []string{image1}, git.had(t))
	noRequestFailed(t, loads)
}

// leaveAsThePageSays runs the page's commands with this world's names, the second one until it says that it is done.
func (w *world) leaveAsThePageSays(t *testing.T) {
	t.Helper()
	page, err := os.ReadFile("../../docs/kubernetes.md")
	require.NoError(t, err)
	lines := regexp.MustCompile(`(?m)^kubectl -n pro (?:patch|get) rollouts\.serin\.dev/shop .*(?:leave|message).*$`).FindAllString(string(page), -1)
	require.Len(t, lines, 2)
	run := func(line string) string {
		line, _, _ = strings.Cut(line, "   #")
		line = strings.NewReplacer("kubectl -n pro ", "", "/shop", "/cart", "'", "").Replace(line)
		before, json, patch := strings.Cut(line, " -p ")
		args := strings.Fields(before)
		if patch {
			args = append(args, "-p", json)
		}
		return w.mustKubectl(t, w.pro, "", args...)
	}
	run(lines[0])
	await.Until(t, "the page's second command says so", func() string {
		if out := run(lines[1]); !strings.Contains(out, "can be taken away") {
			return out
		}
		return ""
	})
}
