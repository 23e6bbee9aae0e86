package kube

import (
	"context"
	"errors"
	"fmt"
	"maps"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/json"

	"github.com/serindev/serin/workload"
)

// inService is what stable's copy of a Deployment has in service. It is kept in an annotation on the original Deployment,
// the one that its users have in Git, so that a deleted copy is made again as it was: the original may have another
// template by then, which has not been released.
type inService struct {
	// Of is the version hash of the original's template that the copy was made from; empty if the copy has another.
	Of       string            `json:"of,omitempty"`
	Template map[string]any    `json:"template,omitempty"`
	Selector map[string]string `json:"selector,omitempty"`
	Replicas int64             `json:"replicas,omitempty"`
	// Before is what the release that has brought this into service remembers on the copy (see memory): one that is made
	// again in that release can still go back.
	Before string `json:"before,omitempty"`
}

// serviceOf is what the copy of a Deployment has in service; the zero value if there has never been a copy, or if the
// annotation cannot be read.
func serviceOf(original *unstructured.Unstructured) inService {
	var s inService
	text := original.GetAnnotations()[inServiceAnnotation]
	if text == "" {
		return s
	}
	data, err := unpack(text)
	if err != nil || json.Unmarshal(data, &s) != nil {
		return inService{}
	}
	return s
}

// is tells whether a pod template of the original's is what the copy has in service. The hash of it is not known of a template
// that was put back.
func (s inService) is(original map[string]any) bool {
	return s.Template != nil && (s.Of == versionHash(original) || versionHash(copyOf(original, s.Selector)) == versionHash(s.Template))
}

// ours tells whether a Deployment is the copy that Serin has made of another.
func ours(copied *unstructured.Unstructured, original workload.Name) bool {
	return copied.GetLabels()[managedLabel] == manager && copied.GetAnnotations()[copyOfAnnotation] == original.Name
}

// bringCopy makes and maintains stable's copy of a Deployment, with its Service, its autoscaler and its disruption budget,
// while no release is under way. The copy is made from what runs, so the original has to be complete first. The copy is
// ready when it has as many pods as the original; later, whenever Kubernetes calls it available, with a reason where its pods
// could not be started again.
func (c *Cluster) bringCopy(ctx context.Context, t *workload.Target, d *workload.Deployment) (workload.Status, error) {
	s := workload.Status{Name: d.Name, Phase: workload.Progressing}
	kinds := []string{deployments, replicaSets, pods, services, autoscalers, budgets}
	if t.Track {
		kinds = append(kinds, configMaps)
	}
	if err := c.fill(ctx, d.Name.Namespace, kinds...); err != nil {
		return s, err
	}
	original, copied, err := c.pair(ctx, d, false)
	if err != nil {
		return s, err
	}
	if copied == nil || original == nil {
		if original, copied, err = c.pair(ctx, d, true); err != nil {
			return s, err
		}
	}
	if copied == nil {
		return c.makeCopy(ctx, t, d.Name, *d.Copy, original)
	}
	if !ours(copied, *d.Copy) {
		s.Phase, s.Why = workload.Failed, fmt.Sprintf("it exists already, and is not the copy of %s that Serin "+
			"makes: give it another name, or name both Deployments as stable and canary", d.Copy.Name)
		return s, nil
	}
	if err := c.copyService(ctx, t, copied); err != nil {
		return failed(s, err)
	}
	if s.Phase, s.Why, err = c.statusOfCopy(ctx, original, copied); err != nil || s.Phase != workload.Ready {
		return s, err
	}
	if t.Track {
		wrote, err := c.pinCopy(ctx, copied)
		switch {
		case wrote || errors.Is(err, errUnsettled):
			s.Phase, s.Why = workload.Progressing, "it gets ConfigMaps of its own"
			return s, nil
		case errors.Is(err, errLost): // its pods run, and a release brings what can be had
			s.Why = err.Error()
		case err != nil:
			return failed(s, err)
		}
	}
	if original == nil {
		return s, nil // what is in service stays, whatever happens to the original
	}
	if err := c.keep(ctx, *d.Copy, original, copied, ""); err != nil {
		return failed(s, err)
	}
	if phase, _, err := c.progressOf(ctx, copied); t.Track && err == nil && phase == workload.Ready {
		if err := c.unpin(ctx, original, copied); err != nil {
			return s, err
		}
	}
	if err := c.copyPolicies(ctx, original, copied); err != nil {
		return failed(s, err)
	}
	return s, nil
}

// failed turns a refusal into a status; any other error is the cluster's, and returned.
func failed(s workload.Status, err error) (workload.Status, error) {
	var never refused
	if !errors.As(err, &never) {
		return s, err
	}
	s.Phase, s.Why = workload.Failed, never.Error()
	return s, nil
}

// pair is a Deployment and its copy; nil for one that does not exist.
func (c *Cluster) pair(ctx context.Context, d *workload.Deployment, live bool) (original, copied *unstructured.Unstructured, err error) {
	if original, err = c.deployment(ctx, *d.Copy, live); err != nil {
		return nil, nil, err
	}
	copied, err = c.deployment(ctx, d.Name, live)
	return original, copied, err
}

// statusOfCopy says how far the copy is.
func (c *Cluster) statusOfCopy(ctx context.Context, original, copied *unstructured.Unstructured) (workload.Phase, string, error) {
	phase, why, err := c.progressOf(ctx, copied)
	if err != nil || phase == workload.Ready {
		return phase, why, err
	}
	if original != nil && serviceOf(original).Template == nil {
		return phase, why, nil // all traffic is about to come to it
	}
	conditions, _, _ := unstructured.NestedSlice(copied.Object, "status", "conditions")
	for _, condition := range mapsIn(any(conditions)) {
		if condition["type"] == string(appsv1.DeploymentAvailable) && condition["status"] == string(corev1.ConditionTrue) {
			return workload.Ready, "", nil
		}
	}
	return phase, why, nil
}

// makeCopy makes the copy: from what was in service last, or, if there has never been a copy, from what the original runs.
func (c *Cluster) makeCopy(ctx context.Context, t *workload.Target, name, of workload.Name,
	original *unstructured.Unstructured) (workload.Status, error) {
	s := workload.Status{Name: name, Phase: workload.Failed}
	if original == nil {
		s.Why = "there is no Deployment " + of.Name + " to make it from"
		return s, nil
	}
	made := serviceOf(original)
	did := "made again as it was in service, after it was deleted"
	if made.Template == nil {
		phase, why, err := c.progressOf(ctx, original)
		switch {
		case err != nil:
			return s, err
		case phase != workload.Ready:
			s.Phase, s.Why = workload.Progressing, "Deployment "+of.Name+" is not complete, and a copy is made of what runs: "+why
			return s, nil
		case replicas(original) == 0:
			s.Why = "Deployment " + of.Name + " has no pods, so it is not what users get: scale it up"
			return s, nil
		}
		made, err = c.firstCopy(ctx, t, name, original)
		switch {
		case errors.Is(err, errUnsettled):
			s.Phase, s.Why = workload.Progressing, err.Error()
			return s, nil
		case err != nil:
			return failed(s, err)
		}
		// Any template after this one is released. This one is recorded first: one that arrives before the copy is made must not
		// be taken for the one that was copied.
		if original, err = c.patch(ctx, original, annotate(original, map[string]string{templateAnnotation: made.Of}), false); err != nil {
			s.Phase, s.Why = workload.Progressing, "another writer has just changed "+of.Name
			if apierrors.IsConflict(err) {
				err = nil
			}
			return s, err
		}
		did = "made from the pods of " + of.Name
	}
	o := copyObject(name, original, made)
	if m, err := parseMemory(made.Before); err == nil && m.Release != "" && m.Release == t.Release {
		o.SetAnnotations(map[string]string{copyOfAnnotation: original.GetName(), beforeAnnotation: made.Before})
	}
	s.Phase, s.Why = workload.Progressing, "it was made a moment ago"
	o, err := c.dynamic.Resource(deploymentResource).Namespace(name.Namespace).Create(ctx, o,
		metav1.CreateOptions{FieldManager: manager, FieldValidation: metav1.FieldValidationStrict})
	switch {
	case apierrors.IsAlreadyExists(err):
		return s, nil
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		s.Phase, s.Why = workload.Failed, err.Error()
		return s, nil
	case err != nil:
		return s, fmt.Errorf("create Deployment %s: %w", name, err)
	}
	c.tell(ctx, o, "Made", t.Release, fmt.Sprintf("%s, with %d replicas and the labels %s", did, made.Replicas, text(made.Selector)))
	return s, nil
}

// firstCopy is what the first copy of a Deployment is to be.
func (c *Cluster) firstCopy(ctx context.Context, t *workload.Target, name workload.Name, original *unstructured.Unstructured) (inService, error) {
	service, err := c.service(ctx, t.Arms.Canary)
	switch {
	case err != nil:
		return inService{}, err
	case service == nil:
		return inService{}, refused("there is no Service " + t.Arms.Canary.Service + " in front of " + original.GetName())
	case !selects(service.Spec.Selector, podLabels(template(original))):
		return inService{}, refused(fmt.Sprintf("Service %s selects by %s, which the pods of %s have not", service.Name,
			text(service.Spec.Selector), original.GetName()))
	}
	pods, selector, err := armLabels("stable", name.Name, podLabels(template(original)), service, nil, selectorOf(original))
	if err != nil {
		return inService{}, err
	}
	of := template(original)
	if t.Track { // the original itself carries them once users get the copy: its pods are not replaced before
		carried, err := c.contents(ctx, name.Namespace, of)
		if err == nil {
			err = c.pin(ctx, name, carried)
		}
		if err != nil {
			return inService{}, err
		}
		of = withContents(of, carried)
	}
	return inService{Of: versionHash(of), Template: withLabels(pinned(of), pods), Selector: selector, Replicas: replicas(original)}, nil
}

// copyObject is the copy as a new object. It has none of the original's metadata: tools that recognise their objects by
// labels or annotations would take the copy for one of theirs, and delete it.
func copyObject(name workload.Name, original *unstructured.Unstructured, of inService) *unstructured.Unstructured {
	spec := runtime.DeepCopyJSON(at(original.Object, "spec"))
	delete(spec, "paused")
	match := map[string]any{}
	for k, v := range of.Selector {
		match[k] = v
	}
	spec["selector"], spec["template"], spec["replicas"] = map[string]any{"matchLabels": match}, runtime.DeepCopyJSON(of.Template), of.Replicas
	o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "spec": spec}}
	o.SetName(name.Name)
	o.SetNamespace(name.Namespace)
	o.SetLabels(map[string]string{managedLabel: manager, armLabel: "stable"})
	o.SetAnnotations(map[string]string{copyOfAnnotation: original.GetName()})
	return o
}

// copyOf is the original's pod template as the copy that selects its pods by selector has it: with all its labels but for
// those that keep the two apart, and with ConfigMaps of its own where they are tracked.
func copyOf(original map[string]any, selector map[string]string) map[string]any {
	l := podLabels(original)
	delete(l, "pod-template-hash")
	maps.Copy(l, selector)
	l[armLabel] = "stable"
	return withLabels(pinned(original), l)
}

// selectorOf are the labels by which a Deployment selects its pods.
func selectorOf(o *unstructured.Unstructured) map[string]string {
	return labels(o.Object, "spec", "selector", "matchLabels")
}

// keep records what the copy has in service, unless that is recorded already. of is the version hash of the original's
// template that it was made from; empty for the one that is known.
func (c *Cluster) keep(ctx context.Context, name workload.Name, original, copied *unstructured.Unstructured, of string) error {
	kept := func(before inService) bool {
		return before.Template != nil && hash(before.Template) == hash(template(copied)) && (of == "" || of == before.Of)
	}
	if kept(serviceOf(original)) {
		return nil
	}
	return c.rewrite(ctx, name, func(o *unstructured.Unstructured) ([]operation, error) {
		before := serviceOf(o)
		if kept(before) {
			return nil, nil
		}
		now := inService{
			Of: of, Template: template(copied), Selector: selectorOf(copied), Replicas: replicas(copied),
			Before: copied.GetAnnotations()[beforeAnnotation],
		}
		if of == "" && before.Template == nil {
			now.Of = o.GetAnnotations()[templateAnnotation] // the first copy
		}
		text, err := json.Marshal(now)
		if err != nil {
			return nil, fmt.Errorf("encode what %s has in service: %w", copied.GetName(), err)
		}
		return annotate(o, map[string]string{inServiceAnnotation: pack(text)}), nil
	})
}

// nowInService records what a release has brought into service, or back, before its Deployment is reported as ready.
func (c *Cluster) nowInService(ctx context.Context, t *workload.Target, d *workload.Deployment, w *world, phase workload.Phase) error {
	switch {
	case !t.Copied || phase != workload.Ready || w.object == nil:
		return nil
	case d.Watch && d.Name == t.CopyOf(): // users return to it, and there is no copy any more
		return c.dropCopy(ctx, d.Name, w.object)
	case d.Name != t.Arms.Stable.Deployment:
		return nil
	}
	original, of := w.from, ""
	if original == nil {
		var err error
		if original, err = c.deployment(ctx, t.CopyOf(), false); err != nil || original == nil {
			return err
		}
	} else if hash(copyOf(template(original), selectorOf(w.object))) == hash(template(w.object)) {
		of = versionHash(template(original))
	}
	return c.keep(ctx, t.CopyOf(), original, w.object, of)
}

// dropCopy forgets what the copy of a Deployment has in service: a copy made later is made from what runs then.
func (c *Cluster) dropCopy(ctx context.Context, name workload.Name, known *unstructured.Unstructured) error {
	keeps := func(o *unstructured.Unstructured) bool {
		_, kept := o.GetAnnotations()[inServiceAnnotation]
		return kept
	}
	if !keeps(known) {
		return nil
	}
	return c.rewrite(ctx, name, func(o *unstructured.Unstructured) ([]operation, error) {
		if !keeps(o) {
			return nil, nil
		}
		return unannotate(inServiceAnnotation), nil
	})
}

// remake makes the copy again if it is deleted during a release: it serves users.
func (c *Cluster) remake(ctx context.Context, t *workload.Target) error {
	name, of := t.Arms.Stable.Deployment, t.CopyOf()
	copied, err := c.deployment(ctx, name, false)
	if err != nil || copied != nil {
		return err
	}
	if copied, err = c.deployment(ctx, name, true); err != nil || copied != nil {
		return err
	}
	original, err := c.deployment(ctx, of, true)
	if err != nil {
		return err
	}
	if original == nil || serviceOf(original).Template == nil {
		return fmt.Errorf("Deployment %s was deleted, and what it had in service is not known: Deployment %s has no annotation %s", name, of, inServiceAnnotation) //nolint:staticcheck // a kind's name
	}
	_, err = c.makeCopy(ctx, t, name, of, original)
	return err
}

// copyService makes the Service of the copy if it is not there.
func (c *Cluster) copyService(ctx context.Context, t *workload.Target, copied *unstructured.Unstructured) error {
	stable, err := c.service(ctx, t.Arms.Stable)
	if err != nil {
		return err
	}
	if stable != nil {
		if !selects(stable.Spec.Selector, podLabels(template(copied))) {
			return refused(fmt.Sprintf("Service %s selects by %s, which the pods of %s do not have: it is not "+
				"the one that Serin makes", stable.Name, text(stable.Spec.Selector), copied.GetName()))
		}
		return nil
	}
	like, err := c.service(ctx, t.Arms.Canary)
	if err != nil {
		return err
	}
	if like == nil {
		return refused("there is no Service " + t.Arms.Canary.Service)
	}
	s := armService(t.Arms.Stable.Service, "stable", like, copied)
	_, err = c.client.CoreV1().Services(copied.GetNamespace()).Create(ctx, s, metav1.CreateOptions{FieldManager: manager})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create Service %s/%s: %w", copied.GetNamespace(), s.Name, err)
	}
	return nil
}
