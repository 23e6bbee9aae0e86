package kube_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/serindev/serin/workload"
)

// kept is the target for the previous version in a Deployment of its own.
func (p *place) kept(pods bool) workload.Target {
	old := workload.Arm{Deployment: workload.Name{Namespace: p.ns, Name: "flask-previous"}, Service: "flask-previous"}
	d := workload.Deployment{Name: old.Deployment, Replicas: &workload.Replicas{}}
	if pods {
		d.Create, d.Previous, d.Whole = &p.stable, release, true
		d.Replicas = &workload.Replicas{Share: 1, Of: &p.stable}
	}
	return workload.Target{Arms: workload.Arms{Stable: p.arms.Stable, Canary: old}, Deployments: []workload.Deployment{d}}
}

// untilKept waits until that Deployment is ready, and returns the notes for people.
func (p *place) untilKept(t workload.Target) (notes []string) {
	p.t.Helper()
	var s workload.Status
	p.eventually(func() bool {
		o, err := p.kube.Apply(p.t.Context(), t)
		require.NoError(p.t, err)
		s, notes = o.Deployments[0], o.Notes
		return s.Phase == workload.Ready
	}, func() string { return string(s.Phase) + ": " + s.Why })
	return notes
}

func TestThePreviousVersionIsKeptInADeploymentOfItsOwn(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.untilCopied("", p.one(), workload.Ready)
	p.patch(p.canary, `{"spec": {"template": {"spec": {"containers": [{"name": "flask", "image": "flask:2"}]}}}}`)
	p.untilCopied(release, workload.Deployment{Name: p.stable, From: &p.canary, Whole: true}, workload.Ready)
	_, err := p.kube.Apply(t.Context(), workload.Target{Release: release, Arms: p.arms, Copied: true, Forget: true})
	require.NoError(t, err)

	for name, label := range map[string]string{"own": "serin.dev/deployment: flask-stable", "both": "tier: front"} {
		p.c.Apply(t, p.ns, "{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: "+name+"}, spec: {minAvailable: 1, selector: {matchLabels: {"+label+"}}}}")
	}
	target := p.kept(true)
	old := target.Arms.Canary.Deployment
	notes := p.untilKept(target)
	require.Len(t, notes, 1)
	require.Contains(t, notes[0], "PodDisruptionBudget both counts the pods of the version before as stable's")
	made := p.get(old)
	require.Equal(t, "flask:1", p.images(old)["flask"])
	require.EqualValues(t, 4, *made.Spec.Replicas)
	require.Equal(t, "previous", made.Spec.Template.Labels["serin.dev/arm"])
	service, err := p.c.Client.CoreV1().Services(p.ns).Get(t.Context(), "flask-previous", metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, made.Spec.Selector.MatchLabels, service.Spec.Selector)
	require.Equal(t, "web", service.Spec.Ports[0].Name)
	for _, n := range []string{"flask", "flask-stable"} {
		other, err := p.c.Client.CoreV1().Services(p.ns).Get(t.Context(), n, metav1.GetOptions{})
		require.NoError(t, err)
		require.NotSubset(t, made.Spec.Template.Labels, other.Spec.Selector, "users get none of its pods")
	}

	p.kube = p.connect(p.c.Config) // a daemon that has just started
	p.untilKept(target)
	require.Equal(t, made.UID, p.get(old).UID)
	require.Equal(t, made.Generation, p.get(old).Generation)
	p.patch(p.stable, `{"spec": {"replicas": 6}}`) // as an autoscaler does
	p.untilKept(target)
	p.eventually(func() bool { p.untilKept(target); return *p.get(old).Spec.Replicas == 6 })

	require.Empty(t, p.untilKept(p.kept(false)))
	require.Zero(t, *p.get(old).Spec.Replicas)
	const undo = "01J0000000000000000000000B"
	target.Release, target.Copied, target.Original = undo, true, &p.canary
	target.Deployments = append(target.Deployments, workload.Deployment{Name: p.stable, Previous: release, Whole: true})
	p.eventually(func() bool {
		o, err := p.kube.Apply(t.Context(), target)
		require.NoError(t, err)
		phase, _ := o.Phase()
		return phase == workload.Ready
	})
	require.Equal(t, "flask:1", p.images(p.stable)["flask"])
	require.EqualValues(t, 6, *p.get(old).Spec.Replicas, "later, an undo starts its pods first")
	require.Equal(t, "flask:2", p.images(p.canary)["flask"], "the original does not change")
	require.NotContains(t, p.get(old).Annotations, "serin.dev/in-service")
	require.Contains(t, p.get(p.canary).Annotations, "serin.dev/in-service")
}

func TestADeploymentThatOthersHaveMadeIsNotTakenForThePreviousVersion(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.until(workload.Deployment{Name: p.stable, Images: map[string]string{"flask": "flask:2"}}, workload.Ready)
	p.forget()
	p.c.Apply(t, p.ns, `
apiVersion: apps/v1
kind: Deployment
metadata: {name: flask-previous}
spec: {replicas: 1, selector: {matchLabels: {app: mine}}, template: {metadata: {labels: {app: mine}}, spec: {containers: [{name: flask, image: "mine:1"}]}}}
`)
	target := p.kept(true)
	var s workload.Status
	p.eventually(func() bool {
		o, err := p.kube.Apply(t.Context(), target)
		require.NoError(t, err)
		s = o.Deployments[0]
		return s.Phase == workload.Failed
	})
	require.Contains(t, s.Why, "it exists already, and is not the one that Serin makes")
	require.Equal(t, "mine:1", p.images(target.Arms.Canary.Deployment)["flask"])
}
