package config

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Object is a document that is an object in a cluster: a custom resource of kind Rollout or Analysis. It is read like a
// document in a file, with the same schema and the same checks, but for three differences: its name is NAMESPACE.NAME (see
// [ObjectID.String]), it may name nothing on the daemon's disk, and it acts in its own namespace only, unless [Objects]
// allows more.
type Object struct {
	Kind string
	ObjectID
	// Generation is Kubernetes' own: it counts the changes of the spec.
	Generation int64
	// Created is when the object was made: if two claim the same thing, the older one keeps it.
	Created time.Time
	// Spec is JSON.
	Spec json.RawMessage
}

// ObjectID names a rollout or an analysis that is an object, outside of its cluster.
type ObjectID struct{ Namespace, Name string }

// String is NAMESPACE.NAME. A namespace has no dot, and names of documents in files have none either, so that neither two
// objects nor an object and a document ever collide; it has no slash, which proxies refuse in the middle of an address.
func (n ObjectID) String() string { return n.Namespace + "." + n.Name }

// ParseObjectID is the opposite of [ObjectID.String]; ok is false for the name of a document in a file.
func ParseObjectID(name string) (id ObjectID, ok bool) {
	namespace, name, ok := strings.Cut(name, ".")
	return ObjectID{namespace, name}, ok
}

// Objects limits what documents in a cluster may do. The zero value lets each act in its own namespace, and call no host.
type Objects struct {
	// Reach lists the further namespaces in which the rollouts of a namespace may act, by that namespace.
	Reach map[string][]string
	// Hosts are those that webhooks, and the address of Traefik's API, may name; *.example.com is every host below it.
	Hosts []string
	// Unknown: no daemon's document is at hand, so neither of the two is checked.
	Unknown bool
}

// ObjectSource names an object in errors, in place of a file.
type ObjectSource struct{ Kind, Namespace, Name string }

func (s ObjectSource) String() string { return s.Kind + " " + s.Namespace + "/" + s.Name }

// source of an object.
func (o *Object) source() ObjectSource { return ObjectSource{o.Kind, o.Namespace, o.Name} }

// file wraps the object for the resolver, which takes files.
func (o *Object) file() file {
	return file{name: o.source().String(), object: o, sum: sha256.Sum256(o.Spec)}
}

// document is the object's document, or what is wrong with its form.
func (o *Object) document() ([]document, Errors) {
	name := o.source().String()
	if len(o.Spec) > maxFileSize {
		return nil, Errors{{File: name, Message: fmt.Sprintf("larger than %d KiB: this is not a configuration", maxFileSize>>10)}}
	}
	d := json.NewDecoder(bytes.NewReader(o.Spec))
	d.UseNumber()
	var spec any
	if err := d.Decode(&spec); err != nil && err != io.EOF { //nolint:errorlint // as it is documented
		return nil, Errors{{File: name, Path: "spec", Message: "cannot be read: " + err.Error()}}
	}
	b := &jsonBuilder{}
	root := b.build(map[string]any{
		"apiVersion": APIVersion, "kind": o.Kind, "metadata": map[string]any{"name": o.Name}, "spec": spec,
	})
	switch {
	case root.size > maxNodes:
		return nil, Errors{{File: name, Message: fmt.Sprintf("more than %d values", maxNodes)}}
	case root.deep > maxDepth:
		return nil, Errors{{File: name, Message: fmt.Sprintf("nested more than %d levels deep", maxDepth)}}
	}
	src := &source{name: name, object: o, parts: []part{{root: root}}}
	return []document{{src, root}}, nil
}

// asObject turns a manifest that names a namespace into the document of that custom resource. Errors still have their
// places in the file.
func (d document) asObject() document {
	kind, _ := d.root.get("kind")
	metadata, _ := d.root.get("metadata")
	namespace, given := metadata.value.get("namespace")
	if !given || kind.value == nil || kind.value.text != KindRollout && kind.value.text != KindAnalysis {
		return d
	}
	name, _ := metadata.value.get("name")
	o := &Object{Kind: kind.value.text, ObjectID: ObjectID{Namespace: namespace.value.text}}
	if name.value != nil {
		o.Name = name.value.text
	}
	metadata.value.entries = slices.DeleteFunc(metadata.value.entries, func(e entry) bool { return e.key == "namespace" })
	return document{&source{name: d.src.name, lines: d.src.lines, parts: d.src.parts, object: o}, d.root}
}

// jsonBuilder makes nodes of plain values. Each key and value gets a line number of its own: it is never shown, but errors
// are sorted by it, and [visibility] tells places apart by it.
type jsonBuilder struct{ places int }

func (b *jsonBuilder) place() int { b.places++; return b.places }

func (b *jsonBuilder) build(v any) *node {
	out := &node{line: b.place(), column: 1, size: 1, deep: 1}
	switch v := v.(type) {
	case map[string]any:
		out.what = isMap
		for _, key := range slices.Sorted(maps.Keys(v)) {
			e := entry{key: key, line: b.place(), column: 1}
			e.value = b.build(v[key])
			out.put(e)
		}
	case []any:
		out.what = isList
		for _, one := range v {
			out.add(b.build(one))
		}
	case string:
		out.scalar, out.text = v, v
	case json.Number:
		out.scalar, out.text = v, v.String()
	case bool:
		out.scalar, out.text = v, strconv.FormatBool(v)
	}
	return out
}

// confine checks that an object's rollout acts only where it may, and names nothing on the daemon's disk. It fills in the
// object's own namespace where none is named.
func (c *checker) confine(s *RolloutSpec, l Loader) {
	if g := s.Traffic.gateway(); g != nil {
		g.confine(c, l)
	}
	c.reaches(c.spec("stable"), s.Stable.Namespace, l)
	c.reaches(c.spec("canary"), s.Canary.Namespace, l)
	c.confineSteps(s, l)
	if s.Returning != nil {
		c.shorter = true
		c.confineSteps(s.shorter(), l)
		c.shorter = false
	}
	for i := range or(s.Rollback, RollbackSpec{}).Steps {
		step := &s.Rollback.Steps[i]
		c.confineWork(c.spec("rollback", "steps", i), step.Job, step.Webhook, l)
	}
	for i := range s.Triggers {
		c.reaches(c.spec("triggers", i), s.Triggers[i].Namespace, l)
	}
}

func (c *checker) confineSteps(s *RolloutSpec, l Loader) {
	for i := range s.Steps {
		step, at := &s.Steps[i], c.spec("steps", i)
		c.confineWork(at, step.Job, step.Webhook, l)
		if d := step.Deploy; d != nil {
			c.reaches(at.in("deploy"), d.Namespace, l)
			if d.Template.File != "" {
				c.fail(at.in("deploy", "template"), "is the name of a file, and an object has no files: write the PodTemplate itself here")
			}
		}
	}
}

func (c *checker) confineWork(at place, j *JobSpec, w *WebhookSpec, l Loader) {
	if j != nil {
		c.reaches(at.in("job"), j.Namespace, l)
		if j.Manifest.File != "" {
			c.fail(at.in("job", "manifest"), "is the name of a file, and an object has no files: write the Job itself here")
		}
	}
	if w != nil {
		c.calls(at.in("webhook", "url"), w.URL, l)
		c.calls(at.in("webhook", "status"), w.Status, l)
	}
}

// reaches refuses a namespace in which the object's rollout may not act. Otherwise anyone who may write Rollouts in one
// namespace could act in every namespace that the daemon has rights in.
func (c *checker) reaches(at place, namespace Namespace, l Loader) {
	own := c.src.object.Namespace
	if l.Objects.Unknown || namespace == "" || string(namespace) == own || slices.Contains(l.Objects.Reach[own], string(namespace)) {
		return
	}
	c.fail(at.in("namespace"), "a Rollout in namespace %s acts in that one alone; the daemon's document can let it "+
		"act in %s too: kubernetes.resources.reach", own, namespace)
}

// calls refuses an address that an object may not make the daemon call.
func (c *checker) calls(at place, address string, l Loader) {
	if address == "" || l.Objects.Unknown {
		return
	}
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || !slices.ContainsFunc(l.Objects.Hosts, func(host string) bool { return covers(host, u.Hostname()) }) {
		c.fail(at, "for an object, Serin calls only hosts that the daemon's document names: kubernetes.resources.hosts")
	}
}

// covers tells whether a name is a host, or below *.HOST.
func covers(host, name string) bool {
	if below, ok := strings.CutPrefix(host, "*."); ok {
		return strings.HasSuffix(strings.ToLower(name), "."+strings.ToLower(below))
	}
	return strings.EqualFold(host, name)
}

// seenFrom returns the documents of a kind that a document in a namespace can name, by the names it uses for them: those in
// files, and, taking precedence over them, those of its own namespace. A document in a file has the namespace "" and sees
// only files.
func seenFrom[T any](namespace string, all map[string]T) map[string]T {
	out := map[string]T{}
	for name, v := range all {
		id, object := ParseObjectID(name)
		if !object {
			if _, own := all[ObjectID{namespace, name}.String()]; !own || namespace == "" {
				out[name] = v
			}
			continue
		}
		if namespace != "" && id.Namespace == namespace {
			out[id.Name] = v
		}
	}
	return out
}

// sight holds the analyses that rollouts may name, and those that are lost in files with errors. seen caches what each
// namespace sees of them.
type sight struct {
	analyses map[string]*parsed
	lost     map[string]string
	seen     map[string]*sight
}

// from returns what a document sees.
func (n *sight) from(d document) *sight {
	namespace := d.namespace()
	if n.seen == nil {
		n.seen = map[string]*sight{}
	}
	out := n.seen[namespace]
	if out == nil {
		out = &sight{analyses: seenFrom(namespace, n.analyses), lost: seenFrom(namespace, n.lost)}
		for name, source := range out.lost {
			// If the namespace's own analysis is invalid, one of that name in a file must not silently replace it.
			own := ObjectID{namespace, name}
			if _, good := n.analyses[own.String()]; !good && source == (ObjectSource{KindAnalysis, own.Namespace, own.Name}).String() {
				delete(out.analyses, name)
			}
		}
		n.seen[namespace] = out
	}
	return out
}

// namespace of an object; empty for a document in a file.
func (d document) namespace() string {
	if d.src.object == nil {
		return ""
	}
	return d.src.object.Namespace
}

// identity is the document's name, unique among those of its kind.
func (d document) identity(name DocumentName) string {
	if d.src.object == nil {
		return string(name)
	}
	return ObjectID{d.src.object.Namespace, string(name)}.String()
}

// undotted refuses a name with dots in a file. It would look like a custom resource's, and people with rights in the
// namespace that it begins with would have rights to it.
func (c *checker) undotted(name DocumentName) {
	if c.src.object == nil && strings.Contains(string(name), ".") {
		c.fail(c.at("metadata", "name"), "has a dot, which stands between the namespace and the name of a custom "+
			"resource: in a file write %s, or make it a custom resource, with metadata.namespace",
			strings.ReplaceAll(string(name), ".", "-"))
	}
}

// sortObjects sorts by kind, namespace and name.
func sortObjects(objects []Object) {
	slices.SortFunc(objects, func(a, b Object) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
}
