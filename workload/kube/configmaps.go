package kube

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/serindev/serin/workload"
)

// Where a rollout with one Deployment tracks ConfigMaps (workload.Target.Track), the pod template of the Deployment in Git
// carries an annotation with what the ConfigMaps that it names contain. A changed ConfigMap changes the annotation, so the
// Deployment's pods are replaced and a release starts, as for any other change. Stable's copy names copies of the
// ConfigMaps, which never change: its pods keep what was released, whatever becomes of the originals.

const (
	// contentsAnnotation, on a pod template, is what the ConfigMaps that it names contain: see contents.
	contentsAnnotation = "serin.dev/config-maps"
	// trackAnnotation, on a ConfigMap, excludes it with the value [trackNone]: both arms read it as it is. It is meant for
	// what changes without a release, such as a bundle of certificates.
	trackAnnotation = "serin.dev/track"
	trackNone       = "none"
	// absent, in place of a hash, is a ConfigMap that is optional and not there.
	absent = "absent"
	// calm is for how long a ConfigMap has to stay as it is: a commit that changes it usually changes other objects too, and
	// all of them are one release.
	calm = 2 * time.Second
)

// published are the ConfigMaps that a cluster itself puts into every namespace.
var published = []string{"kube-root-ca.crt", "openshift-service-ca.crt"}

var (
	// errUnsettled says that a ConfigMap has changed a moment ago.
	errUnsettled = errors.New("a ConfigMap has just changed")
	// errLost says that a copy cannot be made again: its content is nowhere any more.
	errLost = errors.New("is not there")
)

// contents are the hashes of ConfigMaps by name, or absent.
type contents map[string]string

func (c contents) String() string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(c)) {
		out = append(out, name+"="+c[name])
	}
	return strings.Join(out, ",")
}

// contentsOf are those that a pod template carries.
func contentsOf(template map[string]any) contents {
	out := contents{}
	text, _ := at(template, "metadata", "annotations")[contentsAnnotation].(string)
	for one := range strings.SplitSeq(text, ",") {
		if name, hash, ok := strings.Cut(one, "="); ok {
			out[name] = hash
		}
	}
	return out
}

// pins are the copies of ConfigMaps with these contents, by the original's name.
func (c contents) pins() map[string]string {
	out := map[string]string{}
	for name, hash := range c {
		out[name] = short(name, maxName-len("-")-len(hash)) + "-" + hash
	}
	return out
}

// withContents is a pod template that carries these contents.
func withContents(template map[string]any, c contents) map[string]any {
	out, meta := maps.Clone(template), maps.Clone(at(template, "metadata"))
	if meta == nil {
		meta = map[string]any{}
	}
	notes := maps.Clone(at(meta, "annotations"))
	if notes == nil {
		notes = map[string]any{}
	}
	if notes[contentsAnnotation] = c.String(); len(c) == 0 {
		delete(notes, contentsAnnotation)
	}
	if meta["annotations"] = notes; len(notes) == 0 {
		delete(meta, "annotations")
	}
	out["metadata"] = meta
	return out
}

// references are the parts of a pod template that name a ConfigMap.
func references(template map[string]any) (out []map[string]any) {
	add := func(ref map[string]any) {
		if name, _ := ref["name"].(string); name != "" {
			out = append(out, ref)
		}
	}
	spec := at(template, "spec")
	for _, list := range containerLists {
		for _, container := range mapsIn(spec[list]) {
			for _, one := range mapsIn(container["envFrom"]) {
				add(at(one, "configMapRef"))
			}
			for _, one := range mapsIn(container["env"]) {
				add(at(one, "valueFrom", "configMapKeyRef"))
			}
		}
	}
	for _, volume := range mapsIn(spec["volumes"]) {
		add(at(volume, "configMap"))
		for _, source := range mapsIn(at(volume, "projected")["sources"]) {
			add(at(source, "configMap"))
		}
	}
	return out
}

// renamed is a pod template with other names of ConfigMaps.
func renamed(template map[string]any, names map[string]string) map[string]any {
	if len(names) == 0 {
		return template
	}
	out := runtime.DeepCopyJSON(template)
	for _, ref := range references(out) {
		name, _ := ref["name"].(string)
		if now, ok := names[name]; ok {
			ref["name"] = now
		}
	}
	return out
}

// pinned is a pod template that names the copies of the ConfigMaps whose contents it carries.
func pinned(template map[string]any) map[string]any {
	return renamed(template, contentsOf(template).pins())
}

// unpinned is the opposite of [pinned].
func unpinned(template map[string]any) map[string]any {
	originals := map[string]string{}
	for name, pin := range contentsOf(template).pins() {
		originals[pin] = name
	}
	return renamed(template, originals)
}

// named are the ConfigMaps that a pod template names, apart from Serin's copies of those whose contents it carries and from
// those that every namespace has. The value says whether pods start without it.
func named(template map[string]any) map[string]bool {
	pins := slices.Collect(maps.Values(contentsOf(template).pins()))
	out := map[string]bool{}
	for _, ref := range references(template) {
		name, _ := ref["name"].(string)
		if slices.Contains(pins, name) || slices.Contains(published, name) {
			continue
		}
		optional, _ := ref["optional"].(bool)
		if before, seen := out[name]; seen {
			optional = optional && before
		}
		out[name] = optional
	}
	return out
}

// configMap is what is kept of a ConfigMap: not what it says, but a hash of it.
type configMap struct {
	metav1.ObjectMeta
	content string
	// fixed: it can never change.
	fixed bool
}

func slimConfigMap(o *corev1.ConfigMap) *configMap {
	out := &configMap{ObjectMeta: o.ObjectMeta, content: contentOf(o), fixed: o.Immutable != nil && *o.Immutable}
	out.ManagedFields, out.Annotations = nil, nil
	if o.Annotations[trackAnnotation] == trackNone {
		out.content = "" // not tracked
	}
	return out
}

// contentOf is the hash of what a ConfigMap says.
func contentOf(o *corev1.ConfigMap) string {
	return hash(struct {
		Data   map[string]string `json:"data,omitempty"`
		Binary map[string][]byte `json:"binary,omitempty"`
	}{o.Data, o.BinaryData})
}

// sawConfigMap notifies watchers of the content of a ConfigMap that a tracked pod template names, now and when it is to be
// taken for settled.
func (c *Cluster) sawConfigMap(o *configMap) {
	n := workload.Name{Namespace: o.Namespace, Name: o.Name}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.mentioned[n] {
		return
	}
	c.since[n] = time.Now()
	place := workload.Name{Namespace: o.Namespace}
	c.changed(place)
	time.AfterFunc(calm+settle, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.changed(place)
	})
}

// contents are what the ConfigMaps contain that a pod template names, as the watch has reported them. One that has been
// deleted keeps what the template carries of it, since no pod starts without it. The error is errUnsettled if one of them
// has changed a moment ago.
func (c *Cluster) contents(ctx context.Context, namespace string, template map[string]any) (contents, error) {
	carried, out := contentsOf(template), contents{}
	unsettled := false
	for name, optional := range named(template) {
		n := workload.Name{Namespace: namespace, Name: name}
		c.mu.Lock()
		c.mentioned[n] = true
		unsettled = unsettled || time.Since(c.since[n]) < calm
		c.mu.Unlock()
		o, there, err := known[*configMap](ctx, c, configMaps, n)
		before, was := carried[name]
		switch {
		case err != nil:
			return nil, err
		case there && o.content != "":
			out[name] = o.content
		case there: // it is not tracked
		case optional:
			out[name] = absent
		case was && before != absent:
			out[name] = before
		default:
			return nil, fmt.Errorf("ConfigMap %s, which the pod template names, is not there", n)
		}
	}
	if unsettled {
		return nil, errUnsettled
	}
	return out, nil
}

// track makes the original's pod template carry what its ConfigMaps contain, or, where they are no longer tracked, carry
// nothing. Nothing is written before the copy has ConfigMaps of its own, nor on the way back: that needs what was written
// before, and must not wait for a ConfigMap that a newer template names.
func (c *Cluster) track(ctx context.Context, t *workload.Target) error {
	if !t.Copied || t.Forget {
		return nil
	}
	name := t.CopyOf()
	c.mu.Lock()
	c.tracked[name] = t.Track
	c.mu.Unlock()
	if goesBack(t) {
		return nil
	}
	original, err := c.deployment(ctx, name, false)
	if err != nil || original == nil {
		return err
	}
	if service := serviceOf(original).Template; t.Track && (service == nil || !c.hasItsOwn(ctx, name.Namespace, service)) {
		return nil
	}
	want := contents{}
	if t.Track {
		want, err = c.contents(ctx, name.Namespace, template(original))
		if err == nil {
			err = c.pin(ctx, t.Arms.Stable.Deployment, want)
		}
		if errors.Is(err, errUnsettled) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	if now := contentsOf(template(original)); maps.Equal(now, want) {
		return nil
	}
	return c.carry(ctx, name, want)
}

// carry writes contents into a Deployment's pod template, if it still names these ConfigMaps.
func (c *Cluster) carry(ctx context.Context, name workload.Name, want contents) error {
	did := ""
	err := c.rewrite(ctx, name, func(o *unstructured.Unstructured) ([]operation, error) {
		did = ""
		now, names := contentsOf(template(o)), named(template(o))
		for one := range want {
			if _, is := names[one]; !is {
				return nil, nil // it has another template since; the watch says so
			}
		}
		if maps.Equal(now, want) {
			return nil, nil
		}
		did = "its pods are replaced: " + changedContents(now, want)
		path := "/spec/template/metadata/annotations"
		switch notes := at(template(o), "metadata", "annotations"); {
		case len(want) == 0:
			return []operation{{Op: "remove", Path: path + "/" + pointer(contentsAnnotation)}}, nil
		case notes == nil:
			return []operation{{"add", path, map[string]string{contentsAnnotation: want.String()}}}, nil
		}
		return []operation{{"add", path + "/" + pointer(contentsAnnotation), want.String()}}, nil
	})
	if err != nil || did == "" {
		return err
	}
	if o, err := c.deployment(ctx, name, false); err == nil && o != nil {
		c.tell(ctx, o, "Changed", "", did)
	}
	return nil
}

// changedContents says which ConfigMaps differ.
func changedContents(was, is contents) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(is)) {
		switch before, had := was[name]; {
		case !had:
			out = append(out, "ConfigMap "+name+" is tracked")
		case before != is[name]:
			out = append(out, "ConfigMap "+name+" has changed")
		}
	}
	if len(out) == 0 {
		return "other ConfigMaps"
	}
	return strings.Join(out, ", ")
}

// hasItsOwn tells whether a template of the copy's names no ConfigMap that may change.
func (c *Cluster) hasItsOwn(ctx context.Context, namespace string, template map[string]any) bool {
	for name := range named(template) {
		o, there, err := known[*configMap](ctx, c, configMaps, workload.Name{Namespace: namespace, Name: name})
		if err != nil || !there || o.content != "" {
			return false
		}
	}
	return true
}

// asTracked is a Deployment with the pod template that [Cluster.track] gives it, which may not have been written yet.
func (c *Cluster) asTracked(ctx context.Context, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	c.mu.Lock()
	tracked, asked := c.tracked[nameOf(o)]
	c.mu.Unlock()
	if !tracked && (asked || len(contentsOf(serviceOf(o).Template)) == 0) {
		return o, nil
	}
	want, err := c.contents(ctx, o.GetNamespace(), template(o))
	if err != nil {
		return nil, err
	}
	out := &unstructured.Unstructured{Object: maps.Clone(o.Object)}
	spec := maps.Clone(at(o.Object, "spec"))
	spec["template"] = withContents(template(o), want)
	out.Object["spec"] = spec
	return out, nil
}

// pin makes the copies of ConfigMaps with these contents that are not there yet.
func (c *Cluster) pin(ctx context.Context, copied workload.Name, want contents) error {
	for name, pin := range want.pins() {
		if want[name] == absent {
			continue
		}
		n := workload.Name{Namespace: copied.Namespace, Name: pin}
		o, there, err := known[*configMap](ctx, c, configMaps, n)
		if err == nil && !there {
			err = c.makePin(ctx, copied, name, n, want[name])
		} else if err == nil && (o.content != want[name] || !o.fixed) {
			err = notOurs(n)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func notOurs(n workload.Name) error {
	return refused(fmt.Sprintf("ConfigMap %s is there, and is not the copy that Serin makes", n))
}

// makePin copies a ConfigMap.
func (c *Cluster) makePin(ctx context.Context, copied workload.Name, of string, n workload.Name, content string) error {
	api := c.client.CoreV1().ConfigMaps(n.Namespace)
	o, err := api.Get(ctx, of, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("get ConfigMap %s/%s: %w", n.Namespace, of, err)
	}
	if err != nil || contentOf(o) != content {
		cached, isCached, cacheErr := known[*configMap](ctx, c, configMaps, workload.Name{Namespace: n.Namespace, Name: of})
		if cacheErr == nil && isCached && cached.content == content {
			return errUnsettled // the watch has not reported the change yet
		}
		return fmt.Errorf("ConfigMap %s, the copy of %s that pods need, %w, and %s has changed since", n, of, errLost, of)
	}
	pin := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: n.Namespace, Name: n.Name, Labels: pinLabels(copied), Annotations: map[string]string{copyOfAnnotation: of},
		},
		Data: o.Data, BinaryData: o.BinaryData, Immutable: new(true),
	}
	_, err = api.Create(ctx, pin, metav1.CreateOptions{FieldManager: manager})
	if apierrors.IsAlreadyExists(err) { // the watch has not reported it yet
		there, err := api.Get(ctx, n.Name, metav1.GetOptions{})
		if err == nil && (contentOf(there) != content || there.Immutable == nil || !*there.Immutable) {
			err = notOurs(n)
		}
		return err
	}
	if err != nil {
		return fmt.Errorf("create ConfigMap %s: %w", n, err)
	}
	c.log.Info("changed in the cluster", "kind", "ConfigMap", "object", n.String(), "did", "made as a copy of "+of)
	return nil
}

func pinLabels(copied workload.Name) map[string]string {
	return map[string]string{managedLabel: manager, armLabel: "stable", deploymentLabel: short(copied.Name, maxLabel)}
}

// pinCopy gives the copy of a Deployment ConfigMaps of its own if it has none yet, because they have not been tracked when
// it was made, and makes those again that were deleted. It reports whether it has written the pod template.
func (c *Cluster) pinCopy(ctx context.Context, copied *unstructured.Unstructured) (wrote bool, err error) {
	name, carried := nameOf(copied), contentsOf(template(copied))
	if err := c.pin(ctx, name, carried); err != nil {
		return false, err
	}
	more, err := c.contents(ctx, name.Namespace, template(copied))
	if len(carried) > 0 { // one that is read as it is may be gone for a moment, and its pods stay
		maps.DeleteFunc(more, func(_, content string) bool { return content == absent })
	}
	if err != nil || len(more) == 0 {
		return false, err
	}
	if err := c.pin(ctx, name, more); err != nil {
		return false, err
	}
	maps.Copy(more, carried)
	_, err = c.patch(ctx, copied, []operation{{"replace", "/spec/template", pinned(withContents(template(copied), more))}}, false)
	if apierrors.IsConflict(err) {
		err = nil // another writer was faster
	}
	return err == nil, err
}

// unpin deletes the copies of ConfigMaps that nothing refers to any more, while no release is under way. Deployments whose
// ConfigMaps say the same share the copies, so all Deployments of the namespace count.
func (c *Cluster) unpin(ctx context.Context, original, copied *unstructured.Unstructured) error {
	list, err := all[*configMap](ctx, c, configMaps, copied.GetNamespace())
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(list, func(o *configMap) bool { return !isCopys(o, copied) })
	if len(list) == 0 {
		return nil
	}
	others, err := all[*unstructured.Unstructured](ctx, c, deployments, copied.GetNamespace())
	if err != nil {
		return err
	}
	needed := map[string]bool{}
	for _, o := range append(others, original, copied) {
		if !needs(o, needed) {
			return nil // what it refers to is not known, so all of them stay
		}
	}
	for _, o := range list {
		if needed[o.Name] {
			continue
		}
		err := c.client.CoreV1().ConfigMaps(o.Namespace).Delete(ctx, o.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &o.UID}})
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			return fmt.Errorf("delete ConfigMap %s/%s: %w", o.Namespace, o.Name, err)
		}
	}
	return nil
}

// needs adds the copies of ConfigMaps that a Deployment refers to: by what it has, by what its copy has in service, and by
// what releases have remembered, so that one under way can go back and the last one can be undone. It is false if that
// cannot be read.
func needs(o *unstructured.Unstructured, needed map[string]bool) bool {
	templates := []map[string]any{template(o), serviceOf(o).Template}
	for _, annotation := range []string{beforeAnnotation, previousAnnotation} {
		text := o.GetAnnotations()[annotation]
		if text == "" {
			continue
		}
		m, err := parseMemory(text)
		if err != nil {
			return false
		}
		templates = append(templates, m.Template)
	}
	for _, one := range templates {
		for _, pin := range contentsOf(one).pins() {
			needed[pin] = true
		}
	}
	return true
}
