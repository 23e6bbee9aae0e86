package kube_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/workload"
)

const settings = `
{apiVersion: v1, kind: ConfigMap, metadata: {name: settings}, data: {COLOUR: blue}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: files}, data: {a.conf: one}, immutable: true}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: bundle, annotations: {serin.dev/track: none}}, data: {ca.crt: one}}
`

const naming = `{"spec": {"template": {"spec": {
	"containers": [{"name": "flask", "envFrom": [{"configMapRef": {"name": "settings"}}, {"configMapRef": {"name": "extra", "optional": true}}, {"configMapRef": {"name": "bundle"}}]}],
	"volumes": [{"name": "files", "configMap": {"name": "files"}}]
}}}}`

// newTracked is a place with one Deployment that refers to ConfigMaps, before Serin has a copy of it.
func newTracked(t *testing.T) (p *place, rest workload.Deployment) {
	t.Helper()
	p = newPlace(t)
	p.c.Apply(t, p.ns, settings)
	p.patch(p.stable, naming)
	p.until(workload.Deployment{Name: p.stable}, workload.Ready)
	return p, p.one()
}

// track applies once with ConfigMaps tracked.
func (p *place) track(release string, d ...workload.Deployment) (workload.Status, error) {
	p.t.Helper()
	o, err := p.kube.Apply(p.t.Context(), workload.Target{Release: release, Arms: p.arms, Copied: true, Track: true, Deployments: d})
	if len(o.Deployments) == 0 {
		return workload.Status{}, err
	}
	return o.Deployments[0], err
}

// untilSo applies with ConfigMaps tracked until ok accepts the place.
func (p *place) untilSo(what, release string, ok func() bool, d ...workload.Deployment) {
	p.t.Helper()
	var s workload.Status
	var err error
	p.eventually(func() bool { s, err = p.track(release, d...); return err == nil && s.Phase == workload.Ready && ok() },
		func() string { return fmt.Sprintf("%s: %+v %v", what, s, err) })
}

func yes() bool { return true }

// carries is what a Deployment's pod template records about a ConfigMap.
func (p *place) carries(n workload.Name, configMap string) string {
	p.t.Helper()
	for one := range strings.SplitSeq(p.get(n).Spec.Template.Annotations["serin.dev/config-maps"], ",") {
		if hash, ok := strings.CutPrefix(one, configMap+"="); ok {
			return hash
		}
	}
	return ""
}

// copiesOf are the copies of a ConfigMap, by content.
func (p *place) copiesOf(name string) map[string]corev1.ConfigMap {
	p.t.Helper()
	list, err := p.c.Client.CoreV1().ConfigMaps(p.ns).List(p.t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/managed-by=serin,serin.dev/deployment=flask-stable"})
	require.NoError(p.t, err)
	out := map[string]corev1.ConfigMap{}
	for _, o := range list.Items {
		if o.Annotations["serin.dev/copy-of"] == name {
			data, err := json.Marshal(o.Data)
			require.NoError(p.t, err)
			out[string(data)] = o
		}
	}
	return out
}

func (p *place) paint(colour string) {
	p.t.Helper()
	_, err := p.c.Client.CoreV1().ConfigMaps(p.ns).Patch(p.t.Context(), "settings", types.MergePatchType, fmt.Appendf(nil, `{"data": {"COLOUR": %q}}`, colour), metav1.PatchOptions{})
	require.NoError(p.t, err)
}

// envFrom are the ConfigMaps that a Deployment's first container reads.
func (p *place) envFrom(n workload.Name) (out []string) {
	p.t.Helper()
	for _, from := range p.get(n).Spec.Template.Spec.Containers[0].EnvFrom {
		out = append(out, from.ConfigMapRef.Name)
	}
	return out
}

// written is what both Deployments have from writers other than the Deployment controller, which keeps counting pods
// while some end.
func (p *place) written() (out []any) {
	for _, name := range []workload.Name{p.canary, p.stable} {
		d := p.get(name)
		d.ResourceVersion, d.ManagedFields = "", nil
		delete(d.Annotations, "deployment.kubernetes.io/revision")
		out = append(out, d.ObjectMeta, d.Spec)
	}
	return out
}

func TestAChangedConfigMapIsReleasedAndStableKeepsTheOldOne(t *testing.T) {
	t.Parallel()
	p, rest := newTracked(t)
	p.untilSo("the copy", "", yes, rest)
	require.Empty(t, p.carries(p.canary, "settings"), "pods that serve users are not replaced")
	blue := p.carries(p.stable, "settings")
	require.Equal(t, []string{"settings-" + blue, "extra-absent", "bundle"}, p.envFrom(p.stable), "an optional one that does not exist stays absent; one that is not tracked is read directly")
	files := p.get(p.stable).Spec.Template.Spec.Volumes[0].ConfigMap.Name
	require.Equal(t, "files-"+p.carries(p.stable, "files"), files, "an immutable one may be deleted, so it has a copy too")
	require.Contains(t, p.copiesOf("settings"), `{"COLOUR":"blue"}`)
	require.True(t, *p.copiesOf("settings")[`{"COLOUR":"blue"}`].Immutable)

	p.untilSo("what the pods have is recorded", "", func() bool { return p.carries(p.canary, "settings") == blue }, rest)
	require.Equal(t, []string{"settings", "extra", "bundle"}, p.envFrom(p.canary), "the original does not change")
	require.False(t, p.template().New, "recording it is not a new version")

	p.paint("red")
	p.seen(func(t workload.Template) bool { return t.New && !t.InService })
	p.untilSo("the canary gets it", release, func() bool { return p.carries(p.canary, "settings") != blue }, workload.Deployment{Name: p.canary})
	red := p.template()
	require.True(t, red.New)
	require.NoError(t, p.kube.Seen(t.Context(), p.canary, red.Hash))
	p.seen(func(t workload.Template) bool { return !t.New })
	require.Equal(t, "settings-"+blue, p.envFrom(p.stable)[0], "users keep the old one")

	p.paint("blue")
	p.seen(func(t workload.Template) bool { return t.New && t.InService })
	p.paint("red")
	p.seen(func(t workload.Template) bool { return !t.New })
	p.untilSo("red again", release, yes, workload.Deployment{Name: p.canary})

	p.untilSo("promoted", release, yes, workload.Deployment{Name: p.stable, From: &p.canary, Whole: true})
	require.Equal(t, "settings-"+p.carries(p.canary, "settings"), p.envFrom(p.stable)[0])
	require.Len(t, p.copiesOf("settings"), 2, "the release may still go back")
	p.untilSo("back", release, func() bool { return p.envFrom(p.stable)[0] == "settings-"+blue }, workload.Deployment{Name: p.stable, Before: true})
	p.untilSo("and forth", release, func() bool { return p.envFrom(p.stable)[0] != "settings-"+blue }, workload.Deployment{Name: p.stable, From: &p.canary, Whole: true})
	_, err := p.kube.Apply(t.Context(), workload.Target{Release: release, Arms: p.arms, Copied: true, Track: true, Forget: true})
	require.NoError(t, err)
	const undo, undone = "01J0000000000000000000000B", "01J0000000000000000000000C"
	p.untilSo("at rest", "", yes, rest)
	require.Len(t, p.copiesOf("settings"), 2, "the release may be undone")
	p.untilSo("undone", undo, yes, workload.Deployment{Name: p.stable, Previous: release, Whole: true})
	require.Equal(t, "settings-"+blue, p.envFrom(p.stable)[0], "stable reads what it read before")
	_, err = p.kube.Apply(t.Context(), workload.Target{Release: undo, Arms: p.arms, Copied: true, Track: true, Forget: true})
	require.NoError(t, err)
	p.untilSo("the undo is undone", undone, yes, workload.Deployment{Name: p.stable, Previous: undo, Whole: true})
	require.NotEqual(t, "settings-"+blue, p.envFrom(p.stable)[0])
	_, err = p.kube.Apply(t.Context(), workload.Target{Release: undone, Arms: p.arms, Copied: true, Track: true, Forget: true})
	require.NoError(t, err)
	p.untilSo("what is in service is recorded", "", yes, rest)

	written := p.written()
	for range 3 {
		_, err := p.track("", rest)
		require.NoError(t, err)
	}
	require.Equal(t, written, p.written(), "at rest nothing is written")

	leave := workload.Deployment{Name: p.canary, From: &p.stable, Whole: true, Watch: true, Replicas: &workload.Replicas{Share: 1, Of: &p.stable}}
	p.untilSo("Git has what is in service", "", yes, leave)
}

func TestConfigMapsCanBeTrackedFromNowOn(t *testing.T) {
	t.Parallel()
	p, rest := newTracked(t)
	p.untilCopied("", rest, workload.Ready)
	p.patch(p.canary, `{"spec": {"template": {"spec": {"containers": [{"name": "flask", "image": "flask:2"}]}}}}`)
	bad := p.seen(func(t workload.Template) bool { return t.New })
	require.NoError(t, p.kube.Seen(t.Context(), p.canary, bad.Hash)) // it was tried, and has gone back

	p.untilSo("the copy gets its own", "", func() bool { return p.carries(p.stable, "settings") != "" }, rest)
	require.Equal(t, "flask:1", p.images(p.stable)["flask"])
	require.False(t, p.template().New, "a version that has failed is not tried again")
	p.untilSo("noted", "", func() bool { return p.carries(p.canary, "settings") != "" }, rest)
	p.seen(func(t workload.Template) bool { return !t.New })

	// A tool that replaces the whole Deployment drops the record, which is not a new version either.
	p.patch(p.canary, `{"spec": {"template": {"metadata": {"annotations": {"serin.dev/config-maps": null}}}}}`)
	p.seen(func(t workload.Template) bool { return !t.New })
	p.untilSo("recorded again", "", func() bool { return p.carries(p.canary, "settings") != "" }, rest)
	require.False(t, p.template().New)

	// They can also be tracked no longer: the copy's may differ from what the pods would get, so that is released.
	p.eventually(func() bool { p.copied("", rest); return p.carries(p.canary, "settings") == "" })
	require.Empty(t, p.carries(p.canary, "settings"))
	p.seen(func(t workload.Template) bool { return t.New })
}

func TestACopyOfAConfigMapThatIsDeletedIsMadeAgainWhileItsContentIsKnown(t *testing.T) {
	t.Parallel()
	p, rest := newTracked(t)
	p.untilSo("the copy", "", yes, rest)
	name := p.envFrom(p.stable)[0]
	remove := func() {
		require.NoError(t, p.c.Client.CoreV1().ConfigMaps(p.ns).Delete(t.Context(), name, metav1.DeleteOptions{}))
	}
	remove()
	p.untilSo("it is there again", "", func() bool { return len(p.copiesOf("settings")) == 1 }, rest)

	p.paint("red")
	remove()
	var s workload.Status
	p.eventually(func() bool {
		var err error
		s, err = p.track("", rest)
		return err == nil && s.Why != ""
	})
	require.Equal(t, "ConfigMap "+p.ns+"/"+name+", the copy of settings that pods need, is not there, and settings has changed since", s.Why)
	require.Equal(t, workload.Ready, s.Phase, "its pods are running, so the next release could go back to them")
}

// Two services in a namespace read the same ConfigMap. One has released the change, and the other still has the old
// one.
func TestACopyOfAConfigMapStaysWhileAnotherDeploymentNeedsIt(t *testing.T) {
	t.Parallel()
	p, rest := newTracked(t)
	p.untilSo("the copy", "", func() bool { return p.carries(p.canary, "settings") != "" }, rest)
	blue := p.envFrom(p.stable)[0]
	other := p.get(p.stable).Spec.DeepCopy()
	other.Replicas, other.Selector.MatchLabels, other.Template.Labels = new(int32), map[string]string{"app": "other"}, map[string]string{"app": "other"}
	deployments := p.c.Client.AppsV1().Deployments(p.ns)
	_, err := deployments.Create(t.Context(), &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "other-stable"}, Spec: *other}, metav1.CreateOptions{})
	require.NoError(t, err)

	before := blue
	for colour, release := range map[string]string{"red": release, "green": "01J0000000000000000000000B"} { // the last one may be undone
		p.paint(colour)
		p.untilSo("the canary gets it", release, func() bool { return "settings-"+p.carries(p.canary, "settings") != before }, workload.Deployment{Name: p.canary})
		p.untilSo("promoted", release, func() bool { return p.envFrom(p.stable)[0] != before }, workload.Deployment{Name: p.stable, From: &p.canary, Whole: true})
		_, err = p.kube.Apply(t.Context(), workload.Target{Release: release, Arms: p.arms, Copied: true, Track: true, Forget: true})
		require.NoError(t, err)
		before = p.envFrom(p.stable)[0]
	}
	p.c.Apply(t, p.ns, `
{apiVersion: v1, kind: ConfigMap, metadata: {name: stale-1, annotations: {serin.dev/copy-of: stale},
  labels: {app.kubernetes.io/managed-by: serin, serin.dev/arm: stable, serin.dev/deployment: flask-stable}}}`)
	p.untilSo("a copy that is not needed is deleted", "", func() bool { return len(p.copiesOf("stale")) == 0 }, rest)
	require.Contains(t, p.copiesOf("settings"), `{"COLOUR":"blue"}`, "the pods of the other Deployment could not be started without it")

	require.NoError(t, deployments.Delete(t.Context(), "other-stable", metav1.DeleteOptions{}))
	p.untilSo("and later this one too", "", func() bool { return len(p.copiesOf("settings")) == 2 }, rest)
	require.NotContains(t, p.copiesOf("settings"), `{"COLOUR":"blue"}`)
}

// A tool that renews a bundle of certificates deletes it first.
func TestStablesPodsStayIfAConfigMapThatIsNotTrackedIsDeleted(t *testing.T) {
	t.Parallel()
	p, rest := newTracked(t)
	p.patch(p.canary, `{"spec": {"template": {"spec": {"containers": [{"name": "flask", "envFrom": [{"configMapRef": {"name": "settings"}}, {"configMapRef": {"name": "bundle", "optional": true}}]}]}}}}`)
	p.untilSo("the copy", "", func() bool { return p.carries(p.canary, "settings") != "" }, rest)
	require.Equal(t, "bundle", p.envFrom(p.stable)[1])
	require.NoError(t, p.c.Client.CoreV1().ConfigMaps(p.ns).Delete(t.Context(), "bundle", metav1.DeleteOptions{}))
	p.seen(func(t workload.Template) bool { return t.New })
	p.untilSo("at rest", "", yes, rest)
	require.Equal(t, "bundle", p.envFrom(p.stable)[1])
}

func TestTheWayBackWaitsForNoConfigMap(t *testing.T) {
	t.Parallel()
	p, rest := newTracked(t)
	p.untilSo("the copy", "", func() bool { return p.carries(p.canary, "settings") != "" }, rest)
	blue := p.envFrom(p.stable)[0]
	p.paint("red")
	p.untilSo("the canary gets it", release, func() bool { return "settings-"+p.carries(p.canary, "settings") != blue }, workload.Deployment{Name: p.canary})
	p.untilSo("promoted", release, func() bool { return p.envFrom(p.stable)[0] != blue }, workload.Deployment{Name: p.stable, From: &p.canary, Whole: true})

	// Git already has the next template, but not yet its ConfigMap.
	p.patch(p.canary, `{"spec": {"template": {"spec": {"containers": [{"name": "proxy", "envFrom": [{"configMapRef": {"name": "late"}}]}]}}}}`)
	p.eventually(func() bool { _, err := p.kube.Template(t.Context(), p.canary); return err != nil })
	back := workload.Deployment{Name: p.stable, Before: true}
	_, err := p.track(release, back)
	require.NoError(t, err)
	p.untilSo("back", release, func() bool { return p.envFrom(p.stable)[0] == blue }, back)
}

func TestWhatIsMissingForConfigMapsIsReported(t *testing.T) {
	t.Parallel()
	t.Run("a right that is missing", func(t *testing.T) {
		t.Parallel()
		p, rest := newTracked(t)
		user := p.c.ServiceAccount(t, p.ns, "limited")
		p.c.Apply(t, p.ns, strings.ReplaceAll(`
{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: limited}, rules: [
  {apiGroups: [apps, "", autoscaling, policy], resources: [deployments, replicasets, pods, services, horizontalpodautoscalers, poddisruptionbudgets, events],
   verbs: [get, list, watch, create, patch]}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: limited}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: limited},
 subjects: [{kind: ServiceAccount, name: limited, namespace: NS}]}`, "NS", p.ns))
		p.kube = p.connect(user)
		var err error
		await.Until(t, "Serin says which right it lacks", func() string {
			if _, err = p.track("", rest); err != nil && strings.Contains(err.Error(), `cannot list resource "configmaps"`) {
				return ""
			}
			return fmt.Sprint(err)
		})
		require.False(t, p.exists(p.stable), "no copy is made whose ConfigMaps may change")
	})
	t.Run("a ConfigMap that is missing", func(t *testing.T) {
		t.Parallel()
		p, rest := newTracked(t)
		p.untilSo("the copy", "", yes, rest)
		p.patch(p.canary, `{"spec": {"template": {"spec": {"containers": [{"name": "proxy", "envFrom": [{"configMapRef": {"name": "late"}}]}]}}}}`)
		var err error
		p.eventually(func() bool { _, err = p.kube.Template(t.Context(), p.canary); return err != nil })
		require.ErrorContains(t, err, "ConfigMap "+p.ns+"/late, which the pod template names, is not there")
		p.c.Apply(t, p.ns, `{apiVersion: v1, kind: ConfigMap, metadata: {name: late}, data: {A: "1"}}`)
		p.eventually(func() bool { _, err = p.kube.Template(t.Context(), p.canary); return err == nil && p.template().New })
		require.True(t, p.template().New, "one release, once it is there: %v", err)
	})
	t.Run("a name that is taken", func(t *testing.T) {
		t.Parallel()
		p, rest := newTracked(t)
		p.untilSo("the copy", "", yes, rest)
		name := p.envFrom(p.stable)[0]
		require.NoError(t, p.c.Client.AppsV1().Deployments(p.ns).Delete(t.Context(), p.stable.Name, metav1.DeleteOptions{}))
		require.NoError(t, p.c.Client.CoreV1().ConfigMaps(p.ns).Delete(t.Context(), name, metav1.DeleteOptions{}))
		p.c.Apply(t, p.ns, "{apiVersion: v1, kind: ConfigMap, metadata: {name: "+name+"}, data: {COLOUR: green}}")
		var s workload.Status
		var err error
		p.eventually(func() bool { s, err = p.track("", rest); return err != nil || s.Phase == workload.Failed })
		require.Contains(t, fmt.Sprint(s.Why, err), "ConfigMap "+p.ns+"/"+name+" is there, and is not the copy that Serin makes")
	})
}
