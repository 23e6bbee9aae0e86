package migrate

import (
	"bytes"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

// kind is a kind of a group, whatever its version.
type kind struct{ group, kind string }

// input is all documents of all sources.
type input struct {
	objects []*object
	order   []kind
}

// object is a map of a document. It records which of its fields were read, so that the others can be named.
type object struct {
	source string
	path   string // below the document: spec.analysis
	whole  *object
	fields map[string]any
	asked  map[string]bool

	// Of the document as a whole.
	kind  kind
	below []*object
	notes []string
}

var separator = regexp.MustCompile(`(?m)^---([ \t].*)?$`)

// read splits sources into objects.
func read(sources []Source) (*input, error) {
	in := &input{}
	for _, s := range sources {
		if len(s.Text) > maxSource {
			return nil, fmt.Errorf("%s: larger than %d MiB", s.Name, maxSource>>20)
		}
		text := strings.ReplaceAll(string(bytes.TrimPrefix(s.Text, []byte("\xef\xbb\xbf"))), "\r\n", "\n")
		for i, part := range separator.Split(text, -1) {
			at := fmt.Sprintf("%s: document %d", s.Name, i+1)
			var doc any
			if err := yaml.Unmarshal([]byte(part), &doc); err != nil {
				return nil, fmt.Errorf("%s: %w", at, err)
			}
			if doc == nil {
				continue
			}
			fields, ok := doc.(map[string]any)
			if !ok {
				return nil, fmt.Errorf("%s: expected a Kubernetes object, got %s", at, what(doc))
			}
			if err := in.add(s.Name, fields, 0); err != nil {
				return nil, fmt.Errorf("%s: %w", at, err)
			}
		}
	}
	return in, nil
}

// add adds an object, or the objects of a List.
func (in *input) add(source string, fields map[string]any, depth int) error {
	name, _ := fields["kind"].(string)
	group, _ := fields["apiVersion"].(string)
	group, _, _ = strings.Cut(group, "/")
	if items, ok := fields["items"].([]any); ok && strings.HasSuffix(name, "List") && depth == 0 {
		for i, item := range items {
			f, ok := item.(map[string]any)
			if !ok {
				return fmt.Errorf("items[%d]: expected an object, got %s", i, what(item))
			}
			if err := in.add(source, f, depth+1); err != nil {
				return fmt.Errorf("items[%d]: %w", i, err)
			}
		}
		return nil
	}
	if name == "" {
		return fmt.Errorf("expected a Kubernetes object: kind is missing")
	}
	o := &object{source: source, fields: fields, asked: map[string]bool{"apiVersion": true, "kind": true, "status": true}, kind: kind{group, name}}
	o.whole = o
	in.objects = append(in.objects, o)
	if !slices.Contains(in.order, o.kind) {
		in.order = append(in.order, o.kind)
	}
	return nil
}

// of returns the objects of a kind.
func (in *input) of(k kind) []*object {
	var out []*object
	for _, o := range in.objects {
		if o.kind == k {
			out = append(out, o)
		}
	}
	return out
}

// find is the object of a kind and a name; nil if there is none. An empty namespace fits any.
func (in *input) find(k kind, namespace, name string) *object {
	for _, o := range in.of(k) {
		n, ns := o.identity()
		if n == name && (namespace == "" || ns == "" || ns == namespace) {
			return o
		}
	}
	return nil
}

// found lists the kinds of the input, for the error that none of them can be converted.
func (in *input) found() string {
	if len(in.order) == 0 {
		return ": there is no document"
	}
	var out []string
	for _, k := range in.order {
		out = append(out, strings.TrimPrefix(k.group+" "+k.kind, " "))
	}
	return ": there is " + short(strings.Join(out, ", "))
}

// identity returns the name and namespace of a document, without marking them as asked for.
func (o *object) identity() (name, namespace string) {
	meta, _ := o.whole.fields["metadata"].(map[string]any)
	name, _ = meta["name"].(string)
	namespace, _ = meta["namespace"].(string)
	return name, namespace
}

// id is what texts call a document.
func (o *object) id() string {
	name, namespace := o.identity()
	if namespace != "" {
		name = namespace + "/" + name
	}
	return o.whole.kind.kind + " " + name
}

// meta reads the metadata of a document; the name and the namespace are checked.
func (o *object) meta() (name, namespace string, err error) {
	m := o.object("metadata")
	if m == nil {
		return "", "", fmt.Errorf("%s: metadata is missing", o.source)
	}
	name, namespace = m.text("name"), m.text("namespace")
	for field := range m.fields { // the API server's bookkeeping, and labels, say nothing about releases
		m.asked[field] = true
	}
	if err := checkName(o.source+": metadata.name", name); err != nil {
		return "", "", err
	}
	if namespace != "" {
		err = checkName(o.source+": metadata.namespace", namespace)
	}
	return name, namespace, err
}

// in is the path of a field.
func (o *object) in(field string) string { return strings.TrimPrefix(o.path+"."+field, ".") }

// note names a field that is not taken over.
func (o *object) note(field, why string) {
	o.whole.notes = append(o.whole.notes, o.in(field)+": "+why)
}

// get returns a field and marks it as asked for; nil on a nil object.
func (o *object) get(field string) any {
	if o == nil {
		return nil
	}
	o.asked[field] = true
	return o.fields[field]
}

// has reports whether a field exists.
func (o *object) has(field string) bool {
	if o == nil {
		return false
	}
	_, ok := o.fields[field]
	return ok
}

// text is a field that is a text or a number; empty if it is not there.
func (o *object) text(field string) string {
	switch v := o.get(field).(type) {
	case nil:
		return ""
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case bool:
		return strconv.FormatBool(v)
	default:
		o.note(field, "expected a text, got "+what(v))
		return ""
	}
}

// number is a field that is a number, or a text that is one.
func (o *object) number(field string) (float64, bool) {
	if !o.has(field) {
		return 0, false
	}
	f, err := strconv.ParseFloat(strings.TrimSuffix(o.text(field), "%"), 64)
	if err != nil || f != f || f > 1e12 || f < -1e12 {
		o.note(field, "expected a number")
		return 0, false
	}
	return f, true
}

// duration is a field such as 10s, or a number of seconds, as both products take them; 0 if it is not there.
func (o *object) duration(field string) time.Duration {
	text := o.text(field)
	if text == "" {
		return 0
	}
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil && seconds >= 0 && seconds < 1e8 {
		return time.Duration(seconds) * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > 10000*time.Hour || d%time.Millisecond != 0 {
		o.note(field, fmt.Sprintf("expected a duration such as 30s, got %q", short(text)))
		return 0
	}
	return d
}

// object is a field that is a map; nil if it is not there.
func (o *object) object(field string) *object {
	switch v := o.get(field).(type) {
	case nil:
		return nil
	case map[string]any:
		return o.child(field, v)
	default:
		o.note(field, "expected a map, got "+what(v))
		return nil
	}
}

// list is a field that is a list of maps.
func (o *object) list(field string) []*object {
	var out []*object
	switch v := o.get(field).(type) {
	case nil:
	case []any:
		for i, item := range v {
			at := fmt.Sprintf("%s[%d]", field, i)
			if fields, ok := item.(map[string]any); ok {
				out = append(out, o.child(at, fields))
			} else {
				o.note(at, "expected a map, got "+what(item))
			}
		}
	default:
		o.note(field, "expected a list, got "+what(v))
	}
	return out
}

// texts is a field that is a list of texts or numbers.
func (o *object) texts(field string) []string {
	list, _ := o.get(field).([]any)
	var out []string
	for _, item := range list {
		switch v := item.(type) {
		case string:
			out = append(out, v)
		case float64:
			out = append(out, strconv.FormatFloat(v, 'f', -1, 64))
		default:
			o.note(field, "expected texts, got "+what(v))
		}
	}
	return out
}

// child is the part below a field, the same one each time, so that it remembers which of its fields were asked for.
func (o *object) child(field string, fields map[string]any) *object {
	for _, part := range o.whole.below {
		if part.path == o.in(field) {
			return part
		}
	}
	c := &object{source: o.source, path: o.in(field), whole: o.whole, fields: fields, asked: map[string]bool{}}
	o.whole.below = append(o.whole.below, c)
	return c
}

// drop notes fields that have no counterpart, if they are set.
func (o *object) drop(why string, fields ...string) {
	if o == nil {
		return
	}
	for _, f := range fields {
		if o.has(f) {
			o.asked[f] = true
			o.note(f, why)
		}
	}
}

// skip marks fields that do not matter for a release, such as a pod template, as read.
func (o *object) skip(fields ...string) {
	for _, f := range fields {
		o.get(f)
	}
}

// left returns what was not converted of a document: the notes, and the fields that were never read.
func (o *object) left() []string {
	out := slices.Clone(o.notes)
	for _, part := range append([]*object{o}, o.below...) {
		for _, f := range slices.Sorted(maps.Keys(part.fields)) {
			if !part.asked[f] {
				out = append(out, part.in(f)+": not known to serin migrate")
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// what describes the type of a value.
func what(v any) string {
	switch v := v.(type) {
	case nil:
		return "nothing"
	case map[string]any:
		return "a map"
	case []any:
		return "a list"
	case bool:
		return fmt.Sprint(v)
	case float64:
		return "the number " + strconv.FormatFloat(v, 'g', -1, 64)
	case string:
		return fmt.Sprintf("the text %q", short(v))
	}
	return "something else"
}
