package kube

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/serindev/serin/workload"
)

// maxLabel is how long a label's value, and a name that is to be one, may be.
const maxLabel = 63

// armPrevious is the arm of the Deployment that keeps the version before.
const armPrevious = "previous"

// short cuts a name to n characters; a hash of the whole keeps it unique.
func short(name string, n int) string {
	if len(name) <= n {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return name[:n-9] + "-" + hex.EncodeToString(sum[:4])
}

// preferred are the labels that are changed first to keep the canary's pods out of stable's Service, in this order: they
// mean "which instance", not "what it is".
var preferred = []string{"app", "app.kubernetes.io/instance", "app.kubernetes.io/name", "k8s-app", "name"}

// armLabels returns the labels of the pods of an arm that is made from the other one, and those that its Deployment selects
// by. The other arm's Service does not select these pods; its Deployment (and what counts its pods, such as an autoscaler)
// does not either, if that can be avoided; the arm's own Service, if it exists, does. If there are no such labels, the
// error says why.
func armLabels(arm, name string, of map[string]string, other, own *corev1.Service,
	deployment map[string]string) (pods, selector map[string]string, err error) {
	pods = maps.Clone(of)
	delete(pods, "pod-template-hash")
	selector = map[string]string{deploymentLabel: short(name, maxLabel)}
	var fixed map[string]string
	if own != nil {
		fixed = own.Spec.Selector
	}
	maps.Copy(selector, fixed)
	maps.Copy(pods, selector)
	pods[armLabel] = arm
	avoid := []map[string]string{deployment}
	if other != nil {
		avoid = append(avoid, other.Spec.Selector)
	}
	for i, a := range avoid {
		if !selects(a, pods) {
			continue
		}
		key := ""
		for _, k := range append(slices.Clone(preferred), slices.Sorted(maps.Keys(a))...) {
			if _, is := a[k]; is && fixed[k] == "" {
				key = k
				break
			}
		}
		if key == "" && i == 0 {
			continue // Deployments tell their pods apart by a label of their own, too
		}
		if key == "" {
			return nil, nil, refused(fmt.Sprintf("Service %s selects pods by %s, and whatever it selects is stable's "+
				"too (%s): give it a label that stable's pods do not have",
				own.Name, text(fixed), text(a)))
		}
		value := short(name, maxLabel)
		if a[key] == value {
			value = short(name+"-"+arm, maxLabel)
		}
		pods[key], selector[key] = value, value
	}
	return pods, selector, nil
}

// starting is the pod template that a Deployment is made with.
func starting(d *workload.Deployment, w *world) (map[string]any, error) {
	switch {
	case d.Previous != "":
		return before(w.stable, d.Previous)
	case d.Template != nil:
		given, err := parseTemplate(d)
		if err != nil {
			return nil, err
		}
		return withImages(given, d.Images)
	}
	return withImages(template(w.stable), d.Images)
}

// makeCanary plans the canary's Deployment from stable's pod template, or that of the version before.
func makeCanary(t *workload.Target, d *workload.Deployment, w *world) (plan, error) {
	base, err := starting(d, w)
	if err != nil {
		return plan{}, err
	}
	arm, notes := "canary", map[string]string{}
	if d.Previous != "" {
		arm, notes[copyOfAnnotation] = armPrevious, d.Create.Name
	}
	pods, selector, err := armLabels(arm, d.Name.Name, podLabels(base), w.stableService, w.canaryService,
		labels(w.stable.Object, "spec", "selector", "matchLabels"))
	if err != nil {
		return plan{}, err
	}
	base = withLabels(base, pods)
	if err := separate(t, d, w, base); err != nil {
		return plan{}, err
	}
	n, err := count(d, w)
	if err != nil {
		return plan{}, err
	}
	if n == nil {
		n = new(int64(1))
	}
	spec := runtime.DeepCopyJSON(at(w.stable.Object, "spec"))
	delete(spec, "paused")
	match := map[string]any{}
	for k, v := range selector {
		match[k] = v
	}
	spec["selector"], spec["template"], spec["replicas"] = map[string]any{"matchLabels": match}, base, *n
	o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "spec": spec}}
	o.SetName(d.Name.Name)
	o.SetNamespace(d.Name.Namespace)
	o.SetLabels(map[string]string{managedLabel: manager, armLabel: arm})
	if t.Release != "" {
		notes[beforeAnnotation] = memory{Release: t.Release, Created: true, Scaled: n}.String()
	}
	if len(notes) > 0 {
		o.SetAnnotations(notes)
	}
	return plan{
		create: o, did: []string{fmt.Sprintf("made from the pod template of %s, with %d replicas and the labels %s",
			d.Create.Name, *n, text(selector))},
	}, nil
}

// separate refuses canary pods that stable's Service would select, and Services that do not match their arms. If want is
// nil, it checks the current template.
func separate(t *workload.Target, d *workload.Deployment, w *world, want map[string]any) error {
	if d.Name != t.Arms.Canary.Deployment || d.Replicas != nil && d.Replicas.Of == nil && d.Replicas.Count == 0 {
		return nil // another one, or one that is to have no pods
	}
	if want == nil {
		want = template(w.object)
	}
	pods := podLabels(want)
	if s := w.stableService; s != nil && selects(s.Spec.Selector, pods) {
		return refused(fmt.Sprintf("Service %s selects by %s, and so the canary's pods too: they would get requests "+
			"that nobody decided on; give them other labels",
			s.Name, text(s.Spec.Selector)))
	}
	s := w.canaryService
	if s == nil && t.Arms.Canary.Service != "" && w.object != nil && w.stable != nil {
		mine := labels(w.object.Object, "spec", "selector", "matchLabels")
		if selects(mine, podLabels(template(w.stable))) {
			return refused(fmt.Sprintf("there is no Service %s, and none can be made: what the Deployment selects by "+
				"(%s) stable's pods have, too", t.Arms.Canary.Service, text(mine)))
		}
	}
	if s == nil || len(s.Spec.Selector) == 0 {
		return nil
	}
	if !selects(s.Spec.Selector, pods) {
		return refused(fmt.Sprintf("Service %s selects by %s, which the canary's pods do not have: %s", s.Name, text(s.Spec.Selector), text(pods)))
	}
	if w.stable != nil && selects(s.Spec.Selector, podLabels(template(w.stable))) {
		return refused(fmt.Sprintf("Service %s selects by %s, and so stable's pods too", s.Name, text(s.Spec.Selector)))
	}
	return nil
}

// armService is a Service for an arm that has none: it has the ports of the other arm's, and selects what the arm's
// Deployment selects.
func armService(name, arm string, other *corev1.Service, d *unstructured.Unstructured) *corev1.Service {
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: d.GetNamespace(), Name: name, Labels: map[string]string{managedLabel: manager, armLabel: arm}},
		Spec:       corev1.ServiceSpec{Selector: labels(d.Object, "spec", "selector", "matchLabels")},
	}
	if other.Spec.ClusterIP == corev1.ClusterIPNone {
		s.Spec.ClusterIP = corev1.ClusterIPNone
	}
	for _, p := range other.Spec.Ports {
		p.NodePort = 0
		s.Spec.Ports = append(s.Spec.Ports, p)
	}
	return s
}
