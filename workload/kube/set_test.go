package kube_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/serindev/serin/workload"
)

const setManifests = `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: search}
spec:
  replicas: 2
  serviceName: search
  podManagementPolicy: Parallel
  selector: {matchLabels: {app: search}}
  template:
    metadata: {labels: {app: search}}
    spec: {containers: [{name: search, image: "search:1"}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: search-canary}
spec:
  replicas: 0
  serviceName: search-canary
  podManagementPolicy: Parallel
  selector: {matchLabels: {app: search-canary}}
  template:
    metadata: {labels: {app: search-canary}}
    spec: {containers: [{name: search, image: "search:1"}]}
---
apiVersion: v1
kind: Service
metadata: {name: search}
spec: {selector: {app: search}, ports: [{name: web, port: 9200}]}
`

// imageOfSet returns the image and the number of replicas of a StatefulSet.
func (p *place) imageOfSet(name string) (string, int32) {
	p.t.Helper()
	s, err := p.c.Client.AppsV1().StatefulSets(p.ns).Get(p.t.Context(), name, metav1.GetOptions{})
	require.NoError(p.t, err)
	return s.Spec.Template.Spec.Containers[0].Image, *s.Spec.Replicas
}

func TestStatefulSetsAreReleasedAndRolledBack(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.c.Apply(t, p.ns, setManifests)
	p.stable = workload.Name{Namespace: p.ns, Name: "search", Kind: workload.StatefulSet}
	p.canary = workload.Name{Namespace: p.ns, Name: "search-canary", Kind: workload.StatefulSet}
	p.arms = workload.Arms{Stable: workload.Arm{Deployment: p.stable, Service: "search"}, Canary: workload.Arm{Deployment: p.canary, Service: "search-canary"}}
	p.until(workload.Deployment{Name: p.stable}, workload.Ready)

	p.until(workload.Deployment{Name: p.canary, Images: map[string]string{"search": "search:2"}, Replicas: &workload.Replicas{Share: 0.5, Of: &p.stable}}, workload.Ready)
	image, n := p.imageOfSet("search-canary")
	require.Equal(t, "search:2", image)
	require.EqualValues(t, 1, n)
	service, err := p.c.Client.CoreV1().Services(p.ns).Get(t.Context(), "search-canary", metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"app": "search-canary"}, service.Spec.Selector)

	p.until(workload.Deployment{Name: p.stable, From: &p.canary}, workload.Ready)
	image, _ = p.imageOfSet("search")
	require.Equal(t, "search:2", image)
	p.until(workload.Deployment{Name: p.stable, Before: true}, workload.Ready)
	image, n = p.imageOfSet("search")
	require.Equal(t, "search:1", image, "as before the release")
	require.EqualValues(t, 2, n)
	p.until(workload.Deployment{Name: p.canary, Before: true}, workload.Ready)
	image, n = p.imageOfSet("search-canary")
	require.Equal(t, "search:1", image)
	require.Zero(t, n)
	p.forget()

	missing := workload.Name{Namespace: p.ns, Name: "nobody", Kind: workload.StatefulSet}
	s := p.until(workload.Deployment{Name: missing, Create: &p.stable, Images: map[string]string{"search": "search:2"}}, workload.Failed)
	require.Contains(t, s.Why, "there is no such StatefulSet, and none is made")
}

// field.md, 30: restarting the pods of a canary releases nothing.
func TestARestartOfTheCanaryIsNotANewTemplate(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.until(p.newCanary("2", 0.5), workload.Ready)
	p.forget()
	before := p.template()
	require.False(t, before.New)
	p.patch(p.canary, `{"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "2026-11-30T10:00:00Z"}}}}}`)
	p.seen(func(workload.Template) bool {
		return p.get(p.canary).Status.ObservedGeneration == p.get(p.canary).Generation
	})
	now := p.template()
	require.False(t, now.New)
	require.Equal(t, before.Hash, now.Hash)
	p.patch(p.canary, `{"spec": {"template": {"spec": {"containers": [{"name": "flask", "image": "flask:3"}]}}}}`)
	require.True(t, p.seen(func(t workload.Template) bool { return t.New }).New)
}
