package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	klabels "k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/serindev/serin/workload"
)

// A Deployment's autoscaler and disruption budgets, which its copy needs too. The copy's have the original's specification,
// and follow it while no release is under way.

var (
	autoscalerResource = schema.GroupVersionResource{Group: "autoscaling", Version: "v2", Resource: autoscalers}
	budgetResource     = schema.GroupVersionResource{Group: "policy", Version: "v1", Resource: budgets}
)

// maxName is how long the name of an object may be.
const maxName = 253

// copyPolicies makes the autoscaler and the disruption budgets of a Deployment's copy like those of the Deployment.
func (c *Cluster) copyPolicies(ctx context.Context, original, copied *unstructured.Unstructured) error {
	if err := c.copyAutoscaler(ctx, original, copied); err != nil {
		return err
	}
	return c.copyBudgets(ctx, original, copied)
}

func (c *Cluster) copyAutoscaler(ctx context.Context, original, copied *unstructured.Unstructured) error {
	list, err := all[*autoscalingv2.HorizontalPodAutoscaler](ctx, c, autoscalers, original.GetNamespace())
	if err != nil {
		return err
	}
	have, want := map[string]any{}, map[string]any{}
	for _, h := range list {
		switch {
		case isCopys(h, copied):
			have[h.Name] = h.Spec
		case scales(h, nameOf(original)) && !madeByKEDA(h):
			spec := *h.Spec.DeepCopy()
			spec.ScaleTargetRef.Name = copied.GetName()
			want[copyName(h.Name)] = spec
		}
	}
	return c.bringPolicies(ctx, autoscalerResource, horizontal, copied, have, want)
}

// madeByKEDA reports whether KEDA keeps the autoscaler for a ScaledObject, whose metrics it uses.
func madeByKEDA(h *autoscalingv2.HorizontalPodAutoscaler) bool {
	owner := metav1.GetControllerOf(h)
	return owner != nil && owner.Kind == scaledObject
}

// scales tells whether an autoscaler is a workload's.
func scales(h *autoscalingv2.HorizontalPodAutoscaler, of workload.Name) bool {
	target := h.Spec.ScaleTargetRef
	return target.Kind == of.KindOrDeployment() && target.Name == of.Name &&
		(target.APIVersion == "" || strings.HasPrefix(target.APIVersion, "apps/"))
}

// copyBudgets copies the budgets that cover the original's pods and not the copy's.
func (c *Cluster) copyBudgets(ctx context.Context, original, copied *unstructured.Unstructured) error {
	list, err := all[*policyv1.PodDisruptionBudget](ctx, c, budgets, original.GetNamespace())
	if err != nil {
		return err
	}
	have, want := map[string]any{}, map[string]any{}
	for _, b := range list {
		if isCopys(b, copied) {
			have[b.Name] = b.Spec
			continue
		}
		selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
		if err != nil || !selector.Matches(klabels.Set(podLabels(template(original)))) || selector.Matches(klabels.Set(podLabels(template(copied)))) {
			continue // not the original's, or both's: a pod with two budgets could never be evicted
		}
		spec := *b.Spec.DeepCopy()
		spec.Selector = &metav1.LabelSelector{MatchLabels: labels(copied.Object, "spec", "selector", "matchLabels")}
		want[copyName(b.Name)] = spec
	}
	return c.bringPolicies(ctx, budgetResource, "PodDisruptionBudget", copied, have, want)
}

func copyName(name string) string { return short(name, maxName-len("-stable")) + "-stable" }

// isCopys tells whether an object is one that Serin has made for a copy.
func isCopys(o metav1.Object, copied *unstructured.Unstructured) bool {
	l := o.GetLabels()
	return l[managedLabel] == manager && l[deploymentLabel] == short(copied.GetName(), maxLabel)
}

// bringPolicies writes the objects of one kind that a copy lacks or has in another form, and deletes those that are no
// longer wanted.
func (c *Cluster) bringPolicies(ctx context.Context, resource schema.GroupVersionResource, kind string,
	copied *unstructured.Unstructured, have, want map[string]any) error {
	objects := c.dynamic.Resource(resource).Namespace(copied.GetNamespace())
	for name, spec := range want {
		if reflect.DeepEqual(have[name], spec) {
			continue
		}
		o, err := policy(resource, kind, copied, name, spec)
		if err != nil {
			return err
		}
		if _, there := have[name]; !there {
			_, err = objects.Create(ctx, o, metav1.CreateOptions{FieldManager: manager})
		} else {
			_, err = objects.Apply(ctx, name, o, metav1.ApplyOptions{FieldManager: manager, Force: true})
		}
		switch {
		case apierrors.IsAlreadyExists(err) && c.isKnown(ctx, resource.Resource, copied.GetNamespace(), name):
			return refused(fmt.Sprintf("%s %s exists already, and is not the one that Serin makes for %s", kind, name, copied.GetName()))
		case apierrors.IsAlreadyExists(err):
			continue // it was made a moment ago, and the watch has not said so yet
		case err != nil:
			return fmt.Errorf("write %s %s/%s: %w", kind, copied.GetNamespace(), name, err)
		}
		c.tell(ctx, copied, "Made", "", kind+" "+name+" as the original's")
	}
	for name := range have {
		if _, wanted := want[name]; wanted {
			continue
		}
		if err := objects.Delete(ctx, name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete %s %s/%s: %w", kind, copied.GetNamespace(), name, err)
		}
	}
	return nil
}

// isKnown tells whether the watch has reported an object.
func (c *Cluster) isKnown(ctx context.Context, kind, namespace, name string) bool {
	_, there, err := known[metav1.Object](ctx, c, kind, workload.Name{Namespace: namespace, Name: name})
	return there && err == nil
}

func policy(resource schema.GroupVersionResource, kind string, copied *unstructured.Unstructured, name string,
	spec any) (*unstructured.Unstructured, error) {
	data, err := json.Marshal(spec)
	var plain map[string]any
	if err == nil {
		err = json.Unmarshal(data, &plain)
	}
	if err != nil {
		return nil, fmt.Errorf("encode %s %s: %w", kind, name, err)
	}
	o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": resource.GroupVersion().String(), "kind": kind, "spec": plain}}
	o.SetName(name)
	o.SetNamespace(copied.GetNamespace())
	o.SetLabels(map[string]string{managedLabel: manager, armLabel: "stable", deploymentLabel: short(copied.GetName(), maxLabel)})
	return o, nil
}

// ownRules is a pod template whose rules about its own pods (affinity, anti-affinity and topology spread) select them by
// the labels now instead of was.
func ownRules(template map[string]any, was, now map[string]string) map[string]any {
	out := runtime.DeepCopyJSON(template)
	spec := at(out, "spec")
	for _, kind := range []string{"podAffinity", "podAntiAffinity"} {
		terms := at(spec, "affinity", kind)
		for _, term := range mapsIn(terms["requiredDuringSchedulingIgnoredDuringExecution"]) {
			ownSelector(at(term, "labelSelector"), was, now)
		}
		for _, term := range mapsIn(terms["preferredDuringSchedulingIgnoredDuringExecution"]) {
			ownSelector(at(term, "podAffinityTerm", "labelSelector"), was, now)
		}
	}
	for _, constraint := range mapsIn(spec["topologySpreadConstraints"]) {
		ownSelector(at(constraint, "labelSelector"), was, now)
	}
	return out
}

// mapsIn are the maps of a list.
func mapsIn(list any) (out []map[string]any) {
	all, _ := list.([]any)
	for _, one := range all {
		if m, ok := one.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

// ownSelector changes, in place, a selector of pods with the labels was so that it selects those with the labels now.
func ownSelector(selector map[string]any, was, now map[string]string) {
	var typed metav1.LabelSelector
	data, err := json.Marshal(selector)
	if err != nil || len(selector) == 0 || json.Unmarshal(data, &typed) != nil {
		return
	}
	of, err := metav1.LabelSelectorAsSelector(&typed)
	if err != nil || !of.Matches(klabels.Set(was)) {
		return // it is about other pods
	}
	changed := func(key string) bool { v, ok := now[key]; return ok && v != was[key] }
	match := at(selector, "matchLabels")
	for key := range match {
		if changed(key) {
			match[key] = now[key]
		}
	}
	for _, e := range mapsIn(selector["matchExpressions"]) {
		key, _ := e["key"].(string)
		values, _ := e["values"].([]any)
		if e["operator"] == "In" && changed(key) && slices.Contains(values, any(was[key])) {
			e["values"] = []any{now[key]}
		}
	}
}
