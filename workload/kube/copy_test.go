package kube_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/serindev/serin/share"
	"github.com/serindev/serin/workload"
)

// alongside are the objects that a team has alongside its Deployment. The rules that keep pods apart are in the
// template.
const alongside = `
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: flask-scaler}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: flask}
  minReplicas: 4
  maxReplicas: 9
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 70}}}]
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: flask}
spec: {maxUnavailable: 1, selector: {matchLabels: {app: flask}}}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: everybody}
spec: {maxUnavailable: 50%, selector: {matchLabels: {tier: back}}}
`

const apart = `{"spec": {"template": {"spec": {
	"affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
		{"weight": 1, "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "flask"}}}},
		{"weight": 1, "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "database"}}}}]}},
	"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway",
		"labelSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["flask", "other"]}]}}]
}}}}`

// one turns a place into one with one Deployment: flask is in Git, and stable will be its copy.
func (p *place) one() workload.Deployment {
	p.canary, p.stable = p.stable, workload.Name{Namespace: p.ns, Name: "flask-stable"}
	p.arms = workload.Arms{Stable: workload.Arm{Deployment: p.stable, Service: "flask-stable"}, Canary: workload.Arm{Deployment: p.canary, Service: "flask"}}
	return workload.Deployment{Name: p.stable, Copy: &p.canary}
}

// copied applies the copy once, in a release or, without one, at rest.
func (p *place) copied(release string, d ...workload.Deployment) workload.Status {
	p.t.Helper()
	o, err := p.kube.Apply(p.t.Context(), workload.Target{Release: release, Arms: p.arms, Copied: true, Deployments: d})
	require.NoError(p.t, err)
	return o.Deployments[0]
}

func (p *place) untilCopied(release string, d workload.Deployment, phase workload.Phase) (s workload.Status) {
	p.t.Helper()
	p.eventually(func() bool { s = p.copied(release, d); return s.Phase == phase },
		func() string { return fmt.Sprintf("it is not %s, but %s: %s", phase, s.Phase, s.Why) })
	return s
}

func (p *place) template() workload.Template {
	p.t.Helper()
	t, err := p.kube.Template(p.t.Context(), p.canary)
	require.NoError(p.t, err)
	return t
}

// untilObserved waits until the controller has seen this many changes of the canary's Deployment.
func (p *place) untilObserved(generation int64) {
	p.t.Helper()
	p.eventually(func() bool { return p.get(p.canary).Status.ObservedGeneration >= generation },
		func() string { return fmt.Sprintf("%+v", p.get(p.canary)) })
}

// seen waits until the watch has reported what a test has changed.
func (p *place) seen(ok func(workload.Template) bool) (t workload.Template) {
	p.t.Helper()
	p.eventually(func() bool { t = p.template(); return ok(t) })
	require.True(p.t, ok(t), "%+v", t)
	return t
}

func TestACopyIsMadeOfWhatIsRunning(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.patch(p.stable, apart)
	p.until(workload.Deployment{Name: p.stable}, workload.Ready)
	p.c.Apply(t, p.ns, alongside)
	rest := p.one()
	p.untilCopied("", rest, workload.Ready)

	original, made := p.get(p.canary), p.get(p.stable)
	require.Equal(t, original.Spec.Template.Spec.Containers, made.Spec.Template.Spec.Containers)
	require.Equal(t, int32(4), *made.Spec.Replicas)
	require.Equal(t, map[string]string{"app": "flask-stable", "tier": "front", "serin.dev/arm": "stable", "serin.dev/deployment": "flask-stable"}, made.Spec.Template.Labels)
	require.NotContains(t, made.Labels, "team", "a tool that finds its objects by labels must not take it for its own")
	terms := made.Spec.Template.Spec.Affinity.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution
	require.Equal(t, "flask-stable", terms[0].PodAffinityTerm.LabelSelector.MatchLabels["app"])
	require.Equal(t, "database", terms[1].PodAffinityTerm.LabelSelector.MatchLabels["app"], "a rule about other pods stays")
	require.Equal(t, []string{"flask-stable"}, made.Spec.Template.Spec.TopologySpreadConstraints[0].LabelSelector.MatchExpressions[0].Values)

	service, err := p.c.Client.CoreV1().Services(p.ns).Get(t.Context(), "flask-stable", metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, "web", service.Spec.Ports[0].Name)
	require.Equal(t, made.Spec.Selector.MatchLabels, service.Spec.Selector)
	scaler, err := p.c.Client.AutoscalingV2().HorizontalPodAutoscalers(p.ns).Get(t.Context(), "flask-scaler-stable", metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, "flask-stable", scaler.Spec.ScaleTargetRef.Name)
	require.Equal(t, int32(9), scaler.Spec.MaxReplicas)
	budgets, err := p.c.Client.PolicyV1().PodDisruptionBudgets(p.ns).List(t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/managed-by=serin"})
	require.NoError(t, err)
	require.Len(t, budgets.Items, 1, "a budget for other pods has no copy")
	require.Equal(t, "flask-stable", budgets.Items[0].Name)
	require.Equal(t, made.Spec.Selector.MatchLabels, budgets.Items[0].Spec.Selector.MatchLabels)

	before := p.written()
	for range 3 {
		require.Equal(t, workload.Ready, p.copied("", rest).Phase)
	}
	require.Equal(t, before, p.written(), "at rest nothing is written")
	require.Equal(t, original.Generation, p.get(p.canary).Generation, "the original is not touched")

	require.NoError(t, p.c.Client.AutoscalingV2().HorizontalPodAutoscalers(p.ns).Delete(t.Context(), "flask-scaler", metav1.DeleteOptions{}))
	p.eventually(func() bool {
		p.copied("", rest)
		_, err = p.c.Client.AutoscalingV2().HorizontalPodAutoscalers(p.ns).Get(t.Context(), "flask-scaler-stable", metav1.GetOptions{})
		return err != nil
	})
	require.ErrorContains(t, err, "not found", "the copy's autoscaler goes with the original's")
}

func TestANewTemplateOfTheOriginalIsReleasedAndARestartIsNot(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	rest := p.one()
	p.untilCopied("", rest, workload.Ready)
	require.False(t, p.template().New, "the copied template is not new")

	p.patch(p.canary, `{"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "2026-11-30T00:00:00Z"}}}}}`)
	p.untilObserved(2)
	p.seen(func(t workload.Template) bool { return !t.New })
	p.patch(p.canary, `{"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "2026-11-30T01:00:00Z"}}}}}`)
	p.untilObserved(3)
	require.False(t, p.template().New, "kubectl rollout restart is not a new version")

	p.patch(p.canary, `{"spec": {"template": {"spec": {"containers": [{"name": "flask", "env": [{"name": "A", "value": "2"}]}]}}}}`)
	two := p.seen(func(t workload.Template) bool { return t.New })
	require.False(t, two.InService)
	require.NoError(t, p.kube.Seen(t.Context(), p.canary, two.Hash))
	p.patch(p.canary, `{"spec": {"template": {"spec": {"containers": [{"name": "flask", "env": [{"name": "A", "value": "1"}]}]}}}}`)
	p.seen(func(t workload.Template) bool { return t.New && t.InService })
}

func TestTheVersionAfterARollbackIsInService(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.untilCopied("", p.one(), workload.Ready)
	p.patch(p.canary, `{"spec": {"template": {"spec": {"containers": [{"name": "flask", "image": "flask:2"}]}}}}`)
	two := p.seen(func(t workload.Template) bool { return t.New })
	require.NoError(t, p.kube.Seen(t.Context(), p.canary, two.Hash))
	p.untilCopied(release, workload.Deployment{Name: p.stable, From: &p.canary, Whole: true}, workload.Ready)
	p.untilCopied(release, workload.Deployment{Name: p.stable, Before: true}, workload.Ready)
	require.Equal(t, "flask:1", p.images(p.stable)["flask"])

	p.patch(p.canary, `{"spec": {"template": {"spec": {"containers": [{"name": "flask", "image": "flask:3"}]}}}}`)
	three := p.seen(func(t workload.Template) bool { return t.New })
	require.False(t, three.InService)
	require.NoError(t, p.kube.Seen(t.Context(), p.canary, three.Hash))
	p.patch(p.canary, `{"spec": {"template": {"spec": {"containers": [{"name": "flask", "image": "flask:1"}]}}}}`)
	require.True(t, p.seen(func(t workload.Template) bool { return t.New }).InService, "a revert in Git releases nothing")
}

// A release is watched after its promotion, and goes back if it is worse.
func TestACopyThatIsDeletedAfterThePromotionStillGoesBack(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.untilCopied("", p.one(), workload.Ready)
	p.patch(p.canary, `{"spec": {"template": {"spec": {"containers": [{"name": "flask", "image": "flask:2"}]}}}}`)
	p.untilCopied(release, workload.Deployment{Name: p.stable, From: &p.canary, Whole: true}, workload.Ready)
	was := p.get(p.stable).UID
	require.NoError(t, p.c.Client.AppsV1().Deployments(p.ns).Delete(t.Context(), p.stable.Name, metav1.DeleteOptions{}))
	p.eventually(func() bool {
		p.copied(release, workload.Deployment{Name: p.canary})
		return p.exists(p.stable) && p.get(p.stable).UID != was
	})
	require.Equal(t, "flask:2", p.images(p.stable)["flask"])
	p.eventually(func() bool {
		return p.copied(release, workload.Deployment{Name: p.stable, Before: true}).Phase == workload.Ready && p.images(p.stable)["flask"] == "flask:1"
	})
	require.Equal(t, "flask:1", p.images(p.stable)["flask"])
	_, err := p.kube.Apply(t.Context(), workload.Target{Release: release, Arms: p.arms, Copied: true, Forget: true})
	require.NoError(t, err)
	require.NotContains(t, p.get(p.stable).Annotations, "serin.dev/before")
	require.NotContains(t, p.get(p.stable).Annotations, "serin.dev/previous", "nothing was released")
}

// An undo changes the copy and leaves the original alone; a copy that is deleted afterwards comes back with the undone
// version.
func TestAnUndoBringsTheCopyBackToThePreviousVersion(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	rest := p.one()
	p.untilCopied("", rest, workload.Ready)
	p.patch(p.canary, `{"spec": {"template": {"spec": {"containers": [{"name": "flask", "image": "flask:2"}]}}}}`)
	p.untilCopied(release, workload.Deployment{Name: p.stable, From: &p.canary, Whole: true}, workload.Ready)
	_, err := p.kube.Apply(t.Context(), workload.Target{Release: release, Arms: p.arms, Copied: true, Forget: true})
	require.NoError(t, err)

	p.untilCopied("01J0000000000000000000000B", workload.Deployment{Name: p.stable, Previous: release, Whole: true}, workload.Ready)
	require.Equal(t, "flask:1", p.images(p.stable)["flask"])
	require.Equal(t, "flask:2", p.images(p.canary)["flask"])
	was := p.get(p.stable).UID
	require.NoError(t, p.c.Client.AppsV1().Deployments(p.ns).Delete(t.Context(), p.stable.Name, metav1.DeleteOptions{}))
	p.eventually(func() bool { p.copied("", rest); return p.exists(p.stable) && p.get(p.stable).UID != was })
	require.Equal(t, "flask:1", p.images(p.stable)["flask"])
}

// Serin watches the whole cluster here.
func TestAnAutoscalerOfTheCopysNameThatOthersHaveMadeIsRefused(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.c.Apply(t, p.ns, alongside+"---"+strings.NewReplacer("flask-scaler", "flask-scaler-stable", "name: flask}", "name: another}").Replace(
		strings.Split(alongside, "---")[0]))
	s := p.untilCopied("", p.one(), workload.Failed)
	require.Contains(t, s.Why, "HorizontalPodAutoscaler flask-scaler-stable exists already, and is not the one that Serin makes for flask-stable")
}

func TestACopyThatIsDeletedComesBackAsItWasInService(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	rest := p.one()
	p.untilCopied("", rest, workload.Ready)
	remove := func(ask func() bool) { // and waits for a new one
		was := p.get(p.stable).UID
		require.NoError(t, p.c.Client.AppsV1().Deployments(p.ns).Delete(t.Context(), p.stable.Name, metav1.DeleteOptions{}))
		p.eventually(func() bool { return ask() && p.exists(p.stable) && p.get(p.stable).UID != was })
		require.NotEqual(t, was, p.get(p.stable).UID)
	}
	p.patch(p.canary, `{"spec": {"template": {"metadata": {"labels": {"commit": "abc"}}, "spec": {"containers": [{"name": "flask", "image": "flask:2"}]}}}}`)

	remove(func() bool { return p.copied("", rest).Phase == workload.Ready })
	require.Equal(t, "flask:1", p.images(p.stable)["flask"], "the original is on trial")

	// In a release, the canary's own target brings it back.
	canary := workload.Deployment{Name: p.canary}
	remove(func() bool { p.copied(release, canary); return true })
	require.Equal(t, "flask:1", p.images(p.stable)["flask"])

	promote := workload.Deployment{Name: p.stable, From: &p.canary, Whole: true}
	p.untilCopied(release, promote, workload.Ready)
	require.Equal(t, "flask:2", p.images(p.stable)["flask"])
	require.Equal(t, map[string]string{"app": "flask-stable", "tier": "front", "commit": "abc", "serin.dev/arm": "stable", "serin.dev/deployment": "flask-stable"},
		p.get(p.stable).Spec.Template.Labels, "the copy gets new labels too")
	remove(func() bool { p.copied(release, canary); return true })
	require.Equal(t, "flask:2", p.images(p.stable)["flask"], "it comes back as it was promoted")

	p.untilCopied(release, workload.Deployment{Name: p.canary, Replicas: &workload.Replicas{Share: share.Share(0.5), Of: &p.stable}}, workload.Ready)
	require.Equal(t, int32(2), *p.get(p.canary).Spec.Replicas)

	// On leaving, Git's Deployment gets as many pods as the copy has, and the copy is forgotten, although another
	// writer is faster.
	p.overtaken(p.canary, `{"op":"remove","path":"/metadata/annotations/serin.dev~1in-service"`)
	p.untilCopied("", workload.Deployment{Name: p.canary, From: &p.stable, Whole: true, Watch: true, Replicas: &workload.Replicas{Share: 1, Of: &p.stable}}, workload.Ready)
	require.Equal(t, int32(4), *p.get(p.canary).Spec.Replicas)
	require.Equal(t, "yes", p.get(p.canary).Annotations["faster"])
	require.NotContains(t, p.get(p.canary).Annotations, "serin.dev/in-service")
}

// overtaken lets another writer be faster, once: it changes the Deployment just before a patch that contains the word
// arrives.
func (p *place) overtaken(n workload.Name, word string) {
	p.t.Helper()
	var once sync.Once
	config := rest.CopyConfig(p.c.Config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			if r.Method != http.MethodPatch || r.GetBody == nil {
				return next.RoundTrip(r)
			}
			copied, err := r.GetBody()
			if err != nil {
				return nil, err
			}
			body, err := io.ReadAll(copied)
			if err == nil && bytes.Contains(body, []byte(word)) {
				once.Do(func() { p.patch(n, `{"metadata": {"annotations": {"faster": "yes"}}}`) })
			}
			return next.RoundTrip(r)
		})
	})
	p.kube = p.connect(config)
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func (p *place) exists(n workload.Name) bool {
	p.t.Helper()
	list, err := p.c.Client.AppsV1().Deployments(n.Namespace).List(p.t.Context(), metav1.ListOptions{FieldSelector: "metadata.name=" + n.Name})
	require.NoError(p.t, err)
	return len(list.Items) == 1
}

func TestLeavingWaitsUntilGitHasWhatIsInService(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.untilCopied("", p.one(), workload.Ready)
	p.patch(p.canary, `{"spec": {"template": {"spec": {"containers": [{"name": "flask", "image": "flask:2"}]}}}}`)
	leave := workload.Deployment{Name: p.canary, From: &p.stable, Whole: true, Watch: true, Replicas: &workload.Replicas{Share: 1, Of: &p.stable}}
	var s workload.Status
	p.eventually(func() bool { // until then the controller is at the new template
		s = p.copied("", leave)
		return s.Phase == workload.Progressing && s.Why != "its controller has not seen the change yet"
	})
	require.Contains(t, s.Why, "waiting for an external change that brings it to image of flask flask:1")
	require.Equal(t, "flask:2", p.images(p.canary)["flask"])
}

func TestACopyIsMadeOnlyOfWhatUsersGet(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before func(p *place)
		phase  workload.Phase
		why    string
	}{
		"a Deployment without pods": {func(p *place) { p.patch(p.stable, `{"spec": {"replicas": 0}}`) }, workload.Failed, "has no pods"},
		"a Deployment in the middle of a rollout": {func(p *place) {
			p.patch(p.stable, `{"spec": {"paused": true, "template": {"spec": {"containers": [{"name": "flask", "image": "flask:2"}]}}}}`)
		}, workload.Progressing, "a copy is made of what runs"},
		"a Service that leads elsewhere": {func(p *place) {
			p.c.Apply(p.t, p.ns, "{apiVersion: v1, kind: Service, metadata: {name: flask}, spec: {selector: {app: another}, ports: [{port: 80}]}}")
		}, workload.Failed, "which the pods of flask have not"},
		"a Deployment of the copy's name that others have made": {func(p *place) {
			p.c.Apply(p.t, p.ns, `
apiVersion: apps/v1
kind: Deployment
metadata: {name: flask-stable}
spec:
  selector: {matchLabels: {app: other}}
  template: {metadata: {labels: {app: other}}, spec: {containers: [{name: a, image: "a:1"}]}}`)
		}, workload.Failed, "is not the copy of flask that Serin makes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			c.before(p)
			rest := p.one()
			s := p.untilCopied("", rest, c.phase)
			p.eventually(func() bool { s = p.copied("", rest); return s.Phase == c.phase && s.Why != "" })
			require.Contains(t, s.Why, c.why)
			var list *appsv1.DeploymentList
			list, err := p.c.Client.AppsV1().Deployments(p.ns).List(t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/managed-by=serin"})
			require.NoError(t, err)
			require.Empty(t, list.Items)
		})
	}
}
