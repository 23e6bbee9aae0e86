package kube

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/json"

	"github.com/serindev/serin/workload"
)

// world is what a decision about one Deployment is based on. Its objects are not changed.
type world struct {
	object *unstructured.Unstructured // nil if it is not there
	from   *unstructured.Unstructured // the Deployment of From
	of     *unstructured.Unstructured // the one that replicas are a share of
	stable *unstructured.Unstructured // the one that it is made from, and that its pods must not be taken for
	// The arms' Services, nil if they are not there; only for the canary.
	stableService, canaryService *corev1.Service
	scaling                      scaling   // what its autoscaler does
	ofScaled                     bool      // the one that replicas are a share of has a HorizontalPodAutoscaler
	same                         rendering // what is known of the API server's defaults
}

// plan is what has to be written to one Deployment. The zero plan writes nothing.
type plan struct {
	create   *unstructured.Unstructured
	template map[string]any
	made     string // hash of what the API server makes of template
	replicas *int64
	memory   *memory
	paused   *string  // the ScaledObject that is paused from here on; empty for none any more
	changed  []string // what another writer has changed
	did      []string // what is done, for people
}

func (p *plan) empty() bool { return p.create == nil && p.template == nil && p.replicas == nil }

// decide returns what has to be written for d. An error of type refused says why d can never be reached.
func decide(t *workload.Target, d *workload.Deployment, w *world) (plan, error) {
	if w.object == nil {
		return decideMissing(t, d, w)
	}
	m, err := remembered(w.object, t.Release)
	if err != nil {
		return plan{}, refused(err.Error())
	}
	var p plan
	switch {
	case d.Before:
		return putBack(t, d, w, m), nil
	}
	want, err := wanted(t, d, w)
	if err != nil {
		return p, err
	}
	if err := separate(t, d, w, want); err != nil {
		return p, err
	}
	current := template(w.object)
	if want != nil && hash(want) != hash(current) && w.same != (rendering{hash(want), hash(current)}) {
		if m.Wrote != "" && m.Wrote != hash(current) && m.Template != nil {
			p.changed = append(p.changed, "pod template changed by "+lastManager(w.object))
		}
		p.template = want
		p.did = append(p.did, difference(current, want))
	}
	n, err := count(d, w)
	if err != nil {
		return p, err
	}
	if now := replicas(w.object); n != nil && *n != now {
		if m.Scaled != nil && *m.Scaled == *n {
			p.changed = append(p.changed, fmt.Sprintf("replicas changed from %d to %d by %s", *n, now, lastManager(w.object)))
		}
		p.replicas = n
		p.did = append(p.did, fmt.Sprintf("replicas %d, before: %d", *n, now))
	}
	if t.Release != "" && !p.empty() {
		p.memory = remember(m, t.Release, &p, w.object)
	}
	return p, nil
}

// remember adds to a release's memory what p is the first to change.
func remember(m memory, release string, p *plan, o *unstructured.Unstructured) *memory {
	m.Release = release
	if p.template != nil && m.Template == nil && !m.Created {
		m.Template = template(o)
	}
	if p.replicas != nil {
		if n := replicas(o); m.Replicas == nil && !m.Created {
			m.Replicas = &n
		}
		m.Scaled = p.replicas
	}
	return &m
}

func decideMissing(t *workload.Target, d *workload.Deployment, w *world) (plan, error) {
	switch {
	case d.Before, d.Replicas != nil && d.Replicas.Of == nil && d.Replicas.Count == 0:
		return plan{}, nil // there is nothing to put back, and nothing that runs
	case d.Name.Kind == workload.StatefulSet:
		return plan{}, refused("there is no such StatefulSet, and none is made: its volumes are for you to decide on. Apply it with replicas: 0")
	case d.Create == nil:
		return plan{}, refused("there is no such Deployment")
	case w.stable == nil:
		return plan{}, refused("there is no such Deployment, and none to make it from: " + d.Create.String())
	}
	return makeCanary(t, d, w)
}

// wanted is the pod template that d asks for, nil if the current one stays.
func wanted(t *workload.Target, d *workload.Deployment, w *world) (map[string]any, error) {
	current := template(w.object)
	switch {
	case d.Watch, d.IfMissing, d.Template == nil && d.Images == nil && d.From == nil && d.Previous == "":
		return nil, nil
	case d.Previous != "" && d.Create != nil && !ours(w.object, *d.Create):
		return nil, refused("it exists already, and is not the one that Serin makes for the version before: delete or rename it")
	case d.Previous != "":
		return previous(d, w)
	case d.From != nil && w.from == nil:
		return nil, refused("there is no " + d.From.KindOrDeployment() + " " + d.From.String() + " to take the pod template from")
	case d.From != nil && d.Whole && t.Copied && d.Name == t.Arms.Stable.Deployment:
		return copyOf(template(w.from), selectorOf(w.object)), nil
	case d.From != nil && d.Whole:
		return withLabels(template(w.from), podLabels(current)), nil
	case d.From != nil:
		return imagesOf(current, w.from)
	}
	want := current
	if d.Template != nil {
		given, err := parseTemplate(d)
		if err != nil {
			return nil, err
		}
		l := podLabels(given)
		maps.Copy(l, labels(w.object.Object, "spec", "selector", "matchLabels"))
		want = withLabels(given, l)
	}
	return withImages(want, d.Images)
}

// before is the pod template that stable's Deployment had before a release that has ended.
func before(stable *unstructured.Unstructured, release string) (map[string]any, error) {
	m, err := memoryIn(stable, previousAnnotation, release)
	switch {
	case err != nil:
		return nil, refused(err.Error())
	case m.Template == nil:
		return nil, refused(fmt.Sprintf("what %s had before release %s is not known any more: its annotation %s does "+
			"not say it; start a release of that version", stable.GetName(), release, previousAnnotation))
	}
	return m.Template, nil
}

// previous is the pod template that d gets from before a release.
func previous(d *workload.Deployment, w *world) (map[string]any, error) {
	stable := w.object
	if d.Create != nil { // it is not stable's own Deployment
		stable = w.stable
	}
	if stable == nil {
		return nil, refused("there is no Deployment " + d.Create.String() + ", which remembers what it had")
	}
	had, err := before(stable, d.Previous)
	switch {
	case err != nil:
		return nil, err
	case d.Create != nil:
		return withLabels(had, podLabels(template(w.object))), nil
	case d.Whole:
		return had, nil
	}
	return imagesOf(template(w.object), &unstructured.Unstructured{Object: map[string]any{
		"metadata": map[string]any{"name": "before release " + d.Previous}, "spec": map[string]any{"template": had},
	}})
}

func parseTemplate(d *workload.Deployment) (map[string]any, error) {
	var out map[string]any
	if err := json.Unmarshal(d.Template, &out); err != nil {
		return nil, refused("read the pod template: " + err.Error())
	}
	return out, nil
}

// imagesOf returns a template with another Deployment's images. Their containers have to be the same: a version with one
// more or one less cannot be released by images alone.
func imagesOf(of map[string]any, from *unstructured.Unstructured) (map[string]any, error) {
	theirs := images(template(from))
	mine := slices.Sorted(maps.Keys(images(of)))
	if names := slices.Sorted(maps.Keys(theirs)); !slices.Equal(mine, names) {
		return nil, refused(fmt.Sprintf("its containers are %s, those of %s are %s: images alone do not make them "+
			"equal (promote with the whole template)",
			strings.Join(mine, ", "), from.GetName(), strings.Join(names, ", ")))
	}
	return withImages(of, theirs)
}

// count is the number of replicas that d asks for, nil if the current number stays.
func count(d *workload.Deployment, w *world) (*int64, error) {
	r := d.Replicas
	if r == nil {
		return nil, nil
	}
	n := int64(r.Count)
	if r.Of != nil {
		if w.of == nil {
			return nil, refused("there is no " + r.Of.KindOrDeployment() + " " + r.Of.String() + ", of whose replicas it is to have a share")
		}
		if r.Split != nil {
			return divided(r, w)
		}
		n = shareOf(float64(r.Share), replicas(w.of))
	}
	if w.object != nil && w.scaling.on && n != 0 && replicas(w.object) != 0 {
		if n = min(n, w.scaling.most); replicas(w.object) >= n {
			return nil, nil // the autoscaler's
		}
	}
	return &n, nil
}

// shareOf is a share of n, rounded up, at least 1. A billionth is forgiven: 7% of 100 is 7.000000000000001 in floats.
func shareOf(share float64, n int64) int64 {
	return max(1, int64(math.Ceil(share*float64(n)-1e-9)))
}

// putBack is the plan that restores a Deployment to what it was before the release.
func putBack(t *workload.Target, d *workload.Deployment, w *world, m memory) plan {
	var p plan
	if m.Release == "" {
		return p
	}
	n := m.Replicas
	if m.Created {
		n = new(int64)
	}
	if now := replicas(w.object); n != nil && *n != now && (!w.scaling.on || *n == 0 || now == 0) {
		p.replicas = n
		p.did = append(p.did, fmt.Sprintf("replicas %d, as before the release", *n))
	}
	current := template(w.object)
	if m.Template == nil || hash(m.Template) == hash(current) {
		return p
	}
	// A new template of the canary starts the next release; it must not be lost.
	if d.Name == t.Arms.Canary.Deployment && m.Wrote != "" && m.Wrote != hash(current) {
		return p
	}
	p.template = m.Template
	p.did = append(p.did, difference(current, m.Template)+", as before the release")
	return p
}

// difference says what changes from one template to another, in a few words.
func difference(old, now map[string]any) string {
	was, is := images(old), images(now)
	var out []string
	for _, name := range slices.Sorted(maps.Keys(is)) {
		if was[name] != is[name] {
			out = append(out, "image of "+name+" "+is[name])
		}
	}
	if len(out) == 0 && contentsOf(old).String() != contentsOf(now).String() {
		return changedContents(contentsOf(old), contentsOf(now))
	}
	if len(out) == 0 {
		return "another pod template"
	}
	return strings.Join(out, ", ")
}

// lastManager is who wrote the specification last, apart from Serin.
func lastManager(o *unstructured.Unstructured) string {
	who, when := "somebody", int64(math.MinInt64)
	for _, f := range o.GetManagedFields() {
		if f.Manager == manager || f.Subresource == "status" || f.Time == nil || f.FieldsV1 == nil ||
			!strings.Contains(f.FieldsV1.String(), `"f:spec"`) {
			continue
		}
		if at := f.Time.Unix(); at >= when {
			who, when = f.Manager, at
		}
	}
	return strconv.Quote(who)
}
