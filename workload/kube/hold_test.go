package kube_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/share"
	"github.com/serindev/serin/workload"
)

// load holds the metrics for autoscalers, as an adapter serves them to the API server: requests by the name of a
// metric.
type load struct {
	mu       sync.Mutex
	requests map[string]int64
}

const metricsGroup = "/apis/external.metrics.k8s.io/v1beta1"

// newLoad serves metrics to the real HorizontalPodAutoscaler controller. The cluster has only one such API, so only one
// test may use it.
func (p *place) newLoad(requests map[string]int64) *load {
	p.t.Helper()
	l := &load{requests: requests}
	server := httptest.NewUnstartedServer(l)
	server.StartTLS()
	p.t.Cleanup(server.Close)
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	require.NoError(p.t, err)
	services := schema.GroupVersionResource{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"}
	const name = "v1beta1.external.metrics.k8s.io"
	client := dynamic.NewForConfigOrDie(p.c.Config).Resource(services)
	p.t.Cleanup(func() { // before its server is closed: no namespace is deleted while an API does not answer
		_ = client.Delete(context.WithoutCancel(p.t.Context()), name, metav1.DeleteOptions{})
	})
	p.c.Apply(p.t, p.ns, fmt.Sprintf(`
{apiVersion: v1, kind: Service, metadata: {name: metrics}, spec: {type: ExternalName, externalName: localhost, ports: [{port: %[1]s}]}}
---
{apiVersion: apiregistration.k8s.io/v1, kind: APIService, metadata: {name: %[2]s}, spec: {group: external.metrics.k8s.io, version: v1beta1,
  insecureSkipTLSVerify: true, groupPriorityMinimum: 100, versionPriority: 100, service: {namespace: %[3]s, name: metrics, port: %[1]s}}}`, port, name, p.ns))
	await.True(p.t, func() bool {
		_, err := p.c.Client.Discovery().RESTClient().Get().AbsPath(metricsGroup).DoRaw(p.t.Context())
		return err == nil
	}, "the API server serves the metrics")
	return l
}

func (l *load) set(requests map[string]int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests = requests
}

func (l *load) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	answer := map[string]any{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "external.metrics.k8s.io/v1beta1", "resources": []any{}}
	if rest, asked := strings.CutPrefix(r.URL.Path, metricsGroup+"/namespaces/"); asked {
		_, name, _ := strings.Cut(rest, "/")
		answer = map[string]any{"kind": "ExternalMetricValueList", "apiVersion": "external.metrics.k8s.io/v1beta1", "metadata": map[string]any{}, "items": []any{
			map[string]any{"metricName": name, "metricLabels": map[string]string{}, "timestamp": time.Now().UTC().Format(time.RFC3339), "value": fmt.Sprint(l.requests[name])},
		}}
	} else if r.URL.Path != metricsGroup {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}

// byRequests is an autoscaler that gives a Deployment a pod for each hundred requests.
const byRequests = `
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: NAME}
spec:
  minReplicas: 1
  maxReplicas: 9
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: NAME}
  metrics: [{type: External, external: {metric: {name: NAME}, target: {type: AverageValue, averageValue: "100"}}}]
  behavior: {scaleDown: {stabilizationWindowSeconds: 0}}
`

func (p *place) scaler(name string) *autoscalingv2.HorizontalPodAutoscaler {
	p.t.Helper()
	h, err := p.c.Client.AutoscalingV2().HorizontalPodAutoscalers(p.ns).Get(p.t.Context(), name, metav1.GetOptions{})
	require.NoError(p.t, err)
	return h
}

// has waits until the autoscaler of a Deployment has seen that many requests, and the Deployment has that many pods.
func (p *place) has(name string, requests, pods int64) {
	p.t.Helper()
	var h *autoscalingv2.HorizontalPodAutoscaler
	await.True(p.t, func() bool {
		h = p.scaler(name)
		now := h.Status.CurrentMetrics
		return len(now) > 0 && now[0].External != nil && now[0].External.Current.AverageValue != nil &&
			now[0].External.Current.AverageValue.MilliValue() == requests*1000/pods && int64(h.Status.CurrentReplicas) == pods
	}, "%d pods of %s", pods, name)
}

// untilHeld applies again until a canary is ready, with autoscalers held or not.
func (p *place) untilHeld(hold bool, d workload.Deployment) (o workload.Observed) {
	p.t.Helper()
	p.eventually(func() bool {
		t := p.target(release, d)
		t.Hold = hold
		var err error
		o, err = p.kube.Apply(p.t.Context(), t)
		require.NoError(p.t, err)
		return o.Deployments[0].Phase == workload.Ready
	})
	require.Empty(p.t, o.Deployments[0].Changed)
	require.Equal(p.t, workload.Ready, o.Deployments[0].Phase, o.Deployments[0].Why)
	return o
}

// field.md, 29: stable's autoscaler removes pods while the canary has the users, who come back at once if it is bad.
func TestAutoscalersRemoveNoPodsWhileUsersMayComeBack(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	load := p.newLoad(map[string]int64{"flask": 400})
	manifest := strings.ReplaceAll(byRequests, "NAME", "flask")
	p.c.Apply(t, p.ns, manifest)
	p.has("flask", 400, 4)
	before := p.scaler("flask").Spec
	p.untilHeld(true, p.newCanary("2", 0.5))
	p.c.Apply(t, p.ns, strings.ReplaceAll(byRequests, "NAME", "flask-canary"))
	p.eventually(func() bool {
		p.untilHeld(true, p.newCanary("2", 0.5))
		b := p.scaler("flask-canary").Spec.Behavior
		return b.ScaleDown.SelectPolicy != nil && *b.ScaleDown.SelectPolicy == autoscalingv2.DisabledPolicySelect
	})

	load.set(map[string]int64{"flask": 200, "flask-canary": 200}) // half of the users are on the canary
	p.has("flask", 200, 4)
	p.has("flask-canary", 200, 2)
	p.c.Apply(t, p.ns, manifest) // as a controller that restores the state in Git does
	p.has("flask", 200, 4)

	load.set(map[string]int64{"flask": 100, "flask-canary": 300})
	p.has("flask-canary", 300, 3)
	p.untilHeld(true, p.newCanary("2", 0.5))
	p.has("flask-canary", 300, 3)
	require.EqualValues(t, 3, *p.get(p.canary).Spec.Replicas, "what the autoscaler adds stays")
	p.untilHeld(true, p.newCanary("2", 1))
	p.has("flask-canary", 300, 4)
	p.has("flask", 100, 4)

	p.untilHeld(false, workload.Deployment{Name: p.canary, Replicas: &workload.Replicas{}})
	require.Equal(t, before, p.scaler("flask").Spec, "it is as it was")
	require.Empty(t, p.scaler("flask").Annotations["serin.dev/held"])
	require.NotEqual(t, autoscalingv2.DisabledPolicySelect, *p.scaler("flask-canary").Spec.Behavior.ScaleDown.SelectPolicy)
	p.has("flask", 100, 1)
}

// What others write while an autoscaler is held stays, and only the release that holds it releases it at the end.
func TestAnAutoscalerThatIsHeldKeepsWhatOthersWrite(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.c.Apply(t, p.ns, alongside)
	bare := p.scaler("flask-scaler").Spec
	require.Nil(t, bare.Behavior)
	p.untilHeld(true, p.newCanary("2", 0.5))
	require.Equal(t, autoscalingv2.DisabledPolicySelect, *p.scaler("flask-scaler").Spec.Behavior.ScaleDown.SelectPolicy)

	_, err := p.kube.Apply(t.Context(), workload.Target{Release: "another", Arms: p.arms, Forget: true})
	require.NoError(t, err)
	require.Equal(t, autoscalingv2.DisabledPolicySelect, *p.scaler("flask-scaler").Spec.Behavior.ScaleDown.SelectPolicy)
	p.letGo(func() bool { return p.scaler("flask-scaler").Spec.Behavior == nil })
	require.Equal(t, bare, p.scaler("flask-scaler").Spec)

	p.untilHeld(true, p.newCanary("2", 0.5))
	p.eventually(func() bool {
		p.untilHeld(true, p.newCanary("2", 0.5))
		return p.scaler("flask-scaler").Annotations["serin.dev/held"] != ""
	})
	_, err = p.c.Client.AutoscalingV2().HorizontalPodAutoscalers(p.ns).Patch(t.Context(), "flask-scaler", types.MergePatchType,
		[]byte(`{"spec": {"maxReplicas": 12, "behavior": {"scaleDown": {"stabilizationWindowSeconds": 60}}}}`), metav1.PatchOptions{FieldManager: "somebody"})
	require.NoError(t, err)
	p.letGo(func() bool {
		return *p.scaler("flask-scaler").Spec.Behavior.ScaleDown.SelectPolicy != autoscalingv2.DisabledPolicySelect
	})
	now := p.scaler("flask-scaler").Spec
	require.EqualValues(t, 12, now.MaxReplicas)
	require.EqualValues(t, 60, *now.Behavior.ScaleDown.StabilizationWindowSeconds)
}

// letGo ends the release, repeatedly until done: the cache may not know yet that the autoscaler is held.
func (p *place) letGo(done func() bool) {
	p.t.Helper()
	p.eventually(func() bool { p.forget(); return done() })
	require.True(p.t, done())
}

func TestWithoutTheRightToHoldAnAutoscalerTheReleaseSaysSoAndContinues(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.c.Apply(t, p.ns, alongside)
	account := p.c.ServiceAccount(t, p.ns, "serin")
	p.grant("serin", reading+writing)
	p.kube = p.connect(account)
	p.eventually(func() bool {
		_, err := p.kube.Apply(t.Context(), p.target(release, workload.Deployment{Name: p.stable}))
		return err == nil
	})
	o := p.untilHeld(true, p.newCanary("2", 0.5))
	require.Len(t, o.Notes, 1)
	require.Contains(t, o.Notes[0], "HorizontalPodAutoscaler "+p.ns+"/flask-scaler may take pods away while the canary has users")
	require.Contains(t, o.Notes[0], "forbidden")
	require.Contains(t, strings.Join(p.events("Deployment", "flask"), "\n"), "may take pods away")
}

// kedaDefinition is the part of KEDA's definition that is written here.
const kedaDefinition = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: scaledobjects.keda.sh}
spec:
  group: keda.sh
  scope: Namespaced
  names: {kind: ScaledObject, plural: scaledobjects, singular: scaledobject}
  versions:
    - name: v1alpha1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, required: [scaleTargetRef], properties: {
        scaleTargetRef: {type: object, properties: {name: {type: string}}},
        minReplicaCount: {type: integer, format: int32}, idleReplicaCount: {type: integer, format: int32}, maxReplicaCount: {type: integer, format: int32},
        advanced: {type: object, properties: {horizontalPodAutoscalerConfig: {type: object, properties: {behavior: {type: object, properties: {
          scaleDown: {type: object, properties: {selectPolicy: {type: string}, stabilizationWindowSeconds: {type: integer, format: int32}}}}}}}}},
        triggers: {type: array, items: {type: object, x-kubernetes-preserve-unknown-fields: true}}}}}}}
`

// keda does what KEDA's operator does to the objects of a ScaledObject (kedacore/keda 2.18, controllers/keda/hpa.go and
// pkg/scaling/executor/scale_scaledobjects.go): it keeps an autoscaler with the minimum and the behaviour of the
// ScaledObject, brings a workload below the minimum up to it, and while paused, removes the autoscaler and keeps the
// replicas.
type keda struct {
	p       *place
	objects dynamic.ResourceInterface
}

func (p *place) newKEDA() *keda {
	p.t.Helper()
	p.c.Apply(p.t, "", kedaDefinition)
	resource := schema.GroupVersionResource{Group: "keda.sh", Version: "v1alpha1", Resource: "scaledobjects"}
	k := &keda{p, dynamic.NewForConfigOrDie(p.c.Config).Resource(resource).Namespace(p.ns)}
	await.True(p.t, func() bool {
		_, err := k.objects.List(p.t.Context(), metav1.ListOptions{})
		return err == nil
	}, "KEDA's objects are served")
	ctx, cancel := context.WithCancel(context.WithoutCancel(p.t.Context()))
	var running sync.WaitGroup
	running.Go(func() {
		for ctx.Err() == nil {
			k.turn(ctx)
			time.Sleep(50 * time.Millisecond)
		}
	})
	p.t.Cleanup(func() { cancel(); running.Wait() })
	return k
}

func (k *keda) turn(ctx context.Context) {
	list, err := k.objects.List(ctx, metav1.ListOptions{})
	if err != nil {
		return // it tries again
	}
	for i := range list.Items {
		k.bring(ctx, &list.Items[i])
	}
}

func (k *keda) bring(ctx context.Context, o *unstructured.Unstructured) {
	target, _, _ := unstructured.NestedString(o.Object, "spec", "scaleTargetRef", "name")
	least, _, _ := unstructured.NestedInt64(o.Object, "spec", "minReplicaCount")
	scalers, deployments := k.p.c.Client.AutoscalingV2().HorizontalPodAutoscalers(k.p.ns), k.p.c.Client.AppsV1().Deployments(k.p.ns)
	scale := func(n int32) {
		if s, err := deployments.GetScale(ctx, target, metav1.GetOptions{}); err == nil && s.Spec.Replicas != n {
			s.Spec.Replicas = n
			_, _ = deployments.UpdateScale(ctx, target, s, metav1.UpdateOptions{FieldManager: "keda"})
		}
	}
	name := "keda-hpa-" + o.GetName()
	if o.GetAnnotations()["autoscaling.keda.sh/paused-replicas"] == "0" {
		scale(0)
		_ = scalers.Delete(ctx, name, metav1.DeleteOptions{})
		return
	}
	if d, err := deployments.Get(ctx, target, metav1.GetOptions{}); err == nil && int64(*d.Spec.Replicas) < least {
		scale(int32(least)) //nolint:gosec // a handful
	}
	least = max(1, least)
	h := &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Name: name, OwnerReferences: []metav1.OwnerReference{
		*metav1.NewControllerRef(o, schema.GroupVersionKind{Group: "keda.sh", Version: "v1alpha1", Kind: "ScaledObject"}),
	}}}
	create := false
	if now, err := scalers.Get(ctx, name, metav1.GetOptions{}); err == nil {
		h = now
	} else if create = apierrors.IsNotFound(err); !create {
		return
	}
	h.Spec = autoscalingv2.HorizontalPodAutoscalerSpec{
		MinReplicas: new(int32(least)), MaxReplicas: 9, //nolint:gosec // a handful
		ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: target},
		Metrics: []autoscalingv2.MetricSpec{{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{
			Name: "cpu", Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: new(int32(50))},
		}}},
	}
	if b, there, _ := unstructured.NestedMap(o.Object, "spec", "advanced", "horizontalPodAutoscalerConfig", "behavior"); there {
		data, _ := json.Marshal(b)
		_ = json.Unmarshal(data, &h.Spec.Behavior)
	}
	if create {
		_, _ = scalers.Create(ctx, h, metav1.CreateOptions{FieldManager: "keda"})
	} else {
		_, _ = scalers.Update(ctx, h, metav1.UpdateOptions{FieldManager: "keda"})
	}
}

func (k *keda) object(name string) *unstructured.Unstructured {
	k.p.t.Helper()
	o, err := k.objects.Get(k.p.t.Context(), name, metav1.GetOptions{})
	require.NoError(k.p.t, err)
	return o
}

// field.md, 28: KEDA keeps writing the autoscaler that it makes, and brings back the pods of a canary that must have
// none.
func TestAScaledObjectOfKEDAIsHeldAndPausedThroughItself(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	k := p.newKEDA()
	p.until(p.newCanary("2", 0.25), workload.Ready)
	p.c.Apply(t, p.ns, `
{apiVersion: keda.sh/v1alpha1, kind: ScaledObject, metadata: {name: stable}, spec: {scaleTargetRef: {name: flask}, minReplicaCount: 4, maxReplicaCount: 9, triggers: [],
  advanced: {horizontalPodAutoscalerConfig: {behavior: {scaleDown: {stabilizationWindowSeconds: 30}}}}}}
---
{apiVersion: keda.sh/v1alpha1, kind: ScaledObject, metadata: {name: canary}, spec: {scaleTargetRef: {name: flask-canary}, minReplicaCount: 2, maxReplicaCount: 9, triggers: []}}
---
{apiVersion: keda.sh/v1alpha1, kind: ScaledObject, metadata: {name: idle}, spec: {scaleTargetRef: {name: nobody}, minReplicaCount: 0, triggers: []}}`)
	before := map[string]any{}
	for _, name := range []string{"stable", "canary"} {
		before[name] = k.object(name).Object["spec"]
	}
	isHeld := func(name string) bool {
		h, err := p.c.Client.AutoscalingV2().HorizontalPodAutoscalers(p.ns).Get(t.Context(), "keda-hpa-"+name, metav1.GetOptions{})
		return err == nil && h.Spec.Behavior != nil && h.Spec.Behavior.ScaleDown != nil && h.Spec.Behavior.ScaleDown.SelectPolicy != nil &&
			*h.Spec.Behavior.ScaleDown.SelectPolicy == autoscalingv2.DisabledPolicySelect
	}
	hold := func(weight share.Share) {
		p.eventually(func() bool {
			p.untilHeld(true, p.newCanary("2", weight))
			return isHeld("stable") && isHeld("canary")
		})
		require.True(t, isHeld("stable"))
		require.True(t, isHeld("canary"))
	}
	hold(0.5)
	p.untilHeld(true, p.newCanary("2", 1))
	require.EqualValues(t, 4, *p.get(p.canary).Spec.Replicas)

	p.eventually(func() bool {
		p.untilHeld(false, workload.Deployment{Name: p.canary, Replicas: &workload.Replicas{}})
		return k.object("canary").GetAnnotations()["autoscaling.keda.sh/paused-replicas"] == "0" && !isHeld("stable")
	})
	for _, name := range []string{"stable", "canary"} {
		require.Equal(t, before[name], k.object(name).Object["spec"], name)
	}
	p.forget()
	p.eventually(func() bool { return len(p.scalersOf("keda-hpa-canary")) == 0 })
	require.Empty(t, p.scalersOf("keda-hpa-canary"), "KEDA has seen the pause")
	require.Zero(t, *p.get(p.canary).Spec.Replicas)

	p.untilHeld(true, p.newCanary("3", 0.5)) // the next release
	p.eventually(func() bool { return len(p.scalersOf("keda-hpa-canary")) == 1 })
	require.NotContains(t, k.object("canary").GetAnnotations(), "autoscaling.keda.sh/paused-replicas")
	require.NotContains(t, p.get(p.canary).Annotations, "serin.dev/paused")
	require.EqualValues(t, 2, *p.get(p.canary).Spec.Replicas)
}

// scalersKnown is how many autoscalers of a Deployment the watch has reported.
func (p *place) scalersKnown(of workload.Name) int {
	p.t.Helper()
	list, err := p.kube.Scalers(p.t.Context(), of)
	require.NoError(p.t, err)
	return len(list)
}

// A controller that restores the state in Git restores the fields that are in Git, and leaves others alone.
func TestAScaledObjectIsAsBeforeAlthoughAnotherWriterRestoresAPartOfIt(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	k := p.newKEDA()
	p.until(p.newCanary("2", 0.5), workload.Ready)
	p.c.Apply(t, p.ns, `
{apiVersion: keda.sh/v1alpha1, kind: ScaledObject, metadata: {name: stable}, spec: {scaleTargetRef: {name: flask}, minReplicaCount: 2, idleReplicaCount: 0, maxReplicaCount: 9, triggers: []}}
---
{apiVersion: keda.sh/v1alpha1, kind: ScaledObject, metadata: {name: canary}, spec: {scaleTargetRef: {name: flask-canary}, maxReplicaCount: 9, triggers: [],
  advanced: {horizontalPodAutoscalerConfig: {behavior: {scaleDown: {selectPolicy: Max}}}}}}`)
	before := map[string]any{"stable": k.object("stable").Object["spec"], "canary": k.object("canary").Object["spec"]}
	p.eventually(func() bool { return p.scalersKnown(p.stable) == 1 && p.scalersKnown(p.canary) == 1 })
	hold := func(after string) {
		p.untilHeld(true, p.newCanary("2", 0.5))
		for name, least := range map[string]int64{"stable": 2, "canary": 1} {
			o := k.object(name).Object
			policy, _, err := unstructured.NestedString(o, "spec", "advanced", "horizontalPodAutoscalerConfig", "behavior", "scaleDown", "selectPolicy")
			require.NoError(t, err)
			require.Equal(t, "Disabled", policy, after)
			n, _, err := unstructured.NestedInt64(o, "spec", "minReplicaCount")
			require.NoError(t, err)
			require.Equal(t, least, n, after)
			require.NotContains(t, o["spec"], "idleReplicaCount", "KEDA would remove all pods while there is no work")
		}
	}
	hold("")
	for name, put := range map[string]string{
		"canary": `{"spec": {"advanced": {"horizontalPodAutoscalerConfig": {"behavior": {"scaleDown": {"selectPolicy": "Max"}}}}}}`,
		"stable": `{"spec": {"idleReplicaCount": 0}}`, // KEDA's autoscaler does not change with it
	} {
		k.patch(name, put)
	}
	p.eventually(func() bool { // the watch has to report it
		p.untilHeld(true, p.newCanary("2", 0.5))
		policy, _, err := unstructured.NestedString(k.object("canary").Object, "spec", "advanced", "horizontalPodAutoscalerConfig", "behavior", "scaleDown", "selectPolicy")
		return err == nil && policy == "Disabled"
	})
	hold("the fields in Git were restored")

	// A person pauses it, so KEDA removes its autoscaler.
	k.patch("canary", `{"metadata": {"annotations": {"autoscaling.keda.sh/paused-replicas": "0"}}}`)
	p.eventually(func() bool { return p.scalersKnown(p.canary) == 0 })
	p.forget()
	for name, spec := range before {
		require.Equal(t, spec, k.object(name).Object["spec"], name)
		require.NotContains(t, k.object(name).GetAnnotations(), "serin.dev/held")
	}
}

func (k *keda) patch(name, patch string) {
	k.p.t.Helper()
	_, err := k.objects.Patch(k.p.t.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{FieldManager: "git"})
	require.NoError(k.p.t, err)
}

// KEDA removes the pods of a workload as soon as it is paused: before Serin has written the workload, or without a
// write.
func TestAPauseOfKEDAIsTakenBackAlthoughKEDAWasFaster(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	k := p.newKEDA()
	p.until(p.newCanary("2", 0.5), workload.Ready)
	p.c.Apply(t, p.ns, `
{apiVersion: keda.sh/v1alpha1, kind: ScaledObject, metadata: {name: canary}, spec: {scaleTargetRef: {name: flask-canary}, minReplicaCount: 2, maxReplicaCount: 9, triggers: []}}`)
	config := rest.CopyConfig(p.c.Config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			answer, err := next.RoundTrip(r)
			if err == nil && r.Method == http.MethodPatch && strings.Contains(r.URL.Path, "/scaledobjects/") && k.object("canary").GetAnnotations()["autoscaling.keda.sh/paused-replicas"] == "0" {
				p.patch(p.canary, `{"spec": {"replicas": 0}}`)
			}
			return answer, err
		})
	})
	p.kube = p.connect(config)
	p.eventually(func() bool { return p.scalersKnown(p.canary) == 1 })
	p.untilHeld(false, workload.Deployment{Name: p.canary, Replicas: &workload.Replicas{}})
	require.Equal(t, "0", k.object("canary").GetAnnotations()["autoscaling.keda.sh/paused-replicas"])
	require.Equal(t, "canary", p.get(p.canary).Annotations["serin.dev/paused"])
	p.forget()

	p.untilHeld(true, p.newCanary("3", 0.5))
	require.NotContains(t, k.object("canary").GetAnnotations(), "autoscaling.keda.sh/paused-replicas")
	require.EqualValues(t, 2, *p.get(p.canary).Spec.Replicas)
}

func TestTheWayBackWaitsForNoAutoscaler(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.c.Apply(t, p.ns, alongside)
	p.until(p.newCanary("2", 0.5), workload.Ready)
	p.until(workload.Deployment{Name: p.stable, From: &p.canary}, workload.Ready)
	config := rest.CopyConfig(p.c.Config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			if r.Method != http.MethodPatch || !strings.Contains(r.URL.Path, "/horizontalpodautoscalers/") {
				return next.RoundTrip(r)
			}
			const failure = `{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "InternalError", "code": 500, "message": "failed calling webhook \"policies\""}`
			return &http.Response{
				StatusCode: http.StatusInternalServerError, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(failure)), Request: r,
			}, nil
		})
	})
	p.kube = p.connect(config)
	p.eventually(func() bool { list, err := p.kube.Scalers(t.Context(), p.stable); return err == nil && len(list) == 1 })
	o := p.untilHeld(true, workload.Deployment{Name: p.stable, Before: true})
	require.Len(t, o.Notes, 1)
	require.Contains(t, o.Notes[0], "failed calling webhook")
	require.Equal(t, "flask:1", p.images(p.stable)["flask"])
}

// scalersOf are the autoscalers with a name.
func (p *place) scalersOf(name string) []autoscalingv2.HorizontalPodAutoscaler {
	p.t.Helper()
	list, err := p.c.Client.AutoscalingV2().HorizontalPodAutoscalers(p.ns).List(p.t.Context(), metav1.ListOptions{FieldSelector: "metadata.name=" + name})
	require.NoError(p.t, err)
	return list.Items
}

func TestADisruptionBudgetInTheWayIsReported(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.until(p.newCanary("2", 0.25), workload.Ready)
	notes := func() []string {
		out, err := p.kube.BudgetsInTheWay(t.Context(), p.arms)
		require.NoError(t, err)
		return out
	}
	budget := func(name, spec string) {
		p.c.Apply(t, p.ns, "{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: "+name+"}, spec: "+spec+"}")
	}
	budget("stable", "{minAvailable: 1, selector: {matchLabels: {app: flask}}}")
	require.Empty(t, notes(), "it is about stable's pods")
	budget("canary", "{minAvailable: 1, selector: {matchLabels: {app: flask-canary}}}")
	p.eventually(func() bool { return len(notes()) == 1 })
	require.Len(t, notes(), 1)
	require.Contains(t, notes()[0], "PodDisruptionBudget canary lets none of the canary's pods be evicted (1 of 1 are healthy, and 1 have to be)")
	budget("front", "{maxUnavailable: 1, selector: {matchLabels: {tier: front}}}")
	all := strings.Join(notes(), "\n")
	require.Contains(t, all, "PodDisruptionBudget front counts the pods of both versions as one")
	require.Contains(t, all, "the canary's pods have several PodDisruptionBudgets (canary, front)")
	require.Len(t, p.untilHeld(true, p.newCanary("2", 0.25)).Notes, 3)
}
