package kube_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/serindev/serin/engine"
	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
	"github.com/serindev/serin/internal/testbed/testcluster"
	"github.com/serindev/serin/share"
	"github.com/serindev/serin/workload"
	"github.com/serindev/serin/workload/kube"
)

var _ engine.Workloads = (*kube.Cluster)(nil)

func TestMain(m *testing.M) { testcluster.Main(m) }

// place is a namespace with a stable version in it, and Serin connected to it.
type place struct {
	t      *testing.T
	c      *testcluster.Cluster
	ns     string
	kube   *kube.Cluster
	stable workload.Name
	canary workload.Name
	arms   workload.Arms
}

const stableManifests = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: flask, labels: {team: web}, annotations: {owner: alice}}
spec:
  replicas: 4
  selector: {matchLabels: {app: flask}}
  template:
    metadata: {labels: {app: flask, tier: front}, annotations: {note: kept}}
    spec:
      containers:
        - {name: flask, image: "flask:1", ports: [{name: http, containerPort: 8080}, {name: quic, containerPort: 8080, protocol: UDP}], env: [{name: A, value: "1"}]}
        - {name: proxy, image: "proxy:1"}
---
apiVersion: v1
kind: Service
metadata: {name: flask}
spec: {selector: {app: flask}, ports: [{name: web, port: 80, targetPort: http}]}
`

func newPlace(t *testing.T) *place {
	c := testcluster.Shared(t)
	ns := c.Namespace(t)
	c.Apply(t, ns, stableManifests)
	p := &place{t: t, c: c, ns: ns, stable: workload.Name{Namespace: ns, Name: "flask"}, canary: workload.Name{Namespace: ns, Name: "flask-canary"}}
	p.arms = workload.Arms{Stable: workload.Arm{Deployment: p.stable, Service: "flask"}, Canary: workload.Arm{Deployment: p.canary, Service: "flask-canary"}}
	p.kube = p.connect(c.Config)
	p.until(workload.Deployment{Name: p.stable}, workload.Ready)
	return p
}

func (p *place) connect(config *rest.Config) *kube.Cluster {
	k, err := kube.New(kube.Config{REST: config, Log: slog.New(slog.NewTextHandler(p.t.Output(), nil)), Patience: time.Millisecond})
	require.NoError(p.t, err)
	p.t.Cleanup(k.Close)
	return k
}

// apart starts an API server that a test may stop, and returns it with a user's config for it.
func (p *place) apart(user *rest.Config) (*testbed.Process, *rest.Config) {
	p.t.Helper()
	server, url := p.c.AnotherAPIServer(p.t)
	own := rest.CopyConfig(user)
	own.Host = url
	return server, own
}

// restart kills an API server and starts it again.
func (p *place) restart(server *testbed.Process) {
	p.t.Helper()
	require.NoError(p.t, server.Kill())
	require.NoError(p.t, server.Restart(p.t.Context()))
}

func (p *place) target(release string, d ...workload.Deployment) workload.Target {
	return workload.Target{Release: release, Arms: p.arms, Deployments: d}
}

// apply calls Apply once.
func (p *place) apply(release string, d ...workload.Deployment) workload.Observed {
	p.t.Helper()
	o, err := p.kube.Apply(p.t.Context(), p.target(release, d...))
	require.NoError(p.t, err)
	return o
}

const release = "01J0000000000000000000000A"

// until applies again whenever something has changed, as the engine does, until a Deployment is in a phase.
func (p *place) until(d workload.Deployment, phase workload.Phase) workload.Status {
	p.t.Helper()
	var s workload.Status
	p.eventually(func() bool {
		s = p.apply(release, d).Deployments[0]
		return s.Phase == phase
	}, func() string { return fmt.Sprintf("it is not %s, but %s: %s", phase, s.Phase, s.Why) })
	return s
}

// eventually calls done whenever something may have changed, until it returns true. If it never does, the failure says
// what was seen last.
func (p *place) eventually(done func() bool, last ...func() string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), await.Patience)
	defer cancel()
	changed := make(chan struct{}, 1)
	go p.kube.Watch(ctx, func([]workload.Name) {
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			for _, said := range last {
				p.t.Log(said())
			}
			require.FailNow(p.t, "it never happens")
		case <-changed:
		case <-tick.C:
		}
	}
}

func (p *place) get(n workload.Name) *appsv1.Deployment {
	p.t.Helper()
	d, err := p.c.Client.AppsV1().Deployments(n.Namespace).Get(p.t.Context(), n.Name, metav1.GetOptions{})
	require.NoError(p.t, err)
	return d
}

func (p *place) patch(n workload.Name, patch string) {
	p.t.Helper()
	_, err := p.c.Client.AppsV1().Deployments(n.Namespace).Patch(p.t.Context(), n.Name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{FieldManager: "somebody"})
	require.NoError(p.t, err)
}

func (p *place) images(n workload.Name) map[string]string {
	out := map[string]string{}
	for _, c := range p.get(n).Spec.Template.Spec.Containers {
		out[c.Name] = c.Image
	}
	return out
}

// newCanary is the target of a canary at a version, with a share of stable's replicas.
func (p *place) newCanary(version string, s share.Share) workload.Deployment {
	return workload.Deployment{
		Name: p.canary, Create: &p.stable, Images: map[string]string{"flask": "flask:" + version},
		Replicas: &workload.Replicas{Share: s, Of: &p.stable},
	}
}

func (p *place) forget() {
	p.t.Helper()
	_, err := p.kube.Apply(p.t.Context(), workload.Target{Release: release, Arms: p.arms, Forget: true})
	require.NoError(p.t, err)
}

func TestACanaryIsMadeFromStableAndPromotedAndScaledDown(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.until(p.newCanary("2", 0.3), workload.Ready)

	canary, stable := p.get(p.canary), p.get(p.stable)
	require.Equal(t, int32(2), *canary.Spec.Replicas, "30%% of 4, rounded up")
	require.Equal(t, map[string]string{"flask": "flask:2", "proxy": "proxy:1"}, p.images(p.canary))
	require.Equal(t, "front", canary.Spec.Template.Labels["tier"])
	require.NotEqual(t, "flask", canary.Spec.Template.Labels["app"], "stable's Service must not select it")
	require.Equal(t, stable.Spec.Template.Spec.Containers[0].Ports, canary.Spec.Template.Spec.Containers[0].Ports)

	service, err := p.c.Client.CoreV1().Services(p.ns).Get(t.Context(), "flask-canary", metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, "web", service.Spec.Ports[0].Name)
	require.Equal(t, canary.Spec.Selector.MatchLabels, service.Spec.Selector)

	p.until(p.newCanary("2", 1), workload.Ready)
	require.Equal(t, int32(4), *p.get(p.canary).Spec.Replicas, "replicas follow the weight")

	p.until(workload.Deployment{Name: p.stable, From: &p.canary}, workload.Ready)
	require.Equal(t, p.images(p.canary), p.images(p.stable))
	stable = p.get(p.stable)
	require.Equal(t, map[string]string{"app": "flask", "tier": "front"}, stable.Spec.Template.Labels)
	require.Equal(t, "kept", stable.Spec.Template.Annotations["note"])
	require.Equal(t, "alice", stable.Annotations["owner"])
	require.Equal(t, int32(4), *stable.Spec.Replicas)

	p.until(workload.Deployment{Name: p.canary, Replicas: &workload.Replicas{}}, workload.Ready)
	list, err := p.c.Client.CoreV1().Pods(p.ns).List(t.Context(), metav1.ListOptions{LabelSelector: "serin.dev/arm=canary"})
	require.NoError(t, err)
	require.Empty(t, list.Items, "no pods are left")

	p.forget()
	require.NotContains(t, p.get(p.stable).Annotations, "serin.dev/before")
	require.NotContains(t, p.get(p.canary).Annotations, "serin.dev/before")
	require.NotEmpty(t, p.events("Deployment", "flask"))

	undo := func(of string) (s workload.Status) {
		back := workload.Target{Release: "01J0000000000000000000000B", Arms: p.arms, Deployments: []workload.Deployment{{Name: p.stable, Previous: of}}}
		p.eventually(func() bool {
			o, err := p.kube.Apply(t.Context(), back)
			require.NoError(t, err)
			s = o.Deployments[0]
			return s.Phase != workload.Progressing
		})
		return s
	}
	s := undo("01J0000000000000000000000Z")
	require.Equal(t, workload.Failed, s.Phase)
	require.Contains(t, s.Why, "what flask had before release 01J0000000000000000000000Z is not known any more")
	require.Equal(t, workload.Ready, undo(release).Phase)
	require.Equal(t, map[string]string{"flask": "flask:1", "proxy": "proxy:1"}, p.images(p.stable), "one release is enough for an undo")
	require.Equal(t, "kept", p.get(p.stable).Spec.Template.Annotations["note"])
}

func TestDeploymentsHaveNamesAsLongAsKubernetesAllows(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	long := strings.Repeat("v1.shop-", 30)[:235] // its ReplicaSets' names are eleven characters longer
	p.stable.Name, p.canary.Name = long+"stable", long+"canary"
	p.arms.Stable.Deployment, p.arms.Canary.Deployment = p.stable, p.canary
	p.c.Apply(t, p.ns, strings.Replace(stableManifests, "metadata: {name: flask, labels", "metadata: {name: "+p.stable.Name+", labels", 1))
	p.patch(workload.Name{Namespace: p.ns, Name: "flask"}, `{"spec": {"replicas": 0}}`)
	p.until(p.newCanary("2", 0.5), workload.Ready)
	canary := p.get(p.canary)
	require.Equal(t, int32(2), *canary.Spec.Replicas)
	require.LessOrEqual(t, len(canary.Spec.Template.Labels["app"]), 63, "the label is the beginning of the name and a hash")
	pods, err := p.c.Client.CoreV1().Pods(p.ns).List(t.Context(), metav1.ListOptions{LabelSelector: "serin.dev/arm=canary"})
	require.NoError(t, err)
	require.Len(t, pods.Items, 2)
	for _, pod := range pods.Items {
		require.Regexp(t, "^("+p.canary.Pods()+")$", pod.Name)
	}
	p.until(workload.Deployment{Name: p.stable, From: &p.canary}, workload.Ready)
	require.Equal(t, "flask:2", p.images(p.stable)["flask"])
	p.until(workload.Deployment{Name: p.canary, Replicas: &workload.Replicas{}}, workload.Ready)
	p.forget()
	require.NotEmpty(t, p.events("Deployment", p.stable.Name))
}

func (p *place) events(kind, name string) (out []string) {
	list, err := p.c.Client.CoreV1().Events(p.ns).List(p.t.Context(), metav1.ListOptions{})
	require.NoError(p.t, err)
	for _, e := range list.Items {
		if e.Source.Component == "serin" && e.InvolvedObject.Kind == kind && e.InvolvedObject.Name == name {
			out = append(out, e.Message)
		}
	}
	return out
}

func TestThePreviousStateComesBack(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.until(p.newCanary("2", 0.3), workload.Ready)
	p.until(workload.Deployment{Name: p.stable, From: &p.canary, Whole: true}, workload.Ready)
	require.Equal(t, "flask:2", p.images(p.stable)["flask"])
	require.Equal(t, map[string]string{"app": "flask", "tier": "front"}, p.get(p.stable).Spec.Template.Labels, "labels stay with the whole template")
	p.patch(p.stable, `{"spec": {"replicas": 5}}`)

	p.until(workload.Deployment{Name: p.stable, Before: true}, workload.Ready)
	require.Equal(t, "flask:1", p.images(p.stable)["flask"])
	require.Equal(t, int32(5), *p.get(p.stable).Spec.Replicas, "the release has not changed the replicas, and does not restore them")

	p.until(workload.Deployment{Name: p.canary, Before: true}, workload.Ready)
	require.Zero(t, *p.get(p.canary).Spec.Replicas, "a Deployment that the release made is kept, without pods")

	generation := p.get(p.stable).Generation
	p.until(workload.Deployment{Name: p.stable, Before: true}, workload.Ready)
	require.Equal(t, generation, p.get(p.stable).Generation, "twice is as once")
	p.forget()

	again := p.apply("another-release", workload.Deployment{Name: p.stable, Before: true}, workload.Deployment{Name: workload.Name{Namespace: p.ns, Name: "nothing"}, Before: true})
	phase, why := again.Phase()
	require.Equal(t, workload.Ready, phase, why)
	require.Equal(t, "flask:1", p.images(p.stable)["flask"], "nothing was remembered, so nothing is restored")
}

func TestAReleaseStartsFromTheStateThatTheLastOneLeft(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.until(p.newCanary("2", 0.3), workload.Ready)
	p.until(workload.Deployment{Name: p.canary, Before: true}, workload.Ready)
	p.forget()
	p.until(p.newCanary("3", 0.3), workload.Ready)
	p.until(workload.Deployment{Name: p.canary, Before: true}, workload.Ready)
	require.Equal(t, "flask:2", p.images(p.canary)["flask"])
	require.Zero(t, *p.get(p.canary).Spec.Replicas)
}

func TestAWholeTemplateIsWrittenOnce(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	d := p.newCanary("2", 0.3)
	p.until(d, workload.Ready)
	d.Template = json.RawMessage(`{"metadata": {"labels": {"app": "flask", "new": "label"}}, "spec": {"containers": [{"name": "flask", "image": "x"}, {"name": "cache", "image": "cache:1"}]}}`)
	p.until(d, workload.Ready)
	require.Equal(t, map[string]string{"flask": "flask:2", "cache": "cache:1"}, p.images(p.canary))
	l := p.get(p.canary).Spec.Template.Labels
	require.Equal(t, "label", l["new"])
	require.Equal(t, "flask-canary", l["app"], "labels that the Deployment selects by stay")
	generation := p.get(p.canary).Generation
	for range 3 {
		p.until(d, workload.Ready)
	}
	require.Equal(t, generation, p.get(p.canary).Generation)

	other := p.connect(p.c.Config) // after a restart
	_, err := other.Apply(t.Context(), p.target(release, d))
	require.NoError(t, err)
	require.Equal(t, generation, p.get(p.canary).Generation)

	d.Template = json.RawMessage(`{"spec": {"containerz": []}}`)
	require.Contains(t, p.until(d, workload.Failed).Why, "flask")
	d.Images = nil
	require.Contains(t, p.until(d, workload.Failed).Why, "containerz")
}

func TestFailuresSayWhichPodAndWhy(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.c.SetImage(p.ns, "flask:pull", testcluster.Image{Fate: testcluster.PullError})
	p.c.SetImage(p.ns, "flask:crash", testcluster.Image{Fate: testcluster.CrashLoop})
	p.c.SetImage(p.ns, "flask:hang", testcluster.Image{Fate: testcluster.Hang})

	why := p.until(p.newCanary("pull", 0.25), workload.Failed).Why
	require.Contains(t, why, "pod flask-canary-")
	require.Contains(t, why, "ImagePullBackOff")
	require.Contains(t, why, "flask:pull")

	why = p.until(p.newCanary("crash", 0.25), workload.Failed).Why
	require.Contains(t, why, "CrashLoopBackOff after 4 restarts, it ends with exit code 1")

	p.until(p.newCanary("2", 0.25), workload.Ready) // and it recovers

	// The deadline is set before the new template: a controller that is overtaken while it makes the ReplicaSet never records
	// that there is a new one, and then its deadline never passes.
	p.patch(p.canary, `{"spec": {"progressDeadlineSeconds": 1}}`)
	d := p.newCanary("hang", 0.25)
	p.apply(release, d)
	why = p.untilOverdue(d).Why
	require.Contains(t, why, "runs and is not ready")
	require.Contains(t, why, "has timed out progressing", "it is the controller that says so")
}

// untilOverdue waits until a Deployment has missed its progress deadline. The controller checks that whenever the
// object changes; otherwise it may check only ten minutes later, if it was overtaken while it made the pods.
func (p *place) untilOverdue(d workload.Deployment) (s workload.Status) {
	p.t.Helper()
	touched := time.Now()
	p.eventually(func() bool {
		if time.Since(touched) > 3*time.Second {
			touched = time.Now()
			p.patch(p.canary, fmt.Sprintf(`{"metadata": {"annotations": {"touched": "%d"}}}`, touched.UnixNano()))
		}
		s = p.apply(release, d).Deployments[0]
		return s.Phase == workload.Failed
	}, func() string { return s.Why })
	return s
}

func TestAnUnschedulablePodIsSeen(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	d := p.newCanary("2", 0.25)
	d.Template = json.RawMessage(`{"metadata": {"labels": {"tier": "front"}}, "spec": {"nodeSelector": {"disk": "fast"}, "containers": [{"name": "flask", "image": "x"}]}}`)
	var s workload.Status
	p.eventually(func() bool {
		s = p.apply(release, d).Deployments[0]
		return strings.Contains(s.Why, "cannot be scheduled: 0/1 nodes")
	})
	require.Contains(t, s.Why, "cannot be scheduled: 0/1 nodes")
	require.Equal(t, workload.Progressing, s.Phase, "a node may be added")
}

func TestTheCanaryIsKeptApartFromStable(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	for name, c := range map[string]struct{ service, why string }{
		"the canary's Service selects stable's pods":          {`{selector: {tier: front}, ports: [{port: 80}]}`, "and so stable's pods too"},
		"stable's Service selects all that the canary's does": {`{selector: {app: flask}, ports: [{port: 80}]}`, "give it a label that stable's pods do not have"},
	} {
		t.Run(name, func(t *testing.T) {
			p.c.Apply(t, p.ns, "{apiVersion: v1, kind: Service, metadata: {name: flask-canary}, spec: "+c.service+"}")
			s := p.until(p.newCanary("2", 0.25), workload.Failed)
			require.Contains(t, s.Why, c.why)
		})
	}
	p.c.Apply(t, p.ns, `{apiVersion: v1, kind: Service, metadata: {name: flask-canary}, spec: {selector: {app: flask, track: canary}, ports: [{port: 80}]}}`)
	require.Contains(t, p.until(p.newCanary("2", 0.25), workload.Failed).Why, "Service flask-canary selects pods by app=flask,track=canary")

	p.c.Apply(t, p.ns, `{apiVersion: v1, kind: Service, metadata: {name: flask}, spec: {selector: {app: flask, track: stable}, ports: [{name: web, port: 80}]}}`)
	p.until(p.newCanary("2", 0.25), workload.Ready)
	require.Equal(t, "flask", p.get(p.canary).Spec.Template.Labels["app"], "a selector that tells them apart needs no other label")
	p.c.Apply(t, p.ns, `{apiVersion: v1, kind: Service, metadata: {name: flask}, spec: {selector: {tier: front}, ports: [{name: web, port: 80}]}}`)
	p.eventually(func() bool { return p.apply(release, p.newCanary("2", 0.25)).Deployments[0].Phase == workload.Failed })
}

func TestAnAutoscalerKeepsItsReplicas(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.until(p.newCanary("2", 0.25), workload.Ready)
	p.c.Apply(t, p.ns, `{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: canary}, spec: {minReplicas: 1, maxReplicas: 9, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: flask-canary}, metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}]}}`)
	p.patch(p.canary, `{"spec": {"replicas": 3}}`)
	p.eventually(func() bool {
		p.apply(release, p.newCanary("2", 0.25))
		return *p.get(p.canary).Spec.Replicas == 3
	})
	for range 3 {
		p.until(p.newCanary("2", 1), workload.Ready)
	}
	require.Equal(t, int32(3), *p.get(p.canary).Spec.Replicas, "an autoscaler that is not held could take away what Serin adds")
	p.until(workload.Deployment{Name: p.canary, Replicas: &workload.Replicas{}}, workload.Ready)
	require.Zero(t, *p.get(p.canary).Spec.Replicas)
	p.until(p.newCanary("2", 0.5), workload.Ready)
	require.Equal(t, int32(2), *p.get(p.canary).Spec.Replicas, "leaving 0")
}

func TestForeignChangesAreRevertedAndReported(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.until(p.newCanary("2", 0.5), workload.Ready)
	p.until(p.newCanary("3", 0.5), workload.Ready)
	p.patch(p.canary, `{"spec": {"replicas": 7, "template": {"spec": {"containers": [{"name": "flask", "image": "flask:evil"}]}}}}`)
	var changed []string
	p.eventually(func() bool {
		s := p.apply(release, p.newCanary("3", 0.5)).Deployments[0]
		changed = append(changed, s.Changed...)
		return len(changed) > 0 && s.Phase == workload.Ready
	})
	require.Contains(t, strings.Join(changed, "; "), `replicas changed from 2 to 7 by "somebody"`)
	require.Equal(t, "flask:3", p.images(p.canary)["flask"])
	require.Equal(t, int32(2), *p.get(p.canary).Spec.Replicas)

	p.patch(p.canary, `{"spec": {"template": {"spec": {"containers": [{"name": "flask", "image": "flask:4"}]}}}}`)
	later := p.newCanary("3", 0.5)
	later.IfMissing = true
	p.until(later, workload.Ready)
	require.Equal(t, "flask:4", p.images(p.canary)["flask"], "after the step a new template starts the next release")
	p.until(workload.Deployment{Name: p.canary, Before: true}, workload.Ready)
	require.Equal(t, "flask:4", p.images(p.canary)["flask"], "and is not lost by going back")
	require.Zero(t, *p.get(p.canary).Spec.Replicas)
}

func TestWaitingForAnExternalChangeChangesNothing(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.until(p.newCanary("2", 0.25), workload.Ready)
	watch := workload.Deployment{Name: p.stable, From: &p.canary, Watch: true}
	require.Contains(t, p.until(watch, workload.Progressing).Why, "image of flask flask:2")
	require.Equal(t, "flask:1", p.images(p.stable)["flask"])
	p.patch(p.stable, `{"spec": {"template": {"spec": {"containers": [{"name": "flask", "image": "flask:2"}]}}}}`)
	p.until(watch, workload.Ready)
}

func TestATriggerSeesExternalChanges(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	none, err := p.kube.Template(t.Context(), p.canary)
	require.NoError(t, err)
	require.Empty(t, none.Hash)
	p.until(p.newCanary("2", 0.25), workload.Ready)
	template := func() workload.Template {
		x, err := p.kube.Template(t.Context(), p.canary)
		require.NoError(t, err)
		return x
	}
	first := template()
	require.False(t, first.New)
	require.Equal(t, map[string]string{"flask": "flask:2", "proxy": "proxy:1"}, first.Images)
	p.until(p.newCanary("3", 0.25), workload.Ready)
	require.False(t, template().New, "Serin's own")
	p.patch(p.canary, `{"metadata": {"annotations": {"x": "y"}}, "spec": {"replicas": 3}}`)
	require.False(t, template().New, "not a template")
	p.patch(p.canary, `{"spec": {"template": {"spec": {"containers": [{"name": "flask", "image": "flask:4"}]}}}}`)
	p.eventually(func() bool { return template().New })
	now := template()
	require.True(t, now.New)
	require.Equal(t, "flask:4", now.Images["flask"])
	require.NoError(t, p.kube.Seen(t.Context(), p.canary, now.Hash))
	p.eventually(func() bool { return !template().New })
	require.False(t, template().New)
}

func TestARefusalNamesTheVerbTheKindAndTheObject(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	poor := p.connect(p.c.ServiceAccount(t, p.ns, "poor"))
	_, err := poor.Apply(t.Context(), p.target(release, p.newCanary("2", 0.25)))
	require.ErrorContains(t, err, "list")
	require.ErrorContains(t, err, "deployments")
	require.ErrorContains(t, err, "forbidden")
	_, err = poor.Run(t.Context(), workload.Job{Key: "x/y", Namespace: p.ns})
	require.ErrorContains(t, err, "jobs")

	p.grant("poor", reading)
	var o workload.Observed
	p.eventually(func() bool {
		o, err = poor.Apply(t.Context(), p.target(release, p.newCanary("2", 0.25)))
		return err != nil && strings.Contains(err.Error(), "create Deployment")
	})
	require.ErrorContains(t, err, "create Deployment "+p.canary.String())
	require.ErrorContains(t, err, "forbidden")
	phase, _ := o.Phase()
	require.Equal(t, workload.Progressing, phase)
}

// The rights of package kube's documentation.
const (
	reading = `
  - {apiGroups: [apps], resources: [deployments, replicasets], verbs: [get, list, watch]}
  - {apiGroups: [""], resources: [pods, services], verbs: [get, list, watch]}
  - {apiGroups: [""], resources: [pods/log], verbs: [get]}
  - {apiGroups: [autoscaling], resources: [horizontalpodautoscalers], verbs: [get, list, watch]}
  - {apiGroups: [batch], resources: [jobs], verbs: [get, list, watch]}
`
	writing = `
  - {apiGroups: [apps], resources: [deployments], verbs: [create, patch]}
  - {apiGroups: [""], resources: [services, events], verbs: [create]}
  - {apiGroups: [batch], resources: [jobs], verbs: [create, patch]}
`
	holding = `
  - {apiGroups: [autoscaling], resources: [horizontalpodautoscalers], verbs: [patch]}
  - {apiGroups: [policy], resources: [poddisruptionbudgets], verbs: [list]}
`
)

func (p *place) grant(account, rules string) {
	p.c.Apply(p.t, p.ns, `
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: serin}
rules:`+rules+`
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: serin}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: serin},
 subjects: [{kind: ServiceAccount, name: `+account+`}]}`)
}

func TestTheDocumentedRightsAreSufficient(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	account := p.c.ServiceAccount(t, p.ns, "serin")
	p.grant("serin", reading+writing+holding)
	p.c.Apply(t, p.ns, alongside)
	p.c.Apply(t, p.ns, "{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: all}, spec: {maxUnavailable: 1, selector: {matchLabels: {tier: front}}}}")
	mine := p.connect(account)
	p.eventually(func() bool {
		_, err := mine.Apply(t.Context(), p.target(release, workload.Deployment{Name: p.stable}))
		return err == nil
	})
	p.kube = mine
	var o workload.Observed
	p.eventually(func() bool { o = p.untilHeld(true, p.newCanary("2", 0.25)); return len(o.Notes) > 0 })
	require.Len(t, o.Notes, 1)
	require.Contains(t, o.Notes[0], "PodDisruptionBudget all")
	require.Contains(t, p.scaler("flask-scaler").Annotations, "serin.dev/held")
	p.until(workload.Deployment{Name: p.stable, From: &p.canary, Whole: true}, workload.Ready)
	p.until(workload.Deployment{Name: p.stable, Before: true}, workload.Ready)
	p.until(workload.Deployment{Name: p.canary, Before: true}, workload.Ready)
	s := p.runs(p.job("migrate", "migrate:1"), workload.Ready)
	require.Equal(t, []string{"migrate:1 has started"}, s.Log)
	_, err := p.kube.Template(t.Context(), p.canary)
	require.NoError(t, err)
	p.forget()
	require.NotEmpty(t, p.events("Deployment", "flask"))
}

func TestTheAPIServerMayStopAndStartAgain(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	server, config := p.apart(p.c.Config)
	p.kube = p.connect(config)
	p.apply(release, p.newCanary("2", 0.25))
	p.restart(server)
	var err error
	p.eventually(func() bool {
		var o workload.Observed
		o, err = p.kube.Apply(t.Context(), p.target(release, p.newCanary("3", 0.5)))
		return err == nil && o.Deployments[0].Phase == workload.Ready
	})
	require.NoError(t, err)
	require.Equal(t, "flask:3", p.images(p.canary)["flask"])
}

func TestACanaryThatIsDeletedByHandIsMadeAgain(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	d := p.newCanary("2", 0.25)
	p.until(d, workload.Ready)
	require.NoError(t, p.c.Client.AppsV1().Deployments(p.ns).Delete(t.Context(), p.canary.Name, metav1.DeleteOptions{}))
	d.IfMissing = true
	p.eventually(func() bool {
		o := p.apply(release, d)
		_, err := p.c.Client.AppsV1().Deployments(p.ns).Get(t.Context(), p.canary.Name, metav1.GetOptions{})
		return err == nil && o.Deployments[0].Phase == workload.Ready
	})
	require.Equal(t, "flask:2", p.images(p.canary)["flask"])

	gone := workload.Deployment{Name: workload.Name{Namespace: p.ns, Name: "gone"}, Images: map[string]string{"a": "b"}}
	require.Contains(t, p.until(gone, workload.Failed).Why, "there is no such Deployment")
}

func TestAWatchThatIsNoLongerAllowedIsReported(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.c.SetImage(p.ns, "flask:hang", testcluster.Image{Fate: testcluster.Hang})
	server, account := p.apart(p.c.ServiceAccount(t, p.ns, "poor"))
	p.grant("poor", reading+writing)
	p.kube = p.connect(account)
	d := p.newCanary("hang", 0.25)
	p.eventually(func() bool {
		o, err := p.kube.Apply(t.Context(), p.target(release, d))
		return err == nil && strings.Contains(o.Deployments[0].Why, "runs and is not ready")
	})
	p.grant("poor", strings.ReplaceAll(reading, "[pods, services]", "[services]")+writing)
	p.restart(server) // an open watch would stay open
	why := ""
	p.eventually(func() bool {
		o, err := p.kube.Apply(t.Context(), p.target(release, d))
		if err == nil {
			why = o.Deployments[0].Why
		}
		return strings.Contains(why, "what is known of the pods may be old") && strings.Contains(why, "pods is forbidden")
	})
	require.Contains(t, why, "what is known of the pods may be old")
	require.Contains(t, why, "pods is forbidden")
}

// While its pods are not watched, a canary that restarts would pass for one that is warm.
func TestTheAgesOfPodsThatAreNotWatchedAreUnknown(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	server, account := p.apart(p.c.ServiceAccount(t, p.ns, "poor"))
	p.grant("poor", reading+writing)
	p.kube = p.connect(account)
	d := p.newCanary("2", 0.25)
	known := func() []time.Time {
		o, err := p.kube.Apply(t.Context(), p.target(release, d))
		if err != nil || o.Deployments[0].Phase != workload.Ready {
			return nil
		}
		return o.Deployments[0].Ready
	}
	p.eventually(func() bool { return len(known()) == 1 })
	first := known()

	require.NoError(t, server.Kill())
	await.True(t, func() bool { return known() == nil }, "nobody knows while the API server is away")
	require.NoError(t, server.Restart(t.Context()))
	p.eventually(func() bool { return len(known()) == 1 })
	require.Equal(t, first, known(), "it is the same pod")

	p.grant("poor", strings.ReplaceAll(reading, "[pods, services]", "[services]")+writing)
	p.restart(server) // an open watch would stay open
	isReady := func() bool {
		o, err := p.kube.Apply(t.Context(), p.target(release, d))
		return err == nil && o.Deployments[0].Phase == workload.Ready && o.Deployments[0].Ready == nil
	}
	p.eventually(isReady)
	require.NoError(t, p.c.Client.CoreV1().Pods(p.ns).DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "app=" + p.get(p.canary).Spec.Template.Labels["app"]}))
	p.eventually(func() bool { return p.get(p.canary).Status.ReadyReplicas == 1 && isReady() })

	p.grant("poor", reading+writing)
	p.eventually(func() bool { return len(known()) == 1 })
	require.True(t, known()[0].After(first[0]), "the other pod's age")
}

// meddler is a transport that changes the object before each of the first writes to it, as another writer would.
type meddler struct {
	http.RoundTripper
	before func()
	left   int
}

func (m *meddler) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodPatch && !strings.Contains(r.URL.RawQuery, "dryRun") && m.left > 0 {
		m.left--
		m.before()
	}
	return m.RoundTripper.RoundTrip(r)
}

func TestAConflictOnEveryWriteIsDecidedAgain(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.until(p.newCanary("2", 0.25), workload.Ready)
	n := 0
	m := &meddler{left: 3, before: func() {
		n++
		p.patch(p.stable, fmt.Sprintf(`{"metadata": {"annotations": {"meddled": "%d"}}, "spec": {"replicas": %d}}`, n, 4+n))
	}}
	config := rest.CopyConfig(p.c.Config)
	config.Wrap(func(rt http.RoundTripper) http.RoundTripper { m.RoundTripper = rt; return m })
	p.kube = p.connect(config)
	p.until(workload.Deployment{Name: p.stable, From: &p.canary}, workload.Ready)
	stable := p.get(p.stable)
	require.Equal(t, "3", stable.Annotations["meddled"])
	require.Equal(t, int32(7), *stable.Spec.Replicas)
	require.Equal(t, "flask:2", p.images(p.stable)["flask"])

	m.left = 100
	_, err := p.kube.Apply(t.Context(), p.target(release, workload.Deployment{Name: p.stable, Before: true}))
	require.ErrorContains(t, err, "patch Deployment "+p.stable.String()+": another writer changed it at every attempt")
	m.left = 0
	p.until(workload.Deployment{Name: p.stable, Before: true}, workload.Ready)
	require.Equal(t, "flask:1", p.images(p.stable)["flask"])
}

// Two writers may remove the same annotation, such as what a release that has just ended had remembered. The API server
// calls the second patch invalid before it compares versions.
func TestAnAnnotationThatAnotherWriterRemovedIsNoTrouble(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.until(p.newCanary("2", 0.25), workload.Ready)
	p.until(workload.Deployment{Name: p.stable, From: &p.canary}, workload.Ready)
	m := &meddler{left: 1, before: func() { p.patch(p.stable, `{"metadata": {"annotations": {"serin.dev/before": null}}}`) }}
	config := rest.CopyConfig(p.c.Config)
	config.Wrap(func(rt http.RoundTripper) http.RoundTripper { m.RoundTripper = rt; return m })
	p.kube = p.connect(config)
	p.until(workload.Deployment{Name: p.stable, From: &p.canary}, workload.Ready)
	require.Contains(t, p.get(p.stable).Annotations, "serin.dev/before")
	_, err := p.kube.Apply(t.Context(), workload.Target{Release: release, Arms: p.arms, Forget: true})
	require.NoError(t, err)
	require.Zero(t, m.left)
	require.NotContains(t, p.get(p.stable).Annotations, "serin.dev/before")
}

// Otherwise the API server would refuse it every second, in the middle of a release.
func TestWhatCannotBeRememberedIsReportedBeforeAnythingChanges(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.until(p.newCanary("2", 0.25), workload.Ready)
	p.patch(p.stable, fmt.Sprintf(`{"metadata": {"annotations": {"much": %q}}}`, strings.Repeat("x", 256<<10-300)))
	p.until(workload.Deployment{Name: p.stable, From: &p.canary}, workload.Failed)
	o := p.apply(release, workload.Deployment{Name: p.stable, From: &p.canary})
	require.Contains(t, o.Deployments[0].Why, "more than 256 KiB, the most that Kubernetes takes")
	require.Equal(t, "flask:1", p.images(p.stable)["flask"])
	require.NoError(t, p.kube.Seen(t.Context(), p.canary, "hash"))
	require.ErrorContains(t, p.kube.Seen(t.Context(), p.stable, strings.Repeat("h", 300)), "more than 256 KiB")
	p.patch(p.stable, `{"metadata": {"annotations": {"much": null}}}`)
	p.until(workload.Deployment{Name: p.stable, From: &p.canary}, workload.Ready)
}

// busyReader is a transport that changes an object after another Deployment is read, and in each dry run.
type busyReader struct {
	http.RoundTripper
	of     string // the object's path
	change func()
}

func (b *busyReader) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := b.RoundTripper.RoundTrip(r)
	other := r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/deployments/") && r.URL.Path != b.of
	if other || strings.Contains(r.URL.RawQuery, "dryRun") {
		b.change()
	}
	return answer, err
}

// The controller keeps writing the status while pods come and go, and every request may take long.
func TestNothingElseIsReadBetweenReadingAndWriting(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.until(p.newCanary("2", 0.5), workload.Ready)
	n := 0
	b := &busyReader{of: "/apis/apps/v1/namespaces/" + p.ns + "/deployments/flask-canary", change: func() {
		if n++; n > 60 { // more than all attempts at a write together
			return
		}
		p.patch(p.canary, fmt.Sprintf(`{"metadata": {"annotations": {"busy": "%d"}}}`, n))
	}}
	config := rest.CopyConfig(p.c.Config)
	config.Wrap(func(rt http.RoundTripper) http.RoundTripper { b.RoundTripper = rt; return b })
	p.kube = p.connect(config)
	p.until(p.newCanary("3", 0.5), workload.Ready)
	require.Equal(t, "flask:3", p.images(p.canary)["flask"])
	require.NotZero(t, n)
}

// An account that may watch the whole cluster opens one watch per kind, any other one per kind and namespace.
func TestWatchesAreOfTheWholeClusterWhereTheRightsAllowIt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		role string
		want int // watches of Deployments, for two namespaces
	}{"a ClusterRole": {"ClusterRole", 1}, "Roles": {"Role", 2}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			one, two := newPlace(t), newPlace(t)
			config := one.c.ServiceAccount(t, one.ns, "serin")
			kind := map[string]string{"Role": "RoleBinding", "ClusterRole": "ClusterRoleBinding"}[c.role]
			name := one.ns + "-serin"
			for _, p := range []*place{one, two} {
				p.c.Apply(t, map[string]string{"Role": p.ns}[c.role], fmt.Sprintf(`
{apiVersion: rbac.authorization.k8s.io/v1, kind: %s, metadata: {name: %s}, rules: [
  {apiGroups: [apps, "", autoscaling, policy], resources: [deployments, replicasets, pods, services, horizontalpodautoscalers, poddisruptionbudgets], verbs: [get, list, watch]}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: %s, metadata: {name: %[2]s}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: %[1]s, name: %[2]s},
 subjects: [{kind: ServiceAccount, name: serin, namespace: %[4]s}]}`, c.role, name, kind, one.ns))
			}
			t.Cleanup(func() {
				_ = one.c.Client.RbacV1().ClusterRoleBindings().Delete(context.WithoutCancel(t.Context()), name, metav1.DeleteOptions{})
				_ = one.c.Client.RbacV1().ClusterRoles().Delete(context.WithoutCancel(t.Context()), name, metav1.DeleteOptions{})
			})
			as, err := kubernetes.NewForConfig(config)
			require.NoError(t, err)
			inEffect := []string{one.ns, two.ns}
			if c.role == "ClusterRole" {
				inEffect = append(inEffect, metav1.NamespaceAll)
			}
			for _, ns := range inEffect {
				one.eventually(func() bool { return may(t, as, ns) })
				require.True(t, may(t, as, ns), "the rights in namespace %q", ns)
			}
			watches := &watchCounter{of: map[string]bool{}}
			config.Wrap(func(next http.RoundTripper) http.RoundTripper { watches.RoundTripper = next; return watches })
			k := one.connect(config)
			for _, p := range []*place{one, two} {
				p.kube = k
				p.until(workload.Deployment{Name: p.stable}, workload.Ready)
			}
			watches.mu.Lock()
			defer watches.mu.Unlock()
			require.Len(t, watches.of, c.want, "%v", watches.of)
		})
	}
}

// hearOf changes stable in each place until a watcher has reported it.
func hearOf(t *testing.T, heard <-chan workload.Name, why string, places ...*place) {
	t.Helper()
	for _, p := range places {
		n := 0
		await.True(t, func() bool { // until the watch is open
			n++
			p.patch(p.stable, fmt.Sprintf(`{"metadata": {"annotations": {"n": "%s %d"}}}`, why, n))
			for len(heard) > 0 {
				if <-heard == p.stable {
					return true
				}
			}
			return false
		}, "%s: a change in namespace %s", why, p.ns)
	}
}

// Serin notices when rights in the whole cluster are granted or revoked while it runs: watchers still get their
// changes, through one watch or several.
func TestRightsInTheWholeClusterComeAndGo(t *testing.T) {
	t.Parallel()
	one, two := newPlace(t), newPlace(t)
	config := one.c.ServiceAccount(t, one.ns, "serin")
	const rules = `[{apiGroups: [apps, "", autoscaling, policy], resources: [deployments, replicasets, pods, services, horizontalpodautoscalers, poddisruptionbudgets], verbs: [get, list, watch]}]`
	name := one.ns + "-comes-and-goes"
	bind := func(role, binding, ns string) {
		one.c.Apply(t, ns, fmt.Sprintf(`
{apiVersion: rbac.authorization.k8s.io/v1, kind: %s, metadata: {name: %s}, rules: %s}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: %s, metadata: {name: %[2]s}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: %[1]s, name: %[2]s},
 subjects: [{kind: ServiceAccount, name: serin, namespace: %[5]s}]}`, role, name, rules, binding, one.ns))
	}
	as, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	for _, p := range []*place{one, two} {
		bind("Role", "RoleBinding", p.ns)
		await.True(t, func() bool { return may(t, as, p.ns) }, "the Role is in effect")
	}
	watches := &watchCounter{of: map[string]bool{}}
	server, own := one.apart(config)
	own.Wrap(func(next http.RoundTripper) http.RoundTripper { watches.RoundTripper = next; return watches })
	k := one.connect(own)
	for _, p := range []*place{one, two} {
		p.kube = k
		p.until(workload.Deployment{Name: p.stable}, workload.Ready)
	}
	heard := make(chan workload.Name, 1000)
	go k.Watch(t.Context(), func(names []workload.Name) {
		for _, n := range names {
			heard <- n
		}
	})
	hears := func(why string) { t.Helper(); hearOf(t, heard, why, one, two) }
	hears("with Roles")
	_, err = k.Apply(t.Context(), workload.Target{}) // of a rollout without a Deployment
	require.NoError(t, err)
	k.Rescope(t.Context())
	require.Len(t, watches.taken(), 2, "nothing has changed")

	bind("ClusterRole", "ClusterRoleBinding", metav1.NamespaceAll)
	revoke := func() {
		_ = one.c.Client.RbacV1().ClusterRoleBindings().Delete(context.WithoutCancel(t.Context()), name, metav1.DeleteOptions{})
		_ = one.c.Client.RbacV1().ClusterRoles().Delete(context.WithoutCancel(t.Context()), name, metav1.DeleteOptions{})
	}
	t.Cleanup(revoke)
	await.True(t, func() bool {
		k.Rescope(t.Context())
		return slices.Contains(watches.taken(), "/apis/apps/v1/deployments")
	}, "one watch of all Deployments")
	hears("with a ClusterRole")

	revoke()
	await.True(t, func() bool { return !may(t, as, metav1.NamespaceAll) }, "the ClusterRole is gone")
	one.restart(server) // an open watch would stay open
	hears("with Roles again")
	opened := map[string]bool{}
	await.True(t, func() bool { // a list reports a change before the watch is open
		for _, path := range watches.taken() {
			opened[path] = true
		}
		return opened["/apis/apps/v1/namespaces/"+one.ns+"/deployments"] && opened["/apis/apps/v1/namespaces/"+two.ns+"/deployments"]
	}, "a watch of each namespace")
	require.EqualValues(t, 1, watches.forbidden.Load(), "a forbidden watch is not tried again at once")
}

// may reports whether a right to watch is in effect: the API server's authorizer learns of a role and its binding a
// little after they are written.
func may(t *testing.T, as kubernetes.Interface, namespace string) bool {
	t.Helper()
	r := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: namespace, Verb: "watch", Group: "apps", Resource: "deployments"},
	}}
	answer, err := as.AuthorizationV1().SelfSubjectAccessReviews().Create(t.Context(), r, metav1.CreateOptions{})
	require.NoError(t, err)
	return answer.Status.Allowed
}

// watchCounter records where Deployments are watched.
type watchCounter struct {
	http.RoundTripper
	forbidden atomic.Int64 // answers about all Deployments

	mu sync.Mutex // guards of
	of map[string]bool
}

// taken returns the places that were watched since the last call.
func (w *watchCounter) taken() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := slices.Sorted(maps.Keys(w.of))
	clear(w.of)
	return out
}

func (w *watchCounter) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Path, "/deployments") && r.URL.Query().Get("watch") != "" {
		w.mu.Lock()
		w.of[r.URL.Path] = true
		w.mu.Unlock()
	}
	answer, err := w.RoundTripper.RoundTrip(r)
	if err == nil && answer.StatusCode == http.StatusForbidden && r.URL.Path == "/apis/apps/v1/deployments" {
		w.forbidden.Add(1)
	}
	return answer, err
}

func TestAWatcherLearnsOfChangesToPods(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	server, config := p.apart(p.c.Config)
	p.kube = p.connect(config)
	p.until(workload.Deployment{Name: p.stable}, workload.Ready) // only what was asked for is watched
	ctx, cancel := context.WithCancel(t.Context())
	heard, ended := make(chan struct{}, 1), make(chan struct{})
	go func() {
		defer close(ended)
		p.kube.Watch(ctx, func(names []workload.Name) {
			if !slices.Contains(names, p.stable) {
				return
			}
			select {
			case heard <- struct{}{}:
			default:
			}
		})
	}()
	hears := func() bool {
		select {
		case <-heard:
			return true
		case <-time.After(await.Patience):
			return false
		}
	}
	p.patch(p.stable, `{"spec": {"template": {"spec": {"containers": [{"name": "flask", "image": "flask:2"}]}}}}`)
	require.True(t, hears(), "of the Deployment, without asking again")
	p.restart(server)
	p.patch(p.stable, `{"spec": {"replicas": 1}}`)
	require.True(t, hears(), "also after the watch was closed")
	cancel()
	<-ended
}
