package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/serindev/serin/workload"
)

// write writes a plan, and the memory of it in the same patch. A conflict is returned as it is.
func (c *Cluster) write(ctx context.Context, t *workload.Target, d *workload.Deployment, w *world, p *plan) error {
	did := strings.Join(p.did, "; ")
	if p.create != nil {
		o, err := c.dynamic.Resource(deploymentResource).Namespace(d.Name.Namespace).Create(ctx, p.create,
			metav1.CreateOptions{FieldManager: manager, FieldValidation: metav1.FieldValidationStrict})
		if err != nil {
			return fmt.Errorf("create Deployment %s: %w", d.Name, err)
		}
		c.tell(ctx, o, "Made", t.Release, did)
		return nil
	}
	if p.template != nil {
		made, err := w.same.made, error(nil)
		if w.same.asked != hash(p.template) {
			if made, err = c.dryRun(ctx, w.object, p.template); err != nil {
				return err
			}
			c.learn(d.Name, rendering{hash(p.template), made})
		}
		if made == hash(template(w.object)) {
			return nil // with defaults and admission it equals the current one, so the next decision has no template to write
		}
		if p.made = made; p.memory != nil {
			p.memory.Wrote = made
		}
	}
	o, err := c.patch(ctx, w.object, p.operations(w.object), false)
	if err != nil {
		return err
	}
	if p.template != nil {
		c.learn(d.Name, rendering{hash(p.template), hash(template(o))}) // in case admission did something else than in the dry run
	}
	c.tell(ctx, o, "Changed", t.Release, did)
	return nil
}

// operations of a plan; a template that is written is recorded as known.
func (p *plan) operations(o *unstructured.Unstructured) []operation {
	var out []operation
	notes := map[string]string{}
	if p.template != nil {
		out = append(out, operation{"replace", "/spec/template", p.template})
		notes[templateAnnotation] = p.made
	}
	if p.replicas != nil {
		out = append(out, operation{"add", "/spec/replicas", *p.replicas})
	}
	if p.memory != nil {
		notes[beforeAnnotation] = p.memory.String()
	}
	if p.paused != nil && *p.paused != "" {
		notes[pausedAnnotation] = *p.paused
	} else if p.paused != nil {
		out = append(out, unannotate(pausedAnnotation)...)
	}
	return append(out, annotate(o, notes)...)
}

// annotate sets annotations.
func annotate(o *unstructured.Unstructured, notes map[string]string) []operation {
	if len(notes) == 0 {
		return nil
	}
	if o.GetAnnotations() == nil {
		return []operation{{"add", annotationsPath, notes}}
	}
	var out []operation
	for k, v := range notes {
		out = append(out, operation{"add", annotationsPath + "/" + pointer(k), v})
	}
	return out
}

// patch writes operations if the object is still the one that they were made for; otherwise the error is a conflict. A dry
// run is of whatever the object is by then. Annotations that do not fit are refused: see [room].
func (c *Cluster) patch(ctx context.Context, o *unstructured.Unstructured, operations []operation, dry bool) (*unstructured.Unstructured, error) {
	operations, err := room(o, operations)
	if err != nil {
		return nil, err
	}
	if !dry {
		// The API server compares a resourceVersion that a patch writes, and answers with a conflict, which a failed test
		// operation in the patch does not.
		operations = append([]operation{{"replace", "/metadata/resourceVersion", o.GetResourceVersion()}}, operations...)
	}
	data, err := json.Marshal(operations)
	if err != nil {
		return nil, fmt.Errorf("encode a patch: %w", err)
	}
	if !dry { // the cache may still have the one before, which is no longer what the API server has
		c.mu.Lock()
		delete(c.confirmed, nameOf(o))
		c.mu.Unlock()
	}
	options := metav1.PatchOptions{FieldManager: manager, FieldValidation: metav1.FieldValidationStrict}
	if dry {
		options.DryRun = []string{metav1.DryRunAll}
	}
	in := c.dynamic.Resource(ResourceOf(o.GetKind())).Namespace(o.GetNamespace())
	out, err := in.Patch(ctx, o.GetName(), types.JSONPatchType, data, options)
	if err != nil && !dry && misplaced(err) {
		// What is there is not what the operations were made for: an annotation to be taken away has gone, say. The API server
		// says so before it compares versions.
		if now, errNow := in.Get(ctx, o.GetName(), metav1.GetOptions{}); errNow == nil && now.GetResourceVersion() != o.GetResourceVersion() {
			err = apierrors.NewConflict(ResourceOf(o.GetKind()).GroupResource(), o.GetName(), err)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("patch %s %s/%s: %w", o.GetKind(), o.GetNamespace(), o.GetName(), err)
	}
	return out, nil
}

// misplaced reports whether the operations of a JSON patch could not be carried out, which the API server calls invalid
// without a cause. An invalid object has causes.
func misplaced(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || !apierrors.IsInvalid(err) {
		return false
	}
	details := status.Status().Details
	return details == nil || len(details.Causes) == 0
}

// rewrite patches a Deployment based on its state in the API server, and again if another writer was faster. change returns
// what to write; if that is empty, or the Deployment does not exist, nothing is written.
func (c *Cluster) rewrite(ctx context.Context, name workload.Name, change func(*unstructured.Unstructured) ([]operation, error)) error {
	for try := range tries {
		o, err := c.deployment(ctx, name, true)
		if err != nil || o == nil {
			return err
		}
		operations, err := change(o)
		if err != nil || len(operations) == 0 {
			return err
		}
		if _, err = c.patch(ctx, o, operations, false); !apierrors.IsConflict(err) {
			return err
		}
		again(ctx, try)
	}
	return fmt.Errorf("patch %s %s: another writer changed it at every attempt between reading and writing it", name.KindOrDeployment(), name)
}

// unannotate removes an annotation that is there.
func unannotate(annotation string) []operation {
	return []operation{{Op: "remove", Path: annotationsPath + "/" + pointer(annotation)}}
}

// dryRun returns the hash of what the API server would make of a template: it fills in defaults, and admission may
// change it. If admission does not support dry runs, it is assumed to change nothing.
func (c *Cluster) dryRun(ctx context.Context, o *unstructured.Unstructured, want map[string]any) (string, error) {
	out, err := c.patch(ctx, o, []operation{{"replace", "/spec/template", want}}, true)
	if refusesDryRuns(err) {
		return hash(want), nil
	}
	if err != nil {
		return "", err
	}
	return hash(template(out)), nil
}

// refusesDryRuns reports whether an error says that an admission webhook does not support dry runs.
func refusesDryRuns(err error) bool {
	return apierrors.IsBadRequest(err) && strings.Contains(err.Error(), "dry run")
}

func (c *Cluster) learn(n workload.Name, r rendering) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.same[n] = r
}

// tell logs what was done, and leaves an Event for kubectl describe. Nothing depends on Events.
func (c *Cluster) tell(ctx context.Context, o *unstructured.Unstructured, reason, release, did string) {
	c.log.Info("changed in the cluster", "kind", o.GetKind(), "object", o.GetNamespace()+"/"+o.GetName(), "release", release, "did", did)
	c.note(ctx, o, release, workload.Notice{Reason: reason, Text: did})
}

// Tell leaves an Event with a notice on each of a release's Deployments that is in the cache. Errors are only logged.
func (c *Cluster) Tell(ctx context.Context, release string, list []workload.Name, n workload.Notice) {
	for _, name := range list {
		o, err := c.deployment(ctx, name, false)
		switch {
		case err != nil:
			c.log.Debug("an Event was not written", "err", err)
		case o != nil:
			c.note(ctx, o, release, n)
		}
	}
}

// maxNote is how long the API server lets an Event's message be.
const maxNote = 1024

// note writes an Event.
func (c *Cluster) note(ctx context.Context, o *unstructured.Unstructured, release string, n workload.Notice) {
	now, kind, text := metav1.Now(), corev1.EventTypeNormal, n.Text
	if n.Warning {
		kind = corev1.EventTypeWarning
	}
	suffix := ""
	if release != "" {
		suffix = " (release " + release + ")"
	}
	if room := maxNote - len(suffix); len(text) > room {
		text = strings.ToValidUTF8(text[:room-len("…")], "") + "…"
	}
	event := &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: o.GetNamespace(), Name: fmt.Sprintf("%s.%x", short(o.GetName(), 200), time.Now().UnixNano())},
		InvolvedObject: corev1.ObjectReference{
			APIVersion: o.GetAPIVersion(), Kind: o.GetKind(), Namespace: o.GetNamespace(), Name: o.GetName(), UID: o.GetUID(),
		},
		Reason: n.Reason, Message: text + suffix, Type: kind, Count: 1, FirstTimestamp: now, LastTimestamp: now,
		Source: corev1.EventSource{Component: manager}, ReportingController: "serin.dev/serin", ReportingInstance: manager,
	}
	if _, err := c.client.CoreV1().Events(o.GetNamespace()).Create(ctx, event, metav1.CreateOptions{FieldManager: manager}); err != nil {
		c.log.Debug("an Event was not written", "err", err)
	}
}

// makeService makes the canary's Service if it does not exist: Traefik drops a weighted service as a whole if one of its
// children is missing. It stays after the release, and after the canary's Deployment, for the same reason.
func (c *Cluster) makeService(ctx context.Context, t *workload.Target) error {
	canary := t.Arms.Canary
	if canary.Service == "" {
		return nil
	}
	there, err := c.service(ctx, canary)
	if err != nil || there != nil {
		return err
	}
	stable, err := c.service(ctx, t.Arms.Stable)
	if err != nil || stable == nil || len(stable.Spec.Selector) == 0 {
		return err // the gateway reports what is missing
	}
	d, err := c.deployment(ctx, canary.Deployment, true)
	if err != nil || d == nil {
		return err
	}
	name := workload.Name{Namespace: canary.Deployment.Namespace, Name: canary.Service}
	s := armService(canary.Service, "canary", stable, d)
	if len(s.Spec.Selector) == 0 {
		return fmt.Errorf("create Service %s: Deployment %s does not select by labels alone: make the Service yourself", name, canary.Deployment)
	}
	_, err = c.client.CoreV1().Services(name.Namespace).Create(ctx, s, metav1.CreateOptions{FieldManager: manager})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("create Service %s: %w", name, err)
	}
	c.tell(ctx, d, "Made", t.Release,
		fmt.Sprintf("made Service %s with the ports of %s, over pods with %s", name.Name, stable.Name, text(s.Spec.Selector)))
	return nil
}

// forget drops what a release has remembered, in all namespaces that are watched.
func (c *Cluster) forget(ctx context.Context, t *workload.Target) error {
	places := map[feedKey]bool{}
	for _, n := range []workload.Name{t.Arms.Stable.Deployment, t.Arms.Canary.Deployment} {
		if n.Name != "" {
			places[feedKey{ResourceOf(n.Kind).Resource, n.Namespace}] = true
		}
	}
	c.mu.Lock()
	for n := range c.asked {
		places[feedKey{ResourceOf(n.Kind).Resource, n.Namespace}] = true
	}
	c.mu.Unlock()
	for place := range maps.Keys(places) {
		list, err := all[*unstructured.Unstructured](ctx, c, place.kind, place.namespace)
		if err != nil {
			return err
		}
		for _, o := range list {
			if err := c.forgetOne(ctx, t, o); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *Cluster) forgetOne(ctx context.Context, t *workload.Target, o *unstructured.Unstructured) error {
	memoryOf := func(o *unstructured.Unstructured) memory {
		m, err := remembered(o, t.Release)
		if err != nil {
			return memory{} // one that cannot be read belongs to no release
		}
		return m
	}
	if memoryOf(o).Release == "" {
		return nil
	}
	err := c.rewrite(ctx, nameOf(o), func(o *unstructured.Unstructured) ([]operation, error) {
		m := memoryOf(o)
		if m.Release == "" {
			return nil, nil
		}
		out := unannotate(beforeAnnotation)
		if nameOf(o) == t.Arms.Stable.Deployment && m.Template != nil && hash(m.Template) != hash(template(o)) {
			out = append(out, annotate(o, map[string]string{previousAnnotation: memory{Release: m.Release, Template: m.Template}.String()})...)
		}
		return out, nil
	})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
