package kube

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/json"

	"github.com/serindev/serin/workload"
)

// An autoscaler takes stable's pods away while the canary has its users, and stable could not take them back then. So the
// autoscalers of both arms are held meanwhile: they may add pods, and take none away. What is written is one field that
// tools which apply Git rarely have (behavior.scaleDown.selectPolicy), and what it was is kept in an annotation in the same
// write. Where KEDA makes the autoscaler of a ScaledObject, the ScaledObject is written.

// The kinds of autoscalers.
const (
	horizontal   = "HorizontalPodAutoscaler"
	scaledObject = "ScaledObject"
)

var scaledObjectResource = schema.GroupVersionResource{Group: "keda.sh", Version: "v1alpha1", Resource: "scaledobjects"}

// kedaPaused is KEDA's own annotation: the workload has that many pods, and KEDA does nothing to it.
const kedaPaused = "autoscaling.keda.sh/paused-replicas"

// held is what a release has changed of an autoscaler.
type held struct {
	Release string `json:"release"`
	// Before has the fields of the specification that were changed as they were; null for one that was not there.
	Before map[string]any `json:"before"`
	// Wrote has hashes of these fields as the API server had them afterwards. A field that differs was changed by another
	// writer since.
	Wrote map[string]string `json:"wrote"`
}

// scaling is what an autoscaler does to a workload.
type scaling struct {
	on bool
	// most is how many pods a held one lets the workload have; 0 for one that may take pods away.
	most int64
	// keda is the ScaledObject that it is of; empty for none.
	keda string
}

// denial is why an autoscaler could not be held.
type denial struct {
	at  time.Time
	why string
}

// deniedFor is how long to wait before asking again after a refusal: rights are given by people.
const deniedFor = time.Minute

// scalersOf are the HorizontalPodAutoscalers of a workload, from the cache.
func (c *Cluster) scalersOf(ctx context.Context, n workload.Name) (out []*autoscalingv2.HorizontalPodAutoscaler, err error) {
	list, err := all[*autoscalingv2.HorizontalPodAutoscaler](ctx, c, autoscalers, n.Namespace)
	for _, h := range list {
		if scales(h, n) {
			out = append(out, h)
		}
	}
	return out, err
}

// scalingOf is what the autoscaler of a workload does to it.
func (c *Cluster) scalingOf(ctx context.Context, n workload.Name) (s scaling, err error) {
	list, err := c.scalersOf(ctx, n)
	for _, h := range list {
		s.on = true
		if isHeld(h) {
			s.most = int64(h.Spec.MaxReplicas)
		}
		if madeByKEDA(h) {
			s.keda = metav1.GetControllerOf(h).Name
		}
	}
	return s, err
}

// Scalers are the objects that decide how many pods a workload has, as far as the cluster has them: HorizontalPodAutoscalers,
// or the ScaledObjects that KEDA makes them from. Their Kind says which.
func (c *Cluster) Scalers(ctx context.Context, n workload.Name) (out []workload.Name, err error) {
	list, err := c.scalersOf(ctx, n)
	for _, h := range list {
		out = append(out, decides(h))
	}
	return out, err
}

// decides is the object that an autoscaler is written by: itself, or KEDA's.
func decides(h *autoscalingv2.HorizontalPodAutoscaler) workload.Name {
	if madeByKEDA(h) {
		return workload.Name{Namespace: h.Namespace, Name: metav1.GetControllerOf(h).Name, Kind: scaledObject}
	}
	return workload.Name{Namespace: h.Namespace, Name: h.Name, Kind: horizontal}
}

// isHeld reports whether an autoscaler takes no pods away, by anybody's decision.
func isHeld(h *autoscalingv2.HorizontalPodAutoscaler) bool {
	b := h.Spec.Behavior
	return b != nil && b.ScaleDown != nil && b.ScaleDown.SelectPolicy != nil && *b.ScaleDown.SelectPolicy == autoscalingv2.DisabledPolicySelect
}

// holder is for whom an autoscaler is held.
type holder struct {
	arm     workload.Name
	release string
}

// scaleMoment bounds what the way back spends on autoscalers at once.
const scaleMoment = 5 * time.Second

// scaleAs does what [Cluster.scale] does, and adds what people should know to out. The way back does not depend on
// autoscalers: there, an error is one more thing to know.
func (c *Cluster) scaleAs(ctx context.Context, t *workload.Target, out *workload.Observed) (err error) {
	if !goesBack(t) {
		out.Notes, err = c.scale(ctx, t)
		return err
	}
	scaling, cancel := context.WithTimeout(ctx, scaleMoment)
	defer cancel()
	if out.Notes, err = c.scale(scaling, t); err != nil {
		out.Notes = append(out.Notes, err.Error())
	}
	return nil
}

// scale holds the autoscalers of both arms, or lets go of those that a release holds, and says in sentences what people
// should know about the arms' capacity.
func (c *Cluster) scale(ctx context.Context, t *workload.Target) (notes []string, err error) {
	if t.Release == "" {
		return nil, nil
	}
	var errs []error
	for _, arm := range []workload.Name{t.Arms.Stable.Deployment, t.Arms.Canary.Deployment} {
		if arm.Name == "" {
			continue
		}
		more, err := c.scaleArm(ctx, t, arm)
		notes, errs = append(notes, more...), append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return notes, err
	}
	if t.Hold {
		notes = append(notes, c.budgetsInTheWay(ctx, t.Arms)...)
	}
	c.noteOnce(ctx, t, notes)
	return notes, nil
}

func (c *Cluster) scaleArm(ctx context.Context, t *workload.Target, arm workload.Name) (notes []string, err error) {
	list, err := c.scalersOf(ctx, arm)
	if err != nil {
		return nil, err
	}
	var errs []error
	said := func(note string, err error) {
		if errs = append(errs, err); note != "" {
			notes = append(notes, note)
		}
	}
	if t.Hold {
		for _, h := range list {
			said(c.hold(ctx, t, arm, h))
		}
	} else {
		for _, n := range c.maybeHeld(t, arm, list) {
			said(c.letGo(ctx, t, n))
		}
	}
	return notes, errors.Join(errs...)
}

// maybeHeld are the autoscalers of an arm that a release may hold: by what the watch has reported, and by what this process
// has written. The watch may be late, and KEDA takes its autoscaler away where its ScaledObject is paused.
func (c *Cluster) maybeHeld(t *workload.Target, arm workload.Name, list []*autoscalingv2.HorizontalPodAutoscaler) (out []workload.Name) {
	for _, h := range list {
		if h.Annotations[heldAnnotation] != "" || madeByKEDA(h) && (isHeld(h) || t.Forget) {
			out = append(out, decides(h))
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for n, by := range c.holds {
		if by.arm == arm && (!t.Forget || by.release == t.Release) && !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

// noteOnce leaves an Event with notes on stable's workload, unless they are those that it left last.
func (c *Cluster) noteOnce(ctx context.Context, t *workload.Target, notes []string) {
	text := strings.Join(notes, "; ")
	c.mu.Lock()
	same := c.noted[t.Arms] == text
	if c.noted[t.Arms] = text; text == "" {
		delete(c.noted, t.Arms)
	}
	c.mu.Unlock()
	if !same && text != "" {
		c.Tell(ctx, t.Release, []workload.Name{t.Arms.Stable.Deployment}, workload.Notice{Reason: "Capacity", Text: text, Warning: true})
	}
}

// hold keeps an autoscaler from taking pods away. What it is refused is a note and no error: the release does not depend on
// it.
func (c *Cluster) hold(ctx context.Context, t *workload.Target, arm workload.Name,
	h *autoscalingv2.HorizontalPodAutoscaler) (note string, err error) {
	if isHeld(h) && !madeByKEDA(h) { // of a ScaledObject, other fields matter, too
		return "", nil
	}
	n, did := decides(h), false
	c.mu.Lock()
	before := c.denied[n]
	c.mu.Unlock()
	if before.why != "" && time.Since(before.at) < deniedFor {
		return before.why, nil
	}
	err = c.rewrite(ctx, n, func(o *unstructured.Unstructured) ([]operation, error) {
		operations, err := c.holding(ctx, t.Release, o)
		if did = len(operations) > 0; did {
			c.mu.Lock()
			c.holds[n] = holder{arm, t.Release}
			c.mu.Unlock()
		}
		return operations, err
	})
	why := ""
	var never refused
	if apierrors.IsForbidden(err) || apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) || errors.As(err, &never) {
		why, err = fmt.Sprintf("%s %s may take pods away while the canary has users, which stable would "+
			"lack on the way back: %v", n.Kind, n, err), nil
	}
	c.mu.Lock()
	c.denied[n] = denial{time.Now(), why}
	c.mu.Unlock()
	if err == nil && why == "" && did {
		c.log.Info("an autoscaler takes no pods away for now", "kind", n.Kind, "object", n.String(), "release", t.Release)
	}
	return why, err
}

// holding is what has to be written so that an autoscaler takes no pods away; nothing if it takes none.
func (c *Cluster) holding(ctx context.Context, release string, o *unstructured.Unstructured) ([]operation, error) {
	spec := at(o.Object, "spec")
	want := heldFields(o.GetKind(), spec)
	if len(want) == 0 {
		return nil, nil
	}
	var operations []operation
	for _, field := range slices.Sorted(maps.Keys(want)) {
		if want[field] == nil {
			operations = append(operations, operation{Op: "remove", Path: "/spec/" + field})
			continue
		}
		operations = append(operations, operation{"add", "/spec/" + field, want[field]})
	}
	made := want
	switch dry, err := c.patch(ctx, o, operations, true); {
	case refusesDryRuns(err): // admission is assumed to change nothing
	case err != nil:
		return nil, err
	default:
		made = at(dry.Object, "spec")
	}
	// Another writer may have put back a part of it. The rest is still as this release has written it.
	mark, _ := markOf(o)
	mark.Release = release
	if mark.Before == nil || mark.Wrote == nil {
		mark.Before, mark.Wrote = map[string]any{}, map[string]string{}
	}
	for field := range want {
		mark.Before[field], mark.Wrote[field] = spec[field], hash(made[field])
	}
	text, err := json.Marshal(mark)
	if err != nil {
		return nil, fmt.Errorf("encode what %s %s was: %w", o.GetKind(), o.GetName(), err)
	}
	return append(operations, annotate(o, map[string]string{heldAnnotation: string(text)})...), nil
}

// The fields of the specifications that are written.
const (
	behavior = "behavior"         // of a HorizontalPodAutoscaler
	advanced = "advanced"         // of a ScaledObject
	least    = "minReplicaCount"  // of a ScaledObject
	idle     = "idleReplicaCount" // of a ScaledObject
)

// policyIn is where the field has the policy by which pods are taken away.
var policyIn = map[string][]string{
	behavior: {"scaleDown", "selectPolicy"},
	advanced: {"horizontalPodAutoscalerConfig", "behavior", "scaleDown", "selectPolicy"},
}

// heldFields are the fields of an autoscaler's specification that have to change so that it takes no pods away; one with nil
// has to go. KEDA itself takes all pods away where the least is 0, or where it has a number for workloads without work.
func heldFields(kind string, spec map[string]any) map[string]any {
	out, field := map[string]any{}, behavior
	if kind == scaledObject {
		field = advanced
		if n, isNumber := spec[least].(int64); !isNumber || n < 1 {
			out[least] = int64(1)
		}
		if _, there := spec[idle]; there {
			out[idle] = nil
		}
	}
	if now, _ := spec[field].(map[string]any); policyOf(now, field) != string(autoscalingv2.DisabledPolicySelect) {
		out[field] = withPolicy(now, field, string(autoscalingv2.DisabledPolicySelect))
	}
	return out
}

func policyOf(value map[string]any, field string) string {
	path := policyIn[field]
	policy, _ := at(value, path[:len(path)-1]...)[path[len(path)-1]].(string)
	return policy
}

// withPolicy is the field's value with another policy; an empty one is left out.
func withPolicy(value map[string]any, field, policy string) map[string]any {
	out := map[string]any{}
	if value != nil {
		out = runtime.DeepCopyJSON(value)
	}
	path := policyIn[field]
	if policy == "" {
		unstructured.RemoveNestedField(out, path...)
		return out
	}
	_ = unstructured.SetNestedField(out, policy, path...) // it fails only on a value that the API server would not have taken
	return out
}

// letGo puts back what a release has changed of an autoscaler. Once a release has ended, only its own changes are put back:
// another may be under way.
func (c *Cluster) letGo(ctx context.Context, t *workload.Target, n workload.Name) (note string, err error) {
	did := false
	err = c.rewrite(ctx, n, func(o *unstructured.Unstructured) ([]operation, error) {
		operations := lettingGo(t, o)
		did = len(operations) > 0
		return operations, nil
	})
	if apierrors.IsForbidden(err) {
		return fmt.Sprintf("%s %s takes no pods away, and cannot be put back to what it was: %v", n.Kind, n, err), nil
	}
	if err != nil {
		return "", err
	}
	c.mu.Lock()
	if !t.Forget || c.holds[n].release == t.Release {
		delete(c.holds, n)
	}
	c.mu.Unlock()
	if did {
		c.log.Info("an autoscaler may take pods away again", "kind", n.Kind, "object", n.String(), "release", t.Release)
	}
	return "", nil
}

// markOf is what a release has changed of an autoscaler; false for nothing, or if that cannot be read.
func markOf(o *unstructured.Unstructured) (mark held, ok bool) {
	text := o.GetAnnotations()[heldAnnotation]
	if text == "" || json.Unmarshal([]byte(text), &mark) != nil {
		return held{}, false
	}
	return mark, true
}

// lettingGo is what has to be written so that an autoscaler is as it was before it was held. What another writer has changed
// meanwhile stays, but for the policy.
func lettingGo(t *workload.Target, o *unstructured.Unstructured) []operation {
	if o.GetAnnotations()[heldAnnotation] == "" {
		return nil
	}
	operations := unannotate(heldAnnotation)
	mark, ok := markOf(o)
	if !ok {
		return operations
	}
	if t.Forget && mark.Release != t.Release {
		return nil
	}
	spec := at(o.Object, "spec")
	for _, field := range slices.Sorted(maps.Keys(mark.Before)) {
		now, there := spec[field]
		before := mark.Before[field]
		if there && mark.Wrote[field] != hash(now) {
			value, _ := now.(map[string]any)
			if policyIn[field] == nil || policyOf(value, field) != string(autoscalingv2.DisabledPolicySelect) {
				continue
			}
			was, _ := before.(map[string]any)
			before = withPolicy(value, field, policyOf(was, field))
		}
		switch {
		case before != nil:
			operations = append(operations, operation{"add", "/spec/" + field, before})
		case there:
			operations = append(operations, operation{Op: "remove", Path: "/spec/" + field})
		}
	}
	return operations
}

// pause keeps KEDA from bringing pods back to a workload that is to have none, and lets it go on before the workload gets
// pods again. Errors are only logged: without it, KEDA keeps its least number of pods, which get no requests.
func (c *Cluster) pause(ctx context.Context, w *world, p *plan) {
	if p.replicas == nil || w.object == nil {
		return
	}
	name, paused := w.scaling.keda, *p.replicas == 0
	if !paused {
		name = w.object.GetAnnotations()[pausedAnnotation]
	}
	if name == "" {
		return
	}
	n := workload.Name{Namespace: w.object.GetNamespace(), Name: name, Kind: scaledObject}
	if paused && w.object.GetAnnotations()[pausedAnnotation] != name {
		// Noted first: KEDA takes the pods away at once, and nothing would be left to write that the note could go with.
		err := c.rewrite(ctx, nameOf(w.object), func(o *unstructured.Unstructured) ([]operation, error) {
			return annotate(o, map[string]string{pausedAnnotation: name}), nil
		})
		if err != nil {
			c.log.Warn("KEDA was not told", "object", n.String(), "paused", paused, "err", err)
			return
		}
	}
	err := c.rewrite(ctx, n, func(o *unstructured.Unstructured) ([]operation, error) {
		switch now, there := o.GetAnnotations()[kedaPaused]; {
		case paused && !there:
			return annotate(o, map[string]string{kedaPaused: "0"}), nil
		case !paused && now == "0":
			return unannotate(kedaPaused), nil
		}
		return nil, nil
	})
	if err != nil {
		c.log.Warn("KEDA was not told", "object", n.String(), "paused", paused, "err", err)
		return
	}
	if p.paused = new(string); paused {
		*p.paused = name
	}
}
